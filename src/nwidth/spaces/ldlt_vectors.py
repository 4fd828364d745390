"""Arithmetic on vectors of samples, emitted as LLVM vector instructions: what the tiles of the factor are made of.

One number of the factor is one vector register: the same entry of 8 (float64) or 16 (float32) samples. Loops over the
samples would leave it to the compiler whether the sums of a tile stay in registers; vector types do not. Processors
with narrower vectors get the same results from two or four instructions each.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

#: Bytes of a vector: AVX-512.
VECTOR_BYTES = 64
_INT = ir.IntType(64)


def lanes_of(dtype: Any) -> int:
    """Samples in one vector of real numbers of this type."""
    return VECTOR_BYTES // int(np.dtype(dtype).itemsize)


def operation(define: Callable[..., Any]) -> Any:
    """Make a function that emits code callable from compiled loops; its first argument is numba's typing context."""
    return intrinsic(define)


def constant(value: int) -> Any:
    """A 64-bit integer."""
    return ir.Constant(_INT, value)


class Emitter:
    """Emits arithmetic on entries of arrays `(entries, lanes)`, real, or `(entries, 2, lanes)`, complex.

    A number is a list of vectors: one, or real and imaginary part. `split` lists the groups of tile rows whose sums
    fit the registers together.
    """

    def __init__(self, context: Any, builder: Any, array_type: Any):
        self._context, self._builder = context, builder
        scalar = context.get_value_type(array_type.dtype)
        self._lanes = VECTOR_BYTES * 8 // array_type.dtype.bitwidth
        self._vector = ir.VectorType(scalar, self._lanes)
        self._suffix = f"v{self._lanes}f{array_type.dtype.bitwidth}"
        self.parts = 2 if array_type.ndim == 3 else 1
        self.split: tuple[tuple[int, ...], ...] = ((0, 1), (2, 3)) if self.parts == 2 else ((0, 1, 2, 3),)

    def pointer(self, array_type: Any, array: Any) -> Any:
        """Where an array's data begin."""
        return self._context.make_array(array_type)(self._context, self._builder, array).data

    def load(self, data: Any, entry: Any) -> list[Any]:
        """The number at an entry."""
        return [
            self._builder.load(self._place(data, entry, p), align=VECTOR_BYTES // self._lanes)
            for p in range(self.parts)
        ]

    def store(self, number: Sequence[Any], data: Any, entry: Any) -> None:
        """Write a number to an entry."""
        for part, vector in enumerate(number):
            self._builder.store(vector, self._place(data, entry, part), align=VECTOR_BYTES // self._lanes)

    def _place(self, data: Any, entry: Any, part: int) -> Any:
        first = self._builder.mul(entry, constant(self._lanes * self.parts))
        if part:
            first = self._builder.add(first, constant(self._lanes))
        return self._builder.bitcast(self._builder.gep(data, [first]), self._vector.as_pointer())

    def zero(self) -> list[Any]:
        """The number zero."""
        return [self._all(0.0)] * self.parts

    def sub(self, a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        """`a - b`."""
        return [self._builder.fsub(x, y) for x, y in zip(a, b, strict=True)]

    def mul(self, a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        """`a b`."""
        return self.add_product(self.zero(), a, b) if self.parts == 2 else [self._builder.fmul(a[0], b[0])]

    def add_product(self, c: Sequence[Any], a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        """`c + a b`."""
        if self.parts == 1:
            return [self._fma(a[0], b[0], c[0])]
        real = self._fma(self._builder.fneg(a[1]), b[1], self._fma(a[0], b[0], c[0]))
        return [real, self._fma(a[1], b[0], self._fma(a[0], b[1], c[1]))]

    def sub_product(self, c: Sequence[Any], a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        """`c - a b`."""
        return self.add_product(c, [self._builder.fneg(x) for x in a], b)

    def inverse(self, pivot: Sequence[Any], least: Any) -> tuple[list[Any], Any]:
        """`1 / pivot`, and |pivot|; a pivot smaller than `least` (a real vector) or NaN is replaced by that size."""
        size = self._magnitude(pivot)
        tiny = self._builder.fcmp_unordered("<", size, least)
        if self.parts == 1:
            signed = self._call("copysign", least, pivot[0])
            return [self._builder.fdiv(self._all(1.0), self._builder.select(tiny, signed, pivot[0]))], size
        real = self._builder.select(tiny, least, pivot[0])
        imaginary = self._builder.select(tiny, self._all(0.0), pivot[1])
        square = self._fma(real, real, self._builder.fmul(imaginary, imaginary))
        scaled = [self._builder.fdiv(x, square) for x in (real, self._builder.fneg(imaginary))]
        return scaled, size

    def minimum(self, a: Any, b: Any) -> Any:
        """The smaller of two real vectors, NaN where one is."""
        return self._builder.select(self._builder.fcmp_unordered("<", b, a), b, a)

    def _magnitude(self, a: Sequence[Any]) -> Any:
        if self.parts == 1:
            return self._call("fabs", a[0])
        return self._call("sqrt", self._fma(a[0], a[0], self._builder.fmul(a[1], a[1])))

    def _fma(self, a: Any, b: Any, c: Any) -> Any:
        return self._call("fmuladd", a, b, c)

    def _call(self, name: str, *operands: Any) -> Any:
        kind = ir.FunctionType(self._vector, [self._vector] * len(operands))
        function = cgutils.get_or_insert_function(self._builder.module, kind, f"llvm.{name}.{self._suffix}")
        return self._builder.call(function, operands)

    def _all(self, value: float) -> Any:
        return ir.Constant(self._vector, [value] * self._lanes)

    def variable(self) -> list[Any]:
        """A number that changes in a loop, zero at first: the optimiser keeps it in registers."""
        slots = [cgutils.alloca_once(self._builder, self._vector) for _ in range(self.parts)]
        self.put(slots, self.zero())
        return slots

    def put(self, variable: Sequence[Any], number: Sequence[Any]) -> None:
        """Give a variable a value."""
        for slot, vector in zip(variable, number, strict=True):
            self._builder.store(vector, slot)

    def get(self, variable: Sequence[Any]) -> list[Any]:
        """The value of a variable."""
        return [self._builder.load(slot) for slot in variable]

    def index(self, table: Any, entry: Any) -> Any:
        """An entry of a table of 32-bit integers, as 64 bits."""
        return self._builder.sext(self._builder.load(self._builder.gep(table, [entry])), _INT)

    def at(self, start: Any, step: int) -> Any:
        """`start + step`."""
        return self._builder.add(start, constant(step))

    def times_tile(self, index: Any) -> Any:
        """`4 index`: where the column of a tile begins."""
        return self._builder.shl(index, constant(2))

    def add(self, a: Any, b: Any) -> Any:
        """The sum of two indices."""
        return self._builder.add(a, b)

    def loop(self, count: Any) -> Any:
        """`with emitter.loop(count) as state:` emits a loop over `state.index`."""
        return cgutils.for_range(self._builder, count, intp=_INT)

    def for_width(self, width: Any, emit: Callable[[int], None]) -> None:
        """Emit code for each width of 1 to 4 columns, of which the running program takes the right one."""
        end = self._builder.append_basic_block("end")
        choice = self._builder.switch(width, end)
        for columns in (1, 2, 3, 4):
            block = self._builder.append_basic_block(f"columns{columns}")
            choice.add_case(constant(columns), block)
            self._builder.position_at_end(block)
            emit(columns)
            self._builder.branch(end)
        self._builder.position_at_end(end)
