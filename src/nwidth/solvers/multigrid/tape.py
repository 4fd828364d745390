"""Writing tapes: places in a workspace, and rows of instructions for the vector machine."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nwidth.core.arrays import Array
from nwidth.solvers.multigrid import machine
from nwidth.solvers.multigrid.colours import Box, Places

#: A product of two vectors, by their places.
Pair = tuple[int, int]


@dataclass
class Workspace:
    """Hands out places for vectors, each with a margin that shifted reads may touch."""

    size: int = 0

    def vector(self, box: Box) -> int:
        """The place of a new vector."""
        place = self.size + box.margin
        self.size += box.length + 2 * box.margin
        return place


@dataclass
class Tape:
    """Rows of instructions. `zero`, `one`, `minus`: places of constant vectors, as long as the longest."""

    zero: int
    one: int
    minus: int
    rows: list[list[int]] = field(default_factory=list)

    def combine(self, length: int, out: int, pairs: Sequence[Pair], base: int | None = None, scale: int = -1) -> None:
        """`out = base + Σ a b`, times `scale` where one is given (then `out` must not be read)."""
        rest = list(pairs)
        if base is None:
            base, rest = self._base(rest)
        while len(rest) > 8:
            self._products(length, out, base, -1, rest[:8])
            base, rest = out, rest[8:]
        self._products(length, out, base, scale, rest)

    def _base(self, pairs: list[Pair]) -> tuple[int, list[Pair]]:
        """A factor of one spares a product."""
        plain = [i for i, (_, b) in enumerate(pairs) if b == self.one]
        if not plain:
            return self.zero, pairs
        return pairs[plain[0]][0], pairs[: plain[0]] + pairs[plain[0] + 1 :]

    def _products(self, length: int, out: int, base: int, scale: int, pairs: list[Pair]) -> None:
        kind = next(k for k in range(4) if 2**k >= len(pairs))
        filled = pairs + [(self.zero, self.zero)] * (2**kind - len(pairs))
        mode = machine.SCALED if scale >= 0 else (machine.ADD if base == out else machine.COMBINE)
        self._row(mode + kind, length, out, base, max(scale, 0), *(place for pair in filled for place in pair))

    def inverse(self, length: int, out: int, base: int) -> None:
        """`out = -1 / base`."""
        self._row(machine.INVERSE, length, out, base)

    def guarded(self, length: int, out: int, left: int, right: int) -> None:
        """`out = 1 / max(left, right)`."""
        self._row(machine.GUARDED, length, out, left, right)

    def copy(self, out: int, source: int, count: Places, out_strides: Places, strides: Places) -> None:
        """A box of numbers from one arrangement to another."""
        self._row(machine.COPY, 0, out, source, 0, *_three(count, 1), *_three(out_strides, 0), *_three(strides, 0))

    def unzip(
        self, even: int, odd: int | None, lines: int, count: Places, odds: int, strides: Places, of_lines: Places
    ) -> None:
        """Lines along the last axis to vectors of their even and odd numbers; `count` of the even ones.

        `strides` of the vectors and `of_lines` count all axes but the last, along which both are dense.
        """
        self._pairs(machine.UNZIP, even, odd, lines, count, odds, strides, of_lines)

    def zip(
        self, even: int, odd: int | None, lines: int, count: Places, odds: int, strides: Places, of_lines: Places
    ) -> None:
        """The way back."""
        self._pairs(machine.ZIP, even, odd, lines, count, odds, strides, of_lines)

    def _pairs(
        self, code: int, even: int, odd: int | None, lines: int, count: Places, odds: int, strides: Places,
        of_lines: Places,
    ) -> None:  # fmt: skip
        n0, n1, evens = _three(count, 1)
        places = (_three(strides, 0)[:2], _three(of_lines, 0)[:2])
        self._row(code, 0, even, lines, even if odd is None else odd, n0, n1, evens, odds, *places[0], *places[1])

    def dense(self) -> None:
        """The coarsest system."""
        self._row(machine.DENSE)

    def wrap(self, box: Box, vector: int, colour: Places) -> None:
        """Copies the unknowns at both ends of every periodic axis to the halo of the other end."""
        count, strides = box.count(colour), box.strides
        for axis in range(box.dim):
            if box.periodic[axis]:
                plane = tuple(1 if a == axis else p for a, p in enumerate(box.places))
                for out, source in ((0, count[axis]), (count[axis] + 1, 1)):
                    self.copy(vector + out * strides[axis], vector + source * strides[axis], plane, strides, strides)

    def array(self) -> Array:
        """The rows as the machine takes them."""
        return np.array(self.rows, dtype=np.uint64).reshape(-1, machine.WIDTH)

    def _row(self, *numbers: int) -> None:
        self.rows.append([*numbers, *(0,) * (machine.WIDTH - len(numbers))])


def _three(values: Places, filling: int) -> tuple[int, ...]:
    return (filling,) * (3 - len(values)) + tuple(values)
