"""Conjugate gradients that leave a reduced basis to Galerkin's method and iterate on the rest.

With W the basis and `P = I - W (WᵀAW)⁻¹ WᵀA`, the A-orthogonal projection along it, the start is corrected in W once
(`Wᵀ r = 0` from then on) and every preconditioned residual is projected: z = P X⁻¹ r. That is conjugate gradients on
the A-orthogonal complement V of W, whose operator P X⁻¹ A has the Rayleigh quotients of X⁻¹A at vectors of V: its
spectrum lies between the same α and β. The steps are those of the spectrum that is left: W should hold what X⁻¹ treats
worst. Rounding brings parts along W back into the residual, which the coefficients of the steps do not see; the bound
is formed from the recomputed residual, by theorems that ask nothing of the iteration.

(Nicolaides, SIAM J. Numer. Anal. 24 (1987) 355; Saad, Yeung, Erhel and Guyomarc'h, SIAM J. Sci. Comput. 21 (2000) 1909,
algorithm 3.5.)
"""

from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.problems.base import Coercive, Problem, Systems
from nwidth.solvers.riesz_cg import Deflation, RieszCG, RieszState
from nwidth.spaces.base import InnerProduct

#: Directions whose part beside the others is smaller than this, relative to the largest, are left out.
_DEPENDENT = 1e-7


@dataclass(frozen=True)
class DeflatedState(RieszState):
    """The basis too, zero at constrained dofs and orthonormal in X: `(n, N)`."""

    basis: Real


@dataclass(frozen=True, eq=False, kw_only=True)
class DeflatedCG(RieszCG):
    """`RieszCG` beside a reduced basis: `modes (n, N)` or fields `(n, *shape)`, snapshots or POD modes alike.

    A sample pays n products to project its matrix and about 4 n N operations more in every step. It pays where the
    contrast is high and the basis small; at low contrast `RieszCG` is faster.

    Raises InputError for modes of another size, or none that is independent.
    """

    modes: Array

    def prepare(self, problem: Problem) -> DeflatedState:
        """The basis made orthonormal in X."""
        state = super().prepare(problem)
        return DeflatedState(state.problem, state.inner, _orthonormal(self.modes, state.problem, state.inner))

    def _deflation(self, state: RieszState, systems: Systems) -> Deflation | None:
        if not isinstance(state, DeflatedState):
            raise InputError(
                f"got a {type(state).__name__}; hand over what this solver's own prepare(problem) returned"
            )
        return Along(state.basis, systems)


class Along(Deflation):
    """The projection along a basis for the matrices of a batch."""

    def __init__(self, basis: Real, systems: Systems):
        count, size = len(systems.load), basis.shape[1]
        self._basis = basis
        self._images = np.empty((count, len(basis), size))
        for mode, row in enumerate(basis):
            self._images[:, mode] = systems.apply(np.broadcast_to(row, (count, size)))
        # one product of matrices: a stack of them goes through a slower routine
        gram = (self._images.reshape(-1, size) @ basis.T).reshape(count, len(basis), len(basis))
        # WᵀAW lies between α and β for W orthonormal in X: as well conditioned as the contrast is small
        self._inverse = np.linalg.inv((gram + gram.transpose(0, 2, 1)) / 2)

    def enter(self, w: Array, r: Array) -> tuple[Array, Array]:
        c = self._solve(r @ self._basis.T)
        return w + c @ self._basis, r - _combined(c, self._images)

    def project(self, z: Array) -> Array:
        along = np.matmul(self._images, z[:, :, None])[:, :, 0]
        return z - self._solve(along) @ self._basis

    def take(self, rows: Array) -> "Along":
        part = object.__new__(Along)
        part._basis, part._images, part._inverse = self._basis, self._images[rows], self._inverse[rows]
        return part

    def _solve(self, c: Array) -> Real:
        return np.asarray(np.matmul(self._inverse, c[:, :, None])[:, :, 0])


def _combined(c: Array, images: Array) -> Real:
    return np.asarray(np.matmul(c[:, None, :], images)[:, 0])


def _orthonormal(modes: Array, problem: Coercive, inner: InnerProduct) -> Real:
    """Rows that span the modes on the free dofs, orthonormal in X."""
    modes = np.asarray(modes, dtype=np.float64).reshape(len(modes), -1)
    if modes.shape[1] != problem.space.size or not np.isfinite(modes).all():
        raise InputError(
            f"modes have shape {modes.shape} (flattened); expected finite values (n, {problem.space.size}), a few "
            "fields of the problem's space"
        )
    images = inner.apply(modes)
    values, vectors = np.linalg.eigh(modes @ images.T)
    kept = values > _DEPENDENT**2 * max(float(values[-1]), np.finfo(np.float64).tiny)
    if not kept.any():
        raise InputError("all modes vanish on the free dofs; hand over snapshots or modes that differ from zero there")
    # X u lives on the free dofs alone, so X⁻¹ X u does too
    free = inner.riesz(images)
    return np.ascontiguousarray((vectors[:, kept] / np.sqrt(values[kept])).T @ free)
