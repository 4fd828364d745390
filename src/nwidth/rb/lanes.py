"""Triangular algebra for eight small systems side by side, written in vectors of eight numbers.

A compiler that is given loops over lanes has to ask at run time whether the rows it reads and writes overlap, and keeps
every partial sum in memory; both cost more than the arithmetic. Here the innermost blocks, four rows by four columns,
are generated as what they are: sixteen vectors of sums in registers. A processor with shorter vectors takes several
for one of these.

Arrays are `(rows, 8)` in C order. Symmetric matrices and their Cholesky factors are packed lower triangles: entry
(i, j), i >= j, in row i (i + 1) / 2 + j. A factor holds reciprocals on its diagonal, NaN where a matrix is not positive
definite.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from nwidth.core.arrays import Real

WIDTH = 8
#: Rows and columns of a block.
_SIDE = 4
_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True}
VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)


class Code:
    """Generates code on vectors: arrays `(rows, 8)` by number, loads and stores by row."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[Any]):
        self.builder, self.integer = builder, context.get_value_type(types.intp)
        self.values = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]

    def number(self, value: int) -> Any:
        return ir.Constant(self.integer, value)

    def plus(self, row: Any, other: Any) -> Any:
        other = self.number(other) if isinstance(other, int) else other
        return self.builder.add(row, other)

    def start(self, row: Any) -> Any:
        """Where row i of a packed triangle begins."""
        twice = self.builder.mul(row, self.plus(row, 1))
        return self.builder.lshr(twice, self.number(1))

    def place(self, array: int, row: Any) -> Any:
        offset = self.builder.mul(row, self.number(WIDTH))
        pointer = self.builder.gep(self.values[array], [offset], source_etype=ir.DoubleType())
        return self.builder.bitcast(pointer, VECTOR.as_pointer())

    def load(self, array: int, row: Any) -> Any:
        return self.builder.load(self.place(array, row), align=8, typ=VECTOR)

    def spread(self, array: int, place: Any) -> Any:
        """One number of an array, in every lane."""
        pointer = self.builder.gep(self.values[array], [place], source_etype=ir.DoubleType())
        number = self.builder.load(pointer, typ=ir.DoubleType())
        first = self.builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return self.builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), mask)

    def store(self, array: int, row: Any, value: Any) -> None:
        self.builder.store(value, self.place(array, row), align=8)

    def more(self, value: Any, a: Any, b: Any) -> Any:
        """`value + a b`, rounded once."""
        return self._call("llvm.fma.v8f64", a, b, value)

    def less(self, value: Any, a: Any, b: Any) -> Any:
        """`value - a b`, rounded once."""
        return self._call("llvm.fma.v8f64", self.builder.fneg(a), b, value)

    def times(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b)

    def inverse_root(self, value: Any) -> Any:
        one = ir.Constant(VECTOR, [1.0] * WIDTH)
        return self.builder.fdiv(one, self._call("llvm.sqrt.v8f64", value))

    def loop(self, count: Any, sums: Sequence[Any], body: Callable[[Any, list[Any]], Sequence[Any]]) -> list[Any]:
        """`sums = body(k, sums)` for k below count."""
        slots = [cgutils.alloca_once_value(self.builder, value) for value in sums]
        with cgutils.for_range(self.builder, count) as k:
            held = [self.builder.load(slot) for slot in slots]
            for slot, value in zip(slots, body(k.index, held), strict=True):
                self.builder.store(value, slot)
        return [self.builder.load(slot) for slot in slots]

    def _call(self, name: str, *values: Any) -> Any:
        kind = ir.FunctionType(VECTOR, [VECTOR] * len(values))
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), values)


