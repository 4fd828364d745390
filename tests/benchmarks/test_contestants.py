"""The contestants are what they claim to be: a race against a broken one says nothing."""

import numpy as np
import pytest
import scipy.sparse as sp

from nwidth.core.kinds import available
from nwidth.problems.darcy import Darcy
from nwidth.spaces.factor import restricted


def systems(count: int, n: int = 24, skew: float = 0.0) -> list[tuple[sp.csr_array, np.ndarray]]:
    """Darcy systems, with the derivative along one axis added where a skew is given."""
    problem, out = Darcy(n, modes=16), []
    for i in range(count):
        system = problem.assemble(problem.parameters.sample([i], 0))
        matrix = restricted(sp.csr_array(system.matrix), system.free)
        if skew:
            size = matrix.shape[0]
            matrix = sp.csr_array(matrix + sp.diags_array([-skew, skew], offsets=[-1, 1], shape=(size, size)))
            matrix.sort_indices()
        out.append((matrix, system.load[system.free]))
    return out


def dense_ilu(matrix: sp.csr_array) -> np.ndarray:
    """Gaussian elimination that drops what falls outside the pattern, on a dense array."""
    a, pattern = matrix.toarray(), matrix.toarray() != 0
    for i in range(1, len(a)):
        for k in range(i):
            if pattern[i, k]:
                a[i, k] /= a[k, k]
                a[i, k + 1 :] -= a[i, k] * a[k, k + 1 :] * pattern[i, k + 1 :]
    return (np.tril(a, -1) + np.eye(len(a))) @ np.triu(a)


@pytest.mark.parametrize("skew", [0.0, 0.7])
def test_the_incomplete_factors_are_those_of_the_textbook(beside, skew):
    ((matrix, load),) = systems(1, 8, skew)
    factors = beside("_krylov").IncompleteLU(matrix)
    z = factors.solve(load)
    np.testing.assert_allclose(dense_ilu(matrix) @ z, load, rtol=1e-10)
    np.testing.assert_allclose(factors.multiply(z), load, rtol=1e-10)


@pytest.mark.parametrize("skew", [0.0, 0.7])
def test_krylov_methods_reach_the_true_residual(beside, skew):
    krylov = beside("_krylov")
    recycling = krylov.GcroDr(20, 5)
    for matrix, load in systems(3, skew=skew):
        for answer in (krylov.gmres(matrix, load, 1e-8, restart=15), recycling.solve(matrix, load, 1e-8)):
            assert np.linalg.norm(load - matrix @ answer.x) <= 1.0001e-8 * np.linalg.norm(load)


def test_gmres_has_the_smallest_residual_over_its_space(beside):
    """Against least squares over the Krylov space, built in the plain way."""
    krylov = beside("_krylov")
    ((matrix, load),) = systems(1, 8, 0.7)
    m = dense_ilu(matrix)
    operator, basis = matrix.toarray() @ np.linalg.inv(m), [load]
    for _ in range(5):
        basis.append(operator @ basis[-1])
    space = np.linalg.qr(np.stack(basis[:6], axis=1))[0]
    best = np.linalg.norm(load - operator @ space @ np.linalg.lstsq(operator @ space, load)[0])
    cycle = krylov._arnoldi(lambda v: operator @ v, load, 6, 0.0, np.empty((0, len(load))))
    ours = np.linalg.norm(load - operator @ (cycle.y @ cycle.basis[:-1]))
    assert ours == pytest.approx(best, rel=1e-6)


def test_the_recycled_space_holds_the_smallest_harmonic_ritz_vector(beside):
    krylov = beside("_krylov")
    ((matrix, load),) = systems(1, 32)
    method = krylov.GcroDr(30, 8)
    first = method.solve(matrix, load, 1e-10).products
    values, vectors = np.linalg.eig(matrix.toarray() @ np.linalg.inv(dense_ilu(matrix)))
    smallest = vectors[:, np.argmin(np.abs(values))].real
    space = np.stack([krylov.IncompleteLU(matrix).multiply(z) for z in method._space])
    basis = np.linalg.qr(space.T)[0]
    assert np.linalg.norm(basis.T @ smallest) > 0.99 * np.linalg.norm(smallest)
    assert method.solve(matrix, load[::-1].copy(), 1e-10).products < 0.8 * first


def test_recycling_saves_products_on_the_next_matrix(beside):
    krylov = beside("_krylov")
    method = krylov.GcroDr(20, 6)
    recycled = [method.solve(matrix, load, 1e-10).products for matrix, load in systems(3, 64)]
    fresh = [krylov.GcroDr(20, 6).solve(matrix, load, 1e-10).products for matrix, load in systems(3, 64)]
    assert recycled[0] == fresh[0]
    assert sum(recycled[1:]) < 0.95 * sum(fresh[1:])


def test_sorting_goes_to_the_nearest_that_is_left(beside):
    features = np.array([[0.0], [5.0], [1.0], [4.9], [1.2]])
    np.testing.assert_array_equal(beside("_krylov").similar_order(features), [0, 2, 4, 3, 1])


@pytest.mark.skipif(not available("pypardiso"), reason="no Pardiso")
@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("skew", [0.0, 0.7])
def test_pardiso_solves_all_matrices_of_a_pattern(beside, tuned, skew):
    solver = beside("_pardiso").Pardiso(definite=skew == 0, tuned=tuned)
    for matrix, load in systems(3, skew=skew):
        x = solver.solve(matrix, load)
        assert np.linalg.norm(load - matrix @ x) <= 1e-10 * np.linalg.norm(load)
    solver.close()


def test_a_race_recomputes_residuals_and_refuses_a_contestant_that_misses_them(beside, monkeypatch):
    race = beside("_race")
    names = ("GMRES(40), ILU(0)", "SuperLU, default")
    case = race.Race("small", Darcy(16, modes=8), dict.fromkeys(names, 2), batch=4, pool=12)
    title, *rows = race.rows(case, {"SuperLU, default": 1e-6})
    assert title.measured > 0
    assert [row.holds for row in rows] == [True, True]
    wrong = {name: lambda matrix, load: beside("_krylov").Answer(load, 1) for name in names}
    monkeypatch.setattr(race, "contestants", lambda *_: wrong)
    _, _, row = race.rows(case, {"SuperLU, default": 1e-6})
    assert np.isnan(row.measured)
    assert not row.holds
    assert "residual is above" in row.detail["reason"]


def test_a_contestant_that_is_not_installed_is_named(beside, monkeypatch):
    contestants, race = beside("_contestants"), beside("_race")
    monkeypatch.setattr(contestants, "available", lambda package: False)
    case = race.Race("small", Darcy(16, modes=8), {"pyamg": 1, "SuperLU, tuned": 1}, batch=2, pool=6)
    _, amg, _ = race.rows(case, {"pyamg": 2.0})
    assert not amg.holds
    assert amg.detail["reason"] == "no pyamg"
