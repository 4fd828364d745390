"""A = L D Lᵀ for many symmetric matrices of one pattern at once: one sample in each lane of a vector.

The matrices of a parametrized problem differ in their values alone. One symbolic analysis serves them all, and the
numerical factorisation runs for 16 (float32) or 8 (float64) samples side by side: each index is read once for all of
them, and every operation is a full vector instruction. Pivots are taken in the order of the analysis, whatever their
size: a choice for one sample would be a choice for all. So the answer is never trusted: the residual of every sample is
recomputed in float64, and iterative refinement continues until it meets the tolerance or a sample is given up.

Reference for single-precision factors with refinement: Higham, Mary, "Mixed precision algorithms in numerical linear
algebra", Acta Numerica 31 (2022), section 5.
"""

from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.validation import check_choice
from nwidth.spaces.ldlt_kernels import (
    add,
    aligned,
    backward,
    factorise,
    forward,
    interleave,
    largest,
    put,
    separate,
    subtract_product,
)
from nwidth.spaces.ldlt_symbolic import Analysis
from nwidth.spaces.ldlt_vectors import lanes_of

Precision = Literal["single", "double"]

#: A smaller pivot, relative to the largest entry of the matrix, is replaced by this size.
_LEAST = {"single": 1e-6, "double": 1e-12}
#: A pivot below this, relative to the largest entry, is reason to look whether the matrix is singular. In single
#: precision rounding can hide a zero pivot (up to 0.05 was measured), so one always looks.
_SMALL = {"single": np.inf, "double": 1e-6}
#: A random load that refinement cannot meet to this relative residual in so many solves: the matrix counts as singular.
_PROBE, _PROBE_SOLVES = 1e-5, 3
#: A step of refinement has to take the residual below this part of the last one.
_PROGRESS = 0.5


@dataclass(frozen=True)
class Refined:
    """Solutions `(B, n)`, their relative residuals in float64, solves with the factor, and samples not to rely on.

    `condition (B,)`: `max |a_ij| ‖x‖ / ‖b‖`, no more than the condition number. `doubtful (B,)`: singular as far as
    this factor can tell.
    """

    x: Array
    residual: Real
    solves: Array
    condition: Real
    doubtful: Mask


