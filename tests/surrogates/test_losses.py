"""Losses against closed forms and dense matrices; learning rates at known moments."""

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.complex_grid import ComplexGrid
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.spaces.torus import Torus
from nwidth.surrogates.training import Encoding, Training, loss_for, relative_h1, relative_lp
from nwidth.surrogates.training.quadrature import Axis, GridMeasure, WeightMeasure, axes_of, measure_of
from nwidth.surrogates.training.schedules import SCHEDULES, one_cycle


def loss_on(space, name="auto", **changes):
    """The loss that a fit would use for fields of a space."""
    runs = Snapshots(Box(("a",), low=(0.0,), high=(1.0,)), space, {"a": np.ones(2)}, np.ones((2, *space.shape)))
    return loss_for(Training(loss=name, **changes), Encoding.of(runs), space)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_relative_lp_of_known_vectors():
    u = torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]], dtype=torch.float64)
    v = torch.tensor([[[3.0, 4.5]], [[1.0, 0.25]]], dtype=torch.float64)
    np.testing.assert_allclose(relative_lp(2)(v, u), [0.1, 0.25], rtol=1e-14)
    np.testing.assert_allclose(relative_lp(1)(v, u), [0.5 / 7, 0.25], rtol=1e-14)


def test_lp_on_a_grid_is_the_trapezoidal_rule():
    """|x|³ against the integral of x³ over a grid: the trapezoidal rule of order two, ends counted half."""
    for n in (9, 17):
        x = torch.linspace(0, 1, n, dtype=torch.float64)
        u = torch.ones(1, 1, n, dtype=torch.float64)
        found = loss_on(Grid((n - 1,)), "lp", p=3)(u + x, u) ** 3
        np.testing.assert_allclose(found, [0.25 * (1 + 1 / (n - 1) ** 2)], rtol=1e-12)  # its error for x³ is h²/4


@pytest.mark.parametrize(
    "space",
    [
        Grid((6, 9), lengths=(1.0, 2.0)),
        Grid((6, 9), lengths=(1.0, 2.0), centring="cell"),
        Grid((5, 4, 3), boundary=("periodic", "dirichlet", "neumann")),
        ComplexGrid((7,), boundary="neumann"),
    ],
    ids=["nodes", "cells", "mixed", "complex"],
)
def test_the_weights_of_a_grid_are_its_control_volumes(space):
    v = drawn(3, 2, *space.shape).square()
    expected = (v.sum(dim=1).numpy() * space.volumes()).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(measure_of(space).integrate(v), expected, rtol=1e-12)


def test_the_weights_of_a_torus_are_equal():
    space = Torus((6, 7), lengths=(1.0, 3.0))
    v = drawn(3, 1, 6, 7)
    np.testing.assert_allclose(measure_of(space).integrate(v), v.mean(dim=(1, 2, 3)) * 3.0, rtol=1e-12)


def test_the_masses_of_a_mesh_are_its_row_sums():
    space = ThermalBlock(2, 6).space
    rows = np.asarray(space.mass.matrix.sum(axis=1)).ravel()
    found = WeightMeasure.of(space).integrate(torch.eye(space.size, dtype=torch.float64)[:, None])
    np.testing.assert_allclose(found, rows / rows.sum(), rtol=1e-12)


def test_points_without_cells_weigh_the_same():
    measure = measure_of(Points((4,)))
    np.testing.assert_allclose(measure.integrate(torch.tensor([[[1.0, 2.0, 3.0, 6.0]]])), [3.0])


def test_relative_h1_is_the_grid_s_own_energy_and_mass():
    """On a grid with Dirichlet ends, for fields that vanish there: vᵀ(X + M)v of the space's own forms."""
    space = Grid((8, 5), lengths=(1.0, 2.0))
    u, v = drawn(4, 1, *space.shape), drawn(4, 1, *space.shape, seed=1)
    inside = torch.zeros(space.shape, dtype=torch.float64)
    inside[1:-1, 1:-1] = 1

    def squared(w):
        dofs = w.reshape(4, -1).numpy()
        return sum((dofs * space.inner(kind).apply(dofs)).sum(axis=1) for kind in ("energy", "mass"))

    u, v = u * inside, v * inside
    np.testing.assert_allclose(loss_on(space, "h1")(v, u), np.sqrt(squared(v - u) / squared(u)), rtol=1e-12)


def test_relative_h1_counts_the_differences_on_the_boundary_half():
    """A linear function has the energy |∇u|² × volume exactly, whatever the spacings."""
    space = Grid((4, 8), lengths=(1.0, 2.0))
    x, y = (torch.from_numpy(axis) for axis in np.meshgrid(*space.axes(), indexing="ij"))
    u = torch.ones(1, 1, *space.shape, dtype=torch.float64)  # H1 norm √2
    found = loss_on(space, "h1")(u + 3 * x - 0.5 * y, u)
    mass = float(measure_of(space).integrate((3 * x - 0.5 * y).square()[None, None]))
    np.testing.assert_allclose(found, [np.sqrt(((9 + 0.25) * 2 + mass) / 2)], rtol=1e-12)


def test_relative_h1_goes_round_a_periodic_axis():
    """sin 2πkx: every difference counts, the one over the end as well."""
    n, k = 12, 5
    x = torch.arange(n, dtype=torch.float64) / n
    u, e = torch.ones(1, 1, n, dtype=torch.float64), torch.sin(2 * torch.pi * k * x)[None, None]
    eigenvalue = (2 * n * np.sin(np.pi * k / n)) ** 2
    np.testing.assert_allclose(
        relative_h1((Axis(1.0, "periodic"),))(u + e, u), [np.sqrt((1 + eigenvalue) / 2)], rtol=1e-12
    )


