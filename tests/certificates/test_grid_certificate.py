"""The limit on a grid, tried at contrasts up to 1e6, against solutions refined in extended precision."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse.linalg as sla

from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.prediction import uncertified
from nwidth.core.solution import Tolerance
from nwidth.problems.darcy import Darcy
from nwidth.problems.poisson import Poisson
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.spaces.grid import Grid
from nwidth.testing.equilibrated_references import GivenGrid

N = 24


@dataclass(frozen=True)
class Reference:
    """Solution and energy norm in 80-bit arithmetic where the platform has it, from the assembled matrix."""

    matrix: object
    free: np.ndarray
    u: np.ndarray

    def error(self, v: np.ndarray) -> float:
        e = (self.u - v.ravel().astype(np.longdouble))[self.free]
        coo = self.matrix
        return float(np.sqrt(np.sum(e[coo.row] * coo.data * e[coo.col])))


def reference(problem, mu) -> Reference:
    system = problem.assemble(mu)
    free = system.free
    a = system.matrix.tocsr()[free][:, free].tocoo()
    data = a.data.astype(np.longdouble)
    load = system.load[free].astype(np.longdouble)
    solve = sla.factorized(a.tocsc())
    w = np.zeros(free.sum(), np.longdouble)
    for _ in range(8):
        product = np.zeros_like(w)
        np.add.at(product, a.row, data * w[a.col])
        w += solve((load - product).astype(float))
    u = system.lift.astype(np.longdouble)
    u[free] += w
    a.data = data
    return Reference(a, free, u)


def coefficients(contrast: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = seed % 3
    if kind == 0:
        a = np.where(rng.random((N + 1, N + 1)) < 0.5, 1.0, contrast)
    elif kind == 1:
        a = contrast ** rng.random((N + 1, N + 1))
    else:
        x = np.linspace(0, 1, N + 1)
        a = np.where(np.add.outer(x, x) < 1, 1.0, contrast)
    a.flat[:2] = 1.0, contrast
    return a[None]


CANDIDATES = {
    "zero": lambda u, rng: np.zeros_like(u),
    "the solution": lambda u, rng: u,
    "smooth error": lambda u, rng: 1.1 * u,
    "rough error": lambda u, rng: u + 1e-3 * rng.normal(size=u.shape),
    "float32": lambda u, rng: u.astype(np.float32),
    "huge": lambda u, rng: 1e8 * rng.normal(size=u.shape),
    "wrong boundary": lambda u, rng: u + 1.0,
    "round-off": lambda u, rng: u * (1 + 1e-16 * rng.normal(size=u.shape)),
}


@pytest.mark.parametrize("face", ["arithmetic", "harmonic"])
@pytest.mark.parametrize("contrast", [1.0, 4.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("name", CANDIDATES)
def test_no_field_escapes_its_limit(name, contrast, face):
    problem = Darcy(resolution=N, face=face)
    certificate = ResidualCertificate(problem)
    for seed in range(3):
        mu = {"a": coefficients(contrast, seed)}
        exact = reference(problem, mu)
        fields = CANDIDATES[name](exact.u.astype(float).reshape(1, N + 1, N + 1), np.random.default_rng(seed))
        answer = certificate.bound(uncertified(mu, fields, problem.space, np.ones(1, bool)))
        error = exact.error(answer.field[0])
        assert (answer.field[0, [0, -1]] == 0).all() and (answer.field[0][:, [0, -1]] == 0).all()
        assert answer.bound[0] >= error > 0 or (error == 0 and answer.bound[0] > 0)
        stability = problem.constant(mu)
        floor = 1e-10 * np.sqrt(contrast) * exact.error(np.zeros_like(fields)) + 1e-11 * np.abs(fields).max()
        assert answer.bound[0] <= 1.001 * np.sqrt(stability.upper / stability.lower)[0] * error + floor


LONG = np.longdouble


def dense_systems(grid: Grid, a, f, g) -> tuple[np.ndarray, np.ndarray]:
    """Matrices `(B, N, N)` of all nodes and solutions `(B, N)`: sums over the faces in extended precision, and from the
    data alone, with the spacings of the exact lengths."""
    a, f, g = (x.astype(LONG) for x in (a, f, g))
    index, whole = np.arange(grid.size).reshape(grid.shape), np.zeros((len(a), grid.size, grid.size), LONG)
    h = [LONG(length) / n for length, n in zip(grid.lengths, grid.cells, strict=True)]
    for axis, (i, j) in enumerate([(index[:-1], index[1:]), (index[:, :-1], index[:, 1:])]):
        i, j = i.ravel(), j.ravel()
        values = a.reshape(len(a), -1)
        face = h[1 - axis] / h[axis] * (values[:, i] + values[:, j]) / 2
        for row, column, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            np.add.at(whole, (slice(None), row, column), sign * face)
    free, u = grid.free, g.reshape(len(g), -1).copy()
    u[:, free] = 0
    load = (h[0] * h[1] * f.reshape(len(f), -1) - np.einsum("bij,bj->bi", whole, u))[:, free]
    inner = whole[:, free][:, :, free]
    inverse, w = np.linalg.inv(inner.astype(float)).astype(LONG), np.zeros_like(load)
    for _ in range(8):
        w += np.einsum("bij,bj->bi", inverse, load - np.einsum("bij,bj->bi", inner, w))
    u[:, free] = w
    return whole, u


@pytest.mark.parametrize("contrast", [1.0, 1e4])
@pytest.mark.parametrize("level", [0.0, 1.0, 1e8])
@pytest.mark.parametrize("name", ["the solution", "round-off", "rough error"])
def test_on_few_nodes_the_error_lies_in_the_interval_whatever_rounding_leaves_of_it(name, level, contrast):
    """The residual as computed is rounding, or mostly so: the fast way has to count it on either side."""
    grid, batch = Grid((6, 5), (1.0, 0.7)), 200
    problem, rng = GivenGrid(grid), np.random.default_rng(0)
    shape = (batch, *grid.shape)
    mu = {
        "a": 0.3 * contrast ** rng.random(shape),
        "f": rng.normal(size=shape),
        "g": level + rng.normal(size=shape),
    }
    matrix, u = dense_systems(grid, **mu)
    certificate = ResidualCertificate(problem)
    assert certificate.fast is not None
    fields = CANDIDATES[name](u.astype(float).reshape(shape), rng)
    answer = certificate.bound(uncertified(mu, fields, grid, np.ones(batch, bool)))
    e = (u - answer.field.reshape(batch, -1).astype(LONG)) * grid.free
    error = np.sqrt(np.einsum("bi,bij,bj->b", e, matrix, e))
    assert (answer.lower <= error).all() and (error <= answer.bound).all()
    assert (answer.bound > 0).all() and (error > 0).all()
    stability, smallest = problem.constant(mu), grid.inner("energy").lambda_min
    sizes = np.einsum("bij,bj->bi", np.abs(matrix), np.abs(u))[:, grid.free]
    floor = (
        100 * np.finfo(float).eps * np.linalg.norm(sizes.astype(float), axis=1) / np.sqrt(smallest * stability.lower)
    )
    kappa = stability.upper / stability.lower
    assert (answer.bound <= 1.001 * np.sqrt(kappa) * error + floor).all(), "and it is not wide for nothing"


def test_inhomogeneous_boundary_values_are_imposed_and_counted():
    problem = Poisson(resolution=N)
    mu = problem.parameters.sample(range(4), seed=0)
    certificate = ResidualCertificate(problem)
    for i in range(4):
        one = {name: values[i : i + 1] for name, values in mu.items()}
        exact = reference(problem, one)
        guess = exact.u.astype(float).reshape(1, N + 1, N + 1) + 0.05
        answer = certificate.bound(uncertified(one, guess, problem.space, np.ones(1, bool)))
        np.testing.assert_array_equal(answer.field[0, 0], problem.boundary(one)[0, 0])
        assert answer.bound[0] >= exact.error(answer.field[0]) > 1e-3


@pytest.mark.parametrize("contrast", [4.0, 1e2, 1e4])
def test_refined_answers_hold_their_limit_and_it_is_sharp_at_contrast_four(contrast):
    problem = Darcy(resolution=N)
    solver = RieszCG(max_iterations=2000)
    state = solver.prepare(problem)
    for seed in range(3):
        mu = {"a": coefficients(contrast, seed)}
        exact = reference(problem, mu)
        for rtol in (1e-2, 1e-4, 1e-8):
            solution = solver.solve(state, mu, None, Tolerance("energy", rtol))
            error = exact.error(solution.field[0])
            assert solution.converged.all() and solution.stats["bound"][0] >= error
            assert error <= rtol * exact.error(np.zeros((N + 1, N + 1)))
            if contrast == 4.0 and rtol <= 1e-4:
                assert solution.stats["bound"][0] <= 1.4 * error


def test_the_number_of_steps_does_not_grow_with_the_grid():
    steps = []
    for resolution in (16, 32, 64):
        problem = Darcy(resolution=resolution)
        solver = RieszCG()
        mu = problem.parameters.sample(range(4), seed=3)
        solution = solver.solve(solver.prepare(problem), mu, None, Tolerance("energy", 1e-6))
        steps.append(solution.stats["iterations"].mean())
    assert max(steps) <= 16 and steps[2] <= steps[0] + 2
