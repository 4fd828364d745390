"""Empirical interpolation against its theory and against dense projectors."""

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp

from nwidth.core.errors import InputError, WorkError
from nwidth.io.model import load, save
from nwidth.rb.interpolation.deim import DEIM, QDEIM
from nwidth.rb.interpolation.eim import EIM, SymmetricEIM
from nwidth.rb.interpolation.selection import greedy, pivoted, qdeim_bound
from nwidth.spaces.mesh import Form, MatrixProduct

X = np.linspace(0.0, 1.0, 160)
MU = np.linspace(-1.0, -0.05, 90)
NEW = np.linspace(-0.99, -0.06, 57)
METHODS = (EIM, SymmetricEIM, DEIM, QDEIM)


def family(mu):
    """1 / |x - mu| on a line: the function of the literature in one dimension."""
    return 1.0 / np.sqrt((X[None] - mu[:, None]) ** 2 + 0.01)


def energy_product():
    """A 1-D stiffness plus mass, all dofs free: a product that is far from Euclidean."""
    h = X[1] - X[0]
    main = np.full(len(X), 2 / h + h)
    main[[0, -1]] = 1 / h + h
    matrix = sp.csr_array(sp.diags_array([main, np.full(159, -1 / h), np.full(159, -1 / h)], offsets=[0, 1, -1]))
    return MatrixProduct(Form(matrix, h), np.ones(len(X), dtype=bool))


@pytest.fixture(scope="module", params=METHODS, ids=lambda m: m.__name__)
def fitted(request):
    return request.param(tol=1e-7).fit(family(MU))


def test_what_lies_in_the_span_comes_back(fitted):
    coefficients = np.random.default_rng(0).normal(size=(5, fitted.terms))
    fields = coefficients @ fitted.basis
    np.testing.assert_allclose(fitted.interpolate(fields[:, fitted.points]), coefficients, rtol=1e-8, atol=1e-8)


def test_the_operator_is_the_dense_projector(fitted):
    """`Vᵀ (Pᵀ V)⁻¹ Pᵀ`, written out."""
    v, p = fitted.basis.T, np.eye(len(X))[:, fitted.points]
    dense = v @ np.linalg.solve(p.T @ v, p.T)
    fields = family(NEW)
    np.testing.assert_allclose(fitted.reconstruct(fields[:, fitted.points]), fields @ dense.T, rtol=1e-7, atol=1e-9)
    assert fitted.amplification == pytest.approx(np.linalg.norm(dense, 2), rel=1e-6)
    assert fitted.lebesgue == pytest.approx(np.linalg.norm(dense, np.inf), rel=1e-6)


def test_errors_stay_below_the_best_approximation_times_the_constants(fitted):
    fields = family(NEW)
    for terms in range(1, fitted.terms + 1, 3):
        part = fitted.truncate(terms)
        error = fields - part.reconstruct(fields[:, part.points])
        q = la.orth(part.basis.T)
        best = np.linalg.norm(fields - fields @ q @ q.T, axis=1)
        assert (np.linalg.norm(error, axis=1) <= part.amplification * best * (1 + 1e-9) + 1e-12).all()
        # the maximum norm of any member of the span is an upper bound of the best
        other = np.abs(fields - fields @ q @ q.T).max(axis=1)
        assert (np.abs(error).max(axis=1) <= (1 + part.lebesgue) * other * (1 + 1e-9) + 1e-12).all()


def test_errors_fall_fast_and_the_history_is_what_happens(fitted):
    fields = family(MU)
    assert fitted.errors[-1] <= 1e-7 * fitted.errors[0] and fitted.terms < 20
    assert (np.diff(np.log(fitted.errors[::3])) < -1).all(), "exponential decay"
    if fitted.rule in ("eim", "symmetric"):
        for terms in (2, 5, fitted.terms - 1):
            part = fitted.truncate(terms)
            error = np.abs(fields - part.reconstruct(fields[:, part.points])).max()
            assert error == pytest.approx(fitted.errors[terms], rel=1e-5)


def test_a_truncated_fit_is_the_fit_that_stopped_there(fitted):
    method = {"eim": EIM, "symmetric": SymmetricEIM, "deim": DEIM, "q-deim": QDEIM}[fitted.rule]
    small, cut = method(tol=None, max_size=6).fit(family(MU)), fitted.truncate(6)
    np.testing.assert_array_equal(small.points, cut.points)
    np.testing.assert_allclose(small.operator @ small.basis, cut.operator @ cut.basis, atol=1e-10)
    if fitted.rule in ("eim", "symmetric"):
        assert small.following == cut.following


