"""Sine, cosine, Chebyshev and mixed series against sums written from their formulas."""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.polynomial import chebyshev

from nwidth.core.errors import InputError
from nwidth.linmaps import to_dense
from nwidth.linmaps.basis import FourierBasis
from nwidth.linmaps.chebyshev import ChebyshevBasis, TruncatedChebyshev
from nwidth.linmaps.cosine import CosineBasis, TruncatedCosine
from nwidth.linmaps.fourier import TruncatedFourier
from nwidth.linmaps.series import TruncatedSeries
from nwidth.linmaps.sine import SineBasis, TruncatedSine
from nwidth.testing.linmaps import LinearMapConformance


def nodes(n, points):
    x = {
        "node": np.linspace(0, 1, n),
        "cell": (np.arange(n) + 0.5) / n,
        "periodic": np.arange(n) / n,
        "chebyshev": 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, n)),
    }[points]
    w = np.full(n, 1 / n if points in ("cell", "periodic") else 1 / (n - 1))
    if points in ("node", "chebyshev"):
        w[0] /= 2
        w[-1] /= 2
    return x, w


def real_pairs(basis, n):
    """Functions and functionals of a real basis at the nodes, from their formulas."""
    x, w = nodes(n, basis.points)
    if isinstance(basis, CosineBasis):
        k = np.arange(min(basis.modes, n - (basis.points == "node")))[:, None]
        f = np.where(k == 0, 1.0, np.sqrt(2) * np.cos(np.pi * k * x))
        return f, f * w
    if isinstance(basis, SineBasis):
        k = 1 + np.arange(min(basis.modes, n - 1 - (basis.points == "node")))[:, None]
        f = np.sqrt(2) * np.sin(np.pi * k * x)
        return f, f * w
    count = min(basis.modes, n - 1 if basis.points == "chebyshev" else int(2 * np.sqrt(n - 1)) + 1)
    f = np.array([chebyshev.chebval(2 * x - 1, np.eye(count)[k]) for k in range(count)])
    return f, np.linalg.solve(f * w @ f.T, f * w)  # normal equations: fine for a few modes


def oracle(linear_map):
    """Sum over all modes, complex exponentials along Fourier axes."""
    (out, *grid), (inp, *_) = linear_map.shape
    weight, turn = linear_map.weight.detach().numpy(), linear_map.turn
    fourier = [a for a, b in enumerate(linear_map.bases) if isinstance(b, FourierBasis)]
    others = [a for a in range(len(grid)) if a not in fourier]
    matrix = np.zeros((out, *grid, inp, *grid), dtype=complex)
    frequencies = [range(-linear_map.bases[a].modes + 1, linear_map.bases[a].modes) for a in fourier]
    half = [k for k in product(*frequencies) if next((j > 0 for j in k if j), True)]
    half.sort(key=lambda k: [(j < 0, abs(j)) for j in k])  # 0, 1, ..., -1, -2, ... along every axis
    inner = list(product(*[range(linear_map.bases[a].modes) for a in others]))
    for row, k in enumerate(half):
        for column, m in enumerate(inner):
            w = weight[row * len(inner) + column].astype(complex)
            if any(k):
                w = w + 1j * turn.detach().numpy()[(row - 1) * len(inner) + column]
            for sign in (1, -1) if any(k) else (1,):
                vectors, functionals = [], []
                for axis, n in enumerate(grid):
                    basis = linear_map.bases[axis]
                    if axis in fourier:
                        j = sign * k[fourier.index(axis)]
                        x, weights = nodes(n, basis.points)
                        if 2 * abs(j) >= (n - (basis.points == "node")) * basis.period:
                            break
                        wave = np.exp(2j * np.pi * j * x / basis.period)
                        vectors.append(wave)
                        functionals.append(wave.conj() * weights / basis.period)
                    else:
                        f, g = real_pairs(basis, n)
                        j = m[others.index(axis)]
                        if j >= len(f):
                            break
                        vectors.append(f[j])
                        functionals.append(g[j])
                else:
                    value = w if sign > 0 else w.conj()
                    names = "abc"[: len(grid)], "def"[: len(grid)]
                    rule = f"xy,{','.join(names[0])},{','.join(names[1])}->y{names[0]}x{names[1]}"
                    matrix += np.einsum(rule, value, *vectors, *functionals)
    assert np.abs(matrix.imag).max() < 1e-12
    return matrix.real.reshape(out * int(np.prod(grid)), inp * int(np.prod(grid)))


