"""The matrix version: a problem that only assembles its matrices is made affine from these matrices alone.

The entries of A(mu) on its fixed sparsity pattern are one long vector, which is interpolated as any other:
`A(mu) ≈ Σ_m θ_m(mu) A_m` with θ from M entries of A(mu), and the same for the load. Nothing is known of the equation
behind it. Reference: Negri, Manzoni and Amsallem, Journal of Computational Physics 303 (2015) ("MDEIM"), section 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.problems.base import Affine, AffineTerms, Linear, Outputs, Quantity, System
from nwidth.rb.interpolation.deim import DEIM, QDEIM
from nwidth.rb.interpolation.eim import EIM
from nwidth.rb.interpolation.interpolant import Interpolant
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.factor import Pattern


@dataclass(frozen=True, eq=False)
class InterpolatedMatrices(Affine, Outputs, Storable):
    """The problem `truth` with its matrix (`matrix`, on `pattern`) and its load (`load`) interpolated from entries.

    A query needs the chosen entries of the true matrix and load, and gets them by assembling: its cost grows with the
    mesh, unlike that of `Interpolated`. Limits come from the residual in the true system (`certificates.interpolated`).
    """

    kind: ClassVar[str] = "interpolated-matrices"

    truth: Linear
    pattern: Pattern
    matrix: Interpolant
    load: Interpolant
    free: Mask
    lift: Real

    @property
    def parameters(self) -> ParameterSpace:
        """Those of the true problem."""
        return self.truth.parameters

    @property
    def space(self) -> FunctionSpace:
        """That of the true problem."""
        return self.truth.space

    @cached_property
    def _terms(self) -> AffineTerms:
        matrices = tuple(self.pattern.matrix(self._whole(mode)) for mode in self.matrix.basis)
        return AffineTerms(matrices, self.load.basis, self.free, self.lift)

    def terms(self) -> AffineTerms:
        """One matrix and one load per mode."""
        return self._terms

    def _whole(self, mode: Real) -> Real:
        """All values of a matrix from its mode, which for symmetric matrices has those on and above the diagonal."""
        values = np.empty(len(self.pattern.indices))
        if len(mode) == len(values):
            values[:] = mode
        else:
            values[_held(self.pattern, True)] = mode
            values[_mirrored(self.pattern)] = mode
        return values

    def coefficients(self, mu: Mu | Array) -> tuple[Real, Real]:
        """From the chosen entries of the true systems. Raises InputError where their pattern is another one."""
        table, loads = entries(self.truth, as_mu(mu, self.parameters.names), self.pattern)
        held = table[:, _held(self.pattern, self.matrix.basis.shape[1] < table.shape[1])]
        return self.matrix.interpolate(held[:, self.matrix.points]), self.load.interpolate(loads[:, self.load.points])

    def quantities(self) -> Mapping[str, Quantity]:
        """Those of the true problem."""
        return self.truth.quantities() if isinstance(self.truth, Outputs) else {}

    def to_parts(self) -> Parts:
        """Pattern, free dofs and lift; problem and interpolants as children. Raises InputError where the problem cannot
        be stored."""
        if not isinstance(self.truth, Storable):
            raise InputError(
                f"{type(self.truth).__name__} cannot be stored: inherit nwidth's Storable (kind, to_parts, from_parts)"
            )
        arrays = {"indptr": self.pattern.indptr, "indices": self.pattern.indices, "free": self.free, "lift": self.lift}
        return Parts({}, arrays, {"truth": self.truth, "matrix": self.matrix, "load": self.load})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again."""
        pattern = Pattern(np.array(arrays["indptr"]), np.array(arrays["indices"]))
        free = np.asarray(arrays["free"], dtype=bool)
        return cls(children["truth"], pattern, children["matrix"], children["load"], free, np.array(arrays["lift"]))


def interpolated_matrices(
    problem: Linear,
    training: int | Mapping[str, Any] = 100,
    tol: float | None = 1e-6,
    *,
    max_size: int = 100,
    method: type[EIM] | type[DEIM] = QDEIM,
    seed: int = 0,
) -> InterpolatedMatrices:
    """The problem made affine from its assembled systems at the training parameters: how many are drawn, or a mapping
    name -> `(B,)` of your own.

    method: EIM (errors in the maximum norm of the entries), DEIM or QDEIM (Euclidean). Raises InputError for a problem
    that does not assemble, systems whose pattern, free dofs or prescribed values change, WorkError where `tol` is
    missed with `max_size` terms.
    """
    if not isinstance(problem, Linear):
        raise InputError(f"got {type(problem).__name__}; expected a Linear problem: inherit Linear (assemble)")
    names = problem.parameters.names
    mu = problem.parameters.sample(range(training), seed) if isinstance(training, int) else as_mu(training, names)
    first = problem.assemble(select(mu, slice(0, 1)))
    pattern = Pattern.of(_sorted(first))
    table, loads = entries(problem, mu, pattern)
    fit, symmetric = method(tol, max_size), all(pattern.symmetric(values) for values in table)
    return InterpolatedMatrices(
        problem, pattern, fit.fit(table[:, _held(pattern, symmetric)]), fit.fit(loads), first.free, first.lift
    )


def entries(problem: Linear, mu: Mapping[str, Array], pattern: Pattern) -> tuple[Real, Real]:
    """Values of the matrices on the pattern `(B, nnz)` and loads `(B, N)`, zero where values are prescribed."""
    first: System | None = None
    values, loads = [], []
    for i in range(batch_size(mu)):
        system = problem.assemble(select(mu, slice(i, i + 1)))
        matrix = _sorted(system)
        first = first or system
        if not (pattern.fits(matrix) and np.array_equal(first.free, system.free)):
            raise InputError(
                f"the system of row {i} has another pattern or other free dofs than the first: assemble all on one "
                "pattern, with explicit zeros"
            )
        if not np.array_equal(first.lift, system.lift):
            raise InputError(f"the prescribed values of row {i} are not those of the first: they must not change")
        values.append(matrix.data)
        loads.append(np.where(system.free, system.load, 0.0))
    return np.stack(values).astype(np.float64), np.stack(loads).astype(np.float64)


def _held(pattern: Pattern, symmetric: bool) -> Array:
    """Positions of the entries that are interpolated: all, or of symmetric matrices one of each pair, so that every
    mode is symmetric to the last digit."""
    return pattern.upper if symmetric else np.arange(len(pattern.indices))


def _mirrored(pattern: Pattern) -> Array:
    """Positions of the other entry of each pair."""
    return np.asarray(pattern.mirror)[pattern.upper]


def _sorted(system: System) -> sp.csr_array:
    matrix = sp.csr_array(system.matrix)
    if not matrix.has_sorted_indices:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix
