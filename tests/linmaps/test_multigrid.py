"""The V-cycle with learnable stencils: against sums written out, and against a multigrid solver in NumPy."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError
from nwidth.linmaps import to_dense
from nwidth.linmaps.multigrid import VCycle
from nwidth.testing.linmaps import LinearMapConformance


def outside(position, size, low, high):
    """Where a value beyond an end stands, None where it is zero."""
    if low == "periodic":
        return position % size
    if 0 <= position < size:
        return position
    if (low if position < 0 else high) == "zero":
        return None
    return outside(-position if position < 0 else 2 * (size - 1) - position, size, low, high) if size > 1 else 0


def dense_stencil(weight, grid, ends, starts, stride, counts):
    """Matrix of `y_i = Σ_j w_j x_(start + stride i + j)`, entry by entry."""
    out, inp, *kernel = weight.shape
    matrix = np.zeros((out, *counts, inp, *grid))
    for i in product(*(range(c) for c in counts)):
        for j in product(*(range(k) for k in kernel)):
            place = [
                outside(s + stride * a + b - k // 2, n, *e)
                for a, b, s, n, e, k in zip(i, j, starts, grid, ends, kernel, strict=True)
            ]
            if None not in place:
                matrix[(slice(None), *i, slice(None), *place)] += weight[(slice(None), slice(None), *j)]
    return matrix.reshape(out * int(np.prod(counts)), inp * int(np.prod(grid)))


def dense_spread(weight, grid, ends, starts, counts):
    """Matrix of the correction: coarse values, continued beyond the ends, times the stencil around each of them."""
    inp, out, *kernel = weight.shape
    matrix = np.zeros((out, *grid, inp, *counts))
    for p in product(*(range(n) for n in grid)):
        for j in product(*(range(k) for k in kernel)):
            coarse = [a - b + k // 2 - s for a, b, k, s in zip(p, j, kernel, starts, strict=True)]
            if any(c % 2 for c in coarse):
                continue
            place = [outside(c // 2, n, *e) for c, n, e in zip(coarse, counts, ends, strict=True)]
            if None not in place:
                matrix[(slice(None), *p, slice(None), *place)] += weight[(slice(None), slice(None), *j)].T
    return matrix.reshape(out * int(np.prod(grid)), inp * int(np.prod(counts)))


def dense_cycle(m, number, grid):
    """The V-cycle as a matrix, from its definition by recursion."""
    here, still = tuple(grid), (0,) * len(grid)

    def on_grid(weight):
        return dense_stencil(weight.detach().numpy(), here, m.ends, still, 1, here)

    smoothers = [on_grid(s) for s in m.s[number]]
    pre = m.smoothing[0]
    size = int(np.prod(here))
    identity = np.eye(m.channels[1] * size)
    a = on_grid(m.a[number]) if number < len(m.a) else np.zeros((m.channels[1] * size, m.channels[0] * size))
    u = np.zeros((m.channels[0] * size, m.channels[1] * size))
    for s in smoothers[:pre]:
        u = u + s @ (identity - a @ u)
    if number + 1 < m.depth:
        starts = [int(low == "zero" and n > 1) for n, (low, _) in zip(here, m.ends, strict=True)]
        counts = [len(range(s, n, 2)) for n, s in zip(here, starts, strict=True)]
        restrict = dense_stencil(m.r[number].detach().numpy(), here, m.ends, starts, 2, counts)
        prolong = dense_spread(m.p[number].detach().numpy(), here, m.ends, starts, counts)
        u = u + prolong @ dense_cycle(m, number + 1, counts) @ restrict @ (identity - a @ u)
    for s in smoothers[pre:]:
        u = u + s @ (identity - a @ u)
    return u


class CycleConformance(LinearMapConformance):
    empty_batches = True

    def oracle(self, linear_map):
        return dense_cycle(linear_map, 0, linear_map.grid)


class TestOneDimension(CycleConformance):
    gauge = 8

    def make(self):
        return VCycle((2, 2), (15,), 2, dtype=torch.float64)


class TestThreeGrids(CycleConformance):
    gauge = 4

    def make(self):
        return VCycle((1, 1), (31,), 3, dtype=torch.float64)


class TestOneChannelToTwo(CycleConformance):
    gauge = 5

    def make(self):
        return VCycle((2, 1), (20,), 2, smoothing=(1, 0), dtype=torch.float64)


class TestEvenMirror(CycleConformance):
    gauge = 2

    def make(self):
        return VCycle((1, 1), (10,), 2, ends="mirror", smoothing=(2, 0), dtype=torch.float64)


class TestWideStencil(CycleConformance):
    gauge = 2

    def make(self):
        return VCycle((1, 1), (14,), 2, ends="periodic", kernel=5, smoothing=(1, 0), dtype=torch.float64)


class TestMixedEnds(CycleConformance):
    gauge = 2

    def make(self):
        return VCycle((1, 1), (13,), 2, ends=(("mirror", "zero"),), dtype=torch.float64)


class TestTwoDimensions(CycleConformance):
    gauge = 2

    def make(self):
        return VCycle((1, 1), (7, 6), 2, ends=(("zero", "zero"), ("periodic", "periodic")), dtype=torch.float64)


class TestThreeDimensions(CycleConformance):
    gauge = 2
    test_gradients = None  # the same code as in fewer dimensions, and long
    test_no_parameter_is_redundant = None  # two points between mirrors do not tell left from right

    def make(self):
        return VCycle((1, 1), (5, 4, 5), 2, ends="mirror", smoothing=(1, 0), dtype=torch.float64)


@pytest.mark.parametrize("ends", ["zero", "mirror", "periodic", (("zero", "mirror"),)])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 12, 16])
def test_every_size_and_depth(size, ends):
    torch.manual_seed(0)
    linear_map = VCycle((2, 1), (size,), 4, ends=ends, kernel=5, dtype=torch.float64)
    found = to_dense(linear_map).detach().numpy()
    np.testing.assert_allclose(found, dense_cycle(linear_map, 0, (size,)), atol=1e-12 * np.abs(found).max())
    adjoint = torch.eye(2 * size, dtype=torch.float64).reshape(-1, 2, size)
    np.testing.assert_allclose(
        linear_map.adjoint(adjoint).detach().numpy().reshape(2 * size, size), found, atol=1e-12 * np.abs(found).max()
    )


def classical(depth, dim, n):
    """Stencils of the textbook's cycle: damped Jacobi, full weighting, linear interpolation (Briggs et al. 2000)."""
    linear_map = VCycle((1, 1), (n,) * dim, depth, smoothing=(2, 1), dtype=torch.float64)
    second, mean, delta = np.array([-1.0, 2, -1]), np.array([1.0, 2, 1]), np.array([0.0, 1, 0])

    def tensor(parts):
        total = parts[0]
        for part in parts[1:]:
            total = np.multiply.outer(total, part)
        return torch.tensor(total)[None, None]

    with torch.no_grad():
        for number in range(depth):
            h = 2**number / (n + 1)
            laplace = sum(tensor([second if d == axis else delta for d in range(dim)]) for axis in range(dim)) / h**2
            linear_map.a[number].copy_(laplace)
            for s in linear_map.s[number]:
                s.copy_(2 / 3 * h**2 / (2 * dim) * tensor([delta] * dim))
            if number + 1 < depth:
                linear_map.r[number].copy_(tensor([mean / 4] * dim))
                linear_map.p[number].copy_(tensor([mean / 2] * dim))
    return linear_map


