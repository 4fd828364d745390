"""POD is the best basis: compared with the dense singular value decomposition in the inner product's own root."""

import numpy as np
import pytest

from nwidth.core.errors import InputError, WorkError
from nwidth.rb.pod_basis import left_out, modes_for, pod
from nwidth.rb.randomised import estimate, spectral_estimate
from nwidth.spaces.base import InnerProduct


class Dense(InnerProduct):
    def __init__(self, matrix):
        self.matrix = matrix

    def apply(self, v):
        return v @ self.matrix.T

    def riesz(self, r):
        return np.linalg.solve(self.matrix, r.T).T

    @property
    def lambda_min(self):
        return float(np.linalg.eigvalsh(self.matrix)[0])


def snapshots(dtype=float, n=12, size=30, decay=0.5):
    rng = np.random.default_rng(0)
    data = rng.standard_normal((n, n)) * decay ** np.arange(n) @ rng.standard_normal((n, size))
    return data + 1j * rng.standard_normal((n, size)) if dtype is complex else data


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("weighted", [False, True])
def test_modes_are_orthonormal_and_optimal(dtype, weighted):
    dofs = snapshots(dtype)
    rng = np.random.default_rng(1)
    root = rng.standard_normal((30, 30)) + 6 * np.eye(30)
    inner = Dense(root.T @ root) if weighted else None
    X = inner.matrix if weighted else np.eye(30)
    found = pod(dofs, modes=5, inner=inner)
    np.testing.assert_allclose(found.modes.conj() @ X @ found.modes.T, np.eye(5), atol=1e-13)
    centred = dofs - dofs.mean(axis=0)
    sigma = np.linalg.svd(centred @ (root.T if weighted else np.eye(30)), compute_uv=False)
    np.testing.assert_allclose(found.singular_values[:11], sigma[:11], rtol=1e-7)
    rest = centred - found.coefficients(dofs) @ found.modes
    error = np.einsum("bi,ij,bj->", rest.conj(), X, rest).real
    assert error == pytest.approx(np.sum(sigma[5:] ** 2), rel=1e-9)
    assert found.lost == pytest.approx(np.sqrt(error / np.sum(sigma**2)), rel=1e-9)


def test_the_number_of_modes_meets_the_tolerance_and_one_fewer_does_not():
    sigma = 0.5 ** np.arange(20.0)
    for tol in (0.9, 0.3, 1e-2, 1e-4):
        count = modes_for(sigma, tol)
        assert left_out(sigma, count) <= tol
        assert count == 1 or left_out(sigma, count - 1) > tol
    assert modes_for(np.zeros(3), 0.1) == 1


def test_small_modes_are_resolved_in_any_product_and_a_gram_matrix_stops_early():
    """Singular values down to 1e-14 of the largest: the oracle multiplies by the root of X."""
    rng = np.random.default_rng(3)
    left, right = (np.linalg.qr(rng.standard_normal((n, 10)))[0] for n in (20, 60))
    weights = np.linspace(1, 5, 60)
    dofs = (left * 10.0 ** -np.arange(0, 15, 1.5)) @ right.T / np.sqrt(weights)
    inner = Dense(np.diag(weights))
    exact = np.linalg.svd(dofs * np.sqrt(weights), compute_uv=False)
    found = pod(dofs, modes=10, inner=inner, about="zero", method="svd")
    assert len(found.modes) == 10
    np.testing.assert_allclose(found.singular_values[:10], exact[:10], atol=2e-15)
    np.testing.assert_allclose(found.singular_values[:9], exact[:9], rtol=1e-2)
    np.testing.assert_allclose(found.modes @ inner.matrix @ found.modes.T, np.eye(10), atol=1e-13)
    last = abs(found.modes[8] @ inner.matrix @ (right.T / np.sqrt(weights))[8])
    assert last == pytest.approx(1, abs=1e-3), "the mode at 1e-12 points elsewhere"
    few = pod(dofs, modes=10, inner=inner, about="zero", method="snapshots")
    assert len(few.modes) == 5, "a Gram matrix sees 1e-7"


