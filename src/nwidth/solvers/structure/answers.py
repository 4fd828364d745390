"""Solutions of samples that share a structure, from one factorisation of the reference.

With `A = s A₀ + U C Vᴴ`, `Z = A₀⁻¹ U` and `y = A₀⁻¹ f` (Woodbury; Golub and Van Loan, section 2.1.4):

    A⁻¹ f = (y - Z t) / s,     (s I + C Vᴴ Z) t = C Vᴴ y,

which needs no inverse of C. The formula is exact but for rounding, and its rounding is that of A₀: so the residual of
the sample's own matrix is recomputed and the answer refined, and a capacitance matrix `s I + C Vᴴ Z` that is close to
singular is refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import WorkError
from nwidth.core.seeding import generator
from nwidth.solvers.structure.find import Structure
from nwidth.solvers.structure.samples import Split
from nwidth.spaces.factor import (
    Factor,
    Kind,
    Pattern,
    SingularMatrixError,
    best_backend,
    careful_factors,
    new_factor,
)

#: Size of the two parts of the capacitance matrix, relative to its inverse, beyond which the formula is not used.
_WORST = 1e10
#: Steps of iterative refinement, and the relative residual at which none is needed.
_REFINEMENTS, _GOOD = 3, 1e-12
#: `‖A‖ ‖A⁻¹ b‖ / ‖b‖` for a random b beyond which a matrix is singular to working precision.
_SINGULAR = 1e14


class _Inverse(NamedTuple):
    """The factor s of a sample, and `(s I + C Vᴴ Z)⁻¹ C` where its matrix changes by more than that."""

    scale: float
    small: Array | None


@dataclass(frozen=True, eq=False)
class Answers:
    """Free dofs `(k, n)`, their relative residuals `(k,)` (infinite where the structure does not help), and how many
    solves each took `(k,)`."""

    w: Array
    residual: Real
    solves: Array


class Reference:
    """The reference matrix factorised, its load cases solved, `Z` computed: what all samples are answered from.

    Raises SingularMatrixError where the reference is singular to working precision.
    """

    def __init__(self, structure: Structure, backend: str | None, regular: bool):
        self.structure, self.matrix, self._regular = structure, structure.source.reference, regular
        self._norm = _norm(self.matrix)
        self._probe = generator(0).standard_normal((1, self.matrix.shape[0])).astype(self.matrix.dtype)
        self._factor, self._probed = _factorised(self.matrix, backend, self._probe)
        if not regular and self._blown_up(self._probed, self._norm):
            raise SingularMatrixError("the matrix is singular to working precision")
        self._cases = None if structure.cases is None else _Cases(structure.cases, self._factor)
        change = structure.change
        self._z = None if change is None else np.ascontiguousarray(self._factor.solve(change.left.T.copy()).T)
        self._small = None if change is None else change.right.conj().T @ self._z

    def solve(self, splits: Sequence[Split]) -> Answers:
        """Solutions of the samples, each checked against its own matrix."""
        loads = np.stack([split.load for split in splits])
        inverses = [self._inverse(split) for split in splits]
        start = self._factor.solve(loads) if self._cases is None else self._cases.solve(loads)
        w = self._corrected(start, inverses)
        scale = np.linalg.norm(loads, axis=1)
        scale[scale == 0] = 1.0
        r = loads - _apply(self.matrix, splits, w)
        reliable = np.array([inverse is not None for inverse in inverses])
        residual = np.where(reliable, np.linalg.norm(r, axis=1) / scale, np.inf)
        solves = np.full(len(splits), 1 if self._cases is None else 0)
        rows = np.flatnonzero(reliable & (residual > _GOOD))
        if len(rows):
            part, own = [splits[int(i)] for i in rows], [inverses[int(i)] for i in rows]
            w[rows], residual[rows], more = self._refined(loads[rows], part, own, w[rows], scale[rows])
            solves[rows] += more
        return Answers(w, residual, solves)

    def _refined(
        self, loads: Array, splits: Sequence[Split], inverses: Sequence[_Inverse | None], w: Array, scale: Real
    ) -> tuple[Array, Real, Array]:
        """Better answers by iterative refinement, their residuals, and the steps that each took."""
        r = loads - _apply(self.matrix, splits, w)
        residual, steps = np.linalg.norm(r, axis=1) / scale, np.zeros(len(splits), dtype=int)
        for _ in range(_REFINEMENTS):
            trial = w + self._corrected(self._factor.solve(r), inverses)
            left = loads - _apply(self.matrix, splits, trial)
            size = np.linalg.norm(left, axis=1) / scale
            better = (size < residual) & (residual > _GOOD)
            if not better.any():
                break
            steps += better
            w[better], r[better], residual[better] = trial[better], left[better], size[better]
        return w, residual, steps

    def _inverse(self, split: Split) -> _Inverse | None:
        """What turns `A₀⁻¹` into a sample's own inverse; None where the formula would not be reliable."""
        if split.change is None:
            return _Inverse(split.scale, None)
        change = self.structure.change
        if change is None or self._small is None:
            return None
        core = change.core(split.change)
        if not change.holds(split.change, core):
            return None
        moved = core @ self._small
        left, values, right = np.linalg.svd(split.scale * np.eye(change.rank) + moved)
        if not split.scale + np.linalg.norm(moved) <= _WORST * values[-1]:
            return None
        found = _Inverse(split.scale, (right.conj().T / values) @ (left.conj().T @ core))
        if self._regular:
            return found
        probed = self._corrected(self._probed, [found])
        return None if self._blown_up(probed, self._norm * split.scale + _norm(split.change)) else found

    def _corrected(self, y: Array, inverses: Sequence[_Inverse | None]) -> Array:
        """`A⁻¹ f` from `A₀⁻¹ f` for each sample."""
        w, change = np.array(y), self.structure.change
        for i, inverse in enumerate(inverses):
            if inverse is None:
                continue
            if inverse.small is not None and change is not None:
                w[i] -= self._z @ (inverse.small @ (change.right.conj().T @ w[i]))
            w[i] /= inverse.scale
        return w

    def _blown_up(self, answer: Array, norm: float) -> bool:
        """Whether the inverse enlarges a random vector beyond what working precision allows."""
        return not norm * np.linalg.norm(answer) <= _SINGULAR * np.linalg.norm(self._probe)


