"""POD is the best basis: compared with the dense singular value decomposition in the inner product's own root."""

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.rb.pod import left_out, modes_for, pod
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


def test_modes_below_round_off_of_the_gram_matrix_are_left_out():
    dofs = snapshots(decay=0.01)
    inner = Dense(np.diag(np.linspace(1, 2, 30)))
    found = pod(dofs, modes=12, inner=inner)
    assert 3 <= len(found.modes) <= 6
    np.testing.assert_allclose(found.modes @ inner.matrix @ found.modes.T, np.eye(len(found.modes)), atol=1e-12)


def test_constant_and_single_snapshots_are_refused():
    with pytest.raises(InputError, match="all 4 snapshots are the same"):
        pod(np.ones((4, 5)) * np.pi * 1e6)
    with pytest.raises(InputError, match="got 1 snapshots"):
        pod(np.ones((1, 5)))
    blind = np.zeros((3, 5))
    blind[:, 0] = [1, 2, 3]
    with pytest.raises(InputError, match="do not vary in this inner product"):
        pod(blind, inner=Dense(np.diag([0.0, 1, 1, 1, 1])))
