"""A sum of one-dimensional spectral maps, one along each axis: the linear map of the factorised Fourier operator."""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.arrays import Real
from nwidth.core.errors import InputError
from nwidth.linmaps.axis_products import product_along
from nwidth.linmaps.base import Cost, LinearMap, MapShape, by_parts, product_cost
from nwidth.linmaps.basis import Basis, checked_bases


@dataclass(frozen=True)
class AxisTransform:
    """Analysis `(size, n)` and synthesis `(n, size)` along one axis.

    Where functions come in pairs, cosine and sine of one frequency stand side by side after the constant, and the
    synthesis counts them twice: once for each of the frequencies k and -k.
    """

    analysis: Tensor
    synthesis: Tensor
    paired: bool

    @classmethod
    def of(cls, basis: Basis, n: int, dtype: torch.dtype, device: torch.device) -> "AxisTransform":
        """For an axis of n values."""
        analysis, synthesis = basis.matrices(n)
        if basis.paired:
            order = _side_by_side(basis.kept(n))
            analysis, synthesis = analysis[order], synthesis[:, order] * _doubled(len(order))
        there, back = (torch.from_numpy(np.ascontiguousarray(m)).to(device, dtype) for m in (analysis, synthesis))
        return cls(there, back, basis.paired)

    @property
    def kept(self) -> int:
        """Modes of this grid."""
        return (len(self.analysis) + 1) // 2 if self.paired else len(self.analysis)

    def transposed(self) -> "AxisTransform":
        """The transform whose synthesis is the transposed analysis and the other way round."""
        if not self.paired:
            return AxisTransform(self.synthesis.T, self.analysis.T, False)
        twice = torch.from_numpy(_doubled(len(self.analysis))).to(self.analysis)
        return AxisTransform((self.synthesis / twice).T, self.analysis.T * twice, True)


def _side_by_side(kept: int) -> list[int]:
    return [0, *(place for k in range(1, kept) for place in (k, kept + k - 1))]


def _doubled(size: int) -> Real:
    factors = np.full(size, 2.0)
    factors[0] = 1.0
    return factors