def generated(write: Callable[..., None], **sizes: int) -> Any:
    """An intrinsic whose code `write(code, *sizes)` generates; its arguments are arrays and indices."""

    def typed(typing: Any, arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kinds = signature.args[0]
            parts = [builder.extract_value(values[0], i) for i in range(len(kinds))]
            write(Code(context, builder, types.void(*kinds), parts), **sizes)
            return context.get_dummy_value()

        return types.void(arguments), generate

    return intrinsic(typed)


def _explained(code: Code, rows: Sequence[Any], columns: Sequence[Any], j: Any, below: bool) -> list[list[Any]]:
    """Entries of the given rows in columns j, j + 1, ..., less the products of what stands to the left of column j;
    `below`: the lower half only, where rows and columns are the same. Rows are given by where they begin."""
    pairs = [(r, c) for r in range(len(rows)) for c in range(r + 1 if below else len(columns))]
    sums = [code.load(0, code.plus(code.plus(rows[r], j), c)) for r, c in pairs]

    def body(k: Any, held: list[Any]) -> list[Any]:
        left = [code.load(0, code.plus(row, k)) for row in rows]
        upper = left if below else [code.load(0, code.plus(column, k)) for column in columns]
        return [code.less(value, left[r], upper[c]) for value, (r, c) in zip(held, pairs, strict=True)]

    found = iter(code.loop(j, sums, body))
    return [[next(found) for _ in range(r + 1 if below else len(columns))] for r in range(len(rows))]


def _write_block(code: Code, rows: int, columns: int) -> None:
    """(work, i, j): rows i, ... of the factor in columns j, ..., all left of the diagonal."""
    _, i, j = code.values
    starts = [code.start(code.plus(i, r)) for r in range(rows)]
    uppers = [code.start(code.plus(j, c)) for c in range(columns)]
    entries = _explained(code, starts, uppers, j, below=False)
    factor = [[code.load(0, code.plus(code.plus(uppers[c], j), e)) for e in range(c + 1)] for c in range(columns)]
    for start, row in zip(starts, entries, strict=True):
        for c in range(columns):
            for e in range(c):
                row[c] = code.less(row[c], row[e], factor[c][e])
            row[c] = code.times(row[c], factor[c][c])
            code.store(0, code.plus(code.plus(start, j), c), row[c])


def _write_corner(code: Code, rows: int) -> None:
    """(work, i): rows i, ... of the factor in columns i, ...: the block on the diagonal."""
    _, i = code.values
    starts = [code.start(code.plus(i, r)) for r in range(rows)]
    entries = _explained(code, starts, starts, i, below=True)
    for c in range(rows):
        for r in range(c, rows):
            for e in range(c):
                entries[r][c] = code.less(entries[r][c], entries[r][e], entries[c][e])
            pivot = entries[c][c]
            entries[r][c] = code.inverse_root(pivot) if r == c else code.times(entries[r][c], pivot)
            code.store(0, code.plus(code.plus(starts[r], i), c), entries[r][c])


def _write_forward(code: Code, rows: int) -> None:
    """(work, x, i): entries i, ... of L⁻¹ x in place."""
    _, _, i = code.values
    starts = [code.start(code.plus(i, r)) for r in range(rows)]
    places = [code.plus(i, r) for r in range(rows)]

    def body(k: Any, held: list[Any]) -> list[Any]:
        value = code.load(1, k)
        return [code.less(x, code.load(0, code.plus(s, k)), value) for x, s in zip(held, starts, strict=True)]

    x = code.loop(i, [code.load(1, place) for place in places], body)
    for r in range(rows):
        for e in range(r):
            x[r] = code.less(x[r], code.load(0, code.plus(code.plus(starts[r], i), e)), x[e])
        x[r] = code.times(x[r], code.load(0, code.plus(code.plus(starts[r], i), r)))
        code.store(1, places[r], x[r])


def _write_backward(code: Code, rows: int) -> None:
    """(work, x, i): entries i, ... of L⁻ᵀ x in place, and what they take from those before."""
    _, _, i = code.values
    starts = [code.start(code.plus(i, r)) for r in range(rows)]
    x = [code.load(1, code.plus(i, r)) for r in range(rows)]
    for r in reversed(range(rows)):
        for e in range(r + 1, rows):
            x[r] = code.less(x[r], code.load(0, code.plus(code.plus(starts[e], i), r)), x[e])
        x[r] = code.times(x[r], code.load(0, code.plus(code.plus(starts[r], i), r)))
        code.store(1, code.plus(i, r), x[r])
    with cgutils.for_range(code.builder, i) as k:
        value = code.load(1, k.index)
        for r in range(rows):
            value = code.less(value, code.load(0, code.plus(starts[r], k.index)), x[r])
        code.store(1, k.index, value)


def _write_remainder(code: Code, rows: int) -> None:
    """(work, x, y, i): y -= A x as far as rows i, ... and the columns up to them are concerned."""
    _, _, _, i = code.values
    starts = [code.start(code.plus(i, r)) for r in range(rows)]
    x = [code.load(1, code.plus(i, r)) for r in range(rows)]

    def body(k: Any, held: list[Any]) -> list[Any]:
        other, value = code.load(1, k), code.load(2, k)
        entries = [code.load(0, code.plus(start, k)) for start in starts]
        for entry, own in zip(entries, x, strict=True):
            value = code.less(value, entry, own)
        code.store(2, k, value)
        return [code.less(y, entry, other) for y, entry in zip(held, entries, strict=True)]

    y = code.loop(i, [code.load(2, code.plus(i, r)) for r in range(rows)], body)
    for r in range(rows):
        for e in range(r + 1):
            entry = code.load(0, code.plus(code.plus(starts[r], i), e))
            y[r] = code.less(y[r], entry, x[e])
            if e < r:
                y[e] = code.less(y[e], entry, x[r])
    for r in range(rows):
        code.store(2, code.plus(i, r), y[r])


def _write_combination(code: Code, rows: int) -> None:
    """(table, theta, work, terms, i): rows i, ... of `table @ theta`; terms is the number of columns of the table."""
    _, _, _, terms, i = code.values
    starts = [code.builder.mul(code.plus(i, r), terms) for r in range(rows)]

    def body(q: Any, held: list[Any]) -> list[Any]:
        weight = code.load(1, q)
        entries = [code.spread(0, code.plus(start, q)) for start in starts]
        return [code.more(value, entry, weight) for value, entry in zip(held, entries, strict=True)]

    zero = ir.Constant(VECTOR, [0.0] * WIDTH)
    for r, value in enumerate(code.loop(terms, [zero] * rows, body)):
        code.store(2, code.plus(i, r), value)


_block, _row_block = (
    generated(_write_block, rows=_SIDE, columns=_SIDE),
    generated(_write_block, rows=1, columns=_SIDE),
)
_entry = generated(_write_block, rows=1, columns=1)
_corner, _pivot = generated(_write_corner, rows=_SIDE), generated(_write_corner, rows=1)
_forward, _forward_one = generated(_write_forward, rows=_SIDE), generated(_write_forward, rows=1)
_backward, _backward_one = generated(_write_backward, rows=_SIDE), generated(_write_backward, rows=1)
_rows, _row = generated(_write_combination, rows=2 * _SIDE), generated(_write_combination, rows=1)
_remainder, _remainder_one = generated(_write_remainder, rows=_SIDE), generated(_write_remainder, rows=1)


@njit(**_OPTIONS)
def combine(table: Real, theta: Real, work: Real) -> None:
    """`work (T, 8) = table (T, Q) @ theta (Q, 8)`."""
    size, terms = table.shape
    whole = size - size % (2 * _SIDE)
    for i in range(0, whole, 2 * _SIDE):
        _rows((table, theta, work, terms, i))
    for i in range(whole, size):
        _row((table, theta, work, terms, i))


@njit(**_OPTIONS)
def factorise(size: int, work: Real) -> None:
    """Cholesky factors of eight packed matrices `(T, 8)` of that size, in place."""
    whole = size - size % _SIDE
    for i in range(0, whole, _SIDE):
        for j in range(0, i, _SIDE):
            _block((work, i, j))
        _corner((work, i))
    for i in range(whole, size):
        for j in range(0, whole, _SIDE):
            _row_block((work, i, j))
        for j in range(whole, i):
            _entry((work, i, j))
        _pivot((work, i))


@njit(**_OPTIONS)
def substitute(work: Real, x: Real) -> None:
    """Solve with the factors in place, x `(n, 8)`."""
    size = len(x)
    whole = size - size % _SIDE
    for i in range(0, whole, _SIDE):
        _forward((work, x, i))
    for i in range(whole, size):
        _forward_one((work, x, i))
    for i in range(size - 1, whole - 1, -1):
        _backward_one((work, x, i))
    for i in range(whole - _SIDE, -1, -_SIDE):
        _backward((work, x, i))


@njit(**_OPTIONS)
def remainder(work: Real, x: Real, y: Real) -> None:
    """`y -= A x` with eight packed matrices, x and y `(n, 8)`."""
    size = len(x)
    whole = size - size % _SIDE
    for i in range(0, whole, _SIDE):
        _remainder((work, x, y, i))
    for i in range(whole, size):
        _remainder_one((work, x, y, i))
