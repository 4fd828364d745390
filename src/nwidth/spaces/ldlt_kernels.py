"""The compiled loops of the batched factorisation A = L D Lᵀ: over panels and tiles; samples are the last axis.

Arrays of numbers are `(entries, lanes)` for real matrices and `(entries, 2, lanes)` for complex ones. See
`ldlt_symbolic.Analysis` for the tables, `ldlt_tiles` and `ldlt_sweeps` for what happens inside.
"""

import numba
import numpy as np

from nwidth.core.arrays import Array
from nwidth.spaces.ldlt_sweeps import backward_tile, backward_triangle, forward_tile, forward_triangle
from nwidth.spaces.ldlt_tiles import eliminate_tile, factor_triangle, scale_tile, update_tile


@numba.njit(cache=True, nogil=True, error_model="numpy")
def interleave(values: Array, source: Array, target: Array, out: Array) -> None:
    """`out[target] (m, parts, lanes)` from the entries `source` of `values (B, entries, parts)`; the last sample fills
    up. Sources rise: each sample is read in order, and every write is a full vector."""
    last, parts, lanes = values.shape[0] - 1, out.shape[1], out.shape[2]
    for e in range(len(source)):
        here, there = source[e], target[e]
        for p in range(parts):
            for lane in range(lanes):
                out[there, p, lane] = values[min(lane, last), here, p]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def separate(x: Array, source: Array, out: Array) -> None:
    """The way back: `out (B, entries, parts)` from the entries `source` of `x (m, parts, lanes)`."""
    for e in range(len(source)):
        here = source[e]
        for p in range(out.shape[2]):
            for sample in range(len(out)):
                out[sample, e, p] = x[here, p, sample]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def largest(entries: Array) -> Array:
    """The largest |part of an entry| of each lane of `(m, parts, lanes)`."""
    out = np.zeros(entries.shape[2])
    for e in range(len(entries)):
        for p in range(entries.shape[1]):
            for lane in range(entries.shape[2]):
                size = abs(entries[e, p, lane])
                out[lane] = size if size > out[lane] else out[lane]
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def factorise(
    factor: Array, inverses: Array, x: Array, entries: Array, scale: Array, scratch: Array, least: Array,
    smallest: Array, panels: Array, starts: Array, target: Array, places: Array, fresh: Array, fresh_starts: Array,
    below: Array,
) -> None:  # fmt: skip
    """Fill the panels with `entries (m, parts * lanes)` times `scale (lanes,)` and eliminate them in order; on the way,
    `x (n + 1, ..., lanes)` becomes `D⁻¹ L⁻¹ x`, while each panel is in cache.

    A panel is cleared and filled just before the first panel that updates it: once through memory, not twice.
    """
    flat = factor.reshape(len(factor), -1)
    for panel in range(len(panels)):
        for i in range(fresh_starts[panel], fresh_starts[panel + 1]):
            _fill(flat, entries, scale, panels[fresh[i]], starts[fresh[i]], starts[fresh[i] + 1], target)
        begin, _, column, width, tiles, _, first = panels[panel]
        step, above = 4 * width, (width + 3) // 4
        for c in range(above):
            k, columns = 4 * c, min(4, width - 4 * c)
            scale_tile(scratch, factor, begin + c * step, k, inverses, column)
            factor_triangle(factor, begin + c * step, scratch, k, columns, inverses, column + k, least, smallest)
            for t in range(c + 1, above + tiles):
                eliminate_tile(factor, begin + t * step, scratch, k, columns)
        _forward_panel(factor, inverses, x, panels[panel], below)
        for q in range(above, above + tiles):
            scale_tile(scratch, factor, begin + q * step, width, inverses, column)
            for r in range(q, above + tiles):
                update_tile(factor, begin + r * step, scratch, width, places, first)
                first += 16