def numpy_cycle(f, h, depth):
    """A multigrid cycle for -Δu = f on an interior grid, written with slices and loops."""
    padded = [np.pad(f, 1)]

    def residual(u):
        v = np.pad(u, 1)
        total = 2 * f.ndim * u
        for axis in range(f.ndim):
            for step in (0, 2):
                total = (
                    total
                    - v[tuple(slice(step, step + n) if d == axis else slice(1, -1) for d, n in enumerate(u.shape))]
                )
        return f - total / h**2

    jacobi = 2 / 3 * h**2 / (2 * f.ndim)
    u = jacobi * f
    u = u + jacobi * residual(u)
    if depth > 1:
        padded = np.pad(residual(u), 1)
        for axis in range(f.ndim):
            line = np.moveaxis(padded, axis, 0)
            line = (line[1:-2:2] + 2 * line[2:-1:2] + line[3::2]) / 4
            padded = np.moveaxis(np.pad(line, [(1, 1)] + [(0, 0)] * (f.ndim - 1)), 0, axis)
        coarse = np.pad(numpy_cycle(padded[(slice(1, -1),) * f.ndim], 2 * h, depth - 1), 1)
        for axis in range(f.ndim):
            line = np.moveaxis(coarse, axis, 0)
            fine = np.zeros((2 * len(line) - 1, *line.shape[1:]))
            fine[::2], fine[1::2] = line, (line[:-1] + line[1:]) / 2
            coarse = np.moveaxis(fine, 0, axis)
        u = u + coarse[(slice(1, -1),) * f.ndim]
    return u + jacobi * residual(u)


