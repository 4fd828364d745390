"""Conjugate gradients beside a reduced basis: against plain ones, and where the basis is all there is."""

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.core.solution import Tolerance
from nwidth.problems.darcy import Darcy
from nwidth.solvers.deflation import Along, DeflatedCG
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.testing.dense import DenseProblem

MU = {"t": np.array([0.0, 0.4, 1.0])}
STOP = Tolerance("energy", 1e-8)


def solved(solver, problem, mu=MU, stop=STOP):
    return solver.solve(solver.prepare(problem), mu, None, stop)


def soft(problem, count):
    """The solutions' softest directions: eigenvectors of A against X with the smallest eigenvalues."""
    a = problem.assemble({"t": np.zeros(1)}).matrix.toarray()[1:, 1:]
    x = problem.space.inner("energy").apply(np.eye(problem.space.size))[1:, 1:]
    found = np.linalg.eig(np.linalg.solve(x, a))
    order = np.argsort(found.eigenvalues.real)[:count]
    return np.pad(found.eigenvectors[:, order].real.T, ((0, 0), (1, 0)))


def test_the_softest_directions_left_to_galerkin_save_steps():
    problem = DenseProblem(size=60, contrast=1e4)
    plain, beside = solved(RieszCG(), problem), solved(DeflatedCG(modes=soft(problem, 20)), problem)
    assert (beside.stats["iterations"] < 0.4 * plain.stats["iterations"]).all()
    for solution in (plain, beside):
        error = problem.energy_error(MU, problem.exact(MU), solution.field)
        assert solution.converged.all() and (error <= solution.stats["bound"]).all()
        assert (solution.stats["lower"] <= error).all()


def test_a_basis_that_holds_the_solutions_leaves_nothing_to_do():
    problem = DenseProblem(size=40, contrast=1e3)
    changes = problem.exact(MU) * (np.arange(41) > 0)
    assert (solved(DeflatedCG(modes=changes), problem).stats["iterations"] <= 1).all()


def test_a_basis_of_everything_is_a_direct_solve():
    problem = DenseProblem(size=12, contrast=100.0)
    solution = solved(DeflatedCG(modes=np.eye(13)), problem, stop=Tolerance("energy", 1e-12))
    np.testing.assert_allclose(solution.field, problem.exact(MU), rtol=1e-10)


def test_the_projection_leaves_nothing_along_the_basis():
    problem, rng = DenseProblem(size=20, contrast=50.0), np.random.default_rng(0)
    basis, systems = rng.normal(size=(4, 21)) * (np.arange(21) > 0), problem.systems(MU)
    along, z = Along(basis, systems), rng.normal(size=(3, 21)) * (np.arange(21) > 0)
    projected = along.project(z)
    assert np.abs(systems.apply(projected) @ basis.T).max() < 1e-11
    np.testing.assert_allclose(along.project(projected), projected, atol=1e-11)
    w, r = along.enter(z, systems.load - systems.apply(z))
    np.testing.assert_allclose(r, systems.load - systems.apply(w), atol=1e-11)
    np.testing.assert_allclose(along.take(np.array([2])).project(z[2:]), projected[2:])


def test_modes_that_repeat_each_other_are_counted_once_and_the_answer_is_that_of_the_grid():
    problem = Darcy(16, law="log-normal", sigma=1.0)
    mu = problem.parameters.sample(range(5), 0)
    fields = solved(RieszCG(), problem, problem.parameters.sample(range(10, 14), 0)).field
    solver = DeflatedCG(modes=np.concatenate([fields, fields, 2 * fields[:1]]))
    assert len(solver.prepare(problem).basis) == 4
    np.testing.assert_allclose(solved(solver, problem, mu).field, solved(RieszCG(), problem, mu).field, atol=1e-7)


def test_modes_that_make_no_sense_are_refused():
    problem = DenseProblem(size=6)
    for modes in (np.ones((2, 5)), np.full((2, 7), np.nan)):
        with pytest.raises(InputError, match="modes"):
            DeflatedCG(modes=modes).prepare(problem)
    with pytest.raises(InputError, match="vanish"):
        DeflatedCG(modes=np.eye(7)[:1]).prepare(problem)
    with pytest.raises(InputError, match="prepare"):
        DeflatedCG(modes=np.eye(7)).solve(RieszCG().prepare(problem), MU)
