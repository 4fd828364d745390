"""Reduced bases from fields of any origin, and larger ones from smaller ones.

A greedy search chooses its own snapshots. Here they are given: the modes of a regression, solutions where a bound was
too large.
"""

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.problems.base import Affine
from nwidth.rb.batched import solve
from nwidth.rb.estimators import shares
from nwidth.rb.galerkin import ReducedBasis, quantities_of
from nwidth.rb.model import ReducedModel, stacked
from nwidth.rb.orthonormal import extension
from nwidth.rb.residual import ResidualBuilder

#: Parameters at which the parts of modes in solutions are looked at.
_LOOKED_AT = 64
#: A part of a field below this share of it is rounding.
DROP = 1e-11


class GrowingBasis:
    """A reduced basis that grows in place: what a session holds between full solves, so that each costs only itself.

    `capacity` is the largest number of modes. One at a time, from one thread.
    """

    def __init__(self, problem: Affine, capacity: int):
        self.problem, self.capacity = problem, capacity
        self.terms, self._quantities = problem.terms(), quantities_of(problem)
        size = len(self.terms.lift)
        self._inner = problem.space.inner("energy")
        self._functionals = stacked(self._quantities, size)
        self._residual = ResidualBuilder(self.terms, self._functionals, self._inner, capacity)
        self._model = ReducedModel.empty(self.terms, self._quantities)
        self.basis = np.zeros((0, size))

    @classmethod
    def of(cls, reduced: ReducedBasis, capacity: int) -> "GrowingBasis":
        """One that starts with the modes of a reduced basis, in their order."""
        problem = reduced.problem
        growing = cls(problem, max(capacity, reduced.modes))
        theta, phi = problem.coefficients(problem.parameters.sample(range(_LOOKED_AT), 0))
        parts = shares(solve(theta, phi, reduced.model.packed, reduced.model.loads))
        for mode, part in zip(reduced.basis, parts, strict=True):
            growing._take(mode[None], np.array([part]))
        return growing

    def add(self, fields: Real) -> int:
        """Take fields `(k, N)`, prescribed values removed (they are cleared); returns how many modes were new.

        Raises InputError where there is no room left.
        """
        cleared = np.where(self.terms.free, fields, 0.0)
        fresh, new = extension(self.basis, cleared, self._inner, DROP)
        if len(self.basis) + len(fresh) > self.capacity:
            raise InputError(
                f"{len(fresh)} modes do not fit: the basis holds {len(self.basis)} of {self.capacity}; raise capacity"
            )
        self._take(fresh, np.sort(new)[::-1][: len(fresh)])
        return len(fresh)

    def _take(self, modes: Real, new: Real) -> None:
        if len(modes):
            kept = np.ascontiguousarray(modes)
            self._residual.add(kept, new)
            self.basis = np.concatenate([self.basis, kept])
            self._model = self._model.extended(self.terms, self._functionals, self.basis)

    def reduced(self, certified: bool = True) -> ReducedBasis:
        """The basis as it stands. Without `certified`, the rounding of the residual's coordinates is not counted:
        faster, for a search whose last word is a certified one."""
        return ReducedBasis(self.problem, self.basis, self._model, self._residual.model(certified))


def spanned(problem: Affine, fields: Array) -> ReducedBasis:
    """Galerkin's method in the span of fields `(k, N)`, prescribed values removed; orthonormal in the energy product.

    Raises InputError for fields of another size, complex or not finite ones, or where all of them vanish.
    """
    size = len(problem.terms().lift)
    if np.iscomplexobj(fields) or fields.ndim != 2 or fields.shape[1] != size or not np.isfinite(fields).all():
        raise InputError(
            f"a basis is made from finite real fields (k, {size}); got {fields.dtype} {fields.shape}: flatten fields "
            "with problem.space.flatten, and leave out the runs that failed"
        )
    growing = GrowingBasis(problem, len(fields))
    if not growing.add(np.asarray(fields, dtype=np.float64)):
        raise InputError("the fields vanish where values are not prescribed; a basis needs at least one that does not")
    return growing.reduced()


def extended(reduced: ReducedBasis, snapshots: Array) -> ReducedBasis:
    """The basis with more snapshots `(k, *space.shape)` of its problem, solutions with their prescribed values; its
    own modes come first, so that `truncate` gives the old one back.

    The residual's basis is made anew from all modes: about the cost of one solve per mode and term. To add snapshots
    one after the other, hold a `GrowingBasis`. Raises InputError for fields of another shape.
    """
    dofs = reduced.space.flatten(snapshots)
    growing = GrowingBasis.of(reduced, reduced.modes + len(dofs))
    growing.add(np.asarray(dofs, dtype=np.float64) - reduced.problem.terms().lift)
    return growing.reduced()
