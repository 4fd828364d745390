"""Problems whose matrices differ in their values alone: what batched factorisations live on."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu, batch_size
from nwidth.problems.base import Linear, System
from nwidth.spaces.factor import Pattern


@dataclass(frozen=True, eq=False)
class Filled:
    """A batch of systems on one pattern: `values (B, nnz)`, `load (B, n)` on the free dofs, and `lift (B, N)`.

    `u = lift + w` with `A w = load` on the free dofs; the load contains what the lift contributes.
    """

    values: Array
    load: Array
    lift: Array


class FixedPattern(Linear):
    """A linear problem whose matrices, on the free dofs, share one pattern and equal their transposes.

    Complex matrices are symmetric too (not Hermitian). `fill` gives the values of a whole batch without building a
    sparse matrix.
    """

    @property
    @abstractmethod
    def pattern(self) -> Pattern:
        """Where the matrices have entries, free dofs only; made once and kept by the problem."""

    @property
    @abstractmethod
    def free(self) -> Mask:
        """The dofs whose values are not prescribed, `(N,)`."""

    @abstractmethod
    def fill(self, mu: Mu) -> Filled:
        """The systems of a batch."""

    def assemble(self, mu: Mu) -> System:
        """The system of one parameter, its matrix over all dofs (nothing outside the free ones)."""
        mu = as_mu(mu, self.parameters.names)
        if batch_size(mu) != 1:
            raise InputError(f"assemble takes one parameter, got {batch_size(mu)}; use systems(mu) or fill(mu)")
        filled, place = self.fill(mu), np.flatnonzero(self.free)
        entries = (filled.values[0], (place[self.pattern.rows], place[self.pattern.indices]))
        load = np.zeros(len(self.free), dtype=filled.load.dtype)
        load[place] = filled.load[0]
        matrix = sp.csr_array(entries, shape=(len(load), len(load)))
        return System(matrix, load, self.free, filled.lift[0])