@numba.njit(nogil=True, error_model="numpy")
def _fill(flat: Array, entries: Array, scale: Array, panel: Array, first: int, last: int, target: Array) -> None:
    lanes = len(scale)
    for i in range(panel[0], panel[1]):
        for lane in range(flat.shape[1]):
            flat[i, lane] = 0.0
    for e in range(first, last):
        i = target[e]
        for part in range(0, flat.shape[1], lanes):
            for lane in range(lanes):
                flat[i, part + lane] = entries[e, part + lane] * scale[lane]


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _forward_panel(factor: Array, inverses: Array, x: Array, panel: Array, below: Array) -> None:
    begin, _, column, width, tiles, under, _ = panel
    step, above = 4 * width, (width + 3) // 4
    for c in range(above):
        forward_triangle(x, column, factor, begin + c * step, 4 * c, min(4, width - 4 * c), inverses)
    for t in range(tiles):
        forward_tile(x, below, under + 4 * t, factor, begin + (above + t) * step, width, column)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def forward(factor: Array, inverses: Array, x: Array, panels: Array, below: Array) -> None:
    """`x (n + 1, ..., lanes)` becomes `D⁻¹ L⁻¹ x`; its last row is a bin for padding."""
    for panel in range(len(panels)):
        _forward_panel(factor, inverses, x, panels[panel], below)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def backward(factor: Array, inverses: Array, x: Array, sums: Array, panels: Array, below: Array) -> None:
    """`x (n + 1, ..., lanes)` becomes `L⁻ᵀ x`; its last row is a bin for padding."""
    x[-1] = 0.0
    for panel in range(len(panels) - 1, -1, -1):
        begin, _, column, width, tiles, under, _ = panels[panel]
        step, above = 4 * width, (width + 3) // 4
        sums[:width] = 0.0
        for t in range(tiles):
            backward_tile(sums, x, below, under + 4 * t, factor, begin + (above + t) * step, width)
        for c in range(above - 1, -1, -1):
            tile, columns = begin + c * step, min(4, width - 4 * c)
            backward_triangle(sums, x, column, factor, tile, 4 * c, columns, inverses)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def put(r: Array, scale: Array, x: Array) -> None:
    """`x = scale * r` for r `(n, parts, lanes)`, x `(n + 1, ..., lanes)` in the precision of the factor."""
    flat, lanes = x.reshape(len(x), -1), len(scale)
    for i in range(len(r)):
        for part in range(r.shape[1]):
            for lane in range(lanes):
                flat[i, part * lanes + lane] = r[i, part, lane] * scale[lane]
    flat[-1] = 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add(x: Array, scale: Array, y: Array) -> None:
    """`y += scale * x`, the way back; a scale of zero leaves that sample as it is."""
    flat, lanes = x.reshape(len(x), -1), len(scale)
    for i in range(len(y)):
        for part in range(y.shape[1]):
            for lane in range(lanes):
                y[i, part, lane] += flat[i, part * lanes + lane] * scale[lane]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def subtract_product(b: Array, entries: Array, rows: Array, columns: Array, x: Array, r: Array) -> Array:
    """`r = b - A x` for symmetric A given by its lower triangle, all `(..., parts, lanes)` in float64; the squared norm
    of each lane of r."""
    r[:] = b
    for e in range(len(rows)):
        i, j = rows[e], columns[e]
        _subtract(entries[e], x[j], r[i])
        if i != j:
            _subtract(entries[e], x[i], r[j])
    squares = np.zeros(r.shape[2])
    for i in range(len(r)):
        for part in range(r.shape[1]):
            for lane in range(r.shape[2]):
                squares[lane] += r[i, part, lane] ** 2
    return squares


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _subtract(a: Array, x: Array, r: Array) -> None:
    lanes = a.shape[1]
    for lane in range(lanes):
        r[0, lane] -= a[0, lane] * x[0, lane]
    if len(a) == 2:
        for lane in range(lanes):
            r[0, lane] += a[1, lane] * x[1, lane]
            r[1, lane] -= a[0, lane] * x[1, lane] + a[1, lane] * x[0, lane]


def aligned(shape: tuple[int, ...], dtype: type | np.dtype) -> Array:
    """An array of zeros that starts at a multiple of 64 bytes: a vector never straddles two cache lines."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(count + 64, dtype=np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + count].view(dtype).reshape(shape)
