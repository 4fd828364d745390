"""Everything about a multigrid solve that does not depend on the coefficients: boxes, workspace, tapes, tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.solvers.multigrid.colours import Box, Places, backward
from nwidth.solvers.multigrid.cycle import write_cycle
from nwidth.solvers.multigrid.hierarchy import (
    Level,
    carrier,
    empty_level,
    finish,
    split,
    stored,
    write_galerkin,
    write_weights,
)
from nwidth.solvers.multigrid.tape import Tape, Workspace

#: An axis is not halved where its couplings are weaker than the strongest ones by more than this factor.
_ANISOTROPY = 4.0
#: Unknowns of a box that is not coarsened any more.
_SMALL = 16
#: Most unknowns of the coarsest box, whose inverse is formed.
COARSEST = 600


@dataclass(frozen=True, eq=False)
class Plan:
    """What the vector machine runs for matrices on one box.

    `fill[j]`: UNZIP rows that load the natural array j (centre, then per axis plus, and minus where it is not
    symmetric) to the finest couplings; `read`, `write`: rows for right-hand side and solution; `setup`, `cycle`: tapes;
    `entries`: place, row and column of the coarsest matrix; `places`: of its right-hand side and solution; `size` of
    the workspace; `one`, `minus`: where the constant vectors 1 and -1 start, `ones` numbers each.
    """

    fill: Array
    read: Array
    write: Array
    setup: Array
    cycle: Array
    entries: Array
    places: Array
    size: int
    one: int
    minus: int
    ones: int


def schedule(shape: Places, periodic: tuple[bool, ...], strength: Sequence[float]) -> list[Box]:
    """The boxes from fine to coarse. `strength`: the mean coupling along each axis, relative to one another.

    Axes with weak couplings wait until halving the others has made the couplings comparable (semi-coarsening).
    """
    boxes, pull = [], list(strength)
    while True:
        able = [a for a, n in enumerate(shape) if n >= (4 if periodic[a] else 2)]
        if int(np.prod(shape)) <= _SMALL or any(p and n % 2 for p, n in zip(periodic, shape, strict=True)):
            able = []
        top = max((pull[a] for a in able), default=0.0)
        halved = tuple(a in able and pull[a] * _ANISOTROPY >= top for a in range(len(shape)))
        boxes.append(Box(tuple(shape), periodic, halved))
        if not able:
            return boxes
        shape = boxes[-1].coarse_shape
        pull = [p / 4 if h else p for p, h in zip(pull, halved, strict=True)]


def coarsest(boxes: Sequence[Box]) -> int:
    """Unknowns of the coarsest box."""
    return int(np.prod(boxes[-1].shape))


def make_plan(boxes: Sequence[Box], symmetric: bool, sweeps: int) -> Plan:
    """Writes the tapes. Raises InputError where the boxes do not get small enough (odd periodic axes)."""
    if coarsest(boxes) > COARSEST:
        raise InputError(
            f"a grid of {boxes[0].shape} unknowns cannot be halved below {boxes[-1].shape}: a periodic axis needs an "
            "even number of cells at every step; choose a multiple of 16, or the solver Direct"
        )
    ws = Workspace()
    zero, one, minus = (ws.vector(boxes[0]) for _ in range(3))
    setup, cycle = Tape(zero, one, minus), Tape(zero, one, minus)
    levels = _write_setup(boxes, symmetric, setup, ws)
    write_cycle(levels, cycle, sweeps)
    first, last = levels[0], levels[-1]
    return Plan(
        fill=_fill_table(first, symmetric),
        read=_table(_natural(first.box, first.b)),
        write=_table(_natural(first.box, first.x)),
        setup=setup.array(),
        cycle=cycle.array(),
        entries=_entries(last, symmetric),
        places=_natural_places(last),
        size=ws.size + boxes[0].margin,
        one=one - boxes[0].margin,
        minus=minus - boxes[0].margin,
        ones=boxes[0].length + 2 * boxes[0].margin,
    )


def _write_setup(boxes: Sequence[Box], symmetric: bool, tape: Tape, ws: Workspace) -> list[Level]:
    axes = [tuple(s if b == a else 0 for b in range(boxes[0].dim)) for a in range(boxes[0].dim) for s in (-1, 1)]
    level = empty_level(boxes[0], [(0,) * boxes[0].dim, *axes], symmetric, ws)
    finish(level, tape, stored(level, symmetric))
    levels = [level]
    for box in boxes[1:]:
        write_weights(level, tape, ws)
        sums = write_galerkin(level, tape, ws, symmetric)
        steps = sorted({step for _, step in sums} | {tuple(-s for s in step) for _, step in sums})
        fine, level = level, empty_level(box, steps, symmetric, ws)
        own = [(c, s) for c, s in stored(level, symmetric) if (carrier(fine.box, c), s) in sums]
        for step in dict.fromkeys(step for _, step in own):
            places = {c: (level.coupling[c, s], sums[carrier(fine.box, c), s]) for c, s in own if s == step}
            split(tape, fine.box, box, places)
        finish(level, tape, own)
        levels.append(level)
    return levels


def _natural(box: Box, places: dict[Places, int]) -> list[list[int]]:
    """UNZIP rows between colours' vectors and a flat array over all unknowns in natural order."""
    strides = [int(np.prod(box.shape[a + 1 :])) for a in range(box.dim)]
    of_lines = tuple(2 * s for s in strides)
    tape = Tape(0, 0, 0)
    for even in product((0, 1), repeat=box.dim - 1):
        colour, partner = (*even, 0), (*even, 1)
        if colour in places:
            start = sum(p * s for p, s in zip(colour, strides, strict=True))
            odd = places[partner] + box.first() if partner in places else None
            odds = box.count(partner)[-1] if partner in places else 0
            tape.unzip(places[colour] + box.first(), odd, start, box.count(colour), odds, box.strides, of_lines)
    return tape.rows


