"""The batched direct solver: any batch, any linear problem, and what goes to pivoting instead."""

import numpy as np
import pytest
import scipy.sparse as sp

from nwidth.core.errors import InputError
from nwidth.core.solution import Status, Tolerance
from nwidth.core.validation import select
from nwidth.problems.base import Linear, System
from nwidth.problems.fixed_pattern import Filled, FixedPattern
from nwidth.problems.helmholtz import Helmholtz
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.choose import explain
from nwidth.solvers.direct import Direct
from nwidth.solvers.ldlt import BatchedLDLT
from nwidth.spaces.factor import Pattern
from nwidth.testing.dense import DenseProblem


def run(problem, mu, stop=None, **options):
    solver = BatchedLDLT(**options)
    return solver.solve(solver.prepare(problem), mu, stop=stop)


class Given(Linear):
    """Whatever matrix a test hands over for one parameter t in [0, 1]."""

    def __init__(self, build):
        self._dense, self._build = DenseProblem(size=6), build

    parameters = property(lambda self: self._dense.parameters)
    space = property(lambda self: self._dense.space)

    def assemble(self, mu):
        lift = np.zeros(7)
        lift[0] = 0.25
        load = np.where(self.space.free, np.arange(7.0), 0.0)
        return System(sp.csr_array(self._build(float(mu["t"][0]))), load, self.space.free, lift)


class Filling(Given, FixedPattern):
    """The same, as values on the pattern of a full matrix."""

    pattern = property(lambda self: Pattern.of(sp.csr_array(np.ones((6, 6)))))
    free = property(lambda self: self.space.free)

    def fill(self, mu):
        values = np.stack([self._build(t)[1:, 1:].ravel() for t in mu["t"]])
        lift = np.zeros((len(values), 7))
        lift[:, 0] = 0.25
        return Filled(values, np.tile(np.arange(1.0, 7.0), (len(values), 1)), lift)


RNG = np.random.default_rng(0)
SYMMETRIC = RNG.normal(size=(7, 7)) + RNG.normal(size=(7, 7)).T
SYMMETRIC += SYMMETRIC.T
PLAIN = RNG.normal(size=(7, 7)) + 4 * np.eye(7)


@pytest.mark.parametrize("boundary", ["dirichlet", "absorbing"])
@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("batch", [1, 19])
def test_agrees_with_the_pivoting_solver(boundary, precision, batch):
    problem = Helmholtz(24, 2, boundary)
    mu = problem.parameters.sample(range(batch), 0)
    found = run(problem, mu, Tolerance("residual", 1e-12), precision=precision)
    exact = Direct("superlu").solve(Direct("superlu").prepare(problem), mu, stop=Tolerance("residual", 1e-12))
    assert found.converged.all() and found.field.shape == (batch, 25, 25) and found.field.dtype == problem.space.dtype
    np.testing.assert_allclose(found.field, exact.field, atol=1e-9 * np.abs(exact.field).max())
    for i in range(batch):
        s = problem.assemble(select(mu, slice(i, i + 1)))
        w = (found.field[i].ravel() - s.lift)[s.free]
        residual = np.linalg.norm(s.load[s.free] - s.matrix[s.free][:, s.free] @ w) / np.linalg.norm(s.load)
        assert residual <= 1.01e-12


