"""Helmholtz: order of convergence and absolute error, the fixed pattern, resonances, storage."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

from nwidth.core.errors import InputError
from nwidth.core.solution import Status
from nwidth.core.validation import select
from nwidth.problems.helmholtz import Helmholtz
from nwidth.solvers.choose import explain, solve

#: Largest nodal error times the square of the cells, k in 2 to 4 (measured: 1.25, 1.45, 0.73 with Dirichlet data and
#: 2.09, 1.35, 1.03 with absorbing boundaries in 1, 2, 3 dimensions).
CONSTANT = {"dirichlet": (1.3, 1.5, 0.8), "absorbing": (2.15, 1.4, 1.1)}


def known(resolution, dim, boundary):
    return Helmholtz(resolution, dim, boundary, 2.0, 4.0, source="wave", modes=8)


@pytest.mark.parametrize("boundary", ["dirichlet", "absorbing"])
@pytest.mark.parametrize(("dim", "sizes"), [(1, (32, 64, 128)), (2, (16, 32, 64)), (3, (8, 16))])
def test_second_order_and_absolute_error(dim, sizes, boundary):
    errors = []
    for n in sizes:
        problem = known(n, dim, boundary)
        mu = problem.parameters.sample(range(3), 0)
        solution = solve(problem, mu)
        assert solution.converged.all()
        errors.append(np.abs(solution.field - problem.exact(mu)).reshape(3, -1).max(axis=1))
    np.testing.assert_allclose(np.log2(errors[-2] / errors[-1]), 2.0, atol=0.06 if dim == 3 else 0.03)
    assert errors[-1].max() < CONSTANT[boundary][dim - 1] / sizes[-1] ** 2
    assert errors[-1].min() > 1e-2 / sizes[-1] ** 2


@pytest.mark.parametrize("k", [20.0, 40.0])
def test_waves_of_the_benchmark_are_resolved(k):
    """The phase error k³ h² / 24 of a wave that crosses the domain, with absorbing boundaries (no resonance)."""
    problem = Helmholtz(128, 2, "absorbing", sigma=0.05, source="wave", modes=16)
    mu = problem.parameters.sample(range(1), 0)
    mu["k"][:] = k
    error = np.abs(solve(problem, mu).field - problem.exact(mu)).max()
    np.testing.assert_allclose(error, k**3 / 128**2 / 24, rtol=0.1)


def test_the_matrix_is_the_second_difference_minus_the_squared_wave_number():
    """Against the usual five-point formula, inner nodes only."""
    problem = Helmholtz(6, 2, lowest=6.0, highest=9.0)
    mu = problem.parameters.sample(range(1), 0)
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(5, 5)) * 36.0
    index = mu["n"][0][1:-1, 1:-1].ravel()
    expected = sp.kronsum(line, line).toarray() - np.diag((mu["k"][0] * index) ** 2)
    system = problem.assemble(mu)
    found = system.matrix.toarray()[np.ix_(system.free, system.free)] * 36.0
    np.testing.assert_allclose(found, expected, atol=1e-11)
    assert np.linalg.eigvalsh(found).min() < 0 < np.linalg.eigvalsh(found).max()


@pytest.mark.parametrize("boundary", ["dirichlet", "absorbing"])
def test_one_pattern_serves_all_parameters_and_its_values_are_symmetric(boundary):
    problem = known(7, 2, boundary)
    mu = problem.parameters.sample(range(3), 1)
    filled, pattern = problem.fill(mu), problem.pattern
    assert problem.pattern is pattern and filled.values.dtype == problem.space.dtype == filled.load.dtype
    np.testing.assert_array_equal(filled.values, filled.values[:, pattern.mirror])
    for i in range(3):
        one = problem.assemble(select(mu, slice(i, i + 1)))
        inner = one.matrix[one.free][:, one.free].toarray()
        np.testing.assert_array_equal(inner, pattern.matrix(filled.values[i]).toarray())
        np.testing.assert_array_equal(one.load[one.free], filled.load[i])
    assert (problem.free.sum() == 64) if boundary == "absorbing" else (problem.free.sum() == 36)


def test_complex_matrices_take_energy_out():
    """Im(uᴴ A u) = -k ∫ n |u|² over the boundary: the absorbing boundary only removes."""
    problem = Helmholtz(8, 2, "absorbing")
    mu = problem.parameters.sample(range(1), 0)
    mu["n"][:] = 1.0
    matrix = problem.pattern.matrix(problem.fill(mu).values[0])
    rng = np.random.default_rng(0)
    u = rng.standard_normal(81) + 1j * rng.standard_normal(81)
    edge = np.full(9, 1 / 8)
    edge[[0, -1]] /= 2
    squares = (np.abs(u) ** 2).reshape(9, 9)
    boundary = edge @ (squares[0] + squares[-1] + squares[:, 0] + squares[:, -1])
    np.testing.assert_allclose(np.vdot(u, matrix @ u).imag, -mu["k"][0] * boundary, rtol=1e-12)


def test_a_resonance_is_a_typed_failure_and_its_neighbours_are_solved():
    """k² at an eigenvalue of the discrete Laplacian, n = 1; the wave as a load that the matrix could reach."""
    n = 24
    eigenvalue = 4 * n**2 * (np.sin(5 * np.pi / (2 * n)) ** 2 + np.sin(3 * np.pi / (2 * n)) ** 2)
    for source in ("pulse", "wave"):
        problem = Helmholtz(n, 2, lowest=5.0, source=source)
        mu = problem.parameters.sample(range(5), 0)
        mu["n"][2:4] = 1.0
        mu["k"][2:4] = np.sqrt(eigenvalue), np.sqrt(eigenvalue) * 1.001
        solution = solve(problem, mu)
        good = Status.CONVERGED
        assert solution.status.tolist() == [good, good, Status.SINGULAR, good, good]
        assert np.isnan(solution.field[2][1:-1, 1:-1]).all() and np.isfinite(solution.field[[0, 1, 3, 4]]).all()
        assert solution.stats["condition"][2] > 1e12 and (solution.stats["condition"][[0, 1, 3, 4]] < 1e6).all()
        assert "1 of 5 samples with pivoting instead" in solution.note


def test_the_default_solver_is_the_batched_factorisation():
    assert "batched LDLᵀ" in explain(Helmholtz(16))


def test_samples_are_the_same_functions_on_every_grid():
    coarse, fine = Helmholtz(8), Helmholtz(8).at(16)
    a, b = coarse.parameters.sample([4], 1), fine.parameters.sample([4], 1)
    np.testing.assert_array_equal(a["k"], b["k"])
    np.testing.assert_allclose(a["n"], b["n"][:, ::2, ::2], rtol=1e-13)
    assert coarse.parameters.contains(a).all() and 20 <= a["k"][0] <= 40


@pytest.mark.parametrize("boundary", ["dirichlet", "absorbing"])
def test_round_trip_and_a_changed_problem_is_noticed(boundary):
    problem = known(8, 2, boundary)
    config, arrays, children = problem.to_parts()
    config = json.loads(json.dumps(config))
    assert Helmholtz.from_parts(config, arrays, children) == problem
    with pytest.raises(InputError, match="not the same problem any more"):
        Helmholtz.from_parts({**config, "sigma": 0.2}, arrays, children)


def test_bad_input_is_named():
    good = Helmholtz(4).parameters.sample(range(2), 0)
    for make, message in [
        (lambda: Helmholtz(8, 4), "dim 1 to 3"),
        (lambda: Helmholtz(8, boundary="robin"), "choose one of dirichlet, absorbing"),
        (lambda: Helmholtz(8, source="sine"), "choose one of pulse, wave"),
        (lambda: Helmholtz(8, lowest=5.0, highest=4.0), "wave numbers 5 to 4"),
        (lambda: Helmholtz(8).exact(good), "source='wave' only"),
        (lambda: Helmholtz(8).fill(good), r"n has shape \(2, 5, 5\)"),
        (lambda: Helmholtz(4).fill({**good, "k": -good["k"]}), "parameter k: sample 0 is not positive"),
        (lambda: Helmholtz(4).fill({**good, "n": good["n"] * np.nan}), "parameter n: row 0 holds a value"),
        (lambda: Helmholtz(4).assemble(good), "one parameter, got 2"),
    ]:
        with pytest.raises(InputError, match=message):
            make()
