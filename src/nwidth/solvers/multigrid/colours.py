"""Where the unknowns of a box stand: split by the parity of their indices into 2^d colours, each a flat vector.

An unknown with index t along an axis has parity t mod 2 and place 1 + t // 2; places 0 and count + 1 are a halo. All
colours share one flat layout, so that the neighbour of *every* unknown of a colour is another colour's vector, shifted
by the same number of places: smoothing, residuals, transfers and Galerkin products are all sums of products of shifted
vectors, with no branches and no strides. The halo holds zeros, or copies where the axis is periodic.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

#: One entry per axis: the parity of a colour, or a step to a neighbour (-1, 0 or 1).
Places = tuple[int, ...]


@dataclass(frozen=True)
class Box:
    """A box of unknowns, `shape` along 1 to 3 axes; `coarsened` axes are halved on the way to the next box."""

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]
    coarsened: tuple[bool, ...]

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def places(self) -> tuple[int, ...]:
        """Places along each axis, halo included."""
        return tuple((n + 1) // 2 + 2 for n in self.shape)

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Flat distance of neighbouring places along each axis."""
        strides, size = [], 1
        for n in reversed(self.places):
            strides.append(size)
            size *= n
        return tuple(reversed(strides))

    @property
    def length(self) -> int:
        """Length of a colour's vector."""
        return self.strides[0] * self.places[0]

    @property
    def margin(self) -> int:
        """How far a shift can point outside a vector."""
        return sum(self.strides)

    def count(self, colour: Places) -> tuple[int, ...]:
        """Unknowns of a colour along each axis."""
        return tuple((n + 1 - p) // 2 for n, p in zip(self.shape, colour, strict=True))

    @cached_property
    def colours(self) -> tuple[Places, ...]:
        """The colours that have unknowns."""
        return tuple(c for c in product((0, 1), repeat=self.dim) if min(self.count(c)) > 0)

    @property
    def coarse_shape(self) -> tuple[int, ...]:
        """Shape of the next box: the odd indices of every coarsened axis."""
        return tuple(n // 2 if halved else n for n, halved in zip(self.shape, self.coarsened, strict=True))

    def neighbour(self, colour: Places, step: Places) -> tuple[Places, Places]:
        """Colour of the neighbour one step away, and its shift in places."""
        other = tuple((p + abs(s)) % 2 for p, s in zip(colour, step, strict=True))
        return other, tuple(_shift(p, s) for p, s in zip(colour, step, strict=True))

    def flat(self, shift: Places) -> int:
        """A shift in places along each axis as a flat distance."""
        return sum(s * stride for s, stride in zip(shift, self.strides, strict=True))

    def first(self) -> int:
        """Flat place of the first unknown of every colour."""
        return sum(self.strides)

    def even_axes(self, colour: Places) -> tuple[int, ...]:
        """Coarsened axes along which a colour lies between coarse unknowns."""
        return tuple(a for a in range(self.dim) if self.coarsened[a] and colour[a] == 0)

    def is_coarse(self, colour: Places) -> bool:
        """Whether the unknowns of a colour exist in the next box."""
        return not self.even_axes(colour)

    def parents(self, colour: Places) -> list[tuple[Places, Places, Places]]:
        """For each corner around an unknown: the corner (-1 or 1 per even axis, else 0), its colour, its shift."""
        axes = self.even_axes(colour)
        found = []
        for signs in product((-1, 1), repeat=len(axes)):
            corner, coarse, shift = [0] * self.dim, list(colour), [0] * self.dim
            for axis, sign in zip(axes, signs, strict=True):
                corner[axis], coarse[axis], shift[axis] = sign, 1, _shift(0, sign)
            found.append((tuple(corner), tuple(coarse), tuple(shift)))
        return found


def step_between(box: Box, colour: Places, other: Places, shift: Places) -> Places:
    """The step in the next box between two coarse unknowns whose places differ by `shift`."""
    steps = []
    for axis, (p, q, s) in enumerate(zip(colour, other, shift, strict=True)):
        if box.coarsened[axis] or p == q:
            steps.append(s)
        else:  # the inverse of `_shift`
            steps.append(2 * s - 1 if p else 2 * s + 1)
    return tuple(steps)


def backward(step: Places) -> bool:
    """Whether the first component that is not zero is negative."""
    return next((s for s in step if s), 0) < 0


def opposite(step: Places) -> Places:
    """The step back."""
    return tuple(-s for s in step)


def difference(a: Places, b: Places) -> Places:
    """a - b, axis by axis."""
    return tuple(x - y for x, y in zip(a, b, strict=True))


def _shift(parity: int, step: int) -> int:
    """Places from an index of this parity to the index one step away: 2i -> 2i - 1 is one place back, 2i + 1 none."""
    if step == 0:
        return 0
    return (step + 1) // 2 if parity else (step - 1) // 2