class BatchedLDLT:
    """Factorises up to `lanes` matrices of one pattern at a time, and solves one system with each.

    `dtype`: float64, or complex128 for complex symmetric (not Hermitian) matrices. `precision` is that of the factor:
    "single" factorises in half the time, but takes three more solves, and one or two more to see a singular matrix: no
    gain unless memory is dear. Holds its memory, about `lanes * analysis.storage` numbers; for one thread at a time.
    """

    def __init__(self, analysis: Analysis, dtype: Any = np.float64, precision: Precision = "double"):
        check_choice("precision", precision, ("single", "double"))
        self.analysis, self.precision = analysis, precision
        self.complex = np.issubdtype(np.dtype(dtype), np.complexfloating)
        number = np.dtype(np.float32 if precision == "single" else np.float64)
        self.lanes, self._parts = lanes_of(number), 2 if self.complex else 1
        self._entries = aligned((len(analysis.source), self._parts, self.lanes), np.float64)
        width, size = analysis.widest, analysis.size
        counts = (analysis.storage, size, size + 1, width + 4, 4 * width + 16)
        self._factor, self._inverses, self._x, self._sums, self._scratch = (
            aligned(self._numbers(count), number) for count in counts
        )
        self._least, self._smallest = (aligned((1, self.lanes), number) for _ in range(2))
        self._largest = np.ones(self.lanes)
        self._load, self._residual, self._y = (
            aligned((analysis.size, self._parts, self.lanes), np.float64) for _ in range(3)
        )
        self._every_row = np.arange(size)
        self._batch = 0

    def _numbers(self, count: int) -> tuple[int, ...]:
        return (count, 2, self.lanes) if self.complex else (count, self.lanes)

    def solve(self, values: Array, load: Array, tolerance: float = 1e-10, steps: int = 10) -> Refined:
        """`A_i⁻¹ b_i` for values `(B, nnz)` and loads `(B, n)` of B <= `lanes` systems.

        Each is refined until its relative residual is at most `tolerance`, with at most `steps` solves; a sample whose
        residual no longer falls is left as it is. Raises InputError for other shapes.
        """
        self._take(values, load)
        with np.errstate(all="ignore"):
            size = _norms(self._load)
            self._factorise(size)
            residual, solves = self._refine(size, tolerance, steps, carried=True)
            condition = self._largest * _norms(self._y) / np.where(size > 0, size, 1.0)
            x = self._separated()
            doubtful = self._singular()
        rows = slice(self._batch)
        return Refined(x, residual[rows], solves[rows], condition[rows], doubtful[rows])

    def _take(self, values: Array, load: Array) -> None:
        """Lay the samples side by side."""
        a, count = self.analysis, len(self.analysis.pattern.indices)
        if values.ndim != 2 or values.shape[1] != count or not 1 <= len(values) <= self.lanes:
            raise InputError(f"values have shape {values.shape}; expected 1 to {self.lanes} rows of {count} entries")
        if load.shape != (len(values), a.size):
            raise InputError(f"loads have shape {load.shape}; expected {(len(values), a.size)}")
        self._batch = len(values)
        interleave(self._as_parts(values), a.source, a.slot, self._entries)
        interleave(self._as_parts(load), self._every_row, a.number, self._load)

    def _factorise(self, size: Real) -> None:
        """The factors, and on the way the forward substitution of the loads, whose norms are `size`."""
        self._largest = largest(self._entries)
        self._scale = (1.0 / np.where(self._largest > 0, self._largest, 1.0)).astype(self._factor.dtype)
        self._least[:] = _LEAST[self.precision]
        self._smallest[:] = np.inf
        a = self.analysis
        entries = self._entries.reshape(len(a.source), self._parts * self.lanes)
        put(self._load, _inverse(size), self._x)
        factorise(
            self._factor, self._inverses, self._x, entries, self._scale, self._scratch, self._least, self._smallest,
            a.panels, a.starts, a.target, a.places, a.fresh, a.fresh_starts, a.below,
        )  # fmt: skip

    def _refine(self, scale: Real, tolerance: float, steps: int, carried: bool = False) -> tuple[Real, Array]:
        """Relative residuals and solves of each lane: the loads are in `_load`, their norms in `scale`, the solutions
        go to `_y`. `carried`: the first forward substitution has been done."""
        a, residual = self.analysis, np.where(scale > 0, 1.0, 0.0)
        self._residual[...] = self._load
        self._y[...] = 0.0
        solves, active = np.zeros(self.lanes, dtype=int), residual > tolerance
        for step in range(steps):
            if not active.any():
                break
            self._correct(np.where(active, residual * scale, 0.0), carried and step == 0)
            squares = subtract_product(self._load, self._entries, a.rows, a.columns, self._y, self._residual)
            before, residual = residual, np.where(active, np.sqrt(squares) * _inverse(scale), residual)
            solves += active
            active &= (residual > tolerance) & (residual < _PROGRESS * before)
        return residual, solves

    def _correct(self, size: Real, carried: bool) -> None:
        """`y += (L D Lᵀ)⁻¹ r` where size, the norm of r, is positive; scaled to keep clear of the ends of float32."""
        a = self.analysis
        if not carried:
            put(self._residual, _inverse(size), self._x)
            forward(self._factor, self._inverses, self._x, a.panels, a.below)
        backward(self._factor, self._inverses, self._x, self._sums, a.panels, a.below)
        add(self._x, size * self._scale, self._y)

    def _singular(self) -> Mask:
        """Which matrices are singular as far as this factor can tell: those that do not reach a random load.

        The given load may be one of the few that a singular matrix does reach.
        """
        few = self._smallest[0] < _SMALL[self.precision]
        if not few.any():
            return np.zeros(self.lanes, dtype=bool)
        self._load[...] = generator(0).standard_normal((self.analysis.size, self._parts, 1)) * few
        return few & ~(self._refine(_norms(self._load), _PROBE, _PROBE_SOLVES)[0] <= _PROBE)

    @property
    def smallest_pivot(self) -> Real:
        """Smallest |pivot| of each matrix relative to its largest entry, `(B,)`; below 1e-6 or 1e-12 it was raised."""
        return self._smallest[0, : self._batch].astype(np.float64)

    def _as_parts(self, values: Array) -> Real:
        """Values `(B, m)` as `(B, m, parts)`."""
        kind = np.complex128 if self.complex else np.float64
        values = np.ascontiguousarray(values, dtype=kind)
        return values.view(np.float64).reshape(*values.shape, self._parts)

    def _separated(self) -> Array:
        """The solutions at hand, `(B, n)`, in the order of the unknowns."""
        parts = np.empty((self._batch, self.analysis.size, self._parts))
        separate(self._y, self.analysis.number, parts)
        return parts.view(np.complex128)[..., 0] if self.complex else parts[..., 0]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a factorisation lives in one process; prepare it where it is used")


def _norms(values: Real) -> Real:
    """Euclidean norm of each lane of `(n, parts, lanes)`."""
    return np.sqrt(np.einsum("npl,npl->l", values, values))


def _inverse(size: Real) -> Real:
    """`1 / size`, and 0 for 0."""
    return np.where(size > 0, 1.0 / np.where(size > 0, size, 1.0), 0.0)