def test_eim_matrix_is_lower_triangular_with_unit_diagonal():
    """Barrault et al. (2004), section 2.2."""
    part = EIM(tol=1e-7).fit(family(MU))
    inside = part.basis[:, part.points].T
    np.testing.assert_array_equal(np.triu(inside, 1), 0.0)
    np.testing.assert_array_equal(np.diag(inside), 1.0)
    assert np.abs(inside).max() == 1.0 and part.lebesgue <= 2.0**part.terms - 1


def test_symmetric_form_in_the_maximum_norm_is_the_usual_method():
    """Casenave, Ern and Lelièvre (2016), section 2, and the two variables exchanged: the same pairs."""
    usual, symmetric = EIM(tol=1e-6).fit(family(MU)), SymmetricEIM(tol=1e-6).fit(family(MU))
    np.testing.assert_array_equal(usual.points, symmetric.points)
    fields = family(NEW)
    np.testing.assert_allclose(
        usual.reconstruct(fields[:, usual.points]), symmetric.reconstruct(fields[:, symmetric.points]), atol=1e-8
    )


def test_amplification_of_qdeim_never_exceeds_its_bound():
    rng = np.random.default_rng(1)
    for size, terms in ((20, 3), (100, 7), (200, 12)):
        for _ in range(20):
            basis = np.linalg.qr(rng.normal(size=(size, terms)))[0].T
            q = 1 / np.linalg.svd(basis[:, pivoted(basis)])[1][-1]
            plain = 1 / np.linalg.svd(basis[:, greedy(basis)])[1][-1]
            assert q <= qdeim_bound(terms, size)
            # Chaturantabut and Sorensen (2010), Lemma 3.2
            assert plain <= (1 + np.sqrt(2 * size)) ** (terms - 1) / np.abs(basis[0]).max()


def test_qdeim_depends_on_the_space_alone():
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(rng.normal(size=(60, 5)))[0].T
    turned = np.linalg.qr(rng.normal(size=(5, 5)))[0] @ basis
    np.testing.assert_array_equal(pivoted(basis), pivoted(turned))


