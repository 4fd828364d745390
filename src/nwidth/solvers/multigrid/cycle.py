"""The V-cycle, written out as one tape: Gauss-Seidel by colours, restriction, the coarser boxes, interpolation.

Work whose result is known is left out: the first sweep starts from zero, the colours that a sweep updates last have no
residual, and those that the next sweep updates first need no correction.
"""

from itertools import pairwise

from nwidth.solvers.multigrid.colours import Places
from nwidth.solvers.multigrid.hierarchy import Level, carrier, merge, split
from nwidth.solvers.multigrid.tape import Tape


def write_cycle(levels: list[Level], tape: Tape, sweeps: int) -> None:
    """One V-cycle from zero: the right-hand side `b` of the first level to an approximate solution `x`."""
    for fine, coarse in pairwise(levels):
        _descend(fine, coarse, tape, sweeps)
    tape.dense()
    for coarse, fine in pairwise(levels[::-1]):
        _ascend(fine, coarse, tape, sweeps)


def order(level: Level) -> list[Places]:
    """Colours in the order of a sweep: for five-point matrices the red ones, then the black ones."""
    return sorted(level.box.colours, key=lambda c: (sum(c) % 2, c))


def _update(level: Level, colour: Places, tape: Tape, known: set[Places]) -> None:
    """Solves the equations of a colour for its unknowns; unknowns that are not `known` are zero."""
    pairs = [(m, level.x[other] + shift) for m, other, shift in level.neighbours(colour) if other in known]
    tape.combine(level.box.length, level.x[colour], pairs, level.b[colour], level.scale[colour])
    tape.wrap(level.box, level.x[colour], colour)


def _descend(fine: Level, coarse: Level, tape: Tape, sweeps: int) -> None:
    box, colours = fine.box, order(fine)
    known: set[Places] = set()
    for _ in range(sweeps):
        for colour in colours:
            _update(fine, colour, tape, known)
            known.add(colour)
    left = _with_residual(fine, colours)
    for colour in left:
        pairs = [(m, fine.x[other] + shift) for m, other, shift in fine.neighbours(colour)]
        pairs.append((fine.coupling[colour, (0,) * box.dim], fine.x[colour]))
        tape.combine(box.length, fine.residual[colour], pairs, fine.b[colour])
        tape.wrap(box, fine.residual[colour], colour)
    for target in filter(box.is_coarse, box.colours):
        pairs = []
        for colour in left:
            for corner, reached, shift in box.parents(colour):
                if reached == target and any(corner):
                    move = -box.flat(shift)
                    pairs.append((fine.weight[colour, corner] + move, fine.residual[colour] + move))
        base = fine.residual[target] if target in left else None
        tape.combine(box.length, fine.residual[target], pairs, base)
    split(tape, box, coarse.box, {c: (coarse.b[c], fine.residual[carrier(box, c)]) for c in coarse.box.colours})


def _ascend(fine: Level, coarse: Level, tape: Tape, sweeps: int) -> None:
    box, colours = fine.box, order(fine)[::-1]
    # residuals are not needed any more: their vectors take the corrections of the coarse unknowns
    merge(tape, box, coarse.box, {c: (coarse.x[c], fine.residual[carrier(box, c)]) for c in coarse.box.colours})
    for colour in filter(box.is_coarse, colours):
        tape.wrap(box, fine.residual[colour], colour)
    for colour in _that_are_read(fine, colours):
        if box.is_coarse(colour):
            pairs = [(fine.residual[colour], tape.one)]
        else:
            pairs = [
                (fine.weight[colour, corner], fine.residual[reached] + box.flat(shift))
                for corner, reached, shift in box.parents(colour)
            ]
        tape.combine(box.length, fine.x[colour], pairs, fine.x[colour])
        tape.wrap(box, fine.x[colour], colour)
    for _ in range(sweeps):
        for colour in colours:
            _update(fine, colour, tape, set(colours))


def _with_residual(level: Level, colours: list[Places]) -> list[Places]:
    """Colours whose residual is not zero after a sweep: some neighbour was updated later."""
    later = {c: set(colours[i + 1 :]) for i, c in enumerate(colours)}
    return [c for c in colours if any(other in later[c] for _, other, _ in level.neighbours(c))]


def _that_are_read(level: Level, colours: list[Places]) -> list[Places]:
    """Colours whose old values a sweep in this order reads."""
    return [
        c
        for i, c in enumerate(colours)
        if any(c in {other for _, other, _ in level.neighbours(earlier)} for earlier in colours[:i])
    ]