class _Cases:
    """Loads `(r, n)` solved once; a load that is not one of their combinations goes through the factorisation."""

    def __init__(self, loads: Array, factor: Factor):
        self._factor = factor
        _, values, rows = np.linalg.svd(loads, full_matrices=False)
        kept = values > 1e-14 * values.max(initial=0.0)
        self._basis = rows[kept]
        self._fields = factor.solve(np.ascontiguousarray(self._basis)) if kept.any() else self._basis

    def solve(self, loads: Array) -> Array:
        amounts = loads @ self._basis.conj().T
        fields = amounts @ self._fields
        rest = np.linalg.norm(loads - amounts @ self._basis, axis=1)
        strange = rest > 1e-12 * np.linalg.norm(loads, axis=1)
        if strange.any():
            fields[strange] = self._factor.solve(np.ascontiguousarray(loads[strange]))
        return fields


def _factorised(matrix: sp.csr_array, backend: str | None, probe: Array) -> tuple[Factor, Array]:
    """The fastest factorisation that the matrix has, and what it makes of a random vector.

    Raises SingularMatrixError where it has none.
    """
    for factor in _candidates(Pattern.of(matrix), matrix.data, best_backend(backend)):
        with suppress(WorkError):  # singular, or whatever else this one cannot do: the next may
            factor.factorise(matrix.data)
            probed = factor.solve(probe)
            if not factor.perturbed and np.isfinite(probed).all():
                return factor, probed
    raise SingularMatrixError("the matrix is singular to working precision")


def _candidates(pattern: Pattern, values: Array, backend: str) -> Iterator[Factor]:
    """Factorisations for such a matrix, from the fastest to the surest; "definite" is a guess."""
    kind: Kind = pattern.kind(values)
    yield new_factor(pattern, backend, kind, values.dtype)
    if kind == "definite":
        yield new_factor(pattern, backend, "symmetric", values.dtype)
    yield from careful_factors(pattern, backend, kind, values.dtype)


def _apply(reference: sp.csr_array, splits: Sequence[Split], w: Array) -> Array:
    """`A_i w_i` for every sample; one product each is as fast as all at once, and needs no transposed copies."""
    products = np.empty(w.shape, dtype=np.result_type(reference.dtype, w.dtype))
    for i, split in enumerate(splits):
        products[i] = reference @ w[i]
        if split.scale != 1.0:
            products[i] *= split.scale
        if split.change is not None:
            products[i] += split.change @ w[i]
    return products


def _norm(matrix: sp.csr_array) -> float:
    return float(np.abs(matrix).sum(axis=1).max())
