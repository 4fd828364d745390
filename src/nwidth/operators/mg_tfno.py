"""Multigrid domain decomposition around a tensorised Fourier operator (MG-TFNO, Kossaifi et al. 2023)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.operators.boundaries.axes import AxisSeries
from nwidth.operators.boundaries.network import coordinates_on
from nwidth.operators.frame import Frame
from nwidth.operators.network import piece_size
from nwidth.operators.patches import AxisPatches, cut, joined, levels_of
from nwidth.operators.tensor_network import TensorNetwork
from nwidth.operators.tfno import TFNO, TensorArchitecture


class PatchedNetwork(nn.Module):
    """`w = J ∘ N ∘ M`: windows of several resolutions (M), one network for all of them (N), joined without halos (J).

    `network`: takes `((levels + 1) C_in + coordinates, *window)` channels, returns C_out. `patches`: how each axis is
    cut; `coordinates`: axes whose coordinates are shown, () for none.

    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)`, on any grid of at least 2 nodes per patch.
    Raises InputError for a grid too coarse for the patches.
    """

    def __init__(
        self,
        network: nn.Module,
        patches: tuple[AxisPatches, ...],
        levels: int,
        coordinates: tuple[AxisSeries, ...] = (),
    ):
        super().__init__()
        self.network, self.patches, self.levels, self.coordinates = network, patches, levels, coordinates

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C_in, *grid)` to `(B, C_out, *grid)`."""
        grid = tuple(x.shape[2:])
        if any(n < 2 * axis.count for n, axis in zip(grid, self.patches, strict=True)):
            counts = tuple(axis.count for axis in self.patches)
            raise InputError(f"a grid of {grid} nodes for {counts} patches; expected 2 nodes per patch or more")
        windows = levels_of(x, self.patches, self.levels)
        if self.coordinates:
            places = coordinates_on(grid, self.coordinates, x).movedim(-1, 0)
            windows = torch.cat([windows, cut(places.expand(x.shape[0], *places.shape), self.patches)], dim=1)
        return joined(self.network(windows), self.patches, grid)


@dataclass(frozen=True)
class MultigridArchitecture(TensorArchitecture):
    """Sizes of a `PatchedNetwork` around a `TensorNetwork`; `axes` are those of the whole domain."""

    kind: ClassVar[str] = "multigrid-tensor-network"

    patches: tuple[int, ...] = ()
    levels: int = 1
    halo: float = 0.125
    padding: float = 0.125

    def network(self, channels: tuple[int, int]) -> PatchedNetwork:  # type: ignore[override]
        """The network without imposed values, for (out, in) channels."""
        out, inp = channels
        seen = self.series if self.coordinates else ()
        inner = TensorNetwork(
            (out, (self.levels + 1) * inp + sum(axis.coordinate_count for axis in seen)),
            self.modes,
            self.width,
            self.layers,
            self.factorization,
            self.ranks,
            (AxisSeries("padded", "node", self.padding),) * len(self.modes),
            joint=self.joint,
            bypass=self.bypass,
            hidden=self.hidden,
        )
        return PatchedNetwork(inner, self._axes, self.levels, seen)

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples per piece: all windows of a sample go through at once."""
        windows = prod(axis.count * axis.window(n) for axis, n in zip(self._axes, grid, strict=True))
        return piece_size(windows, self.width)

    @property
    def _axes(self) -> tuple[AxisPatches, ...]:
        pairs = zip(self.patches, self.series, strict=True)
        return tuple(AxisPatches(count, self.halo, axis.word == "periodic") for count, axis in pairs)


@dataclass(frozen=True)
class MGTFNO(TFNO):
    """A tensorised Fourier operator on patches of the domain that see coarser views of their surroundings.

    The domain is cut into `patches` per axis (one number serves all); windows reach a `halo` (a fraction of the domain)
    beyond them, and come with `levels` wider views of as many values, the l-th 2^l times as wide. One TFNO (all other
    fields) serves all windows, and memory for one window at a time is enough. Beyond its ends a periodic domain begins
    again, others are mirrored. `modes` are per window; `padding` is a fraction of the window.

    Reference: Kossaifi, Kovachki, Azizzadenesheli and Anandkumar 2023, section 5.
    """

    patches: int | tuple[int, ...] = 2
    levels: int = 1
    halo: float = 0.125

    def checks(self) -> Mapping[str, tuple[bool, str]]:
        """Of patches too."""
        patches = (self.patches,) if isinstance(self.patches, int) else tuple(self.patches)
        return {
            **super().checks(),
            "patches": (bool(patches) and min(patches) >= 1, "1 or more per axis"),
            "levels": (self.levels >= 0, "0 or more"),
            "halo": (0 <= self.halo <= 1, "between 0 and 1 (a fraction of the domain)"),
        }

    def architecture(self, frame: Frame) -> MultigridArchitecture:
        """Patches for every axis. Raises InputError for a number of them that is not that of the axes."""
        given = super().architecture(frame)
        patches = (self.patches,) * frame.dim if isinstance(self.patches, int) else tuple(self.patches)
        if len(patches) != frame.dim:
            raise InputError(f"MGTFNO: {len(patches)} numbers of patches for a grid with {frame.dim} axes")
        plain = {f.name: getattr(given, f.name) for f in fields(given)}
        return MultigridArchitecture(**plain, patches=patches, levels=self.levels, halo=self.halo, padding=self.padding)
