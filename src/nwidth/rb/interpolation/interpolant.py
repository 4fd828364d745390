"""Interpolation in a basis of modes from the values at a few points: what every empirical method here ends in.

With modes q (rows), points p and A_ij = q_j(p_i), the field behind the values y is `I y = Σ_j c_j q_j`. As many points
as modes: `A c = y`. More points than modes: least squares in the norm that the sensors inherit. Fewer: of all fields
that match the values, the one of smallest norm. In each case I is a projector, and

    ‖g - I g‖_∞ <= (1 + Λ) min ‖g - v‖_∞        ‖g - I g‖_X <= ‖I‖_X min ‖g - v‖_X

over the fields v that it reproduces. Λ, the Lebesgue constant, is its norm for the maximum norm: Barrault, Maday,
Nguyen and Patera (2004), Lemma 3.1. In a Hilbert space ‖1 - I‖ = ‖I‖ for an oblique projector: Szyld, Numerical
Algorithms 42 (2006). Sensors and modes of different number: Casenave, Ern and Lelièvre (2016), section 4.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import scipy.linalg as la

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import check_batched
from nwidth.rb.interpolation.selection import pivoted

#: Singular values below this part of the largest: the points cannot tell two modes apart.
_BLIND = 1e-13


@dataclass(frozen=True, eq=False)
class Interpolant(Storable):
    """Modes `basis (M, n)` and `points (m,)`, indices below n.

    `errors (M + 1,)`: the largest error over the snapshots with 0 ... M terms, in the norm of the fit. `following` is
    the point that the next term would have taken, -1 where none is known. `sensors (m, m)` and `modes (M, M)` are the
    Gram matrices of the point evaluations in X⁻¹ and of the modes in X. `rule` names the method.
    """

    kind: ClassVar[str] = "interpolant"

    basis: Real
    points: Array
    errors: Real
    sensors: Real
    modes: Real
    rule: str = "eim"
    following: int = -1

    @property
    def terms(self) -> int:
        """M."""
        return len(self.basis)

    def interpolate(self, values: Array) -> Real:
        """Coefficients `(B, M)` from the values at the points `(B, m)`. Raises InputError for another shape."""
        values = check_batched("values", np.asarray(values, dtype=np.float64), (len(self.points),))
        return values @ self.operator

    def reconstruct(self, values: Array) -> Real:
        """Fields `(B, n)` from the values at the points `(B, m)`."""
        return self.interpolate(values) @ self.basis

    @cached_property
    def operator(self) -> Real:
        """From values to coefficients, `(m, M)`. Raises WorkError where the points cannot tell modes apart."""
        inside = self.basis[:, self.points]
        if len(self.points) == self.terms:
            self._tell_apart(la.svdvals(inside))
            return np.asarray(la.inv(inside))
        left, right = self._roots
        scaled = np.linalg.solve(left, np.linalg.solve(right, inside.T).T)  # ‖·‖ of a field is that of its row
        u, sizes, v = np.linalg.svd(scaled, full_matrices=False)
        self._tell_apart(sizes)
        return np.linalg.solve(right.T, v.T / sizes) @ np.linalg.solve(left.T, u).T

    def _tell_apart(self, sizes: Array) -> None:
        if not sizes[-1] > _BLIND * sizes[0]:
            raise WorkError(
                f"{len(self.points)} points cannot tell {self.terms} modes apart (the smallest singular value is "
                f"{sizes[-1] / sizes[0]:.1e} of the largest): keep fewer modes, truncate(M), or other points"
            )

    @property
    def _roots(self) -> tuple[Array, Array]:
        """Cholesky factors of the Gram matrices of modes and sensors."""
        return np.linalg.cholesky(self.modes), np.linalg.cholesky(self.sensors)

    @cached_property
    def lebesgue(self) -> float:
        """Λ = max_x Σ_i |V_i(x)|, V_i the field of the value 1 at point i and 0 at the others."""
        return float(np.abs(self.cardinal).sum(axis=0).max())

    @cached_property
    def peaks(self) -> Real:
        """The largest absolute value of each mode, `(M,)`."""
        return np.asarray(np.abs(self.basis).max(axis=1))

    @property
    def cardinal(self) -> Real:
        """The fields V_i, `(m, n)`."""
        return self.operator @ self.basis

    @cached_property
    def amplification(self) -> float:
        """‖I‖_X, the norm of the oblique projector in the inner product of the fit (Euclidean by default)."""
        left, right = self._roots
        return float(np.linalg.norm(right.T @ self.operator @ left, 2))

    def truncate(self, terms: int) -> "Interpolant":
        """The interpolation with the first `terms` modes, as a fit that stopped there would have it.

        Points come with their modes; Q-DEIM chooses them again (a small pivoted QR). Raises InputError for more terms
        than there are, or where points were added or dropped.
        """
        if not 1 <= terms <= self.terms:
            raise InputError(f"cannot keep {terms} of {self.terms} terms; choose a number from 1 to {self.terms}")
        if terms == self.terms:
            return self
        if len(self.points) != self.terms:
            raise InputError("terms and points no longer belong together: truncate first, then add or drop points")
        if self.rule == "q-deim":
            points, following, sensors = pivoted(self.basis[:terms]), -1, np.eye(terms)
        else:
            points, following = self.points[:terms], int(self.points[terms])
            sensors = self.sensors[:terms, :terms]
        return replace(
            self,
            basis=self.basis[:terms],
            points=points,
            errors=self.errors[: terms + 1],
            sensors=sensors,
            modes=self.modes[:terms, :terms],
            following=following,
        )

    def without(self, broken: Iterable[int]) -> "Interpolant":
        """The same modes without some sensors, given by their place in `points`.

        Look at `amplification` afterwards: it says what the loss costs. Raises InputError for a place that is not
        there, or where none is left.
        """
        dropped = {int(place) for place in broken}
        if not dropped <= set(range(len(self.points))):
            raise InputError(f"there are {len(self.points)} sensors, numbered from 0; got {sorted(dropped)}")
        keep = np.array([i for i in range(len(self.points)) if i not in dropped], dtype=np.int64)
        if not len(keep):
            raise InputError("no sensor is left; keep at least one")
        return replace(self, points=self.points[keep], sensors=self.sensors[np.ix_(keep, keep)], following=-1)

    def to_parts(self) -> Parts:
        """All arrays."""
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        return Parts({"rule": self.rule, "following": self.following}, arrays, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The interpolation again."""
        basis, points, errors, sensors, modes = (np.array(arrays[name]) for name in _ARRAYS)
        return cls(basis, points, errors, sensors, modes, config["rule"], config["following"])


_ARRAYS = ("basis", "points", "errors", "sensors", "modes")