@pytest.mark.parametrize("method", [DEIM, QDEIM, SymmetricEIM])
def test_more_points_than_modes_amplify_less(method):
    fields = family(NEW)
    square, wide = method(tol=None, max_size=8).fit(family(MU)), method(tol=None, max_size=8, extra=6).fit(family(MU))
    np.testing.assert_array_equal(wide.points[:8], square.points)
    assert len(set(wide.points.tolist())) == 14
    assert wide.amplification < 0.8 * square.amplification
    a = wide.basis[:, wide.points].T
    expected = np.linalg.lstsq(a, fields[:, wide.points].T, rcond=None)[0].T
    np.testing.assert_allclose(wide.interpolate(fields[:, wide.points]), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("broken", [(), (0,), (3, 5), (0, 1, 2, 3), (1, 2, 4, 6, 8, 9, 11)])
def test_a_field_survives_broken_sensors_within_the_norm_of_the_projector(broken):
    """In the energy norm, with more, as many and fewer sensors than modes; the oracle writes the projector out."""
    inner = energy_product()
    x = inner.matrix.toarray()
    part = SymmetricEIM(tol=None, max_size=9, extra=5).fit(family(MU), inner).without(broken)
    v, count = part.basis.T, len(part.points)
    assert np.abs(part.basis @ x @ v - np.eye(9)).max() < 1e-10
    gram = np.linalg.inv(x)[np.ix_(part.points, part.points)]
    weight = np.linalg.inv(np.linalg.cholesky(gram))
    projector = v @ np.linalg.pinv(weight @ v[part.points]) @ weight @ np.eye(len(X))[part.points]
    root = np.linalg.cholesky(x).T
    norm = np.linalg.norm(root @ projector @ np.linalg.inv(root), 2)
    assert part.amplification == pytest.approx(norm, rel=1e-5)
    np.testing.assert_allclose(projector @ projector, projector, atol=1e-7 * norm)
    fields = family(NEW)
    found = part.reconstruct(fields[:, part.points])
    np.testing.assert_allclose(found, fields @ projector.T, atol=1e-7 * norm)
    kept = la.orth(projector) if count < 9 else v
    kept = np.linalg.solve(root, np.linalg.qr(root @ kept)[0])
    best = fields - fields @ x @ kept @ kept.T
    error = inner.norm(fields - found)
    assert (error <= norm * inner.norm(best) * (1 + 1e-6) + 1e-9).all()
    if count <= 9:  # as many values as are there are met
        np.testing.assert_allclose(found[:, part.points], fields[:, part.points], rtol=1e-6)


def test_losing_sensors_costs_amplification_and_says_so():
    part = SymmetricEIM(tol=None, max_size=9, extra=5).fit(family(MU), energy_product())
    constants = [part.without(range(9, 14)[:k]).amplification for k in range(6)]
    assert constants == sorted(constants) and constants[-1] > 1.2 * constants[0]


def test_weighted_least_squares_are_the_best_of_all():
    """The amplification is one over the inf-sup constant of modes and sensors, the smallest that any reconstruction
    from these sensors that reproduces the modes can have."""
    inner = energy_product()
    x = inner.matrix.toarray()
    part = SymmetricEIM(tol=None, max_size=6, extra=4).fit(family(MU), inner)
    root = np.linalg.cholesky(x).T
    plain = part.basis.T @ np.linalg.pinv(part.basis[:, part.points].T) @ np.eye(len(X))[part.points]
    assert part.amplification < np.linalg.norm(root @ plain @ np.linalg.inv(root), 2)
    riesz = np.linalg.qr(root @ np.linalg.inv(x)[:, part.points])[0]
    angles = np.linalg.svd(riesz.T @ (root @ part.basis.T))[1]
    assert part.amplification == pytest.approx(1 / angles[-1], rel=1e-6)


def test_sensors_stay_where_they_are_allowed():
    allowed = X > 0.5
    part = SymmetricEIM(tol=None, max_size=5, extra=3).fit(family(MU), energy_product(), allowed)
    assert allowed[part.points].all() and len(part.points) == 8
    same = SymmetricEIM(tol=None, max_size=5, extra=3).fit(family(MU), energy_product(), np.flatnonzero(allowed))
    np.testing.assert_array_equal(same.points, part.points)


def test_a_saved_interpolation_answers_the_same(fitted, tmp_path):
    save(fitted, tmp_path / "part.nwidth")
    again = load(tmp_path / "part.nwidth")
    fields = family(NEW)
    np.testing.assert_array_equal(
        again.reconstruct(fields[:, again.points]), fitted.reconstruct(fields[:, fitted.points])
    )
    assert (again.rule, again.following, again.amplification) == (fitted.rule, fitted.following, fitted.amplification)


def test_one_snapshot_is_one_term():
    part = EIM().fit(family(MU[:1]))
    assert part.terms == 1
    np.testing.assert_allclose(part.reconstruct(family(MU[:1])[:, part.points]), family(MU[:1]), rtol=1e-14)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
def test_a_missed_tolerance_is_an_error(method):
    with pytest.raises(WorkError, match="3 terms leave an error of .* and miss tol = 1e-08; raise max_size"):
        method(tol=1e-8, max_size=3).fit(family(MU))


def test_the_floor_of_rounding_ends_the_search():
    part = EIM(tol=None, max_size=60).fit(family(MU))
    assert part.terms < 40 and part.errors[-1] < 1e-13 * part.errors[0]
    fields = family(MU)
    assert np.abs(fields - part.reconstruct(fields[:, part.points])).max() < 1e-10


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: EIM().fit(np.ones(3)), "expected \\(S, n\\)"),
        (lambda: EIM().fit(np.array([[1.0, np.nan]])), "not finite"),
        (lambda: DEIM().fit(np.zeros((2, 3))), "all snapshots are zero"),
        (lambda: EIM(tol=2.0), "between 0 and 1"),
        (lambda: QDEIM(max_size=0), "give at least 1"),
        (lambda: EIM().fit(family(MU)).interpolate(np.ones(3)), "values has shape"),
        (lambda: EIM().fit(family(MU)).truncate(0), "choose a number from 1 to"),
        (lambda: EIM().fit(family(MU)).without([99]), "numbered from 0"),
        (lambda: EIM(tol=None, max_size=2).fit(family(MU)).without([0, 1]), "no sensor is left"),
        (lambda: DEIM(extra=2).fit(family(MU)).truncate(2), "truncate first"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(act, message):
    with pytest.raises(InputError, match=message):
        act()


def test_fields_that_do_not_vanish_where_values_are_prescribed_are_refused():
    free = np.ones(len(X), dtype=bool)
    free[0] = False
    inner = MatrixProduct(Form(energy_product()._form.matrix, 1e-3), free)
    with pytest.raises(InputError, match="subtract the lift"):
        SymmetricEIM().fit(family(MU), inner)
    vanishing = (family(MU) - family(MU)[:, :1]) * free
    assert SymmetricEIM(tol=1e-4).fit(vanishing, inner).points.min() > 0


def test_sensors_that_cannot_tell_modes_apart_are_named():
    twice = np.concatenate([family(MU), family(MU)], axis=1)
    part = DEIM(tol=None, max_size=3).fit(twice)
    broken = type(part)(part.basis, np.array([0, 160, 5]), part.errors, part.sensors, part.modes)
    with pytest.raises(WorkError, match="cannot tell 3 modes apart"):
        broken.interpolate(np.ones((1, 3)))