@pytest.mark.parametrize("kind", ["node", "cell", "periodic"])
def test_the_negative_norm_is_the_dual_of_h1(kind):
    """‖v‖²_-1 = (W v)ᵀ (K + W)⁻¹ (W v) with the dense matrices of the H1 loss itself; Cauchy-Schwarz holds."""
    axes, grid = (Axis(1.0, kind), Axis(3.0, kind)), (5, 7)
    space = {
        "node": Grid((4, 6), lengths=(1.0, 3.0), boundary="neumann"),
        "cell": Grid((5, 7), lengths=(1.0, 3.0), boundary="neumann", centring="cell"),
        "periodic": Torus((5, 7), lengths=(1.0, 3.0)),
    }[kind]
    assert axes_of(space, 2) == axes
    weights = torch.func.vmap(GridMeasure(axes).integrate)(torch.eye(35, dtype=torch.float64).reshape(35, 1, 1, *grid))
    one = torch.ones(1, 1, *grid, dtype=torch.float64)

    def h1(e):
        return relative_h1(axes)(one + e, one).square().sum() * 3.0  # ‖1‖²_H1 = 3

    gram = torch.autograd.functional.hessian(h1, drawn(1, 1, *grid)).reshape(35, 35).numpy() / 2
    v = drawn(2, 1, *grid, seed=3)
    load = v.reshape(2, -1).numpy() * weights.reshape(1, -1).numpy()
    expected = np.einsum("bi,bi->b", load, np.linalg.solve(gram, load.T).T)
    found = loss_on(space, "h-1")(one + v, one).square() * 3.0  # ‖1‖²_-1 = 3: the constant is its own representer
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_negative_norm_sees_oscillations_less():
    space = Grid((32,), boundary="neumann")
    x = torch.from_numpy(space.axes()[0])
    u = torch.ones(1, 1, 33, dtype=torch.float64)
    loss, k = loss_on(space, "h-1"), np.array([1, 4, 16])
    found = [float(loss(u + torch.cos(np.pi * int(j) * x), u)) for j in k]
    exact = 1 / np.sqrt(2 * (1 + (64 * np.sin(np.pi * k / 64)) ** 2))
    np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_the_negative_norm_of_a_mesh_is_its_riesz_map_and_has_a_gradient():
    space = ThermalBlock(2, 4).space
    mass, energy = (space.inner(kind) for kind in ("mass", "energy"))
    v, u = drawn(2, 1, space.size), torch.ones(2, 1, space.size, dtype=torch.float64)
    loads = [mass.apply(w[:, 0].numpy()) for w in (v, u)]
    squares = [(load * energy.riesz(load)).sum(axis=1) for load in loads]
    loss = loss_on(space, "h-1")
    np.testing.assert_allclose(loss(u + v, u), np.sqrt(squares[0] / squares[1]), rtol=1e-12)
    assert torch.autograd.gradcheck(lambda e: loss(u + e, u), (v.clone().requires_grad_(),))
    with pytest.raises(InputError, match="knows no equation"):
        loss_on(Points((5,)), "h-1")


@pytest.mark.parametrize("name", ["h1", "l2", "lp", "h-1"])
def test_an_error_of_zero_has_the_gradient_zero(name):
    u = drawn(2, 1, 9).float()
    v = u.clone().requires_grad_()
    value = loss_on(Grid((8,)), name, p=3.0)(v, u).sum()
    value.backward()
    assert value < 1e-9 and torch.equal(v.grad, torch.zeros_like(u))


def test_norms_that_a_space_lacks_are_refused():
    with pytest.raises(InputError, match="needs fields on a grid"):
        loss_on(Points((5,)), "h1")
    with pytest.raises(InputError, match=r"prepared for the grid \(5,\), got \(6,\)"):
        loss_on(Grid((4,)), "h-1")(drawn(1, 1, 6), drawn(1, 1, 6))


def test_one_cycle_rises_then_falls():
    assert one_cycle(0.0, 1.0) == pytest.approx(0.04)
    assert one_cycle(0.2, 1.0) == pytest.approx(1.0)
    assert one_cycle(0.6, 1.0) == pytest.approx((1 + 1e-4) / 2)
    assert one_cycle(1.0, 1.0) == one_cycle(1.7, 1.0) == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("cosine", [2.0, 1.0, 2e-4]),
        ("step", [2.0, 0.5, 0.125]),
        ("constant", [2.0, 2.0, 2.0]),
        ("warmup-stable-decay", [0.08, 2.0, 2e-4]),
    ],
)
def test_schedules_start_and_end_as_they_say(name, rates):
    schedule = SCHEDULES[name]
    assert [schedule(t, 2.0) for t in (0.0, 0.5, 1.0)] == pytest.approx(rates, rel=1e-3)
    assert schedule(1.3, 2.0) == pytest.approx(rates[-1], rel=1e-3)
    assert all(0 < schedule(t, 2.0) <= 2.0 for t in np.linspace(0, 1.2, 50))


def test_the_stable_part_falls_linearly():
    assert SCHEDULES["warmup-stable-decay"](0.9, 1.0) == pytest.approx(0.5, rel=1e-3)
    assert SCHEDULES["warmup-stable-decay"](0.025, 1.0) == pytest.approx(0.52)
