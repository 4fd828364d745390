"""The empirical interpolation method: modes and points from the snapshots' own errors, one pair at a time."""

from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.rb.interpolation.interpolant import Interpolant
from nwidth.rb.interpolation.selection import more
from nwidth.rb.interpolation.snapshots import check_options, checked, require
from nwidth.spaces.base import InnerProduct

#: Errors below this part of the largest snapshot are rounding.
_FLOOR = 4e-15


@dataclass(frozen=True)
class EIM:
    """Barrault, Maday, Nguyen and Patera (2004): the snapshot with the largest error in the maximum norm, its error
    scaled to 1 where it is largest as the next mode, and that place as the next point.

    tol: largest error over the snapshots, relative to their largest value; None stops at `max_size` only.
    """

    tol: float | None = 1e-8
    max_size: int = 100

    def __post_init__(self) -> None:
        check_options(self.tol, self.max_size)

    def fit(self, snapshots: Array) -> Interpolant:
        """From snapshots `(S, n)`. Raises InputError for what is no table of finite numbers, WorkError where `tol` is
        missed."""
        found = _Pairs(checked(snapshots), None, None)
        found.search(self.tol, self.max_size)
        basis = np.array(found.modes)
        return Interpolant(
            basis=basis,
            points=np.array(found.points),
            errors=np.array(found.errors),
            sensors=np.eye(len(basis)),
            modes=basis @ basis.T,
            following=found.following,
        )


@dataclass(frozen=True)
class SymmetricEIM:
    """Empirical interpolation in any norm, with modes and sensors in equal roles and in any number of each.

    The next field is the one with the largest error in the norm of `inner` (None: the maximum norm, which makes it the
    method above), the next sensor is where that error is largest; I is then the separated form
    `Σ_ij D_ij g(·, mu_j) δ_{x_i}`, in which fields and sensors play the same part. The chosen fields are kept as an
    orthonormal basis in `inner` (None: Euclidean). `extra` sensors more than modes make the loss of one harmless.

    Reference: Casenave, Ern and Lelièvre, "Variants of the Empirical Interpolation Method: symmetric formulation,
    choice of norms and rectangular extension", Applied Mathematics Letters 56 (2016).
    """

    tol: float | None = 1e-8
    max_size: int = 100
    extra: int = 0

    def __post_init__(self) -> None:
        check_options(self.tol, self.max_size, self.extra)

    def fit(self, snapshots: Array, inner: InnerProduct | None = None, allowed: Array | None = None) -> Interpolant:
        """From snapshots `(S, n)`, n the dofs of `inner`; `allowed` are the places where a sensor may be, a mask `(n,)`
        or indices (None: all). Raises InputError for fields that do not vanish where values are prescribed: no inner
        product sees them there."""
        table = checked(snapshots)
        if inner is not None:
            _require_free(table, inner)
        places = _indices(allowed)
        found = _Pairs(table, inner, places)
        found.search(self.tol, self.max_size)
        basis = _orthonormal(np.array(found.modes), inner)
        points = more(basis, np.array(found.points), self.extra, places)
        return Interpolant(
            basis=basis,
            points=points,
            errors=np.array(found.errors),
            sensors=_sensor_gram(points, table.shape[1], inner),
            modes=_gram(basis, inner),
            rule="symmetric",
            following=found.following if not self.extra else -1,
        )


class _Pairs:
    """The search for pairs of a snapshot and a point; the errors of all snapshots are kept up to date."""

    def __init__(self, table: Real, inner: InnerProduct | None, places: Array | None):
        self.rest, self._inner = table.copy(), inner
        self._places = np.arange(table.shape[1]) if places is None else places
        self.modes: list[Real] = []
        self.points: list[int] = []
        self.errors: list[float] = []
        self.following = -1

    def search(self, tol: float | None, max_size: int) -> None:
        while True:
            sizes = self._sizes()
            worst = int(np.argmax(sizes))
            self.errors.append(float(sizes[worst]))
            at = int(self._places[np.argmax(np.abs(self.rest[worst, self._places]))])
            self.following = -1 if at in self.points else at
            if self._done(tol, max_size) or at in self.points:
                break
            self._take(worst, at)
        require(self.errors[-1], self.errors[0], tol, len(self.modes))

    def _done(self, tol: float | None, max_size: int) -> bool:
        return len(self.modes) >= max_size or self.errors[-1] <= max(tol or 0.0, _FLOOR) * self.errors[0]

    def _sizes(self) -> Real:
        if self._inner is not None:
            return self._inner.norm(self.rest)
        return np.abs(self.rest).max(axis=1)

    def _take(self, worst: int, at: int) -> None:
        mode = self.rest[worst] / self.rest[worst, at]
        self.rest -= np.outer(self.rest[:, at], mode)
        self.modes.append(mode)
        self.points.append(at)


def _orthonormal(modes: Real, inner: InnerProduct | None) -> Real:
    """The modes orthonormalised one after the other, so that the first k span what the first k modes did."""
    basis = np.zeros((0, modes.shape[1]))
    for mode in modes:
        vector = mode[None]
        for _ in range(3):
            vector = vector - _applied(vector, inner) @ basis.T @ basis
            vector = vector / np.sqrt(np.sum(vector * _applied(vector, inner)))
        basis = np.concatenate([basis, vector])
    return basis


def _applied(v: Real, inner: InnerProduct | None) -> Real:
    return v if inner is None else inner.apply(v)


def _gram(basis: Real, inner: InnerProduct | None) -> Real:
    gram = basis @ _applied(basis, inner).T
    return (gram + gram.T) / 2


def _sensor_gram(points: Array, size: int, inner: InnerProduct | None) -> Real:
    """`δ_i X⁻¹ δ_j` of the point evaluations."""
    if inner is None:
        return np.eye(len(points))
    delta = np.zeros((len(points), size))
    delta[np.arange(len(points)), points] = 1.0
    gram = inner.riesz(delta)[:, points]
    return (gram + gram.T) / 2


def _indices(allowed: Array | None) -> Array | None:
    """Places given as a mask or as indices."""
    if allowed is None:
        return None
    given = np.asarray(allowed)
    return np.flatnonzero(given) if given.dtype == bool else given.astype(np.int64)


def _require_free(table: Real, inner: InnerProduct) -> None:
    """An inner product returns zero where values are prescribed; a field that is not zero there is not its own."""
    seen = inner.riesz(inner.apply(table[:1]))
    if np.abs(seen - table[:1]).max() > 1e-6 * np.abs(table[:1]).max():
        raise InputError(
            "the fields do not vanish where the inner product has prescribed values; subtract the lift from them, or "
            "use inner=None"
        )
