"""The vector machine: a multigrid cycle is a tape of a few kinds of instructions on vectors in one workspace.

A tape depends on the shape of the grid alone and is written once (`hierarchy`, `cycle`); here it is executed. An
instruction is a row of unsigned integers, and vectors are places in the workspace:

    COMBINE   out = base + Σ_q a_q b_q               SCALED   out = scale (base + Σ_q a_q b_q)
    ADD       out = out + Σ_q a_q b_q                COPY     a strided box of numbers
    UNZIP     lines to their even and odd numbers    ZIP      the way back
    INVERSE   out = -1 / base, 0 where base is 0     GUARDED  out = 1 / max(base, scale), 0 where that is not positive
    DENSE     the coarsest system, by its inverse

COMBINE, SCALED and ADD exist for 1, 2, 4 and 8 products. Unsigned places keep the loops free of the sign checks that
signed indices need, and `out` differs from what is read but in ADD: both are what lets the loops run at the speed of
the memory.
"""

import numba
import numpy as np

from nwidth.core.arrays import Array, Real

#: The code of the form with 2^k products is k higher.
COMBINE, SCALED, ADD = 0, 4, 8
INVERSE, GUARDED, COPY, DENSE, UNZIP, ZIP = range(12, 18)
#: Numbers in a row: operation, length, out, base, scale, and eight pairs.
WIDTH = 21