@pytest.mark.parametrize(("dim", "n", "depth"), [(1, 63, 6), (2, 31, 4), (3, 7, 2)])
def test_the_classical_cycle_for_poisson_problems(dim, n, depth):
    """Hand-set stencils are the solver's step, and the step contracts the error by the textbook's factor."""
    rng = np.random.default_rng(0)
    linear_map = classical(depth, dim, n)
    f = rng.standard_normal((2, *(n,) * dim))
    with torch.no_grad():
        found = linear_map(torch.tensor(f)[:, None])[:, 0].numpy()
    expected = np.stack([numpy_cycle(sample, 1 / (n + 1), depth) for sample in f])
    np.testing.assert_allclose(found, expected, atol=1e-13 * np.abs(expected).max())


def test_cycles_solve_a_poisson_problem():
    """-Δu = f in the square: a cycle leaves at most (2/3)³ of the error, as three Jacobi steps do of rough errors."""
    n = 31
    linear_map = classical(5, 2, n)
    x = np.sin(np.pi * np.arange(1, n + 1) / (n + 1))
    eigenvalue = 2 * (2 * (n + 1) * np.sin(np.pi / 2 / (n + 1))) ** 2
    exact = torch.tensor(np.multiply.outer(x, x))[None, None]
    f, u, a = eigenvalue * exact, torch.zeros_like(exact), linear_map.a[0]
    errors = []
    with torch.no_grad():
        for _ in range(6):
            u = u + linear_map(f - torch.nn.functional.conv2d(u, a, padding=1))
            errors.append(float((u - exact).abs().max()))
    assert all(b < (2 / 3) ** 3 * a for a, b in pairwise(errors)), errors
    assert errors[-1] < 1e-3


def test_another_grid_shares_the_parameters():
    linear_map = VCycle((2, 3), (8, 8), 3, ends="mirror")
    other = linear_map.at((11, 9))
    assert other.shape == ((2, 11, 9), (3, 11, 9))
    assert other.p is linear_map.p
    x = torch.randn(2, 3, 11, 9)
    torch.testing.assert_close(other(x), linear_map(x))
    assert other.cost(2).flops > linear_map.cost(2).flops


def test_bad_configurations_are_refused():
    with pytest.raises(InputError, match="odd"):
        VCycle((1, 1), (8,), 2, kernel=4)
    with pytest.raises(InputError, match="'periodic' at both ends"):
        VCycle((1, 1), (8,), 2, ends=(("periodic", "zero"),))
    with pytest.raises(InputError, match="at least one"):
        VCycle((1, 1), (8,), 2, smoothing=(0, 1))
    with pytest.raises(InputError, match="axes"):
        VCycle((1, 1), (8, 8, 8, 8), 2)
    with pytest.raises(InputError, match="expected"):
        VCycle((1, 2), (8,), 2)(torch.zeros(3, 1, 8))
