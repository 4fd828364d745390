"""Which series expands functions along each axis of a grid, chosen from the space or by the user."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from nwidth.core.errors import InputError
from nwidth.linmaps.basis import Basis, FourierBasis, Points
from nwidth.linmaps.chebyshev import ChebyshevBasis
from nwidth.linmaps.cosine import CosineBasis
from nwidth.linmaps.sine import SineBasis
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.torus import Torus

#: 'periodic': a Fourier series whose period is the axis. 'padded': a Fourier series with a longer period, for any ends.
#: 'cosine': functions continued evenly (zero flux). 'sine': continued oddly (zero values). 'chebyshev': polynomials.
Word: TypeAlias = Literal["periodic", "padded", "cosine", "sine", "chebyshev"]
#: One word for all axes or one per axis; 'auto' chooses from the space.
Series: TypeAlias = Word | Literal["auto"] | Sequence[Word | Literal["auto"]]

WORDS: tuple[str, ...] = ("periodic", "padded", "cosine", "sine", "chebyshev")


@dataclass(frozen=True)
class AxisSeries:
    """The series along one axis: its word, where the values lie, and the padding where there is any."""

    word: Word
    points: Points
    padding: float = 0.0

    def basis(self, modes: int) -> Basis:
        """The functions up to the wavelength of `modes` Fourier frequencies: 2 modes - 1 of them, of any kind."""
        count = 2 * modes - 1
        if self.word == "cosine":
            return CosineBasis(count, self.points)
        if self.word == "sine":
            return SineBasis(count, self.points)
        if self.word == "chebyshev":
            return ChebyshevBasis(count, self.points)
        return FourierBasis(modes, self.points, 1.0 + self.padding)

    def coordinates(self, n: int, like: Tensor) -> list[Tensor]:
        """What tells the places of n values apart: 2x - 1, or cos 2πx and sin 2πx where the end is the beginning."""
        x = torch.from_numpy(FourierBasis(1, self.points).places(n)).to(like.device)
        lines = [torch.cos(2 * torch.pi * x), torch.sin(2 * torch.pi * x)] if self.word == "periodic" else [2 * x - 1]
        return [line.to(like.dtype) for line in lines]

    @property
    def coordinate_count(self) -> int:
        """Number of channels of `coordinates`."""
        return 2 if self.word == "periodic" else 1


def series_of(space: FunctionSpace, dim: int, wanted: Series, padding: float) -> tuple[AxisSeries, ...]:
    """The series along each of the `dim` axes of a space's grid.

    'auto': periodic axes get a Fourier series of exactly one period, axes with a prescribed flux at both ends a cosine
    series, all others a padded Fourier series. Raises InputError for unknown words, or 'periodic' on an axis that a
    grid says has two ends.
    """
    words = (wanted,) * dim if isinstance(wanted, str) else tuple(wanted)
    if len(words) != dim or not set(words) <= {*WORDS, "auto"}:
        raise InputError(
            f"series {wanted!r} for a grid with {dim} axes; give one word, or one per axis, among auto, "
            f"{', '.join(WORDS)}"
        )
    return tuple(_axis(space, axis, word, padding) for axis, word in enumerate(words))


def _axis(space: FunctionSpace, axis: int, word: str, padding: float) -> AxisSeries:
    natural, points = _natural(space, axis)
    chosen = natural if word == "auto" else word
    if natural == "periodic" and chosen != "periodic":
        raise InputError(f"series: axis {axis} is periodic, which a {chosen!r} series does not know; use 'auto'")
    if chosen == "periodic" and natural != "periodic" and isinstance(space, Grid):
        raise InputError(f"series: axis {axis} of the grid has two ends and cannot be 'periodic'; use 'auto'")
    if chosen == "periodic" and points == "node":
        points = "periodic"
    return AxisSeries(chosen, points, padding if chosen == "padded" else 0.0)  # type: ignore[arg-type]


def _natural(space: FunctionSpace, axis: int) -> tuple[str, Points]:
    """The series that suits an axis, and where its values lie; without a grid nothing is known."""
    if isinstance(space, Torus):
        return "periodic", "periodic"
    if not isinstance(space, Grid):
        return "padded", "node"
    direction = space.directions[axis]
    if direction.periodic:
        return "periodic", "cell" if space.centring == "cell" else "periodic"
    neumann = direction.low == direction.high == "neumann"
    return "cosine" if neumann else "padded", space.centring
