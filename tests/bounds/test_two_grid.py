"""The two-grid estimate against true errors, where the solution of the equation is known."""

import numpy as np
import pytest
import scipy.sparse.linalg

from nwidth.bounds.two_grid import compare, discretisation_estimate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate
from nwidth.core.validation import select
from nwidth.problems.base import BlackBox
from nwidth.problems.darcy import Darcy
from nwidth.problems.poisson import Poisson


def solve(problem, mu):
    """Sparse direct solutions, one by one."""
    fields = []
    for i in range(len(next(iter(mu.values())))):
        system = problem.assemble(select(mu, slice(i, i + 1)))
        u, free = system.lift.copy(), system.free
        u[free] += scipy.sparse.linalg.spsolve(system.matrix.tocsc()[free][:, free], system.load[free])
        fields.append(u)
    return problem.space.unflatten(np.stack(fields))


def true_relative_error(problem, mu, points=5):
    """`‖u - u_h‖_a / ‖u‖_a` of the bilinear interpolant by Gauss quadrature, with the gradient in closed form."""
    u_h, n = solve(problem, mu), problem.resolution
    (kappa, omega), h = (np.asarray(mu[k])[:, None, None] for k in ("slope", "frequency")), 1.0 / n
    nodes, weights = np.polynomial.legendre.leggauss(points)
    error, norm = np.zeros(len(u_h)), np.zeros(len(u_h))
    for s, ws in zip((nodes + 1) / 2, weights / 2, strict=True):
        for t, wt in zip((nodes + 1) / 2, weights / 2, strict=True):
            x, y = np.meshgrid((np.arange(n) + s) * h, (np.arange(n) + t) * h, indexing="ij")
            a = 1 + kappa / 2 * (x**2 + y**2)
            gx = 1 - omega * np.sin(omega * x) * np.cos(omega * y)
            gy = 1 - omega * np.cos(omega * x) * np.sin(omega * y)
            down, right = np.diff(u_h, axis=1) / h, np.diff(u_h, axis=2) / h
            px = (1 - t) * down[:, :, :-1] + t * down[:, :, 1:]
            py = (1 - s) * right[:, :-1] + s * right[:, 1:]
            error += ws * wt * h**2 * np.sum(a * ((gx - px) ** 2 + (gy - py) ** 2), axis=(1, 2))
            norm += ws * wt * h**2 * np.sum(a * (gx**2 + gy**2), axis=(1, 2))
    return np.sqrt(error / norm)


def test_the_estimate_is_the_true_error_of_a_smooth_solution():
    problem = Poisson(16)
    estimate = discretisation_estimate(problem, solve, range(5), seed=1)
    truth = true_relative_error(problem, problem.parameters.sample(range(5), 1))
    assert estimate.order == pytest.approx(1.0, abs=0.05)
    assert estimate.observed
    np.testing.assert_allclose(estimate.relative, truth, rtol=0.05)
    assert truth.max() > 0.03  # the errors are worth estimating
    two = discretisation_estimate(problem, solve, range(5), seed=1, levels=2, order=1.0)
    np.testing.assert_allclose(two.relative, truth, rtol=0.05)
    assert not two.observed


def test_jumps_across_cells_are_seen_as_order_one_half():
    """Two-valued Darcy flow: against a much finer grid, itself extrapolated."""
    problem, indices = Darcy(16), range(4)
    estimate = discretisation_estimate(problem, solve, indices)
    pair = [problem, problem.at(128)]
    samples = [p.parameters.sample(indices, 0) for p in pair]
    fields = [solve(p, mu) for p, mu in zip(pair, samples, strict=True)]
    # order 2 adds a factor that is taken out again: the plain distance, which misses the finer grid's own error
    direct = compare(pair, samples, fields, order=2.0).relative * np.sqrt(1 - 4.0**-2)
    assert 0.35 < estimate.order < 0.75
    assert (estimate.relative > direct).all()
    np.testing.assert_allclose(estimate.relative, direct, rtol=0.25)
    assert 0.05 < np.median(estimate.relative) < 0.3


def test_it_says_what_it_is():
    estimate = discretisation_estimate(Poisson(8), solve, range(3))
    assert isinstance(estimate.guarantee, Estimate)
    assert estimate.resolutions == (8, 16, 32)
    text = str(estimate)
    assert text.startswith("The grid of 8 cells is itself about")
    assert "an estimate from grids of 16 and 32 cells, observed order 1.0" in text


class Elsewhere(BlackBox):
    parameters = None
    space = None

    def solve(self, mu):
        return None


def test_bad_input_is_named():
    problem = Poisson(4)
    mu = problem.parameters.sample(range(2), 0)
    zero = np.zeros((2, 9, 9))
    for make, message in [
        (lambda: discretisation_estimate(problem, solve, levels=2), "two and order="),
        (lambda: discretisation_estimate(Elsewhere(), solve), "Elsewhere exists on one grid only"),
        (lambda: compare([problem, problem.at(8)], [mu, mu], [zero[:, ::2, ::2], zero], 1.0), "solution zero"),
        (lambda: compare([Elsewhere()] * 3, [mu] * 3, [zero] * 3), "Elsewhere lives on NoneType"),
    ]:
        with pytest.raises(InputError, match=message):
            make()
