"""Quadratic quantities of interest: energies, dissipated powers, mean squares."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Real
from nwidth.core.errors import InputError
from nwidth.problems.base import Problem


@dataclass(frozen=True, eq=False)
class Quadratic:
    """`s(u) = uᵀ Q u + functional · u + offset`, in `unit`: matrix Q `(N, N)` over all dofs, functional `(N,)`.

    Only the symmetric part of Q counts. Raises InputError for shapes that do not fit, or entries that are not finite.
    """

    matrix: sp.csr_array
    functional: Real = field(default_factory=lambda: np.zeros(0))
    offset: float = 0.0
    unit: str = ""

    def __post_init__(self) -> None:
        given = sp.csr_array(self.matrix, dtype=np.float64)
        size = given.shape[0]
        functional = np.asarray(self.functional, dtype=np.float64)
        functional = functional if functional.size else np.zeros(size)
        if given.shape != (size, size) or functional.shape != (size,):
            raise InputError(
                f"a quadratic quantity has a matrix of shape {given.shape} and a functional of shape "
                f"{functional.shape}; give (N, N) and (N,), over all dofs"
            )
        # halves are exact; a matrix that is symmetric already stays as it is
        matrix = sp.csr_array((given + given.T) / 2)
        matrix.sum_duplicates()
        if not (np.isfinite(matrix.data).all() and np.isfinite(functional).all() and np.isfinite(self.offset)):
            raise InputError("a quadratic quantity must be finite: its matrix, functional or offset is not")
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "functional", functional)

    def __call__(self, dofs: Real) -> Real:
        """s of dofs `(B, N)`, `(B,)`."""
        applied = (self.matrix @ dofs.T).T
        return np.einsum("bn,bn->b", dofs, applied) + dofs @ self.functional + self.offset


class QuadraticOutputs(Problem):
    """A problem with named quadratic quantities of interest (linear ones are `Outputs`)."""

    @abstractmethod
    def quadratics(self) -> Mapping[str, Quadratic]:
        """Name -> quadratic quantity."""
