"""What the triangular solves do with one tile of four rows, for all samples of a vector at once; see `ldlt_tiles`."""

from typing import Any

from numba import types

from nwidth.spaces.ldlt_vectors import Emitter, operation


@operation
def forward_tile(_context, x, below, first, factor, tile, k, column):  # type: ignore[no-untyped-def]
    """`x[below[first + r]] -= Σ_k tile[k, r] x[column + k]`, with D⁻¹ y in x at the panel's columns."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        e = Emitter(context, builder, signature.args[0])
        values, table, data = (e.pointer(signature.args[i], args[i]) for i in (0, 1, 3))
        sums = [e.variable() for _ in range(4)]
        with e.loop(args[5]) as state:
            z, offset = e.load(values, e.add(args[6], state.index)), e.add(args[4], e.times_tile(state.index))
            for r, total in enumerate(sums):
                e.put(total, e.add_product(e.get(total), e.load(data, e.at(offset, r)), z))
        for r, total in enumerate(sums):
            row = e.index(table, e.at(args[2], r))
            e.store(e.sub(e.load(values, row), e.get(total)), values, row)
        return context.get_dummy_value()

    return types.void(x, below, first, factor, tile, k, column), emit


@operation
def forward_triangle(_context, x, column, factor, tile, k, width, inverses):  # type: ignore[no-untyped-def]
    """Columns k to k + width of a panel: x there becomes D⁻¹ y with y the solution of L y = x."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        e = Emitter(context, builder, signature.args[0])
        values, data, pivots = (e.pointer(signature.args[i], args[i]) for i in (0, 2, 6))
        triangle, here = e.add(args[3], e.times_tile(args[4])), e.add(args[1], args[4])

        def columns(count: int) -> None:
            sums = [e.variable() for _ in range(count)]
            with e.loop(args[4]) as state:
                z, offset = e.load(values, e.add(args[1], state.index)), e.add(args[3], e.times_tile(state.index))
                for r, total in enumerate(sums):
                    e.put(total, e.add_product(e.get(total), e.load(data, e.at(offset, r)), z))
            done: list[Any] = []
            for q, total in enumerate(sums):
                place = e.at(here, q)
                y = e.sub(e.load(values, place), e.get(total))
                for p in range(q):
                    y = e.sub_product(y, e.load(data, e.at(triangle, 4 * p + q)), done[p])
                done.append(e.mul(y, e.load(pivots, place)))
                e.store(done[q], values, place)

        e.for_width(args[5], columns)
        return context.get_dummy_value()

    return types.void(x, column, factor, tile, k, width, inverses), emit


@operation
def backward_tile(_context, sums, x, below, first, factor, tile, k):  # type: ignore[no-untyped-def]
    """`sums[k] += Σ_r tile[k, r] x[below[first + r]]`."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        e = Emitter(context, builder, signature.args[0])
        totals, values, table, data = (e.pointer(signature.args[i], args[i]) for i in (0, 1, 2, 4))
        known = [e.load(values, e.index(table, e.at(args[3], r))) for r in range(4)]
        _add_rows(e, totals, data, args[5], args[6], known)
        return context.get_dummy_value()

    return types.void(sums, x, below, first, factor, tile, k), emit


@operation
def backward_triangle(_context, sums, x, column, factor, tile, k, width, inverses):  # type: ignore[no-untyped-def]
    """Columns k to k + width of a panel: x -= D⁻¹ (sums + Uᵀ x) there; then their part of the sums before."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        e = Emitter(context, builder, signature.args[0])
        totals, values, data, pivots = (e.pointer(signature.args[i], args[i]) for i in (0, 1, 3, 7))
        triangle, here = e.add(args[4], e.times_tile(args[5])), e.add(args[2], args[5])

        def columns(count: int) -> None:
            known: dict[int, Any] = {}
            for q in reversed(range(count)):
                total, place = e.load(totals, e.at(args[5], q)), e.at(here, q)
                for p in range(q + 1, count):
                    total = e.add_product(total, e.load(data, e.at(triangle, 4 * q + p)), known[p])
                known[q] = e.sub_product(e.load(values, place), total, e.load(pivots, place))
                e.store(known[q], values, place)
            _add_rows(e, totals, data, args[4], args[5], [known[r] for r in range(count)])

        e.for_width(args[6], columns)
        return context.get_dummy_value()

    return types.void(sums, x, column, factor, tile, k, width, inverses), emit


def _add_rows(e: Emitter, totals: Any, data: Any, tile: Any, k: Any, known: list[Any]) -> None:
    """`totals[k] += Σ_r tile[k, r] known[r]`."""
    with e.loop(k) as state:
        total, offset = e.load(totals, state.index), e.add(tile, e.times_tile(state.index))
        for r, number in enumerate(known):
            total = e.add_product(total, e.load(data, e.at(offset, r)), number)
        e.store(total, totals, state.index)
