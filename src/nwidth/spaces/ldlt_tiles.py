"""What the factorisation does with one tile of four rows, for all samples of a vector at once.

A tile stores its columns one after the other, four rows each, so that every loop below reads memory in order. U = L D
is kept rather than L, next to the inverse pivots. `scratch` holds a scaled tile: D⁻¹ U of the rows that are being
combined with others, and behind it the unit triangle of the columns that are being eliminated.
"""

from collections.abc import Sequence
from typing import Any

from numba import types

from nwidth.spaces.ldlt_vectors import Emitter, operation


def _sums(e: Emitter, factor: Any, tile: Any, scratch: Any, k: Any, rows: Sequence[int], columns: Sequence[int]) -> Any:
    """Σ_k tile[k, r] scratch[k, q] for the given rows r and columns q."""
    sums = {(r, q): e.variable() for r in rows for q in columns}
    with e.loop(k) as state:
        offset = e.times_tile(state.index)
        left = {r: e.load(factor, e.at(e.add(tile, offset), r)) for r in rows}
        right = {q: e.load(scratch, e.at(offset, q)) for q in columns}
        for (r, q), total in sums.items():
            e.put(total, e.add_product(e.get(total), left[r], right[q]))
    return sums


@operation
def update_tile(_context, factor, tile, scratch, k, places, first):  # type: ignore[no-untyped-def]
    """`factor[places[first + 4 q + r]] -= Σ_k tile[k, r] scratch[k, q]` for four rows r and four rows q."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        e = Emitter(context, builder, signature.args[0])
        data, right, table = (e.pointer(signature.args[i], args[i]) for i in (0, 2, 4))
        for rows in e.split:
            sums = _sums(e, data, args[1], right, args[3], rows, range(4))
            for (r, q), total in sums.items():
                place = e.index(table, e.at(args[5], 4 * q + r))
                e.store(e.sub(e.load(data, place), e.get(total)), data, place)
        return context.get_dummy_value()

    return types.void(factor, tile, scratch, k, places, first), emit


@operation
def eliminate_tile(_context, factor, tile, scratch, k, width):  # type: ignore[no-untyped-def]
    """Columns k to k + width of a tile become those of U: products of the columns before are subtracted."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        e = Emitter(context, builder, signature.args[0])
        data, right = (e.pointer(signature.args[i], args[i]) for i in (0, 2))
        triangle = e.times_tile(args[3])

        def columns(count: int) -> None:
            unit = {(p, q): e.load(right, e.at(triangle, 4 * p + q)) for q in range(count) for p in range(q)}
            for rows in e.split:
                sums = _sums(e, data, args[1], right, args[3], rows, range(count))
                for r in rows:
                    done: list[Any] = []
                    for q in range(count):
                        place = e.at(e.add(args[1], triangle), 4 * q + r)
                        value = e.sub(e.load(data, place), e.get(sums[r, q]))
                        for p in range(q):
                            value = e.sub_product(value, done[p], unit[p, q])
                        done.append(value)
                        e.store(value, data, place)

        e.for_width(args[4], columns)
        return context.get_dummy_value()

    return types.void(factor, tile, scratch, k, width), emit


@operation
def factor_triangle(_context, factor, tile, scratch, k, width, inverses, column, least, smallest):  # type: ignore[no-untyped-def]
    """The triangle of a diagonal tile: its pivots' inverses, its unit triangle in the scratch, the smallest |pivot|."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        e, real = (Emitter(context, builder, signature.args[i]) for i in (0, 7))
        data, right, pivots = (e.pointer(signature.args[i], args[i]) for i in (0, 2, 5))
        limit, seen = (real.pointer(signature.args[i], args[i]) for i in (7, 8))
        zero, triangle = e.at(args[3], 0), e.times_tile(args[3])
        zero = builder.sub(zero, zero)

        def columns(count: int) -> None:
            sums: dict[tuple[int, int], Any] = {}
            for rows in e.split:
                inside = [r for r in rows if r < count]
                sums |= _sums(e, data, args[1], right, args[3], inside, range(count)) if inside else {}
            floor = real.load(limit, zero)[0]
            upper: dict[tuple[int, int], Any] = {}
            unit: dict[tuple[int, int], Any] = {}
            for q in range(count):
                for r in range(q, count):
                    place = e.at(e.add(args[1], triangle), 4 * q + r)
                    value = e.sub(e.load(data, place), e.get(sums[r, q]))
                    for p in range(q):
                        value = e.sub_product(value, upper[r, p], unit[q, p])
                    upper[r, q] = value
                    e.store(value, data, place)
                inverse, size = e.inverse(upper[q, q], floor)
                real.store([real.minimum(real.load(seen, zero)[0], size)], seen, zero)
                e.store(inverse, pivots, e.at(args[6], q))
                for r in range(q + 1, count):
                    unit[r, q] = e.mul(upper[r, q], inverse)
                    e.store(unit[r, q], right, e.at(triangle, 4 * q + r))

        e.for_width(args[4], columns)
        return context.get_dummy_value()

    signature = types.void(factor, tile, scratch, k, width, inverses, column, least, smallest)
    return signature, emit


@operation
def scale_tile(_context, scratch, factor, tile, k, inverses, column):  # type: ignore[no-untyped-def]
    """The scratch becomes the first k columns of a tile, each times its inverse pivot."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        e = Emitter(context, builder, signature.args[0])
        out, data, pivots = (e.pointer(signature.args[i], args[i]) for i in (0, 1, 4))
        with e.loop(args[3]) as state:
            pivot, offset = e.load(pivots, e.add(args[5], state.index)), e.times_tile(state.index)
            for q in range(4):
                place = e.at(offset, q)
                e.store(e.mul(e.load(data, e.add(args[2], place)), pivot), out, place)
        return context.get_dummy_value()

    return types.void(scratch, factor, tile, k, inverses, column), emit
