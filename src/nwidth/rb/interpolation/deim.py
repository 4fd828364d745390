"""Discrete empirical interpolation: POD modes of the snapshots, and points chosen for these modes."""

from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.rb.interpolation.interpolant import Interpolant
from nwidth.rb.interpolation.selection import greedy, more, pivoted
from nwidth.rb.interpolation.snapshots import check_options, checked, require

#: Singular values below this part of the largest are rounding.
_FLOOR = 1e-14


@dataclass(frozen=True)
class DEIM:
    """Chaturantabut and Sorensen (2010): `‖g - I g‖₂ <= ‖(PᵀU)⁻¹‖₂ ‖g - U Uᵀ g‖₂` for every vector g.

    tol: the largest distance of a snapshot to the POD modes, relative to the largest snapshot (Euclidean norm); None
    stops at `max_size` only. `extra` points more than modes: least squares (gappy POD), a smaller amplification.
    """

    tol: float | None = 1e-8
    max_size: int = 100
    extra: int = 0

    def __post_init__(self) -> None:
        check_options(self.tol, self.max_size, self.extra)

    def fit(self, snapshots: Array) -> Interpolant:
        """From snapshots `(S, n)`. Raises InputError for what is no table of finite numbers, WorkError where `tol` is
        missed."""
        return self._interpolant(*_pod(checked(snapshots), self.tol, self.max_size))

    def _interpolant(self, basis: Real, errors: Real) -> Interpolant:
        points = more(basis, greedy(basis), self.extra)
        return Interpolant(basis, points, errors, np.eye(len(points)), np.eye(len(basis)), "deim")


@dataclass(frozen=True)
class QDEIM(DEIM):
    """Drmač and Gugercin (2016): the points of `DEIM` from a pivoted QR factorisation, with a proven amplification
    (`selection.qdeim_bound`) that does not depend on the basis chosen for the space of the modes."""

    def _interpolant(self, basis: Real, errors: Real) -> Interpolant:
        points = more(basis, pivoted(basis), self.extra)
        return Interpolant(basis, points, errors, np.eye(len(points)), np.eye(len(basis)), "q-deim")


def _pod(table: Real, tol: float | None, max_size: int) -> tuple[Real, Real]:
    """Modes `(M, n)` and the largest distance of a snapshot to the first 0 ... M of them."""
    u, sizes, basis = np.linalg.svd(table, full_matrices=False)
    rank = int(np.count_nonzero(sizes > _FLOOR * sizes[0]))
    parts = (u * sizes)[:, :rank] ** 2
    tails = np.concatenate([np.cumsum(parts[:, ::-1], axis=1)[:, ::-1], np.zeros((len(parts), 1))], axis=1)
    errors = np.sqrt(tails.max(axis=0))
    enough = np.flatnonzero(errors <= (tol or 0.0) * errors[0])[0]
    terms = max(1, min(int(enough), max_size))
    require(errors[terms], errors[0], tol, terms)
    return np.ascontiguousarray(basis[:terms]), errors[: terms + 1]
