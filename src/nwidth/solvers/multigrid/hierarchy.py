"""From the matrix of a grid to those of ever coarser ones: interpolation that follows the operator, Galerkin products.

An unknown between coarse ones gets the value that its own equation gives it, summed over the axes along which it does
not lie between (Alcouffe, Brandt, Dendy, Painter 1981; Dendy 1982, "Black box multigrid"). With the interpolation P the
coarse matrix is `Pᵀ A P`, for unsymmetric matrices too (the interpolation then leans upstream). All of it is written
as instructions for the vector machine; couplings are stored with a minus sign, `m = -a`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product

from nwidth.solvers.multigrid.colours import Box, Places, backward, difference, opposite, step_between
from nwidth.solvers.multigrid.tape import Pair, Tape, Workspace

#: A fine colour's product with the interpolation: coarse colour and shift in places along each axis.
Entry = tuple[Places, Places]


@dataclass
class Level:
    """A box with the places of its vectors; `ignored` takes couplings that no unknown has."""

    box: Box
    coupling: dict[tuple[Places, Places], int] = field(default_factory=dict)
    scale: dict[Places, int] = field(default_factory=dict)
    weight: dict[tuple[Places, Places], int] = field(default_factory=dict)
    x: dict[Places, int] = field(default_factory=dict)
    b: dict[Places, int] = field(default_factory=dict)
    residual: dict[Places, int] = field(default_factory=dict)
    ignored: int = 0

    def steps(self, colour: Places) -> list[Places]:
        """Steps to the neighbours that a colour is coupled to, itself first."""
        found = [step for c, step in self.coupling if c == colour]
        return sorted(found, key=lambda step: (any(step), step))

    def neighbours(self, colour: Places) -> list[tuple[int, Places, int]]:
        """Coupling, colour and shift of every neighbour."""
        found = []
        for step in self.steps(colour):
            if any(step):
                other, shift = self.box.neighbour(colour, step)
                found.append((self.coupling[colour, step], other, self.box.flat(shift)))
        return found


def empty_level(box: Box, steps: Iterable[Places], symmetric: bool, ws: Workspace) -> Level:
    """A level with room for its vectors; where the matrix is symmetric, each coupling is stored once."""
    level, wanted = Level(box, ignored=ws.vector(box)), list(steps)
    for colour in box.colours:
        for store in (level.x, level.b, level.residual, level.scale):
            store[colour] = ws.vector(box)
        for step in wanted:
            if box.neighbour(colour, step)[0] in box.colours and not (symmetric and backward(step)):
                level.coupling[colour, step] = ws.vector(box)
    if symmetric:
        for colour, step in product(box.colours, wanted):
            other, shift = box.neighbour(colour, step)
            if backward(step) and other in box.colours:
                level.coupling[colour, step] = level.coupling[other, opposite(step)] + box.flat(shift)
    return level


def finish(level: Level, tape: Tape, own: Iterable[tuple[Places, Places]]) -> None:
    """Halos of the couplings that were loaded, and the inverse diagonal."""
    box = level.box
    for colour, step in own:
        tape.wrap(box, level.coupling[colour, step], colour)
    for colour in box.colours:
        tape.inverse(box.length, level.scale[colour], level.coupling[colour, (0,) * box.dim])


def stored(level: Level, symmetric: bool) -> list[tuple[Places, Places]]:
    """The couplings that have a vector of their own."""
    return [(colour, step) for colour, step in level.coupling if not (symmetric and backward(step))]


def write_weights(level: Level, tape: Tape, ws: Workspace) -> None:
    """Instructions for the interpolation weights of every colour that lies between coarse unknowns."""
    box = level.box
    total, left, factor = (ws.vector(box) for _ in range(3))
    for colour in sorted(box.colours, key=lambda c: len(box.even_axes(c))):
        axes = box.even_axes(colour)
        if not axes:
            continue
        numerator = {corner: ws.vector(box) for corner, _, _ in box.parents(colour)}
        corners = {corner: _numerator(level, colour, axes, corner) for corner, _, _ in box.parents(colour)}
        for corner, pairs in corners.items():
            tape.combine(box.length, numerator[corner], [(m, tape.one if w is None else w) for m, w in pairs])
        along = [level.coupling[colour, s] for s in level.steps(colour) if not any(s[a] for a in axes)]
        tape.combine(box.length, left, [(tape.minus, m) for m in along])
        tape.combine(box.length, total, [(numerator[corner], tape.one) for corner in corners])
        tape.guarded(box.length, factor, left, total)
        for corner in corners:
            level.weight[colour, corner] = place = ws.vector(box)
            tape.combine(box.length, place, [(factor, numerator[corner])])
            tape.wrap(box, place, colour)


def _numerator(level: Level, colour: Places, axes: tuple[int, ...], corner: Places) -> list[tuple[int, int | None]]:
    """Products `coupling · weight` that carry the value at a corner to an unknown; None for a weight of one."""
    box = level.box
    pairs: list[tuple[int, int | None]] = []
    for step in level.steps(colour):
        moved = tuple(a for a in axes if step[a])
        if not moved or any(step[a] != corner[a] for a in moved):
            continue
        coupling = level.coupling[colour, step]
        if len(moved) == len(axes):
            pairs.append((coupling, None))
            continue
        # the neighbour lies between coarse unknowns along the axes that are left; sideways steps are not followed
        inward = tuple(s if a in moved else 0 for a, s in enumerate(step))
        other, shift = box.neighbour(colour, inward)
        rest = tuple(0 if a in moved else c for a, c in enumerate(corner))
        pairs.append((coupling, level.weight[other, rest] + box.flat(shift)))
    return pairs


def write_galerkin(level: Level, tape: Tape, ws: Workspace, symmetric: bool) -> dict[tuple[Places, Places], int]:
    """Instructions for `Pᵀ A P`; the places of its couplings (coarse colour, step), in the layout of the fine box."""
    box = level.box
    terms: dict[tuple[Places, Places], list[Pair]] = {}
    for fine in box.colours:
        for (coarse, shift), pairs in _interpolated(level, tape, fine).items():
            wanted = []
            for corner, target, back in box.parents(fine):
                step = step_between(box, target, coarse, difference(shift, back))
                if target in box.colours and not (symmetric and backward(step)):
                    wanted.append((corner, target, step, -box.flat(back)))
            if wanted:
                part = ws.vector(box)
                tape.combine(box.length, part, pairs)
                tape.wrap(box, part, fine)
            for corner, target, step, move in wanted:
                weight = level.weight[fine, corner] + move if any(corner) else tape.one
                terms.setdefault((target, step), []).append((part + move, weight))
    sums = {key: ws.vector(box) for key in terms}
    for key, pairs in terms.items():
        tape.combine(box.length, sums[key], pairs)
    return sums


def _interpolated(level: Level, tape: Tape, fine: Places) -> dict[Entry, list[Pair]]:
    """A times the interpolation, at a fine colour: for every coarse unknown that it reaches, the products to add."""
    box = level.box
    entries: dict[Entry, list[Pair]] = {}
    for step in level.steps(fine):
        other, offset = box.neighbour(fine, step)
        for corner, coarse, extra in box.parents(other):
            if coarse in box.colours:
                weight = level.weight[other, corner] + box.flat(offset) if any(corner) else tape.one
                key = coarse, tuple(a + b for a, b in zip(offset, extra, strict=True))
                entries.setdefault(key, []).append((level.coupling[fine, step], weight))
    return entries


def split(tape: Tape, fine: Box, coarse: Box, places: dict[Places, tuple[int, int]]) -> None:
    """Vectors in the layout of the fine box to those of the coarse one: coarse colour -> (place there, fine place)."""
    _exchange(tape, fine, coarse, places, tape.unzip)


def merge(tape: Tape, fine: Box, coarse: Box, places: dict[Places, tuple[int, int]]) -> None:
    """The way back: coarse colour -> (its place, place in the fine box's layout)."""
    _exchange(tape, fine, coarse, places, tape.zip)


def _exchange(
    tape: Tape, fine: Box, coarse: Box, places: dict[Places, tuple[int, int]], both: Callable[..., None]
) -> None:
    for colour, (vector, line) in places.items():
        if not fine.coarsened[-1]:  # the last axis stays as it is: lines are copied
            out, strides = (vector + coarse.first(), coarse.strides), (line + _start(fine, colour), _strides(fine))
            (a, b), (c, d) = (out, strides) if both == tape.unzip else (strides, out)
            tape.copy(a, c, coarse.count(colour), b, d)
        elif colour[-1] == 0:
            odd = places.get((*colour[:-1], 1))
            odds = coarse.count((*colour[:-1], 1))[-1] if odd else 0
            both(
                vector + coarse.first(),
                odd[0] + coarse.first() if odd else None,
                line + _start(fine, colour),
                coarse.count(colour),
                odds,
                coarse.strides,
                _strides(fine),
            )


def carrier(fine: Box, colour: Places) -> Places:
    """The fine colour whose unknowns are, among others, those of a coarse colour."""
    return tuple(1 if halved else p for p, halved in zip(colour, fine.coarsened, strict=True))


def _start(fine: Box, colour: Places) -> int:
    """Fine place of the first unknown of a coarse colour."""
    return sum((1 + p * h) * s for p, h, s in zip(colour, fine.coarsened, fine.strides, strict=True))


def _strides(fine: Box) -> Places:
    return tuple(s * (2 if halved else 1) for s, halved in zip(fine.strides, fine.coarsened, strict=True))
