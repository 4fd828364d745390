"""Proofs of positivity against exact rational arithmetic, dense spectra and closed forms."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nwidth.bounds.factor_residual import Lower, distance
from nwidth.bounds.positive import (
    NotPositiveError,
    Sums,
    coercivity_constant,
    lower_constant,
    proven_lambda_min,
    proven_shift,
    upper_constant,
)
from nwidth.core.errors import InputError, WorkError
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.spaces.factor import restricted

#: A failing case is small already.
NO_SHRINKING = settings(phases=[Phase.generate])


def second_difference(n):
    """tridiag(-1, 2, -1), whose eigenvalues are 2 - 2 cos(k π / (n + 1))."""
    return sp.csr_array(sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n)))


def grid_laplacian(n):
    one, eye = second_difference(n), sp.eye_array(n)
    return sp.csr_array(sp.kron(one, eye) + sp.kron(eye, one))


def smallest(n):
    return 4 * np.sin(np.pi / (2 * (n + 1))) ** 2


def semidefinite(matrix, shift):
    """Whether matrix + shift I has no negative pivot, in exact rational arithmetic."""
    rows = [[Fraction(v) for v in row] for row in matrix]
    for i in range(len(rows)):
        rows[i][i] += Fraction(float(shift))
    for k, row in enumerate(rows):
        if row[k] < 0 or (row[k] == 0 and any(v != 0 for v in row[k:])):
            return False
        for below in rows[k + 1 :] if row[k] > 0 else []:
            share = below[k] / row[k]
            for j in range(k, len(rows)):
                below[j] -= share * row[j]
    return True


def sparse_random(seed, n, scale):
    """A sparse symmetric matrix whose smallest eigenvalue is within rounding of zero, from either side."""
    rng = np.random.default_rng(seed)
    b = np.where(rng.random((n, n)) < 0.6, rng.normal(size=(n, n)), 0.0) * np.geomspace(1, scale, n)
    s = b @ b.T
    s = (s + s.T) / 2
    return s - (np.linalg.eigvalsh(s)[0] + rng.normal() * 1e-15 * np.linalg.norm(s, 2)) * np.eye(n)


@NO_SHRINKING
@given(seed=st.integers(0, 10_000), n=st.integers(1, 7), scale=st.sampled_from([1.0, 1e-3, 1e-9]))
def test_what_is_proven_is_true_in_exact_arithmetic_on_the_edge_of_definiteness(seed, n, scale):
    s = sparse_random(seed, n, scale)
    try:
        delta = proven_shift(sp.csr_array(s))
    except NotPositiveError:
        return
    assert delta > 0
    assert semidefinite(s, delta)


def test_the_edge_test_meets_both_outcomes():
    proven = 0
    for seed in range(40):
        try:
            proven += proven_shift(sp.csr_array(sparse_random(seed, 6, 1.0))) > 0
        except NotPositiveError:
            continue
    assert 5 < proven < 35


@pytest.mark.parametrize("below", [1e-3, 1e-9, 1e-12, 3e-14, 1e-15])
@pytest.mark.parametrize("n", [50, 800])
def test_a_matrix_that_is_indefinite_by_little_is_never_proven_definite(n, below):
    s = sp.csr_array(second_difference(n) - (smallest(n) + below) * sp.eye_array(n))
    try:
        assert proven_shift(s) >= below - 1e-15
    except NotPositiveError:
        return


@pytest.mark.parametrize("n", [3, 60, 1500])
def test_shift_of_a_definite_matrix_is_rounding(n):
    assert 0 < proven_shift(second_difference(n)) < 3e-14
    assert 0 < proven_shift(1e200 * second_difference(n)) < 3e186
    assert proven_shift(sp.csr_array((1, 1)) + sp.csr_array([[1e-300]])) < 1e-312


@NO_SHRINKING
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), size=st.sampled_from([0.0, 1e-9, 1.0]))
def test_distance_bounds_that_of_any_factor(seed, n, size):
    rng = np.random.default_rng(seed)
    g = np.tril(np.where(rng.random((n, n)) < 0.5, rng.normal(size=(n, n)), 0.0), -1) + np.diag(1 + rng.random(n))
    s = g @ g.T + size * rng.normal(size=(n, n))
    s = (s + s.T) / 2
    found = distance(Lower.of(sp.csc_array(s)), Lower.of(sp.csc_array(g)))
    true = np.linalg.norm(s - g @ g.T, 2)
    assert true <= found <= 2 * np.sqrt(n) * true + 1e-13 * n**2


def test_smallest_eigenvalue_in_closed_form():
    for n in (7, 40, 70):
        exact = 2 * smallest(n)
        found = proven_lambda_min(grid_laplacian(n))
        assert exact * (1 - 1e-6) < found <= exact


def test_constants_of_diagonal_matrices_are_found_to_rounding():
    rng = np.random.default_rng(1)
    x, a = 0.5 + rng.random(400), rng.normal(size=400)
    ratio = a / x
    low, high = (
        f(sp.diags_array(a, format="csr"), sp.diags_array(x, format="csr")) for f in (lower_constant, upper_constant)
    )
    assert ratio.min() - 1e-7 < low <= ratio.min() and ratio.max() <= high < ratio.max() + 1e-7


@NO_SHRINKING
@given(seed=st.integers(0, 10_000), n=st.integers(2, 25), definite=st.booleans())
def test_constants_enclose_the_spectrum_of_random_pencils(seed, n, definite):
    rng = np.random.default_rng(seed)
    b, c = rng.normal(size=(n, n)), rng.normal(size=(n, n))
    x = b @ b.T + 0.1 * np.eye(n)
    a = c @ c.T if definite else c + c.T
    x, a = (x + x.T) / 2, (a + a.T) / 2
    spectrum = la.eigh(a, x, eigvals_only=True)
    size = np.abs(spectrum).max()
    low, high = lower_constant(sp.csr_array(a), sp.csr_array(x)), upper_constant(sp.csr_array(a), sp.csr_array(x))
    assert spectrum[0] - 1e-6 * size <= low <= spectrum[0] + 1e-12 * size
    assert spectrum[-1] - 1e-12 * size <= high <= spectrum[-1] + 1e-6 * size


@pytest.fixture(scope="module")
def block():
    problem = ThermalBlock(resolution=30)
    free = problem.terms().free
    return problem, restricted(problem.space.energy.matrix, free), restricted(problem.space.mass.matrix, free)


def test_constants_of_the_thermal_block_are_its_smallest_and_largest_conductivity(block):
    problem, x, _ = block
    theta = [0.1, 0.7, 1.0, 0.3]
    a = restricted(
        sp.csr_array(sum(t * m for t, m in zip(theta, problem.terms().matrices, strict=True))), problem.terms().free
    )
    assert 0.1 * (1 - 1e-6) < lower_constant(a, x) <= 0.1 * (1 + 1e-14)
    assert 1.0 - 1e-14 <= upper_constant(a, x) < 1 + 1e-6


def test_a_semidefinite_term_is_found_semidefinite(block):
    problem, x, mass = block
    one = restricted(problem.terms().matrices[0], problem.terms().free)
    for term in (one, mass):
        assert -1e-7 < lower_constant(term, x) <= 1e-3
    # Poincaré and Friedrichs: 1 / (2 π²) is approached from below, because elements are conforming
    assert 0.995 / (2 * np.pi**2) < upper_constant(mass, x) < 1 / (2 * np.pi**2)


def test_loss_of_coercivity_is_an_error_that_names_a_quotient(block):
    _, x, mass = block
    alpha = coercivity_constant(sp.csr_array(x - 15 * mass), x)
    assert 1 - 15 / (2 * np.pi**2) - 1e-9 < alpha < 1.02 * (1 - 15 / (2 * np.pi**2))
    with pytest.raises(WorkError, match=r"not coercive: a vector was found with \(A v, v\) = -0\.2"):
        coercivity_constant(sp.csr_array(x - 25 * mass), x)


def test_a_singular_form_has_no_constant():
    n = 40
    neumann = second_difference(n).tolil()
    neumann[0, 0] = neumann[-1, -1] = 1.0
    with pytest.raises(WorkError, match="no coercivity constant could be proven|not coercive"):
        coercivity_constant(sp.csr_array(neumann), second_difference(n))
    with pytest.raises(NotPositiveError):
        proven_lambda_min(sp.csr_array(neumann))


def test_an_indefinite_matrix_is_refused_with_the_pivot():
    with pytest.raises(NotPositiveError, match="met a pivot of -"):
        proven_shift(sp.csr_array(np.array([[1.0, 2.0], [2.0, 1.0]])))
    for singular in (np.zeros((3, 3)), np.diag([1.0, 0.0]), np.ones((2, 2))):
        try:
            assert proven_shift(sp.csr_array(singular)) > 0
        except NotPositiveError:
            continue


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([[2.0, 1.0], [0.0, 2.0]]), "not symmetric"),
        (np.array([[2.0, np.nan], [np.nan, 2.0]]), "finite"),
        (np.ones((2, 3)), "square"),
        (np.eye(2) * (1 + 1j), "complex"),
    ],
)
def test_matrices_that_no_proof_is_for_are_refused(matrix, message):
    with pytest.raises(InputError, match=message):
        proven_shift(sp.csr_array(matrix))


def test_rounding_of_a_sum_with_cancellation_is_counted():
    """(1e12 + 1) - 1e12 in the coefficients: the sum is known to 1e-4 only, and the shift says so."""
    one = sp.csr_array(np.array([[0.1, 0.03], [0.03, 0.1]]))
    sums = Sums.of([one, one])
    assert sums.shift([1e12 + 1, -1e12]) > 1e12 * 0.1 * 1e-16


def test_an_asymmetry_of_rounding_is_counted():
    tilted = np.eye(3)
    tilted[0, 2] = 1e-13
    assert proven_shift(sp.csr_array(tilted)) >= 0.5e-13


@NO_SHRINKING
@given(g=st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3))
def test_a_residual_that_is_zero_as_computed_is_not_taken_for_zero(g):
    """S is the rounded product, so nothing is left of the residual but what rounding hid."""
    s = np.array([[g[0] * g[0], g[0] * g[1]], [g[0] * g[1], g[1] * g[1] + g[2] * g[2]]])
    factor = np.array([[g[0], 0.0], [g[1], g[2]]])
    exact = [
        [sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(v, w, strict=True)), Fraction()) for w in factor]
        for v in factor
    ]
    off = max(abs(Fraction(float(s[i, j])) - exact[i][j]) for i in range(2) for j in range(2))
    assert distance(Lower.of(sp.csc_array(s)), Lower.of(sp.csc_array(factor))) >= off


@NO_SHRINKING
@given(seed=st.integers(0, 10_000), n=st.integers(2, 5), smallest=st.sampled_from([1e-3, 1e-12, 1e-13, 1e-14]))
def test_constants_of_badly_conditioned_pencils_are_true_in_exact_arithmetic(seed, n, smallest):
    rng = np.random.default_rng(seed)
    q, p = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    root = (q * np.sqrt(np.geomspace(1, smallest, n))) @ p
    x, a = root @ root.T, (root * rng.uniform(1, 2, n)) @ root.T
    x, a = (x + x.T) / 2, (a + a.T) / 2
    try:
        alpha = lower_constant(sp.csr_array(a), sp.csr_array(x))
    except WorkError:
        return
    rows = [
        [Fraction(float(v)) - Fraction(alpha) * Fraction(float(w)) for v, w in zip(p, r, strict=True)]
        for p, r in zip(a, x, strict=True)
    ]
    assert semidefinite(rows, 0.0)
