"""Algebraic multigrid against direct solutions; rigid motions matter; nothing is remembered for another matrix."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.solvers.structure.problems import SIDE, SIZE, Given, laplacian

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.core.kinds import available
from nwidth.core.solution import Status, Tolerance
from nwidth.problems.base import Linear, System
from nwidth.problems.elasticity import Elasticity
from nwidth.problems.elasticity_field import ElasticityField
from nwidth.problems.near_null import NearNull, rigid_modes
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.direct import Direct

if not available("pyamg"):
    pytest.skip("pyamg is not installed", allow_module_level=True)

from nwidth.solvers.amg import AMG

L = laplacian()


@pytest.mark.parametrize(
    ("problem", "steps"),
    [
        (ThermalBlock(2, 20), 15),
        (Elasticity(2, 2, 10), 20),
        (Elasticity(2, 1, 5, degree=2), 35),
        (Elasticity(3, 1, 4), 20),
        (ElasticityField(2, 24), 20),
    ],
)
def test_solutions_are_those_of_the_direct_solver(problem, steps):
    mu = problem.parameters.sample(range(3), 2)
    solution, direct = nw.solve(problem, mu, AMG(), stop=Tolerance("residual", 1e-11)), nw.solve(problem, mu, Direct())
    assert solution.converged.all() and (solution.stats["residual"] <= 1e-11).all()
    assert (solution.stats["iterations"] <= 1.5 * steps).all()
    np.testing.assert_allclose(solution.field, direct.field, rtol=1e-6, atol=1e-8 * abs(direct.field).max())
    for history, residual in zip(solution.histories, solution.stats["residual"], strict=True):
        assert history[0] == pytest.approx(1.0) and history[-1] <= 1e-11 and residual <= 1e-11


class Translations(ElasticityField):
    """The same block, but the multigrid is told of translations alone."""

    kind = "testing-translations"

    def near_null(self):
        return super().near_null()[: self.dim]


class Nothing(ElasticityField):
    """... or of one vector, as for a scalar field."""

    kind = "testing-nothing"

    def near_null(self):
        return np.ones((1, self.space.size))


def test_rigid_motions_make_the_difference():
    steps = {}
    for cls in (ElasticityField, Translations, Nothing):
        problem = cls(2, 32)
        solution = nw.solve(problem, problem.parameters.sample(range(1), 0), AMG())
        assert solution.converged.all()
        steps[cls] = int(solution.stats["iterations"][0])
    assert steps[ElasticityField] < 20 and steps[ElasticityField] < 0.75 * steps[Translations] < 0.75 * steps[Nothing]


def test_steps_hardly_grow_with_the_mesh():
    steps = []
    for n in (16, 64):
        problem = ElasticityField(2, n)
        steps.append(nw.solve(problem, problem.parameters.sample(range(1), 0), AMG()).stats["iterations"][0])
    assert steps[1] <= 2.1 * steps[0]


@pytest.mark.parametrize("method", ["ruge-stuben", "smoothed aggregation"])
def test_a_second_matrix_is_not_answered_with_the_first_ones_hierarchy(method):
    problem = ThermalBlock(2, 12)
    solver = AMG(method)
    state = solver.prepare(problem)
    first, second = problem.parameters.sample(range(1), 0), problem.parameters.sample([7], 3)
    for mu in (first, second, second, first):
        solution, direct = solver.solve(state, mu), nw.solve(problem, mu, Direct())
        assert solution.converged.all() and solution.stats["residual"][0] <= 1e-8
        np.testing.assert_allclose(solution.field, direct.field, rtol=1e-5, atol=1e-7 * direct.field.max())


def test_the_same_matrix_again_uses_its_hierarchy_and_random_numbers_are_left_alone():
    problem = ThermalBlock(2, 12)
    state = AMG("smoothed aggregation").prepare(problem)
    mu = problem.parameters.sample(range(1), 0)
    np.random.seed(5)
    one = AMG("smoothed aggregation").solve(state, mu)
    kept = state._hierarchy
    two = AMG("smoothed aggregation").solve(state, mu)
    assert state._hierarchy is kept
    drawn = np.random.rand()
    np.random.seed(5)
    assert drawn == np.random.rand()
    np.random.seed(99)
    three = AMG("smoothed aggregation").solve(AMG("smoothed aggregation").prepare(problem), mu)
    np.testing.assert_array_equal(one.field, two.field)
    np.testing.assert_array_equal(one.field, three.field)


def test_a_start_is_used():
    problem = ElasticityField(2, 16)
    mu = problem.parameters.sample(range(2), 0)
    direct = nw.solve(problem, mu, Direct()).field
    assert (nw.solve(problem, mu, AMG(), x0=direct).stats["iterations"] == 0).all()
    near = nw.solve(problem, mu, AMG(), x0=direct * (1 + 1e-4))
    assert (near.stats["iterations"] < nw.solve(problem, mu, AMG()).stats["iterations"]).all()


def test_too_few_steps_are_a_status_with_a_history():
    problem = ElasticityField(2, 16)
    solution = nw.solve(problem, problem.parameters.sample(range(2), 0), AMG(max_iterations=3))
    assert (solution.status == Status.MAX_ITERATIONS).all() and (solution.stats["iterations"] == 3).all()
    assert all(len(h) == 4 and h[-1] < h[0] for h in solution.histories)
    assert (solution.stats["residual"] > 1e-8).all()
    assert "sample 1: max_iterations, residuals 1.0e+00, " in solution.note


def test_an_indefinite_matrix_is_a_breakdown():
    problem = Given(lambda t: L - 2.5 * sp.eye_array(SIZE))
    solution = nw.solve(problem, problem.parameters.sample(range(1), 0), AMG("smoothed aggregation"))
    assert solution.status[0] in (Status.BREAKDOWN, Status.MAX_ITERATIONS)
    assert solution.stats["residual"][0] > 1e-8


def test_components_may_be_held_one_by_one():
    """A roller: only u_x is prescribed at x = 0, and all of one corner."""
    problem = Roller(10)
    mu = problem.parameters.sample(range(2), 0)
    solution, direct = nw.solve(problem, mu, AMG()), nw.solve(problem, mu, Direct())
    assert solution.converged.all() and (solution.stats["iterations"] < 30).all()
    np.testing.assert_allclose(solution.field, direct.field, rtol=1e-5, atol=1e-6 * abs(direct.field).max())
    assert abs(direct.field[0, 1, direct.field[0, 0] == 0]).max() > 0


class Roller(Linear, NearNull):
    def __init__(self, cells):
        self.block = ElasticityField(2, cells)

    parameters = property(lambda self: self.block.parameters)
    space = property(lambda self: self.block.space)

    def near_null(self):
        return self.block.near_null()

    def assemble(self, mu):
        nodes = self.space.nodes
        free = np.stack([nodes[:, 0] > 0, (nodes > 0).any(axis=1)]).ravel()
        matrix = self.block._body.stiffness.matrix(self.block.modulus(mu)[0])
        return System(matrix, self.block.assemble(mu).load, free, np.zeros(len(free)))


def test_rigid_modes_are_rigid():
    nodes = np.random.default_rng(0).normal(size=(7, 3))
    modes = rigid_modes(nodes).reshape(6, 3, 7)
    assert np.linalg.matrix_rank(modes.reshape(6, -1)) == 6
    for u in modes:  # distances do not change to first order
        for i in range(7):
            for j in range(i):
                assert abs((u[:, i] - u[:, j]) @ (nodes[i] - nodes[j])) < 1e-12


def test_what_it_cannot_do_is_refused():
    draws = {name: np.full(1, 0.5) for name in ("t0", "t1", "t2")}
    skew = sp.csr_array(sp.diags_array([1.0], offsets=[SIDE], shape=(SIZE, SIZE)))
    with pytest.raises(InputError, match="symmetric"):
        nw.solve(Given(lambda t: L + skew), draws, AMG())
    with pytest.raises(InputError, match="not finite"):
        nw.solve(Given(lambda t: L * np.nan), draws, AMG())
    with pytest.raises(InputError, match="stops on residuals"):
        nw.solve(ThermalBlock(2, 4), ThermalBlock(2, 4).parameters.sample([0], 0), AMG(), stop=Tolerance("energy", 0.1))
    with pytest.raises(InputError, match="choose one of"):
        AMG("multigrid")
    with pytest.raises(InputError, match="at least 1"):
        AMG(max_iterations=0)
    with pytest.raises(InputError, match="is not Linear"):
        AMG().prepare(ThermalBlock(2, 4).space)
