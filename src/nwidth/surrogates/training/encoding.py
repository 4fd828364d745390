"""Parameters and fields as channels: how samples become the tensors that a network sees."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid

Layout = Literal["channels", "vector"]


@dataclass(frozen=True)
class Encoding:
    """How parameters `mu` become input and how fields become channels, and back.

    `layout='channels'`: input `(B, C_in, *grid)`, one channel for a parameter that is a field on the grid and a
    constant channel for every scalar; 'vector': input `(B, P)`, all parameters in a row. Fields become
    `(B, C_out, *grid)`; a complex field or parameter takes two channels, real and imaginary part. `dim` is the number
    of grid axes, 0 for a space without a grid, whose fields become `(B, 1, N)`.
    """

    names: tuple[str, ...]
    layout: Layout
    dim: int
    complex_fields: bool = False
    components: int = 0

    @classmethod
    def of(cls, snapshots: Snapshots, layout: Layout | None = None) -> Self:
        """The encoding for these snapshots; by default 'channels' where a parameter is a field on the grid."""
        space, dim = snapshots.space, grid_dimension(snapshots.space)
        grid = tuple(space.shape[-dim:]) if dim else ()
        is_field = [dim > 0 and tuple(values.shape[1:]) == grid for values in snapshots.mu.values()]
        components = space.shape[0] if len(space.shape) > max(dim, 1) else 0
        chosen = layout or ("channels" if any(is_field) else "vector")
        return cls(tuple(snapshots.mu), chosen, dim, space.dtype.kind == "c", components)

    @property
    def channels_out(self) -> int:
        """Channels of an encoded field."""
        return max(self.components, 1) * (2 if self.complex_fields else 1)

    def samples(self, part: Snapshots) -> tuple[Array, Array]:
        """Input and encoded fields of a few snapshots."""
        return self.inputs(part.mu, self.grid_of(part.space)), self.fields(np.asarray(part.fields))

    def grid_of(self, space: FunctionSpace) -> tuple[int, ...]:
        """Nodes per axis of a space, () without a grid."""
        return tuple(space.shape[-self.dim :]) if self.dim else ()

    def inputs(self, mu: Mu | Array, grid: tuple[int, ...]) -> Array:
        """Parameters as `(B, C_in, *grid)` or `(B, P)`, float64.

        Raises InputError for a field parameter on another grid.
        """
        checked = as_mu(mu, self.names)
        parts = [_real_channels(values) for values in (checked[name] for name in self.names)]
        if self.layout == "vector":
            return np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1)
        named = zip(self.names, parts, strict=True)
        return np.concatenate([self._channel(name, part, grid) for name, part in named], axis=1)

    def fields(self, values: Array) -> Array:
        """Fields `(B, *shape)` as `(B, C_out, *grid)`, float64."""
        grid = values.shape[values.ndim - self.dim :] if self.dim else (-1,)
        flat = values.reshape(len(values), max(self.components, 1), *grid)
        return np.concatenate([flat.real, flat.imag], axis=1) if self.complex_fields else flat.real

    def values(self, channels: Array, shape: tuple[int, ...]) -> Array:
        """The fields `(B, *shape)` again."""
        if self.complex_fields:
            real, imag = np.split(channels, 2, axis=1)
            channels = real + 1j * imag
        return channels.reshape(len(channels), *shape)

    def to_config(self) -> dict[str, Any]:
        """For a model file."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """From a model file."""
        return cls(**{**config, "names": tuple(config["names"])})

    def _channel(self, name: str, part: Array, grid: tuple[int, ...]) -> Array:
        """One parameter `(B, parts, ...)` as channels on the grid."""
        if part.ndim == 2 + len(grid) and part.shape[2:] != grid:
            raise InputError(
                f"parameter {name!r} is given on a grid of {part.shape[2:]} nodes, the answers live on {grid}; sample "
                "it on that grid, or use surrogate.at(space)"
            )
        if part.ndim == 2 + len(grid):
            return part
        scalars = part.reshape(len(part), -1)
        return np.broadcast_to(scalars.reshape(*scalars.shape, *(1,) * len(grid)), (*scalars.shape, *grid))


def _real_channels(values: Array) -> Array:
    """`(B, ...)` as `(B, 1 or 2, ...)` without complex numbers."""
    if values.dtype.kind == "c":
        return np.stack([values.real, values.imag], axis=1)
    return values.astype(np.float64, copy=False)[:, None]


def grid_dimension(space: FunctionSpace) -> int:
    """Number of grid axes of a space whose fields are arrays over a grid, 0 for a mesh or a set of points."""
    if isinstance(space, Grid):
        return space.dim
    axes = len(space.shape) - (len(space.components) > 1)
    return axes if axes >= 2 else 0


def side_lengths(space: FunctionSpace) -> tuple[float, ...]:
    """The sides of a gridded domain; 1 where the space does not say."""
    if isinstance(space, Grid):
        return tuple(h * n for h, n in zip(space.spacings, space.cells, strict=True))
    return (1.0,) * grid_dimension(space)
