"""Load cases on top of iterative solvers: found from products alone, checked for every sample."""

import numpy as np
import pytest
from tests.solvers.structure.problems import SIZE, Given, Terms, dense_solution, laplacian
from tests.solvers.structure.test_structure import LATER, LOADS, few_loads, later, varying

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.core.solution import Tolerance
from nwidth.problems.darcy import Darcy
from nwidth.problems.poisson import Poisson
from nwidth.solvers.choose import explain
from nwidth.solvers.direct import Direct
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.solvers.structure.combined import Combined

L = laplacian()


class Sources(Poisson):
    """Fixed coefficient; source and boundary data are combinations of two, amplitudes `slope` and `frequency`."""

    kind = "testing-sources"

    def coefficient(self, mu):
        x = np.stack(np.meshgrid(*self.space.axes(), indexing="ij"))
        return np.broadcast_to(1 + x[0] + x[1] ** 2, (len(mu["slope"]), *self.space.shape)).copy()

    def source(self, mu):
        x = np.stack(np.meshgrid(*self.space.axes(), indexing="ij"))
        return np.multiply.outer(mu["slope"], np.sin(3 * x[0])) + np.multiply.outer(mu["frequency"], x[1])

    def boundary(self, mu):
        x = np.stack(np.meshgrid(*self.space.axes(), indexing="ij"))
        return np.multiply.outer(mu["slope"], x[0] * x[1])


def solves(problem, mu):
    """Samples that the base solver saw."""
    seen = []

    class Counting(RieszCG):
        def solve(self, state, mu, x0=None, stop=None):
            seen.append(len(next(iter(mu.values()))))
            return super().solve(state, mu, x0, stop)

    return nw.solve(problem, mu, Combined(Counting())), sum(seen)


def test_two_sources_are_two_solves_and_the_answers_are_the_direct_ones():
    problem = Sources(24)
    mu = problem.parameters.sample(range(20), 1)
    solution, count = solves(problem, mu)
    assert solution.note == "fixed matrix, 2 load cases: combined" and count == 2
    assert solution.converged.all() and (solution.stats["residual"] <= 1e-8).all()
    direct = nw.solve(problem, mu, Direct())
    np.testing.assert_allclose(solution.field, direct.field, rtol=1e-7, atol=1e-8)
    assert (
        nw.solve(problem, {name: values[:3] for name, values in mu.items()}, Combined(RieszCG())).note != solution.note
    )


def test_it_is_the_default_on_grids_with_scalar_parameters():
    assert "combined" in explain(Sources(24)) and "combined" not in explain(Darcy(16))
    snapshots = nw.generate(Sources(24), 8, seed=1)
    assert snapshots.provenance["notes"] == ["fixed matrix, 2 load cases: combined"]


def test_guaranteed_bounds_are_checked():
    problem = Sources(24)
    mu = problem.parameters.sample(range(5), 1)
    solution = nw.solve(problem, mu, Combined(RieszCG()), stop=Tolerance("energy", 1e-6))
    assert solution.converged.all() and solution.note.startswith("fixed matrix")
    assert (solution.stats["bound"] <= 1e-6 * solution.stats["norm"]).all()


@pytest.mark.parametrize(
    "problem",
    [Given(varying), Given(lambda t: L), Poisson(8), Darcy(16)],
    ids=["varying", "too many loads", "poisson", "darcy"],
)
def test_nothing_is_found_where_there_is_nothing(problem):
    base = Direct()
    state = Combined(base).prepare(problem)
    assert state.cases is None
    mu = problem.parameters.sample(range(2), 0)
    combined = Combined(base, 1).solve(state, mu)
    np.testing.assert_array_equal(combined.field, nw.solve(problem, mu, base).field)


def test_a_random_field_costs_nothing(monkeypatch):
    monkeypatch.setattr(Darcy, "systems", None)
    assert Combined(Direct()).prepare(Darcy(16)).cases is None


@pytest.mark.parametrize("name", list(LATER))
def test_what_ends_later_is_caught(name):
    problem = Given(LATER[name], few_loads)
    mu = {"t0": np.linspace(0.1, 0.9, 5), "t1": np.full(5, 0.4), "t2": np.array([0.2, 0.995, 0.5, 0.999, 0.1])}
    solution = nw.solve(problem, mu, Combined(Direct(), 1))
    assert solution.converged.all()
    for i, field in enumerate(solution.field):
        expected = dense_solution(problem, mu, i)
        np.testing.assert_allclose(field, expected, rtol=1e-7, atol=1e-8 * abs(expected).max())


def test_a_load_of_its_own_and_a_factor():
    load = lambda t: np.cos(np.arange(SIZE) * t[0]) if later(t) else few_loads(t)  # noqa: E731
    problem = Given(lambda t: (1 + t[1]) * L, load)
    mu = {"t0": np.array([0.1, 0.3]), "t1": np.array([0.2, 0.8]), "t2": np.array([0.995, 0.3])}
    solution = nw.solve(problem, mu, Combined(Direct(), 1))
    assert solution.note.startswith("matrix fixed up to a factor, 3 load cases: combined for 1 of 2 samples")
    for i, field in enumerate(solution.field):
        np.testing.assert_allclose(field, dense_solution(problem, mu, i), rtol=1e-8, atol=1e-9)


def test_affine_terms_and_an_empty_batch():
    problem = Terms([L, L], lambda t: np.array([1.0, 3.0]), LOADS[:2], lambda t: t[:2])
    mu = problem.parameters.sample(range(4), 0)
    solution = nw.solve(problem, mu, Combined(Direct(), 1))
    assert solution.note == "fixed matrix, 2 load cases: combined" and (solution.stats["iterations"] == 0).all()
    assert nw.solve(problem, {n: v[:0] for n, v in mu.items()}, Combined(Direct(), 1)).field.shape == (0, SIZE)
    with pytest.raises(InputError, match="is not Linear"):
        Combined(Direct()).prepare(problem.space)
    with pytest.raises(InputError, match="row 1"):
        nw.solve(problem, {n: np.array([0.5, np.nan]) for n in mu}, Combined(Direct(), 1))