class SeriesConformance(LinearMapConformance):
    def oracle(self, linear_map):
        return oracle(linear_map)


class TestCosine(SeriesConformance):
    def make(self):
        return TruncatedCosine((2, 1), (3, 2), (6, 5), dtype=torch.float64)


class TestCosineOfCells(SeriesConformance):
    def make(self):
        return TruncatedCosine((1, 2), (4,), (5,), points="cell", dtype=torch.float64)


class TestSine(SeriesConformance):
    def make(self):
        return TruncatedSine((1, 2), (2, 3), (5, 6), dtype=torch.float64)


class TestSineOfCells3D(SeriesConformance):
    def make(self):
        return TruncatedSine((1, 1), (2, 2, 1), (4, 3, 5), points="cell", dtype=torch.float64)


class TestChebyshev(SeriesConformance):
    def make(self):
        return TruncatedChebyshev((1, 2), (3, 2), (7, 6), dtype=torch.float64)


class TestChebyshevPoints(SeriesConformance):
    def make(self):
        return TruncatedChebyshev((2, 1), (5,), (8,), points="chebyshev", dtype=torch.float64)


class TestPeriodicTimesCosine(SeriesConformance):
    def make(self):
        return TruncatedSeries((2, 1), (CosineBasis(2), FourierBasis(3, "periodic")), (4, 6), dtype=torch.float64)


class TestPaddedCellsTimesSineTimesPeriodic(SeriesConformance):
    def make(self):
        bases = FourierBasis(2, "cell", 1.25), SineBasis(1), FourierBasis(2, "periodic")
        return TruncatedSeries((1, 1), bases, (3, 3, 3), dtype=torch.float64)


class TestTooCoarse(SeriesConformance):
    """A grid that does not carry all modes: those it carries keep their weights."""

    def make(self):
        bases = FourierBasis(3, "periodic"), CosineBasis(4), FourierBasis(2, "node", 1.0)
        return TruncatedSeries((1, 1), bases, (4, 4, 3), dtype=torch.float64)

    test_no_parameter_is_redundant = None


def test_fourier_axes_alone_are_the_truncated_fourier_map():
    torch.manual_seed(0)
    reference = TruncatedFourier((2, 3), (3, 4), (9, 8), dtype=torch.float64)
    bases = FourierBasis(3, "periodic"), FourierBasis(4, "periodic")
    series = TruncatedSeries((2, 3), bases, (9, 8), dtype=torch.float64)
    series.weight, series.turn = reference.real, reference.imag
    for grid in ((9, 8), (4, 5), (16, 7)):
        x = torch.randn(2, 3, *grid, dtype=torch.float64)
        torch.testing.assert_close(series(x), reference(x), rtol=1e-12, atol=1e-12)


MAPS = {
    "cosine": lambda points: TruncatedCosine((1, 1), (7, 7), (9, 9), points=points, dtype=torch.float64),
    "sine": lambda points: TruncatedSine((1, 1), (7, 7), (9, 9), points=points, dtype=torch.float64),
    "chebyshev": lambda points: TruncatedChebyshev((1, 1), (5, 5), (9, 9), points=points, dtype=torch.float64),
}
FUNCTIONS = {
    "cosine": lambda k, x: np.cos(np.pi * k * x) * (1 if k == 0 else np.sqrt(2)),
    "sine": lambda k, x: np.sqrt(2) * np.sin(np.pi * (k + 1) * x),
    "chebyshev": lambda k, x: chebyshev.chebval(2 * x - 1, np.eye(5)[k]),
}


