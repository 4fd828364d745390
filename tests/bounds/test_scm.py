"""Successive constraints against dense spectra, closed forms and their own linear programs."""

import shutil
import subprocess

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import nwidth as nw
from nwidth.bounds.scm import SuccessiveConstraints
from nwidth.bounds.scm_build import Search, build
from nwidth.core.errors import InputError, WorkError
from nwidth.problems.anisotropic import Anisotropic
from nwidth.problems.thermal_block import ThermalBlock

#: A failing case is small already.
NO_SHRINKING = settings(phases=[Phase.generate])


def random_terms(seed, size, terms):
    """Symmetric terms, the first definite, the others indefinite but small beside it; and a product."""
    rng = np.random.default_rng(seed)
    b, r = rng.normal(size=(terms, size, size)), rng.normal(size=(size, size))
    matrices = [c + c.T for c in b]
    matrices[0] = b[0] @ b[0].T + 6 * size**0.5 * np.eye(size)
    x = r @ r.T / size + np.eye(size)
    return [(m + m.T) / 2 for m in matrices], (x + x.T) / 2


def search_of(matrices, x):
    smallest = float(np.linalg.eigvalsh(x)[0]) * (1 - 1e-9)
    inverse = np.linalg.inv(x)
    return Search([sp.csr_array(m) for m in matrices], sp.csr_array(x), lambda r: r @ inverse, smallest)


def spectrum(matrices, x, theta):
    values = [la.eigh(np.tensordot(t, np.array(matrices), 1), x, eigvals_only=True)[[0, -1]] for t in theta]
    return np.array(values).T


def enclosed(found, matrices, x, theta):
    low, high = spectrum(matrices, x, theta)
    stability = found.constants(theta)
    slack = 1e-12 * np.abs(theta).sum(axis=1) * max(np.abs(found.low).max(), np.abs(found.high).max())
    return (stability.lower <= low + slack).all() and (stability.upper >= high - slack).all()


@NO_SHRINKING
@given(seed=st.integers(0, 10_000), size=st.integers(2, 20), terms=st.integers(1, 4), proofs=st.integers(0, 3))
def test_any_multipliers_give_bounds_for_any_coefficients(seed, size, terms, proofs):
    matrices, x = random_terms(seed, size, terms)
    search, rng = search_of(matrices, x), np.random.default_rng(seed + 1)
    for _ in range(proofs):
        search.prove(rng.normal(size=terms))
    # of either sign: those below zero must not count
    search.multipliers += list(rng.normal(size=(8, len(search.anchors))) + rng.random((8, 1)))
    theta = rng.normal(size=(30, terms)) * 10.0 ** rng.integers(-6, 7, size=(30, 1))
    assert enclosed(search.result(), matrices, x, theta)


@NO_SHRINKING
@given(seed=st.integers(0, 10_000), size=st.integers(2, 20), terms=st.integers(1, 4))
def test_the_search_meets_its_tolerance_and_stays_below_outside_the_training_set(seed, size, terms):
    matrices, x = random_terms(seed, size, terms)
    rng = np.random.default_rng(seed)
    theta = np.concatenate([np.ones((40, 1)), rng.uniform(-1, 1, size=(40, terms - 1)) / terms], axis=1)
    low, _ = spectrum(matrices, x, theta)
    theta = theta[low > 0.1 * low.max()]
    found, progress = build(search_of(matrices, x), theta, 0.2, 30)
    assert progress.gaps[-1] <= 0.2
    assert (found.constants(theta).lower >= 0.8 * spectrum(matrices, x, theta)[0] * (1 - 1e-9)).all()
    assert enclosed(found, matrices, x, np.concatenate([theta, 30 * rng.normal(size=(40, terms))]))


@pytest.fixture(scope="module")
def plate():
    return Anisotropic(12)


@pytest.fixture(scope="module")
def found(plate):
    return nw.rb.successive_constraints(plate, 100, tol=0.15)


def dense_parts(problem):
    free = problem.terms().free
    matrices = [a.toarray()[np.ix_(free, free)] for a in problem.terms().matrices]
    return matrices, problem.space.energy.matrix.toarray()[np.ix_(free, free)]


def test_it_proves_coercivity_where_terms_are_indefinite(plate, found):
    mu = plate.parameters.sample(range(25), 11)
    theta, _ = plate.coefficients(mu)
    matrices, x = dense_parts(plate)
    low, high = spectrum(matrices, x, theta)
    stability = found.constants(theta)
    assert stability.proven and (stability.lower > 0.7 * low).all() and (stability.lower <= low).all()
    assert (stability.upper >= high).all() and (stability.upper < 1.5 * high).all()
    assert (found.low < -0.9)[1] and (found.high > 0.9)[1]  # comparing coefficients would need it semidefinite


