"""The residual of a reduced solution in an orthonormal basis of Riesz representatives.

With f_q, A_q v_j as functionals, each is written as `X W ρ_k + s_k` with W orthonormal in X and a defect s_k. For
`r = Σ_k z_k (k-th functional)`, z = (φ, θ ⊗ c) up to sign,

    ‖r‖_{X⁻¹} <= ‖W‖_X ‖Σ_k z_k ρ_k‖₂ + Σ_k |z_k| ‖s_k‖_{X⁻¹}.

Nothing is squared before it is summed, so the value stays accurate far below the square root of the machine precision,
where the usual Gram matrix of representatives ends. Reference: Buhr, Engwer, Ohlberger and Rave, "A numerically stable
a posteriori error estimator for reduced basis approximations of elliptic equations" (2014). The defects are computed
from what is stored, as if with twice the digits (`nwidth.rb.compensated`), so that the sum is a bound with rounding
counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.problems.base import AffineTerms
from nwidth.rb.compensated import remainder_squares
from nwidth.rb.orthonormal import extend
from nwidth.rb.products import FreeProduct, fast, magnitude, rowwise
from nwidth.rb.rounding import gamma, longest_row, product_operations, products, row_sum
from nwidth.rb.steps import Steps
from nwidth.spaces.base import InnerProduct

#: Vectors that are looked at together: at most so many, and this part of those that are held.
_PIECE, _SHARE = 32, 0.1
#: Entries that are summed by one product: long sums round more, short ones take longer.
_WIDTH = 2048


@dataclass(frozen=True, eq=False)
class ResidualModel:
    """What the online stage needs: coordinates `rows (K, M)`, a bound of each defect `defects (K,)`, and `gain`, a
    bound of ‖W‖_X.

    The first `fixed` rows are the loads and the output functionals; then come the terms A_q v_j, mode by mode. `levels
    (n + 1,)` says how many coordinates n modes need.
    """

    rows: Real
    defects: Real
    gain: float
    fixed: int
    levels: Array

    @cached_property
    def weights(self) -> Real:
        """`w_k` with: the computed ‖Σ z_k ρ_k‖ plus Σ_k |z_k| w_k is a bound, rounding online included, `(K,)`."""
        operations = self.rows.shape[0] + 4
        return self.defects + 1.01 * self.gain * gamma(operations) * np.linalg.norm(self.rows, axis=1)

    @cached_property
    def steps(self) -> Steps:
        """The rows of the terms without the zeros behind them."""
        return Steps.of(self.rows, self.fixed, self.levels)

    def truncate(self, modes: int, terms: int) -> "ResidualModel":
        """The same for the first `modes` modes."""
        count, width = self.fixed + modes * terms, int(self.levels[modes])
        return replace(
            self,
            rows=np.ascontiguousarray(self.rows[:count, :width]),
            defects=self.defects[:count],
            levels=self.levels[: modes + 1],
        )

    def to_stored(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Configuration and arrays."""
        arrays = {"rows": self.rows, "defects": self.defects, "levels": self.levels}
        config = {"gain": self.gain, "fixed": self.fixed}
        return config, {f"residual.{name}": array for name, array in arrays.items()}

    @classmethod
    def from_stored(cls, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> "ResidualModel":
        """The model again."""
        rows, defects, levels = (arrays[f"residual.{name}"] for name in ("rows", "defects", "levels"))
        return cls(np.ascontiguousarray(rows), defects, config["gain"], config["fixed"], levels)


class ResidualBuilder:
    """Grows the orthonormal basis W as modes are added; only used while a basis is fitted.

    Full vectors that are held: W, and the functionals of loads and outputs. The modes are the caller's own arrays, and
    must not change.
    """

    def __init__(self, terms: AffineTerms, functionals: Real, inner: InnerProduct, capacity: int):
        self._terms, self._inner = terms, fast(inner)
        self._magnitude = magnitude(inner)
        self._matrices = [sp.csr_array(matrix) for matrix in terms.matrices]
        self._fixed = np.concatenate([terms.loads, functionals]) * terms.free
        largest = len(self._fixed) + len(terms.matrices) * capacity
        # memory is taken from the system only where something is written
        self._w = np.empty((largest, self._fixed.shape[1]))
        self._table = np.zeros((largest, largest))
        self._modes: list[Real] = []
        self._used, self._levels = 0, [0]
        self._table[: len(self._fixed)] = self._insert(self._fixed.copy(), drop=1e-13)
        self._levels[0] = self._used

    def applied(self, modes: Real) -> Real:
        """`A_q v` on the free dofs for modes v `(k, N)`: `(Q_A k, N)`, the terms slow."""
        images = np.concatenate([rowwise(matrix, modes) for matrix in self._matrices])
        images *= self._terms.free
        return images

    def add(self, modes: Real, new: Real, applied: Real | None = None) -> None:
        """Take new modes `(k, N)`; `new (k,)` says how small a part of its snapshot each of them is. `applied`: their
        images as the method of that name gives them, where they are known; they are overwritten.

        The representatives of one snapshot's terms and of the load depend on each other, because the snapshot solves
        the equation. A mode is a small part, blown up, and so is the noise of that dependence: it is dropped.
        """
        count = len(self._matrices)
        drop = np.minimum(1e-12 / np.maximum(new, 1e-12), 1e-3)
        rows = self._insert(self.applied(modes) if applied is None else applied, drop=np.tile(drop, count))
        first = len(self._fixed) + count * self._held
        self._table[first : first + len(rows)] = rows.reshape(count, len(modes), -1).swapaxes(0, 1).reshape(rows.shape)
        self._modes.append(modes)
        self._levels += [self._used] * len(modes)

    def model(self, certified: bool = True) -> ResidualModel:
        """The model as it stands; without `certified`, defects are left out (for the search of a greedy loop)."""
        count = len(self._fixed) + len(self._matrices) * self._held
        rows = np.ascontiguousarray(self._table[:count, : self._used])
        defects = self._defects(rows) if certified else np.zeros(count)
        gain = self._gain() if certified else 1.0
        return ResidualModel(rows, defects, gain, len(self._fixed), np.array(self._levels))

    @property
    def _held(self) -> int:
        return len(self._levels) - 1

    def _insert(self, functionals: Real, drop: Real | float) -> Real:
        """Extend W by the representatives, and write the functionals in it: ρ = W · functional, zero beyond the basis
        of this time, `(k, capacity)`. The functionals are overwritten."""
        if self._used + len(functionals) > len(self._w):
            raise InputError(f"the residual basis is full at {self._used} vectors; raise max_size")
        representatives = np.ascontiguousarray(self._inner.riesz(functionals))
        found = extend(self._w[: self._used], representatives, functionals, self._inner, drop)
        self._w[self._used : self._used + len(found.fresh)] = found.fresh
        self._used += len(found.fresh)
        rows = np.zeros((len(functionals), len(self._w)))
        rows[:, : self._used] = found.coordinates
        return rows

    def _gain(self) -> float:
        """A bound of ‖W‖_X = √‖W X Wᵀ‖₂."""
        w, lengths = self._w[: self._used], self._lengths()
        square = 0.0
        scale = gamma(product_operations(w.shape[1], _WIDTH) + self._magnitude.operations) * self._magnitude.norm
        step = self._piece()
        for first in range(0, len(w), step):
            piece, rest = w[first : first + step], w[first:]
            gram = products(self._inner.apply(piece), rest, _WIDTH)
            gram[:, : len(piece)] -= np.eye(len(piece))
            deviation = np.abs(gram) + scale * np.outer(lengths[first : first + step], lengths[first:])
            # the matrix is symmetric: what is right of the block on the diagonal counts twice
            square += float(np.sum(deviation[:, : len(piece)] ** 2) + 2 * np.sum(deviation[:, len(piece) :] ** 2))
        return float(np.sqrt(1 + np.sqrt(square)))

    def _piece(self) -> int:
        return max(1, min(_PIECE, int(_SHARE * self._used)))

    def _lengths(self) -> Real:
        """Euclidean lengths of W's vectors, `(M,)`."""
        return np.sqrt(np.einsum("mn,mn->m", self._w[: self._used], self._w[: self._used]))

    def _defects(self, rows: Real) -> Real:
        """A bound of `‖functional - X W ρ‖_{X⁻¹}` for each, from the stored numbers."""
        fixed, count = len(self._fixed), len(self._matrices)
        defects, lengths = np.empty(len(rows)), self._lengths()
        ones = np.ones((1, self._fixed.shape[1]))
        for k, functional in enumerate(self._fixed):
            diagonal = sp.csr_array(sp.diags_array(functional))  # the functional itself, as a product without rounding
            defects[k] = self._defect([diagonal], ones, rows[k : k + 1, : self._levels[0]], lengths)[0]
        place, mode, step = fixed, 0, max(1, self._piece() // count)
        for block in self._modes:
            for first in range(0, len(block), step):
                modes = block[first : first + step]
                mode, stop = mode + len(modes), place + count * len(modes)
                here = rows[place:stop, : self._levels[mode]]
                defects[place:stop] = self._defect(self._matrices, modes, here, lengths)
                place = stop
        return defects

    def _defect(self, matrices: Sequence[sp.csr_array], modes: Real, rows: Real, lengths: Real) -> Real:
        """For each mode `(k, N)` and matrix (fast), the functional A v with its coordinates `rows (k count, m)`."""
        count = len(matrices)
        represented = rows @ self._w[: rows.shape[1]]
        sizes = np.linalg.norm(represented, axis=1)
        rest = np.empty(len(rows))
        for q, matrix in enumerate(matrices):
            rest[q::count] = self._remainder(matrix, modes, represented[q::count], sizes[q::count])
        # rows @ w was rounded: that error is one of the field, measured in X
        shift = gamma(rows.shape[1] + 2) * (np.abs(rows) @ lengths[: rows.shape[1]])
        return rest / np.sqrt(self._inner.lambda_min) + np.sqrt(self._magnitude.norm) * shift

    def _remainder(self, matrix: sp.csr_array, v: Real, w: Real, sizes: Real) -> Real:
        """A bound of `‖A v - X w‖₂` on the free dofs, for rows w with the given Euclidean lengths."""
        inner, size, width = self._inner, self._magnitude, longest_row(matrix)
        noise = row_sum(matrix) * np.linalg.norm(v, axis=1)
        if not isinstance(inner, FreeProduct):
            rest = rowwise(matrix, v) * self._terms.free - inner.apply(w)
            bound = gamma(width + 2) * noise + gamma(size.operations + 2) * size.norm * sizes
            return np.linalg.norm(rest, axis=1) * (1 + 1e-9) + bound
        squares = remainder_squares(
            matrix.data, matrix.indices, matrix.indptr, v,
            inner.matrix.data, inner.matrix.indices, inner.matrix.indptr, w, np.flatnonzero(self._terms.free),
        )  # fmt: skip
        return np.sqrt(squares) * (1 + 1e-9) + gamma(width + size.operations + 2) ** 2 * (noise + size.norm * sizes)
