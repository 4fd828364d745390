"""The fair direct contestant: from parameters to solutions by Pardiso at its best, assembly included."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from _pardiso import Pardiso

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.validation import batch_size, select
from nwidth.problems.base import Linear
from nwidth.spaces.factor import restricted


class TunedPardiso:
    """The symmetric positive definite systems of a problem, one after the other, in two dimensions.

    One symbolic analysis and one search for the entries of the free dofs serve all samples: the pattern is the same.
    """

    def __init__(self, problem: Linear):
        self.problem = problem
        self._library = Pardiso(definite=True, tuned=True)
        self._places: sp.csr_array | None = None

    def assembled(self, mu: Mu) -> Iterator[tuple[sp.csr_array, Real]]:
        """Matrix and load on the free dofs, sample by sample."""
        for i in range(batch_size(mu)):
            system = self.problem.assemble(select(mu, slice(i, i + 1)))
            whole = sp.csr_array(system.matrix)
            if self._places is None:
                numbered = sp.csr_array((np.arange(whole.nnz), whole.indices, whole.indptr), shape=whole.shape)
                self._places = restricted(numbered, system.free)
                self._places.sort_indices()
            places = self._places
            matrix = sp.csr_array((whole.data[places.data], places.indices, places.indptr), shape=places.shape)
            yield matrix, np.ascontiguousarray(system.load[system.free])

    def solve(self, mu: Mu) -> Array:
        """Solutions on the free dofs."""
        return np.stack([self._library.solve(*system) for system in self.assembled(mu)])

    def residual(self, mu: Mu) -> float:
        """The largest true relative residual of its solutions."""
        pairs = zip(self.assembled(mu), self.solve(mu), strict=True)
        return max(float(np.linalg.norm(f - a @ x) / np.linalg.norm(f)) for (a, f), x in pairs)

    def close(self) -> None:
        """Gives the memory of the factors back."""
        self._library.close()