@pytest.mark.parametrize("points", ["node", "cell"])
@pytest.mark.parametrize("word", MAPS)
def test_functions_in_the_span_are_exact_on_every_grid(word, points):
    """Every product of basis functions is multiplied by its own weight: the exact function, on odd and even grids."""
    torch.manual_seed(1)
    linear_map, function = MAPS[word](points), FUNCTIONS[word]
    count = linear_map.bases[0].modes
    c = np.random.default_rng(0).standard_normal((count, count))
    scaled = c * linear_map.weight.detach().numpy().reshape(count, count)
    for grid in ((16, 16), (17, 23), (33, 64), (65, 19)):
        x, y = (nodes(n, points)[0] for n in grid)
        left, right = (np.array([function(k, t) for k in range(count)]) for t in (x, y))
        found = linear_map(torch.tensor(left.T @ c @ right)[None, None])[0, 0].detach()
        np.testing.assert_allclose(found, left.T @ scaled @ right, atol=1e-11)


def test_a_coarse_grid_drops_the_modes_it_does_not_carry():
    linear_map = MAPS["cosine"]("node")
    x, fine = np.linspace(0, 1, 5), np.linspace(0, 1, 41)
    wave = [np.cos(3 * np.pi * t)[:, None] * np.cos(2 * np.pi * t) for t in (x, fine)]
    on_5, on_41 = (linear_map(torch.tensor(w)[None, None])[0, 0].detach() for w in wave)
    np.testing.assert_allclose(on_5, on_41[::10, ::10], atol=1e-12)
    lost = torch.tensor(np.cos(4 * np.pi * x)[:, None] * np.ones(5))[None, None]  # the last of 5 nodes: no norm of 1
    np.testing.assert_allclose(linear_map(lost).detach(), 0, atol=1e-12)


def test_sines_vanish_exactly_and_cosines_have_no_flux():
    torch.manual_seed(2)
    x = torch.randn(2, 1, 9, 12, dtype=torch.float64)
    y = MAPS["sine"]("node")(x).detach()
    for edge in (y[..., 0, :], y[..., -1, :], y[..., 0], y[..., -1]):
        assert (edge == 0).all()
    slopes = []
    for n in (65, 257):
        t = torch.linspace(0, 1, n, dtype=torch.float64)
        y = MAPS["cosine"]("node")((torch.exp(t)[:, None] * torch.cos(t))[None, None])[0, 0].detach()
        slopes.append(y.diff(dim=0).abs().amax(dim=1) * (n - 1))
    for end in (0, -1):
        assert slopes[0][end] < 0.15 * slopes[0].max()
        assert slopes[1][end] < 0.05 * slopes[1].max()


def test_many_chebyshev_modes_stay_stable():
    """Far more modes asked for than a grid carries: the projection does not amplify noise."""
    for points, n in (("node", 101), ("cell", 101), ("chebyshev", 60)):
        basis = ChebyshevBasis(100, points)
        analysis, synthesis = basis.matrices(n)
        assert basis.kept(n) == {"node": 21, "cell": 21, "chebyshev": 59}[points]
        assert np.linalg.norm(synthesis @ analysis, 2) < 4
        np.testing.assert_allclose(analysis @ synthesis, np.eye(basis.kept(n)), atol=1e-11)


def test_another_grid_shares_the_parameters():
    linear_map = TruncatedCosine((2, 3), (3, 3), (8, 8), dtype=torch.float64)
    other = linear_map.at((11, 9))
    assert other.shape == ((2, 11, 9), (3, 11, 9))
    assert other.weight is linear_map.weight
    assert to_dense(other).shape == (2 * 99, 3 * 99)


def test_bad_configurations_are_refused():
    with pytest.raises(InputError, match="one basis per axis"):
        TruncatedSine((1, 1), (3,), (8, 8))
    with pytest.raises(InputError, match="1 or more modes"):
        CosineBasis(0)
    with pytest.raises(InputError, match="points among"):
        SineBasis(3, "periodic")
    with pytest.raises(InputError, match="exactly 1"):
        FourierBasis(3, "periodic", 1.5)
    with pytest.raises(InputError, match="expected \\(B, 3, n1\\)"):
        TruncatedCosine((2, 3), (4,), (8,))(torch.randn(2, 2, 8))
