"""The residual of a reduced solution in an orthonormal basis of Riesz representatives.

With f_q, A_q v_j as functionals, each is written as `X W ρ_k + s_k` with W orthonormal in X and a defect s_k. For
`r = Σ_k z_k (k-th functional)`, z = (φ, θ ⊗ c) up to sign,

    ‖r‖_{X⁻¹} <= ‖W‖_X ‖Σ_k z_k ρ_k‖₂ + Σ_k |z_k| ‖s_k‖_{X⁻¹}.

Nothing is squared before it is summed, so the value stays accurate far below the square root of the machine precision,
where the usual Gram matrix of representatives ends. Reference: Buhr, Engwer, Ohlberger and Rave, "A numerically stable
a posteriori error estimator for reduced basis approximations of elliptic equations" (2014). The defects are computed
from what is stored, in extended precision where the machine has it, so that the sum is a bound with rounding counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.problems.base import AffineTerms
from nwidth.rb.orthonormal import extension
from nwidth.rb.rounding import (
    EPS,
    EPS_LONG,
    LONG,
    gamma,
    long_product,
    longest_row,
    product_operations,
    products,
    row_sum,
)
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.mesh import MatrixProduct

#: Vectors that are held in extended precision at a time.
_PIECE = 16


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
    """Grows the orthonormal basis W as modes are added; only used while a basis is fitted."""

    def __init__(self, terms: AffineTerms, functionals: Real, inner: InnerProduct, capacity: int):
        self._terms, self._inner = terms, inner
        fixed = np.concatenate([terms.loads, functionals]) * terms.free
        count = len(terms.matrices)
        # memory is taken from the system only where something is written
        self._w = np.empty((len(fixed) + count * capacity, fixed.shape[1]))
        self._rows: list[Real] = []
        self._used, self._levels = 0, [0]
        self._fixed, self._modes = fixed, np.zeros((0, fixed.shape[1]))
        self._form = _Form(inner, fixed.shape[1])
        self._insert(fixed, drop=1e-13)
        self._levels[0] = self._used

    def add(self, modes: Real, new: Real) -> None:
        """Take new modes `(k, N)`; `new (k,)` says how small a part of its snapshot each of them is.

        The representatives of one snapshot's terms and of the load depend on each other, because the snapshot solves
        the equation. A mode is a small part, blown up, and so is the noise of that dependence: it is dropped.
        """
        block = np.concatenate([self._applied(modes, q) for q in range(len(self._terms.matrices))])
        drop = np.minimum(1e-12 / np.maximum(new, 1e-12), 1e-3)
        self._insert(block, drop=np.tile(drop, len(self._terms.matrices)))
        self._modes = np.concatenate([self._modes, modes])
        self._levels += [self._used] * len(modes)

    def model(self, certified: bool = True) -> ResidualModel:
        """The model as it stands; without `certified`, defects are left out (for the search of a greedy loop)."""
        rows = self._matrix()
        defects = self._defects(rows) if certified else np.zeros(len(rows))
        gain = self._gain() if certified else 1.0
        return ResidualModel(rows, defects, gain, len(self._fixed), np.array(self._levels))

    def _applied(self, modes: Real, q: int) -> Real:
        """`A_q v` on the free dofs."""
        return np.ascontiguousarray((self._terms.matrices[q] @ modes.T).T) * self._terms.free

    def _insert(self, functionals: Real, drop: Real | float) -> None:
        """Extend W by the representatives, then write the functionals in it: ρ = W · functional."""
        if self._used + len(functionals) > len(self._w):
            raise InputError(f"the residual basis is full at {self._used} vectors; raise max_size")
        basis = self._w[: self._used]
        fresh, _ = extension(basis, self._inner.riesz(functionals), self._inner, drop)
        self._w[self._used : self._used + len(fresh)] = fresh
        self._used += len(fresh)
        self._rows.append(functionals @ self._w[: self._used].T)

    def _matrix(self) -> Real:
        """Coordinates of all functionals, zero beyond the basis of their time; modes first, then terms."""
        padded = [np.pad(block, ((0, 0), (0, self._used - block.shape[1]))) for block in self._rows]
        count = len(self._terms.matrices)
        ordered = [padded[0]]
        for block in padded[1:]:
            modes = len(block) // count
            ordered.append(block.reshape(count, modes, -1).swapaxes(0, 1).reshape(len(block), -1))
        return np.concatenate(ordered)

    def _gain(self) -> float:
        """A bound of ‖W‖_X = √‖W X Wᵀ‖₂."""
        w = self._w[: self._used]
        pieces = [w[first : first + _PIECE] for first in range(0, len(w), _PIECE)]
        gram = np.concatenate([products(self._inner.apply(piece), w) for piece in pieces])
        deviation = np.abs(gram - np.eye(len(w)))
        lengths = np.linalg.norm(w, axis=1)
        operations = product_operations(w.shape[1]) + self._form.width
        noise = gamma(operations) * self._form.norm * np.outer(lengths, lengths)
        return float(np.sqrt(1 + np.linalg.norm(deviation + noise)))

    def _defects(self, rows: Real) -> Real:
        """A bound of `‖functional - X W ρ‖_{X⁻¹}` for each, from the stored numbers."""
        fixed, count = len(self._fixed), len(self._terms.matrices)
        defects = np.empty(len(rows))
        defects[:fixed] = self._defect(self._fixed, rows[:fixed], 0.0)
        for q, matrix in enumerate(map(sp.csr_array, self._terms.matrices)):
            scale = gamma(longest_row(matrix) + 2, EPS_LONG) * row_sum(matrix)
            for first in range(0, len(self._modes), _PIECE):
                modes = self._modes[first : first + _PIECE]
                functional = long_product(matrix, modes) * self._terms.free
                places = fixed + q + count * np.arange(first, first + len(modes))
                noise = scale * np.linalg.norm(modes, axis=1)
                defects[places] = self._defect(functional, rows[places], noise)
        return defects

    def _defect(self, functional: Array, rows: Real, noise: Real | float) -> Real:
        """`noise` bounds the Euclidean norm of the error in the functional as given."""
        w, form = self._w[: self._used], self._form
        represented = rows @ w
        image = form.apply(represented)
        rest = np.linalg.norm((functional - image).astype(np.float64), axis=1) * (1 + 1e-9)
        rest += noise + gamma(form.width + 2, form.eps) * form.norm * np.linalg.norm(represented, axis=1)
        # rows @ w was rounded: that error is one of the field, measured in X
        shift = gamma(len(w) + 2) * (np.abs(rows) @ np.linalg.norm(w, axis=1))
        return rest / np.sqrt(self._inner.lambda_min) + np.sqrt(form.norm) * shift


class _Form:
    """An inner product with what its rounding needs: a bound of ‖X‖₂, entries per row, and the precision of `apply`.

    A form that is not given as a matrix is applied in float64, and its norm comes from power iteration, doubled.
    """

    def __init__(self, inner: InnerProduct, size: int):
        self._inner = inner
        if isinstance(inner, MatrixProduct):
            self.norm, self.width, self.eps = row_sum(inner.matrix), longest_row(inner.matrix), EPS_LONG
        else:
            self.norm, self.width, self.eps = 2 * _power_norm(inner, size), 64, EPS

    def apply(self, v: Real) -> Array:
        """`X v`, `(k, N)`, in the widest precision at hand."""
        if not isinstance(self._inner, MatrixProduct):
            return self._inner.apply(v)
        image = np.zeros(v.shape, dtype=LONG)
        image[:, self._inner.free] = long_product(self._inner.matrix, v[:, self._inner.free])
        return image


def _power_norm(inner: InnerProduct, size: int) -> float:
    v = generator(0).standard_normal((4, size))
    for _ in range(30):
        v = inner.apply(v)
        norms = np.linalg.norm(v, axis=1, keepdims=True)
        v = v / norms
    return float(norms.max())