@numba.njit(cache=True, nogil=True)
def execute(ws: Array, tape: Array, inverse: Array, places: Array, small: Array) -> None:
    """Run a tape on the workspace `ws`. `inverse (n, n)`, `places (2, n)`, `small (2, n)`: see `_dense`."""
    for q in range(len(tape)):
        t = tape[q]
        op = t[0]
        if op < 12:
            kind, mode = op & np.uint64(3), op >> np.uint64(2)
            if kind == 2:
                _four(ws, ws, mode, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11], t[12])
            elif kind == 3:
                _eight(ws, ws, mode, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11], t[12],
                       t[13], t[14], t[15], t[16], t[17], t[18], t[19], t[20])  # fmt: skip
            elif kind == 1:
                _two(ws, ws, mode, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8])
            else:
                _one(ws, ws, mode, t[1], t[2], t[3], t[4], t[5], t[6])
        elif op == 14:
            _copy(ws, ws, t[2], t[3], t[5], t[6], t[7], t[8], t[9], t[10], t[11], t[12], t[13])
        elif op == 16:
            _unzip(ws, ws, t, ws.dtype.type(1))
        elif op == 17:
            _zip(ws, ws, t, ws.dtype.type(1))
        elif op == 12:
            _inverse(ws, ws, t[1], t[2], t[3])
        elif op == 13:
            _guarded(ws, ws, t[1], t[2], t[3], t[4])
        else:
            _dense(ws, inverse, places, small)


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _one(
    out: Array, ws: Array, mode: int, n: int, o: int, base: int, scale: int,
    a0: int, b0: int,
) -> None:  # fmt: skip
    if mode == 1:
        for k in range(n):
            out[o + k] = ws[scale + k] * (ws[base + k] + ws[a0 + k] * ws[b0 + k])
    elif mode == 2:
        for k in range(n):
            out[o + k] += ws[a0 + k] * ws[b0 + k]
    else:
        for k in range(n):
            out[o + k] = ws[base + k] + ws[a0 + k] * ws[b0 + k]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _two(
    out: Array, ws: Array, mode: int, n: int, o: int, base: int, scale: int,
    a0: int, b0: int, a1: int, b1: int,
) -> None:  # fmt: skip
    if mode == 1:
        for k in range(n):
            out[o + k] = ws[scale + k] * (ws[base + k] + ws[a0 + k] * ws[b0 + k] + ws[a1 + k] * ws[b1 + k])
    elif mode == 2:
        for k in range(n):
            out[o + k] += ws[a0 + k] * ws[b0 + k] + ws[a1 + k] * ws[b1 + k]
    else:
        for k in range(n):
            out[o + k] = ws[base + k] + ws[a0 + k] * ws[b0 + k] + ws[a1 + k] * ws[b1 + k]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _four(
    out: Array, ws: Array, mode: int, n: int, o: int, base: int, scale: int,
    a0: int, b0: int, a1: int, b1: int, a2: int, b2: int, a3: int, b3: int,
) -> None:  # fmt: skip
    if mode == 1:
        for k in range(n):
            total = ws[base + k] + ws[a0 + k] * ws[b0 + k] + ws[a1 + k] * ws[b1 + k]
            out[o + k] = ws[scale + k] * (total + ws[a2 + k] * ws[b2 + k] + ws[a3 + k] * ws[b3 + k])
    elif mode == 2:
        for k in range(n):
            total = ws[a0 + k] * ws[b0 + k] + ws[a1 + k] * ws[b1 + k]
            out[o + k] += total + ws[a2 + k] * ws[b2 + k] + ws[a3 + k] * ws[b3 + k]
    else:
        for k in range(n):
            total = ws[base + k] + ws[a0 + k] * ws[b0 + k] + ws[a1 + k] * ws[b1 + k]
            out[o + k] = total + ws[a2 + k] * ws[b2 + k] + ws[a3 + k] * ws[b3 + k]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _eight(
    out: Array, ws: Array, mode: int, n: int, o: int, base: int, scale: int,
    a0: int, b0: int, a1: int, b1: int, a2: int, b2: int, a3: int, b3: int,
    a4: int, b4: int, a5: int, b5: int, a6: int, b6: int, a7: int, b7: int,
) -> None:  # fmt: skip
    if mode == 1:
        for k in range(n):
            total = ws[base + k] + ws[a0 + k] * ws[b0 + k] + ws[a1 + k] * ws[b1 + k] + ws[a2 + k] * ws[b2 + k]
            total += ws[a3 + k] * ws[b3 + k] + ws[a4 + k] * ws[b4 + k] + ws[a5 + k] * ws[b5 + k]
            out[o + k] = ws[scale + k] * (total + ws[a6 + k] * ws[b6 + k] + ws[a7 + k] * ws[b7 + k])
    elif mode == 2:
        for k in range(n):
            total = ws[a0 + k] * ws[b0 + k] + ws[a1 + k] * ws[b1 + k] + ws[a2 + k] * ws[b2 + k]
            total += ws[a3 + k] * ws[b3 + k] + ws[a4 + k] * ws[b4 + k] + ws[a5 + k] * ws[b5 + k]
            out[o + k] += total + ws[a6 + k] * ws[b6 + k] + ws[a7 + k] * ws[b7 + k]
    else:
        for k in range(n):
            total = ws[base + k] + ws[a0 + k] * ws[b0 + k] + ws[a1 + k] * ws[b1 + k] + ws[a2 + k] * ws[b2 + k]
            total += ws[a3 + k] * ws[b3 + k] + ws[a4 + k] * ws[b4 + k] + ws[a5 + k] * ws[b5 + k]
            out[o + k] = total + ws[a6 + k] * ws[b6 + k] + ws[a7 + k] * ws[b7 + k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _inverse(out: Array, ws: Array, n: int, o: int, base: int) -> None:
    one, zero = ws.dtype.type(1), ws.dtype.type(0)
    for k in range(n):
        value = ws[base + k]
        out[o + k] = zero if value == zero else -one / value


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _guarded(out: Array, ws: Array, n: int, o: int, base: int, scale: int) -> None:
    one, zero = ws.dtype.type(1), ws.dtype.type(0)
    for k in range(n):
        left, right = ws[base + k], ws[scale + k]
        value = left if left > right else right
        out[o + k] = one / value if value > zero else zero


@numba.njit(cache=True, nogil=True)
def _copy(
    out: Array, values: Array, o: int, v: int, n0: int, n1: int, n2: int,
    o0: int, o1: int, o2: int, v0: int, v1: int, v2: int,
) -> None:  # fmt: skip
    """`out[o + i·o_] = values[v + i·v_]` for a box i of n0 × n1 × n2 numbers."""
    for i in range(n0):
        for j in range(n1):
            p, q = o + i * o0 + j * o1, v + i * v0 + j * v1
            if o2 == 1 and v2 == 1:
                for k in range(n2):
                    out[p + k] = values[q + k]
            else:
                for k in range(n2):
                    out[p + k * o2] = values[q + k * v2]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _unzip(out: Array, values: Array, t: Array, factor: float) -> None:
    """Lines of `values` to two vectors, their even and their odd numbers, times `factor`.

    Both in one loop: the pair of strided reads is one wide read and a shuffle.
    """
    one, two, odds = np.uint64(1), np.uint64(2), t[8]
    for i in range(t[5]):
        for j in range(t[6]):
            p, q = t[2] + i * t[9] + j * t[10], t[4] + i * t[9] + j * t[10]
            v = t[3] + i * t[11] + j * t[12]
            for k in range(odds):
                out[p + k] = factor * values[v + two * k]
                out[q + k] = factor * values[v + two * k + one]
            if t[7] > odds:
                out[p + odds] = factor * values[v + two * odds]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _zip(values: Array, ws: Array, t: Array, factor: float) -> None:
    """The way back."""
    one, two, odds = np.uint64(1), np.uint64(2), t[8]
    for i in range(t[5]):
        for j in range(t[6]):
            p, q = t[2] + i * t[9] + j * t[10], t[4] + i * t[9] + j * t[10]
            v = t[3] + i * t[11] + j * t[12]
            for k in range(odds):
                values[v + two * k] = factor * ws[p + k]
                values[v + two * k + one] = factor * ws[q + k]
            if t[7] > odds:
                values[v + two * odds] = factor * ws[p + odds]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _dense(ws: Array, inverse: Array, places: Array, small: Array) -> None:
    """Solution of the coarsest system: right-hand side at `places[0]` of the workspace, answer to `places[1]`."""
    n = inverse.shape[0]
    for i in range(n):
        small[0, i] = ws[places[0, i]]
    for i in range(n):
        total = ws.dtype.type(0)
        for j in range(n):
            total += inverse[i, j] * small[0, j]
        ws[places[1, i]] = total


@numba.njit(cache=True, nogil=True)
def load(ws: Array, values: Real, tape: Array, factor: float) -> None:
    """Numbers of a natural, flat array into the workspace, times `factor`: UNZIP rows."""
    for q in range(len(tape)):
        _unzip(ws, values, tape[q], factor)


@numba.njit(cache=True, nogil=True)
def store(values: Real, ws: Array, tape: Array, factor: float) -> None:
    """The way back: numbers of the workspace, times `factor`, into a natural, flat array."""
    for q in range(len(tape)):
        _zip(values, ws, tape[q], factor)


@numba.njit(cache=True, nogil=True)
def invert(ws: Array, entries: Array, constants: bool, inverse: Array) -> bool:
    """The inverse of the coarsest matrix, from its entries `(nnz, 3)`: place, row, column. False where it has none.

    Where constants are mapped to zero, the pseudo-inverse up to a constant: `(A + s 1 1ᵀ)⁻¹`. Gauss-Jordan elimination
    with pivots by column, in float64.
    """
    n = inverse.shape[0]
    a, scale = np.zeros((n, 2 * n)), 0.0
    for q in range(len(entries)):
        a[entries[q, 1], entries[q, 2]] -= ws[entries[q, 0]]
    for i in range(n):
        a[i, n + i] = 1.0
        scale = max(scale, abs(a[i, i]))
    if constants:
        for i in range(n):
            for j in range(n):
                a[i, j] += scale / n
    for i in range(n):
        if not _eliminate(a, i):
            return False
    for i in range(n):
        for j in range(n):
            inverse[i, j] = a[i, n + j]
    return True


@numba.njit(cache=True, nogil=True)
def _eliminate(a: Real, i: int) -> bool:
    """One step of Gauss-Jordan elimination with a pivot from column i. False where there is none."""
    n, pivot = a.shape[0], i
    for k in range(i + 1, n):
        if abs(a[k, i]) > abs(a[pivot, i]):
            pivot = k
    value = a[pivot, i]
    if not abs(value) > 1e-300:
        return False
    for j in range(2 * n):
        top = a[pivot, j]
        a[pivot, j] = a[i, j]
        a[i, j] = top / value
    for k in range(n):
        factor = a[k, i]
        if k != i and factor != 0.0:
            for j in range(2 * n):
                a[k, j] -= factor * a[i, j]
    return True
