"""Integrals of squared and other errors: what one value of a field stands for on its grid, mesh or set of points."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Real
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import MeshSpace
from nwidth.spaces.points import Points
from nwidth.spaces.torus import Torus
from nwidth.surrogates.training.encoding import grid_dimension


@dataclass(frozen=True)
class Axis:
    """One direction of a grid: `node` values stand on both ends, `cell` values in the middles, `periodic` ones once."""

    length: float = 1.0
    kind: Literal["node", "cell", "periodic"] = "node"

    def spacing(self, n: int) -> float:
        """Distance of neighbours among n values."""
        return self.length / (n - 1 if self.kind == "node" else n)

    def widths(self, n: int) -> list[float]:
        """The length that belongs to each of n values (the trapezoidal rule for nodes); they add up to `length`."""
        h = self.spacing(n)
        return [h / 2, *[h] * (n - 2), h / 2] if self.kind == "node" else [h] * n

    def differences(self, v: Tensor, axis: int) -> Tensor:
        """Neighbour minus value along an axis of v; the last value of a periodic axis has the first as neighbour."""
        return v.roll(-1, axis) - v if self.kind == "periodic" else v.diff(dim=axis)


def axes_of(space: FunctionSpace, dim: int) -> tuple[Axis, ...]:
    """What the `dim` grid axes of a space are; equal cells of a unit cube where the space does not say."""
    if isinstance(space, Grid):
        words = ["periodic" if a.periodic else space.centring for a in space.directions]
        return tuple(Axis(a.length, _kind(word)) for a, word in zip(space.directions, words, strict=True))
    if isinstance(space, Torus):
        lengths = (h * n for h, n in zip(space.spacings, space.cells, strict=True))
        return tuple(Axis(length, "periodic") for length in lengths)
    return (Axis(1.0, "cell"),) * dim


def _kind(word: str) -> Literal["node", "cell", "periodic"]:
    kinds: dict[str, Literal["node", "cell", "periodic"]] = {"node": "node", "periodic": "periodic"}
    return kinds.get(word, "cell")


class Measure(ABC):
    """`∫ v` over the domain, summed over the channels, for every sample."""

    @abstractmethod
    def integrate(self, v: Tensor) -> Tensor:
        """`(B, C, ...)` to `(B,)`."""


@dataclass(frozen=True)
class GridMeasure(Measure):
    """A product rule on a grid of any size; `Σ_i w_i1 ... w_id v_i`."""

    axes: tuple[Axis, ...]

    def integrate(self, v: Tensor) -> Tensor:
        """`(B, C, *grid)` to `(B,)`."""
        return self.over(v, faces=None)

    def over(self, v: Tensor, faces: int | None) -> Tensor:
        """The same where the values along the axis `faces` belong to the faces between neighbours."""
        for number in reversed(range(len(self.axes))):  # the contiguous axis first: one pass over the data
            axis, n = self.axes[number], v.shape[2 + number]
            whole = n if faces != number or axis.kind == "periodic" else n + 1
            widths = axis.widths(n) if faces != number else [axis.spacing(whole)] * n
            v = v @ torch.tensor(widths, dtype=v.dtype, device=v.device)
        return v.sum(dim=1)


class WeightMeasure(Measure):
    """`Σ_i w_i v_i` with fixed positive weights `(N,)` over all dofs of a space."""

    def __init__(self, weights: Real):
        self._weights = torch.from_numpy(np.asarray(weights, dtype=np.float64) / np.sum(weights))

    @classmethod
    def of(cls, space: FunctionSpace) -> Self | None:
        """The lumped masses of a mesh or of points; None where a space does not say.

        A mass matrix M is lumped to its diagonal, scaled to the same total (Hinton, Rock and Zienkiewicz 1976): the row
        sums for linear elements, and positive for quadratic ones, whose row sums are not.
        """
        if isinstance(space, MeshSpace):
            diagonal = space.mass.matrix.diagonal()
            return cls(np.maximum(diagonal, 1e-12 * diagonal.max()))
        if isinstance(space, Points):
            return cls(np.tile(space.node_measures(), len(space.names)))
        return None

    def integrate(self, v: Tensor) -> Tensor:
        """`(B, C, ...)` with as many values as dofs (or a multiple: real and imaginary parts) to `(B,)`."""
        weights = self._weights.to(v.device, v.dtype)
        return (v.reshape(len(v), -1, len(weights)) @ weights).sum(dim=1)


class EqualMeasure(Measure):
    """Every value counts the same."""

    def integrate(self, v: Tensor) -> Tensor:
        """The sum of all values of a sample."""
        return v.flatten(1).sum(dim=1)


def measure_of(space: FunctionSpace) -> Measure:
    """The quadrature of a space: trapezoidal on node grids, lumped masses on meshes and points, else equal weights."""
    dim = grid_dimension(space)
    if dim:
        return GridMeasure(axes_of(space, dim))
    return WeightMeasure.of(space) or EqualMeasure()