def test_any_linear_problem_is_assembled():
    problem = ThermalBlock(blocks=3, resolution=9)
    mu = problem.parameters.sample(range(11), 1)
    found, exact = run(problem, mu), Direct("superlu").solve(Direct("superlu").prepare(problem), mu)
    assert found.converged.all() and not found.stats["fallback"].any()
    np.testing.assert_allclose(found.field, exact.field, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("kind", [Given, Filling])
def test_indefinite_matrices_are_solved(kind):
    problem = kind(lambda t: SYMMETRIC + t * np.eye(7))
    mu = {"t": np.linspace(0, 1, 9)}
    found = run(problem, mu)
    assert found.converged.all()
    for t, field in zip(mu["t"], found.field, strict=True):
        matrix = (SYMMETRIC + t * np.eye(7))[1:, 1:]
        np.testing.assert_allclose(matrix @ field[1:], np.arange(1.0, 7.0), atol=1e-7)
        assert field[0] == 0.25


def test_a_zero_pivot_is_raised_and_refinement_repairs_it():
    """[[0, 1], [1, 0]] blocks have no factorisation in any order without 2 x 2 pivots."""

    def build(t):
        return np.eye(7)[[0, 2, 1, 4, 3, 6, 5]] if t < 0.5 else SYMMETRIC

    found = run(Filling(build), {"t": np.array([0.0, 1.0, 0.2, 1.0])})
    assert found.converged.all() and not found.stats["fallback"].any()
    assert found.stats["iterations"].tolist() == [2, 1, 2, 1]
    np.testing.assert_allclose(found.field[0][1:], [2.0, 1.0, 4.0, 3.0, 6.0, 5.0], rtol=1e-7)


@pytest.mark.parametrize("kind", [Given, Filling])
def test_a_sample_that_refinement_cannot_repair_goes_to_pivoting(kind, monkeypatch):
    monkeypatch.setattr("nwidth.spaces.ldlt._LEAST", {"double": 0.5})  # replaces pivots that are large enough
    found = run(kind(lambda t: SYMMETRIC * (1 + t)), {"t": np.array([0.0, 1.0])})
    assert found.converged.all() and found.stats["fallback"].all()
    assert "2 of 2 samples with pivoting instead: direct (" in found.note
    for t, field in zip([0.0, 1.0], found.field, strict=True):
        np.testing.assert_allclose(SYMMETRIC[1:, 1:] @ field[1:] * (1 + t), np.arange(1.0, 7.0), atol=1e-7)


def test_matrices_that_are_not_symmetric_or_have_another_pattern_go_to_pivoting():
    def build(t):
        if t < 0.3:
            return SYMMETRIC
        return PLAIN if t < 0.6 else np.diag(np.arange(1.0, 8.0))

    found = run(Given(build), {"t": np.array([0.0, 0.5, 0.9, 0.1])})
    assert found.converged.all() and found.stats["fallback"].tolist() == [0, 1, 1, 0]
    for t, field in zip([0.0, 0.5, 0.9, 0.1], found.field, strict=True):
        np.testing.assert_allclose(build(t)[1:, 1:] @ field[1:], np.arange(1.0, 7.0), atol=1e-7)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("kind", [Given, Filling])
def test_a_singular_matrix_is_a_status_and_the_other_samples_are_solved(kind, precision):
    def build(t):
        matrix = SYMMETRIC.copy()
        matrix[1] = matrix[:, 1] = 0.0 if t == 0 else matrix[1]
        return matrix

    found = run(kind(build), {"t": np.array([1.0, 0.0, 0.5])}, precision=precision)
    assert found.status.tolist() == [Status.CONVERGED, Status.SINGULAR, Status.CONVERGED]
    assert np.isnan(found.field[1][1:]).all() and np.isfinite(found.field[[0, 2]]).all()


def test_a_state_serves_many_batches():
    problem = Helmholtz(12, 2)
    solver = BatchedLDLT()
    state = solver.prepare(problem)
    mu = problem.parameters.sample(range(10), 0)
    whole = solver.solve(state, mu).field
    parts = [solver.solve(state, select(mu, slice(i, i + 3))).field for i in range(0, 10, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_an_energy_tolerance_is_checked_by_the_direct_solver():
    problem = ThermalBlock(blocks=2, resolution=8)
    mu = problem.parameters.sample(range(2), 0)
    found = run(problem, mu, Tolerance("energy", 1e-8))
    assert found.converged.all() and (found.stats["bound"] > 0).all() and found.note.startswith("direct")


def test_a_factor_that_would_take_too_much_memory_is_left_to_the_direct_solver():
    problem = Helmholtz(16, 2)
    mu = problem.parameters.sample(range(3), 0)
    found = run(problem, mu, memory=1e5)
    np.testing.assert_allclose(found.field, run(problem, mu).field, atol=1e-9)
    assert found.converged.all() and "more than 0.0001 GB" in found.note and found.note.startswith("direct")


def test_an_empty_batch_and_what_is_refused():
    problem = Helmholtz(6, 2, "absorbing")
    empty = run(problem, problem.parameters.sample([], 0))
    assert empty.field.shape == (0, 7, 7) and empty.field.dtype == complex
    with pytest.raises(InputError, match="is not Linear"):
        BatchedLDLT().prepare(problem.space)
    with pytest.raises(InputError, match="choose one of single, double"):
        BatchedLDLT(precision="half")
    with pytest.raises(InputError, match="the matrix of sample 1 in a group of 2"):
        run(Filling(lambda t: np.where(t > 0.5, np.nan, SYMMETRIC)), {"t": np.array([0.0, 1.0])})
    with pytest.raises(InputError, match="pattern is not symmetric; solve it with solvers.Direct"):
        run(Given(lambda t: np.tril(SYMMETRIC)), {"t": np.zeros(1)})


def test_coercive_problems_keep_their_own_solvers():
    assert "LDL" not in explain(ThermalBlock(blocks=2, resolution=4))
