"""Coordinates of residuals for many queries at once, without the zeros in them.

A mode's rows end where the residual's basis ended when the mode was added: coordinate m begins with some mode. Four
coordinates at a time are summed over the rows that have them, for 32 queries side by side: sixteen vectors of sums
that stay in registers while the rows stream by (`nwidth.rb.lanes`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit

from nwidth.core.arrays import Array, Real
from nwidth.rb.lanes import VECTOR, WIDTH, Code, generated

#: Coordinates that are summed together, and vectors of queries.
_SIDE, _VECTORS = 4, 4
#: Up to so many queries are answered eight at a time.
_FEW = 24
_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True}


@dataclass(frozen=True, eq=False)
class Steps:
    """Rows of the terms, mode by mode, `(Q_A n, M)`, cut into groups of four coordinates: each group is a table
    `(rows from the first that is not zero, 4)`. `table` holds one after the other, `firsts (G,)` the first rows,
    `starts (G,)` where each table begins; `width` is M."""

    table: Real
    firsts: Array
    starts: Array
    width: int

    @classmethod
    def of(cls, rows: Real, fixed: int, levels: Array) -> "Steps":
        """From the rows `(K, M)` of a `ResidualModel`, the first `fixed` of which belong to loads and functionals."""
        width, modes = rows.shape[1], len(levels) - 1
        terms = (len(rows) - fixed) // max(1, modes)
        begins = np.arange(0, width, _SIDE)
        firsts = terms * np.searchsorted(levels[1:], begins, side="right")
        padded = np.pad(rows[fixed:], ((0, 0), (0, -width % _SIDE)))
        tables = [padded[first:, m : m + _SIDE].ravel() for first, m in zip(firsts, begins, strict=True)]
        starts = np.cumsum([0, *map(len, tables)])[:-1]
        table = np.concatenate(tables) if tables else np.zeros(0)
        return cls(table, firsts.astype(np.intp), starts.astype(np.intp), width)

    def coordinates(self, theta: Real, coefficients: Real) -> Real:
        """`Σ_q,j (-θ_q c_j) ρ_jq` for θ `(B, Q_A)` and c `(B, n)`, as `(M, B)`."""
        y = np.empty((_SIDE * len(self.firsts), len(theta)))
        _coordinates(np.negative(theta), coefficients, self.table, self.firsts, self.starts, y)
        return y[: self.width]


def _write_sums(code: Code, vectors: int) -> None:
    """(table, z, y, start, first, count, m): coordinates m, ... as sums over rows first, ... of z, for 8 `vectors`
    queries; z and y are read as rows of eight."""
    *_, start, first, count, m = code.values
    b = code.builder

    def row(place: Any, vector: int) -> Any:
        return code.plus(b.mul(place, code.number(vectors)), vector)

    def body(k: Any, held: list[Any]) -> list[Any]:
        here = code.plus(first, k)
        z = [code.load(1, row(here, v)) for v in range(vectors)]
        place = code.plus(start, b.mul(k, code.number(_SIDE)))
        entries = [code.spread(0, code.plus(place, c)) for c in range(_SIDE)]
        return [code.more(held[c * vectors + v], entries[c], z[v]) for c in range(_SIDE) for v in range(vectors)]

    zero = ir.Constant(VECTOR, [0.0] * WIDTH)
    sums = code.loop(count, [zero] * (_SIDE * vectors), body)
    for i, value in enumerate(sums):
        code.store(2, row(code.plus(m, i // vectors), i % vectors), value)


_sums_of_many, _sums_of_few = generated(_write_sums, vectors=_VECTORS), generated(_write_sums, vectors=1)


@njit(**_OPTIONS)
def _coordinates(minus: Real, coefficients: Real, table: Real, firsts: Array, starts: Array, y: Real) -> None:
    """y `(4 G, B)` for -θ `(B, Q_A)` and c `(B, n)`."""
    batch, terms, modes = minus.shape[0], minus.shape[1], coefficients.shape[1]
    rows = terms * modes
    begin = 0
    while begin < batch:
        lanes = WIDTH * _VECTORS if batch - begin > _FEW else WIDTH
        count = min(lanes, batch - begin)
        z, part = np.empty((rows, lanes)), np.empty((y.shape[0], lanes))
        c, weight = np.zeros((modes, lanes)), np.zeros((terms, lanes))
        c[:, :count] = coefficients[begin : begin + count].T
        weight[:, :count] = minus[begin : begin + count].T
        for j in range(modes):
            for q in range(terms):
                for lane in range(lanes):
                    z[j * terms + q, lane] = c[j, lane] * weight[q, lane]
        for g in range(len(firsts)):
            if lanes > WIDTH:
                _sums_of_many((table, z, part, starts[g], firsts[g], rows - firsts[g], _SIDE * g))
            else:
                _sums_of_few((table, z, part, starts[g], firsts[g], rows - firsts[g], _SIDE * g))
        for m in range(y.shape[0]):
            for lane in range(count):
                y[m, begin + lane] = part[m, lane]
        begin += lanes