def test_the_value_is_that_of_its_linear_program_at_the_parameters_that_it_was_built_with():
    matrices, x = random_terms(5, 15, 3)
    search = search_of(matrices, x)
    theta = np.array([[1.0, 0.1, -0.2], [1.0, -0.15, 0.1], [2.0, 0.1, -0.3], [0.1, 0.6, 0.5]])
    for row in theta[:2]:
        search.prove(row)
    for row in theta:
        search.program(row)
    known = search.result()
    for row, value in zip(theta, known.constants(theta).lower, strict=True):
        box = list(zip(known.low, known.high, strict=True))
        exact = linprog(row, -known.anchors, -known.alphas, bounds=box, method="highs").fun
        assert value == pytest.approx(exact, rel=1e-7)


def test_it_is_homogeneous_and_so_does_not_lose_with_the_scale(plate, found):
    theta, _ = plate.coefficients(plate.parameters.sample(range(20), 3))
    one = found.constants(theta)
    for scale in (1e-5, 7.0, 1e8):
        many = found.constants(scale * theta)
        np.testing.assert_allclose(many.lower, scale * one.lower, rtol=1e-12)
        np.testing.assert_allclose(many.upper, scale * one.upper, rtol=1e-12)


def test_with_semidefinite_terms_it_is_the_min_theta_comparison():
    block = ThermalBlock(2, 12)
    found = nw.rb.successive_constraints(block, 50, tol=1e-3)
    mu = {name: np.array([0.2, 5.0, 0.01]) * (i + 1) for i, name in enumerate(block.parameters.names)}
    theta, _ = block.coefficients(mu)
    assert len(found.anchors) <= 4
    np.testing.assert_allclose(found.constants(theta).lower, theta.min(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.constants(theta).upper, theta.max(axis=1), rtol=1e-5)


def test_far_outside_the_value_is_no_longer_positive_and_still_below(plate, found):
    mu = {"m": np.array([0.9, 1.5, 0.0]), "k": np.array([0.82, 1.0, 1.0]), "c": np.array([0.0, 0.0, -30.0])}
    theta, _ = plate.coefficients(mu)
    matrices, x = dense_parts(plate)
    low, _ = spectrum(matrices, x, theta)
    lower = found.constants(theta).lower
    assert (lower <= low).all() and (low < [0.02, 0, 0]).all() and (lower[1:] < 0).all()


def test_a_training_parameter_without_coercivity_is_an_error_that_names_the_quotient(plate):
    bad = {"m": np.array([0.1, 0.99]), "k": np.array([1.0, 0.9]), "c": np.array([0.0, 0.0])}
    with pytest.raises(WorkError, match=r"not coercive at training parameter 1: .* = -0\.0"):
        nw.rb.successive_constraints(plate, bad)


def test_a_tolerance_that_is_missed_is_an_error(plate):
    with pytest.raises(WorkError, match=r"with 3 proofs the lower bound .* allow more proofs, or raise tol"):
        nw.rb.successive_constraints(plate, 50, tol=0.01, proofs=2)


def test_what_it_is_not_for_is_refused(plate, found):
    with pytest.raises(InputError, match="one column per term"):
        found.constants(np.ones((3, 2)))
    with pytest.raises(InputError, match="need an Affine problem"):
        nw.rb.successive_constraints(nw.problems.get("poisson"))
    with pytest.raises(InputError, match="at least one proof"):
        nw.rb.successive_constraints(plate, 10, proofs=0)


def test_stored_it_answers_to_the_last_bit(plate, found, tmp_path):
    again = nw.load(nw.save(found, tmp_path / "s.nwidth"))
    theta, _ = plate.coefficients(plate.parameters.sample(range(30), 3))
    np.testing.assert_array_equal(again.constants(theta).lower, found.constants(theta).lower)
    np.testing.assert_array_equal(again.constants(theta).upper, found.constants(theta).upper)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_c_statements_compute_the_same(plate, found, tmp_path):
    theta, _ = plate.coefficients(plate.parameters.sample(range(50), 4))
    theta = np.concatenate([theta, -theta, np.zeros((1, 4))])
    lines = "\n".join(" ".join(float(t).hex() for t in row) for row in theta)
    (tmp_path / "a.c").write_text(
        "#include <math.h>\n#include <stdio.h>\nint main(void) {\n  double theta[4];\n"
        '  while (scanf("%la %la %la %la", theta, theta + 1, theta + 2, theta + 3) == 4) {\n    double alpha = 0.0;\n'
        f'{found.to_c()}\n    printf("%a\\n", alpha);\n  }}\n  return 0;\n}}\n'
    )
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-o", "a", "a.c", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    answer = subprocess.run([str(tmp_path / "a")], input=lines, capture_output=True, text=True, check=True).stdout
    values = [float.fromhex(line) for line in answer.split()]
    np.testing.assert_allclose(values, found.constants(theta).lower, rtol=1e-13, atol=1e-14)


def test_the_c_statements_can_do_without_multipliers():
    bare = SuccessiveConstraints.of(np.zeros(2), np.ones(2), np.ones((1, 2)), np.ones(1), np.zeros((1, 1)))
    assert "value[1]" in bare.to_c()
    np.testing.assert_allclose(bare.constants(np.array([[1.0, -2.0]])).lower, -2.0)
