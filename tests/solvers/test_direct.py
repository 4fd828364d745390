"""The direct solver against dense solutions; what it says about matrices that it cannot solve."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.rb.affine_cases import Random, energy_error, exact

from nwidth.core.errors import InputError, WorkError
from nwidth.core.kinds import available
from nwidth.core.solution import Status, Tolerance
from nwidth.online.refine import refine
from nwidth.problems.base import Linear, System
from nwidth.problems.darcy import Darcy
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy
from nwidth.solvers.choose import solve
from nwidth.solvers.direct import AffineSum, Direct
from nwidth.testing.dense import DenseProblem

BACKENDS = [
    "superlu",
    pytest.param("pardiso", marks=pytest.mark.skipif(not available("pypardiso"), reason="no Pardiso")),
]


class Given(Linear):
    """Whatever matrix a test hands over, for one parameter t in [0, 1]; no claim to be definite."""

    def __init__(self, build, load=1.0):
        self._dense = DenseProblem(size=6)
        self._build, self._load = build, load

    parameters = property(lambda self: self._dense.parameters)
    space = property(lambda self: self._dense.space)

    def assemble(self, mu):
        lift = np.zeros(7)
        lift[0] = 0.25
        load = np.where(self.space.free, np.arange(7.0) * self._load, 0.0)
        return System(sp.csr_array(self._build(float(mu["t"][0]))), load, self.space.free, lift)


RNG = np.random.default_rng(0)
REGULAR = RNG.normal(size=(7, 7)) + 4 * np.eye(7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("problem", [DenseProblem(size=15), Random(size=15), ThermalBlock(blocks=3, resolution=9)])
def test_solutions_agree_with_dense_ones(backend, problem):
    mu = problem.parameters.sample(range(4), 1)
    solution = Direct(backend).solve(Direct(backend).prepare(problem), mu)
    assert solution.converged.all() and (solution.stats["residual"] <= 1e-11).all()
    for i, field in enumerate(solution.field):
        s = problem.assemble({name: values[i : i + 1] for name, values in mu.items()})
        expected = s.lift.copy()
        dense = sp.csr_array(s.matrix).toarray()[np.ix_(s.free, s.free)]
        expected[s.free] += np.linalg.solve(dense, s.load[s.free])
        np.testing.assert_allclose(field, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_matrices_that_are_not_symmetric_or_not_definite_are_solved_with_pivoting(backend):
    for build in (lambda t: REGULAR * (1 + t), lambda t: REGULAR + REGULAR.T - 12 * np.eye(7)):
        problem = Given(build)
        mu = {"t": np.array([0.0, 0.5])}
        solution = Direct(backend).solve(Direct(backend).prepare(problem), mu)
        assert solution.converged.all()
        for t, field in zip(mu["t"], solution.field, strict=True):
            np.testing.assert_allclose(build(t)[1:, 1:] @ field[1:], np.arange(1.0, 7.0), atol=1e-10)
            assert field[0] == 0.25


IMAGINARY = RNG.normal(size=(7, 7))
KINDS = {
    "symmetric": REGULAR + REGULAR.T - 12 * np.eye(7) + 1j * (IMAGINARY + IMAGINARY.T),
    "hermitian": REGULAR + REGULAR.T - 12 * np.eye(7) + 1j * (IMAGINARY - IMAGINARY.T),
    "structured": REGULAR + 1j * IMAGINARY,
    "general": np.triu(REGULAR + 1j * IMAGINARY),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_complex_matrices_of_every_kind_are_solved(backend, kind):
    problem = Given(lambda t: KINDS[kind] * (1 + t))
    mu = {"t": np.array([0.0, 0.5, 1.0])}
    solution = Direct(backend).solve(Direct(backend).prepare(problem), mu)
    assert solution.converged.all() and np.iscomplexobj(solution.field)
    for t, field in zip(mu["t"], solution.field, strict=True):
        np.testing.assert_allclose(problem._build(t)[1:, 1:] @ field[1:], np.arange(1.0, 7.0), atol=1e-7)
    exact = np.linalg.cond(KINDS[kind][1:, 1:], p=1) * np.sqrt(6)
    assert (solution.stats["condition"] <= exact).all() and (solution.stats["condition"] >= 0.01 * exact).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_small_pivots_lead_to_a_careful_factorisation(backend):
    """Swaps of neighbours: nothing on the diagonal, and as regular as can be."""
    swap = np.eye(7)[[0, 2, 1, 4, 3, 6, 5]] + 1e-300 * np.eye(7)
    problem = Given(lambda t: swap * (1 + t))
    solution = Direct(backend).solve(Direct(backend).prepare(problem), {"t": np.array([0.0, 1.0])})
    assert solution.converged.all()
    np.testing.assert_allclose(solution.field[0][1:], [2.0, 1.0, 4.0, 3.0, 6.0, 5.0], rtol=1e-12)
    np.testing.assert_allclose(solution.field[1][1:] * 2, [2.0, 1.0, 4.0, 3.0, 6.0, 5.0], rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_singular_complex_matrix_is_a_status(backend):
    """A load that the matrix could even balance."""
    matrix = KINDS["symmetric"].copy()
    matrix[2], matrix[:, 2] = matrix[1], matrix[:, 1]
    matrix[2, 2] = matrix[1, 2] = matrix[2, 1] = matrix[1, 1]
    problem = Given(lambda t: matrix if t else KINDS["symmetric"], load=0.0)
    solution = Direct(backend).solve(Direct(backend).prepare(problem), {"t": np.array([0.0, 1.0])})
    assert solution.status.tolist() == [Status.CONVERGED, Status.SINGULAR]
    assert solution.stats["condition"][1] > 1e14


def test_a_pattern_that_changes_is_analysed_again():
    def build(t):
        dense = np.diag(np.arange(2.0, 9.0))
        if t > 0.5:
            dense[2, 3] = dense[3, 2] = 0.5
        return dense

    problem = Given(build)
    mu = {"t": np.array([0.0, 1.0, 0.0, 1.0])}
    solution = Direct().solve(Direct().prepare(problem), mu)
    for t, field in zip(mu["t"], solution.field, strict=True):
        np.testing.assert_allclose(build(t)[1:, 1:] @ field[1:], np.arange(1.0, 7.0), atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_singular_matrix_is_a_status_and_the_other_samples_are_solved(backend):
    """A pure Neumann matrix, with a load that it could even balance: the answer would be arbitrary."""

    def build(t):
        chain = 2 * np.eye(7) - np.eye(7, k=1) - np.eye(7, k=-1)
        chain[1, 1] = chain[6, 6] = 1.0
        return chain + t * np.eye(7)

    problem = Given(build, load=0.0)
    solution = Direct(backend).solve(Direct(backend).prepare(problem), {"t": np.array([1.0, 0.0, 0.5])})
    assert solution.status.tolist() == [Status.CONVERGED, Status.SINGULAR, Status.CONVERGED]
    assert np.isnan(solution.field[1][1:]).all() and np.isfinite(solution.field[[0, 2]]).all()


def test_numbers_that_are_not_finite_are_refused():
    problem = DenseProblem()
    with pytest.raises(InputError, match="parameter t: row 1 holds a value that is not finite"):
        solve(problem, {"t": np.array([0.5, np.nan])}, Direct())
    with pytest.raises(InputError, match="the matrix at"):
        solve(Given(lambda t: np.full((7, 7), np.nan)), {"t": np.array([0.5])})


def test_an_empty_batch_gives_an_empty_solution():
    solution = solve(DenseProblem(), {"t": np.zeros(0)}, Direct())
    assert solution.field.shape == (0, 13) and len(solution.status) == 0


def test_problems_without_what_is_asked_for_are_refused():
    with pytest.raises(InputError, match="is not Linear"):
        Direct().prepare(DenseProblem().space)
    with pytest.raises(InputError, match="has no separate load cases"):
        Direct().load_cases(Direct().prepare(DenseProblem()), {"t": np.zeros(1)})


def test_affine_sums_are_the_assembled_matrices():
    problem = ThermalBlock(resolution=7)
    summed = AffineSum(problem.terms())
    mu = problem.parameters.sample(range(1), 0)
    matrix, free = problem.assemble(mu).matrix, problem.terms().free
    found = summed.matrix(problem.coefficients(mu)[0][0]).toarray()
    np.testing.assert_allclose(found, sp.csr_array(matrix).toarray()[np.ix_(free, free)], rtol=1e-14, atol=1e-15)
    assert summed.symmetric


def test_load_cases_add_up_to_the_solution():
    problem = Random(size=20, loads=3)
    mu = problem.parameters.sample(range(3), 2)
    cases = Direct().load_cases(Direct().prepare(problem), mu)
    total = problem.terms().lift + np.einsum("bq,bqn->bn", problem.coefficients(mu)[1], cases)
    u = exact(problem, mu)
    assert (energy_error(problem, mu, u, total) < 1e-12 * energy_error(problem, mu, u, 0 * u)).all()


def test_energy_tolerance_is_checked_with_a_guaranteed_bound():
    problem = ThermalBlock(resolution=12)
    mu = problem.parameters.sample(range(5), 2)
    solution = solve(problem, mu, Direct(), stop=Tolerance("energy", 1e-8))
    assert solution.converged.all()
    error = energy_error(problem, mu, exact(problem, mu), solution.field)
    assert (error <= solution.stats["bound"]).all()
    out_of_reach = solve(problem, mu, Direct(), stop=Tolerance("energy", 1e-15))
    assert (out_of_reach.status == Status.MAX_ITERATIONS).all()
    with pytest.raises(InputError, match="no stability constant"):
        solve(Given(lambda t: np.eye(7)), {"t": np.zeros(1)}, stop=Tolerance("energy", 1e-3))


def test_refines_an_answer_of_a_reduced_basis():
    problem = ThermalBlock(resolution=12)
    mu = problem.parameters.sample(range(5), 2)
    rough = Greedy(tol=None, max_size=3, training=20).fit(problem=problem).predict(mu)
    for solver in (Direct(), None):  # the direct one, and conjugate gradients with the factorised Riesz map
        answer = refine(rough, problem, rtol=1e-6, solver=solver)
        error = energy_error(problem, mu, exact(problem, mu), answer.field)
        assert (error <= answer.bound).all()
        assert (error <= 1e-6 * energy_error(problem, mu, exact(problem, mu), 0 * rough.field)).all()


def test_agrees_with_the_grid_solver_on_another_route():
    problem = Darcy(resolution=16)
    mu = problem.parameters.sample(range(3), 0)
    direct, iterative = solve(problem, mu, Direct()), solve(problem, mu, stop=Tolerance("residual", 1e-12))
    np.testing.assert_allclose(direct.field, iterative.field, atol=1e-10 * np.abs(direct.field).max())


def test_a_failed_training_solve_stops_the_greedy_loop(monkeypatch):
    problem = Random(size=10)
    state = Direct().prepare(problem)
    monkeypatch.setattr(state.affine, "matrix", lambda theta: sp.csr_array((10, 10)) + 0 * sp.eye_array(10))
    with pytest.raises(WorkError, match="ended as SINGULAR"):
        Direct().load_cases(state, problem.parameters.sample(range(1), 0))