class FactorisedSeries(LinearMap):
    """`A v = Σ_j K_j v`, K_j the map of a one-dimensional series along axis j (Tran et al. 2023, equation 7).

    `(K_j v)(x) = Σ_k φ_k(x_j) W_jk v̂_k`, where v̂_k, a function of the other coordinates, holds the coefficients of v
    along axis j. Parameters per axis: `weights[j]`, one real matrix per mode, and, for Fourier axes, `turns[j]`, the
    imaginary parts of all but the constant: `Σ_j (2 m_j - 1) C_in C_out` numbers, linear in the modes where
    `TruncatedSeries` needs their product. None is redundant on a grid with more values than modes on each axis.

    `channels`: (C_out, C_in). `bases`: one per axis. `grid`: the grid that the map is prepared for; `forward` works on
    every grid, always as the same function. Input `(B, C_in, *grid)`, output `(B, C_out, *grid)`. Raises InputError
    for an input with other channels or axes.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        bases: tuple[Basis, ...],
        grid: tuple[int, ...],
        *,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        checked_bases(bases, grid)
        self.channels, self.bases, self.grid = tuple(channels), tuple(bases), tuple(grid)
        out, inp = channels
        scale = (inp * len(bases)) ** -0.5

        def matrices(count: int) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(count, inp, out, dtype=dtype))

        self.weights = nn.ParameterList(matrices(b.modes) for b in bases)
        turns = {str(j): matrices(b.modes - 1) for j, b in enumerate(bases) if b.paired and b.modes > 1}
        self.turns = nn.ParameterDict(turns)

    @property
    def shape(self) -> MapShape:
        """((C_out, *grid), (C_in, *grid))."""
        out, inp = self.channels
        return (out, *self.grid), (inp, *self.grid)

    def transform(self, grid: tuple[int, ...]) -> tuple[AxisTransform, ...]:
        """The transforms along the axes of a grid: a value to hold where many maps or calls share it."""
        dtype, device = self.weights[0].dtype, self.weights[0].device
        return tuple(AxisTransform.of(b, n, dtype, device) for b, n in zip(self.bases, grid, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """`A x`, `(B, C_in, *grid)` to `(B, C_out, *grid)`, on any grid."""
        prepared = self.transform(self._grid_of(x, self.channels[1]))
        return by_parts(lambda v: self._channels_first(self.convolve(self._grid_first(v), prepared)), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """`Aᵀ y`, `(B, C_out, *grid)` to `(B, C_in, *grid)`."""
        prepared = tuple(t.transposed() for t in self.transform(self._grid_of(y, self.channels[0])))
        weights = [w.mT for w in self.weights]
        turns = {name: -turn.mT for name, turn in self.turns.items()}
        return by_parts(lambda v: self._channels_first(_sum(self._grid_first(v), prepared, weights, turns)), y)

    def convolve(self, v: Tensor, prepared: tuple[AxisTransform, ...]) -> Tensor:
        """`A v` for grid-first tensors, `(*grid, B, C_in)` to `(*grid, B, C_out)`."""
        return _sum(v, prepared, list(self.weights), dict(self.turns.items()))

    def cost(self, batch: int = 1) -> Cost:
        """For each axis both transforms and the mixing, on the grid that the map is prepared for."""
        total, (out, inp), size = Cost(0, 0), self.channels, self.weights[0].itemsize
        for axis, transform in enumerate(self.transform(self.grid)):
            rows, n = transform.analysis.shape
            before, after = prod(self.grid[:axis]), prod(self.grid[axis + 1 :]) * batch
            total += product_cost(rows, n, after * inp, size, before)
            total += product_cost(n, rows, after * out, size, before)
            pairs = transform.kept - 1 if transform.paired else 0
            total += product_cost(before * after, inp, out, size, transform.kept - pairs)
            total += product_cost(before * after, 2 * inp, 2 * out, size, pairs)
        return total

    def _grid_of(self, x: Tensor, channels: int) -> tuple[int, ...]:
        if x.ndim != 2 + len(self.bases) or x.shape[1] != channels:
            axes = ", ".join(f"n{j + 1}" for j in range(len(self.bases)))
            raise InputError(f"got a tensor of shape {tuple(x.shape)}, expected (B, {channels}, {axes})")
        return tuple(x.shape[2:])

    @staticmethod
    def _grid_first(x: Tensor) -> Tensor:
        return x.movedim((0, 1), (-2, -1)).contiguous()

    @staticmethod
    def _channels_first(v: Tensor) -> Tensor:
        return v.movedim((-2, -1), (0, 1))


def _sum(v: Tensor, prepared: tuple[AxisTransform, ...], weights: list[Tensor], turns: dict[str, Tensor]) -> Tensor:
    """All axes in turn; each synthesis adds to the sum in place."""
    grid, (batch, inp) = v.shape[:-2], v.shape[-2:]
    total: Tensor | None = None
    for axis, transform in enumerate(prepared):
        before, n = prod(grid[:axis]), grid[axis]
        t = product_along(transform.analysis, v.reshape(before, n, -1))
        mixed = _mixed(t.unflatten(-1, (-1, inp)), transform, weights[axis], turns.get(str(axis)))
        total = product_along(transform.synthesis, mixed.flatten(-2), total)
    return total.reshape(*grid, batch, -1)  # type: ignore[union-attr]


def _mixed(t: Tensor, transform: AxisTransform, weight: Tensor, turn: Tensor | None) -> Tensor:
    """Channels of every mode times its matrix: `(before, size, rest, C_in)` to the same with C_out."""
    before, _, rest, inp = t.shape
    kept = transform.kept
    if not transform.paired:
        rows = t.transpose(0, 1).reshape(kept, before * rest, inp)
        return torch.bmm(rows, weight[:kept]).reshape(kept, before, rest, -1).transpose(0, 1)
    constant = t[:, 0].reshape(1, before * rest, inp) @ weight[:1]
    constant = constant.reshape(before, 1, rest, -1)
    if turn is None or kept == 1:
        return constant
    # cosine and sine parts (a, b) are the complex number a - ib, times W + iV: (aW + bV, bW - aV)
    w, v = weight[1:kept], turn[: kept - 1]
    both = torch.cat([torch.cat([w, -v], dim=2), torch.cat([v, w], dim=2)], dim=1)
    rows = t[:, 1:].unflatten(1, (kept - 1, 2)).permute(1, 0, 3, 2, 4).reshape(kept - 1, before * rest, 2 * inp)
    pairs = torch.bmm(rows, both).reshape(kept - 1, before, rest, 2, -1).permute(1, 0, 3, 2, 4)
    return torch.cat([constant, pairs.reshape(before, 2 * (kept - 1), rest, -1)], dim=1)
