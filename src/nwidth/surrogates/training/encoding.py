"""Parameters and fields as channels: how samples become the tensors that a network sees."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.random_field import RandomField
from nwidth.spaces.torus import Torus

Layout = Literal["channels", "vector"]

#: A vector with more numbers than this is no set of constant channels: more likely a field on another grid.
_MOST_CONSTANTS = 128


@dataclass(frozen=True)
class Encoding:
    """How parameters `mu` become input and how fields become channels, and back.

    `layout='channels'`: input `(B, C_in, *grid)`, one channel for a parameter that is a field on the grid (one for each
    component of a vector field `(B, C, *grid)`) and a constant channel for every scalar and every entry of a vector;
    'vector': input `(B, P)`, all parameters in a row. Fields become `(B, C_out, *grid)`; a complex field or parameter
    takes two channels, real and imaginary part. `dim` is the number of grid axes, 0 for a space without a grid, whose
    fields become `(B, 1, N)`. `on_grid` names the parameters that are fields; None (old files): those with as many axes
    as the grid.
    """

    names: tuple[str, ...]
    layout: Layout
    dim: int
    complex_fields: bool = False
    components: int = 0
    on_grid: tuple[str, ...] | None = None

    @classmethod
    def of(cls, snapshots: Snapshots, layout: Layout | None = None) -> Self:
        """The encoding for these snapshots; by default 'channels' where a parameter is a field on the grid.

        Raises InputError for a parameter that is a field on another grid, where it would have to be a channel.
        """
        space, dim = snapshots.space, grid_dimension(snapshots.space)
        grid = tuple(space.shape[-dim:]) if dim else ()
        shapes = {name: tuple(values.shape[1:]) for name, values in snapshots.mu.items()}
        fields = tuple(name for name, shape in shapes.items() if dim and shape[-dim:] == grid and len(shape) <= dim + 1)
        components = space.shape[0] if len(space.shape) > max(dim, 1) else 0
        chosen = layout or ("channels" if fields else "vector")
        if chosen == "channels" and dim:
            known = _fields_of(snapshots.parameters, dim)
            for name, shape in shapes.items():
                _check_place(name, shape, grid, known=name in known)
        return cls(tuple(snapshots.mu), chosen, dim, space.dtype.kind == "c", components, fields)

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
        if self.layout == "vector":
            parts = [_real_channels(checked[name]) for name in self.names]
            return np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1)
        return np.concatenate([self._channels(name, checked[name], grid) for name in self.names], axis=1)

    def fields(self, values: Array) -> Array:
        """Fields `(B, *shape)` as `(B, C_out, *grid)`, float64. Raises InputError for trajectories."""
        if self.dim and values.ndim != 1 + (self.components > 0) + self.dim:
            raise InputError(
                f"fields have shape {values.shape[1:]} per sample, expected {self.dim} grid axes"
                f"{' after the components' if self.components else ''}; for trajectories use "
                "nw.operators.Evolving(...), or one time of them: nw.snapshots.at_time(snapshots, t)"
            )
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
        on_grid = config.get("on_grid")
        fields = {"names": tuple(config["names"]), "on_grid": None if on_grid is None else tuple(on_grid)}
        return cls(**{**config, **fields})

    def _channels(self, name: str, values: Array, grid: tuple[int, ...]) -> Array:
        """One parameter `(B, ...)` as channels on the grid."""
        axes = values.ndim - 1
        is_field = axes == len(grid) if self.on_grid is None else name in self.on_grid
        if is_field and (axes not in (len(grid), len(grid) + 1) or values.shape[values.ndim - len(grid) :] != grid):
            raise InputError(_elsewhere(name, values.shape[1:], grid))
        part = _real_channels(values)
        if is_field:
            return part.reshape(len(part), -1, *grid)
        scalars = part.reshape(len(part), -1)
        return np.broadcast_to(scalars.reshape(*scalars.shape, *(1,) * len(grid)), (*scalars.shape, *grid))


def _fields_of(parameters: ParameterSpace, dim: int) -> tuple[str, ...]:
    """Names of the parameters that are known to be fields of so many dimensions."""
    parts = parameters.parts if isinstance(parameters, Joint) else (parameters,)
    return tuple(p.name for p in parts if isinstance(p, PeriodicField | RandomField) and p.dim == dim)


def _check_place(name: str, shape: tuple[int, ...], grid: tuple[int, ...], *, known: bool) -> None:
    """InputError for what is, or seems to be, a field on another grid."""
    if shape[-len(grid) :] == grid and len(shape) <= len(grid) + 1:
        return
    if known or (len(grid) > 1 and len(shape) == len(grid)):
        raise InputError(_elsewhere(name, shape, grid) + "; a parameter that is no field is given as (B, P)")
    if int(np.prod(shape)) > _MOST_CONSTANTS:
        raise InputError(
            f"parameter {name!r} has {int(np.prod(shape))} numbers per sample ({shape}) and is no field on the grid "
            f"{grid}: too many for constant channels. Give it on this grid, or reduce it (PODRegression, DeepONet)"
        )


def _elsewhere(name: str, shape: tuple[int, ...], grid: tuple[int, ...]) -> str:
    return (
        f"parameter {name!r} is given on a grid of {shape} nodes, the answers live on {grid}; sample it on that grid, "
        "thin it out with nw.snapshots.on_nodes(snapshots), or use surrogate.at(space)"
    )


def _real_channels(values: Array) -> Array:
    """`(B, ...)` as `(B, 1 or 2, ...)` without complex numbers."""
    if values.dtype.kind == "c":
        return np.stack([values.real, values.imag], axis=1)
    return values.astype(np.float64, copy=False)[:, None]


def grid_dimension(space: FunctionSpace) -> int:
    """Number of grid axes of a space whose fields are arrays over a grid, 0 for a mesh or a set of points."""
    if isinstance(space, Grid | Torus):
        return space.dim
    axes = len(space.shape) - (len(space.components) > 1)
    return axes if axes >= 2 else 0


def side_lengths(space: FunctionSpace) -> tuple[float, ...]:
    """The sides of a gridded domain; 1 where the space does not say."""
    if isinstance(space, Grid | Torus):
        return tuple(h * n for h, n in zip(space.spacings, space.cells, strict=True))
    return (1.0,) * grid_dimension(space)