def _table(rows: list[list[int]]) -> Array:
    return np.array(rows, dtype=np.uint64)


def _fill_table(level: Level, symmetric: bool) -> Array:
    """Rows `(arrays, pairs of colours, WIDTH)` for centre, plus of each axis, and minus of each axis."""
    box = level.box
    steps = [(0,) * box.dim]
    for sign in (1,) if symmetric else (1, -1):
        steps += [tuple(sign if b == a else 0 for b in range(box.dim)) for a in range(box.dim)]
    none = level.ignored
    return np.array(
        [_natural(box, {c: level.coupling.get((c, s), none) for c in box.colours}) for s in steps], dtype=np.uint64
    )


def _natural_places(level: Level) -> Array:
    """Places of right-hand side and solution of every unknown of the coarsest box, `(2, n)`."""
    found = [(level.b[c] + k, level.x[c] + k) for _, c, k in _unknowns(level.box)]
    return np.array(found, dtype=np.uint64).T.copy()


def _unknowns(box: Box) -> list[tuple[tuple[int, ...], Places, int]]:
    """Index, colour and flat place of every unknown, in natural order."""
    return [
        (index, tuple(t % 2 for t in index), box.flat(tuple(1 + t // 2 for t in index)))
        for index in product(*(range(n) for n in box.shape))
    ]


def _entries(level: Level, symmetric: bool) -> Array:
    """Place in the workspace, row and column of every coupling of the coarsest box."""
    box, rows = level.box, []
    for row, (index, colour, place) in enumerate(_unknowns(box)):
        for step in level.steps(colour):
            other = _moved(box, index, step)
            # where every coupling is stored once, the way back is the same number (halos do not hold it if a
            # periodic axis is odd)
            if other is not None and not (symmetric and backward(step)):
                column = reduce(lambda total, pair: total * pair[1] + pair[0], zip(other, box.shape, strict=True), 0)
                rows.append((level.coupling[colour, step] + place, row, column))
                if symmetric and any(step):
                    rows.append((level.coupling[colour, step] + place, column, row))
    return np.array(rows, dtype=np.uint64)


def _moved(box: Box, index: tuple[int, ...], step: Places) -> list[int] | None:
    """The index one step away; None outside the box."""
    moved = []
    for t, s, n, periodic in zip(index, step, box.shape, box.periodic, strict=True):
        if not periodic and not 0 <= t + s < n:
            return None
        moved.append((t + s) % n)
    return moved