@pytest.mark.parametrize("method", ["svd", "snapshots", "randomised", "streaming"])
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("about", ["mean", "zero"])
def test_every_method_agrees_with_the_dense_decomposition(method, dtype, weighted, about):
    dofs = snapshots(dtype, n=40, size=90, decay=0.4)
    if dtype is complex:
        dofs = dofs.real * (1 + 0.5j) + 1j * np.roll(dofs.real, 1, axis=1)
    root = np.eye(90) + 0.1 * np.random.default_rng(1).standard_normal((90, 90)) * weighted
    inner = Dense(root.T @ root) if weighted else None
    centred = dofs - dofs.mean(axis=0) if about == "mean" else dofs
    _, sigma, right = np.linalg.svd(centred @ root.T, full_matrices=False)
    found = pod(dofs, tol=1e-7, inner=inner, about=about, method=method, block=7)
    n = len(found.modes)
    best = modes_for(sigma, 1e-7)
    assert best <= n <= best + 1
    # the Gram matrix squares the condition number: ε σ₁ / σ_n is what it can do
    tol = 1e-9 if method == "snapshots" else 1e-10
    np.testing.assert_allclose(found.singular_values[:n], sigma[:n], atol=tol * sigma[0])
    np.testing.assert_allclose(found.modes.conj() @ root.T @ root @ found.modes.T, np.eye(n), atol=1e-12)
    angles = np.linalg.svd((found.modes[:5] @ root.T).conj() @ right[:5].T, compute_uv=False)
    np.testing.assert_allclose(angles, 1, atol=1e-10)
    rest = (centred - found.coefficients(dofs) @ found.modes) @ root.T
    true = np.linalg.norm(rest) / np.linalg.norm(sigma)
    assert true <= found.lost * (1 + 1e-6) <= 1.0001e-7
    np.testing.assert_allclose(found.offset, dofs.mean(axis=0) * (about == "mean"), atol=1e-14)


def test_a_randomised_basis_reports_what_it_measured_and_the_estimate_is_near_it():
    rng = np.random.default_rng(0)
    dofs = rng.standard_normal((400, 400)) * (1 + np.arange(400)) ** -1.0 @ rng.standard_normal((400, 500))
    inner = Dense(np.diag(np.linspace(1, 9, 500)))
    found = pod(dofs, modes=20, inner=inner, method="randomised", about="zero")
    rest = dofs - found.coefficients(dofs) @ found.modes
    true = np.sqrt(np.sum(rest**2 @ np.diag(inner.matrix)))
    assert found.lost * np.sqrt(found.energy) == pytest.approx(true, rel=1e-8)
    optimal = np.linalg.svd(dofs * np.sqrt(np.diag(inner.matrix)), compute_uv=False)
    assert true <= 1.02 * np.sqrt(np.sum(optimal[20:] ** 2))
    low, high = found.enclosure()
    assert (low[:25] <= optimal[:25] * (1 + 1e-12)).all() and (optimal[:25] <= high[:25] * (1 + 1e-12)).all()
    fresh = np.random.default_rng(7)
    assert 0.5 * true < estimate(dofs, inner, found.modes, fresh) < 2 * true
    largest = np.linalg.norm(rest * np.sqrt(np.diag(inner.matrix)), 2)
    assert largest < spectral_estimate(dofs, inner, found.modes, fresh) < 100 * largest


def test_the_choice_of_a_method_says_why():
    rng = np.random.default_rng(0)
    tall = rng.standard_normal((900, 3)) @ rng.standard_normal((3, 700))
    assert pod(tall[:20]).method == "svd"
    assert pod(tall, modes=2).method == "randomised"
    assert pod(tall, modes=100).method == "svd" and "a Gram matrix resolves 3 of them only" in pod(tall, modes=100).why
    full = tall + rng.standard_normal((900, 700))
    assert pod(full, modes=100).method == "snapshots"
    assert pod(tall).method == "streaming" and "too large" in pod(tall).why
    assert pod(iter([tall[:5], tall[5:30]])).why == "the data is read block by block"


def test_a_tolerance_that_a_method_cannot_see_is_said():
    rng = np.random.default_rng(3)
    left, right = (np.linalg.qr(rng.standard_normal((n, 12)))[0] for n in (20, 60))
    dofs = (left * 10.0 ** -np.arange(12)) @ right.T
    with pytest.raises(WorkError, match="all 7 modes that the method 'snapshots' resolves leave out .* method='svd'"):
        pod(dofs, tol=1e-9, method="snapshots", about="zero")
    assert len(pod(dofs, tol=1.1e-9, method="svd", about="zero").modes) == 9
    for name in ("modes", "block", "capacity"):
        with pytest.raises(InputError, match=f"{name} is 0"):
            pod(dofs, **{name: 0})


def test_constant_and_single_snapshots_are_refused():
    with pytest.raises(InputError, match="all 4 snapshots are the same"):
        pod(np.ones((4, 5)) * np.pi * 1e6)
    for method in ("auto", "streaming"):
        with pytest.raises(InputError, match="got 1 snapshots"):
            pod(np.ones((1, 5)), method=method)
    blind = np.zeros((3, 5))
    blind[:, 0] = [1, 2, 3]
    with pytest.raises(InputError, match="do not vary in this inner product"):
        pod(blind, inner=Dense(np.diag([0.0, 1, 1, 1, 1])))
