"""Linear maps of the kind of a spectral convolution, in any product of bases: analysis, channels mixed per mode,
synthesis."""

from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.axis_products import product_along
from nwidth.linmaps.base import Cost, LinearMap, MapShape, by_parts, product_cost
from nwidth.linmaps.basis import Basis, box_rows, checked_bases
from nwidth.linmaps.half_space import Fold, SignedSum, folding, frequencies, rows_of


@dataclass(frozen=True)
class SeriesTransform:
    """Coefficients of grid functions in a product of bases, on one grid, by one matrix product per axis.

    Coefficients are `(modes, parts, B, C)`. Fourier axes share complex coefficients, one of each pair of opposite
    frequencies, and have 2 parts; the index of the other axes runs faster. Without Fourier axes there is 1 part. The
    first `single` modes have a zero imaginary part.

    Fast transforms have no place here. Measured (x86, float32, analysis and synthesis along one axis by the FFT of the
    continued function, time over that of matrix products): 65 nodes: 5.2 with 16 modes and 3.5 with 48; 257 nodes: 5.1
    with 16, 1.8 with 64; 1025 nodes: 2.7 with 64, 1.5 with 128, 0.8 with 256.
    """

    grid: tuple[int, ...]
    analysis: tuple[Tensor, ...]
    synthesis: tuple[Tensor, ...]
    paired: tuple[bool, ...]
    folds: tuple[SignedSum, SignedSum] | None
    #: Which of the modes of the map this grid carries; None: all.
    rows: Tensor | None

    @property
    def single(self) -> int:
        """Modes with real coefficients: the number of modes of the axes that are not paired."""
        return prod(len(a) for a, paired in zip(self.analysis, self.paired, strict=True) if not paired)

    def analyse(self, v: Tensor) -> Tensor:
        """`(*grid, B, C)` to `(modes, parts, B, C)`."""
        columns = v.shape[-2:]
        t = _along_axes(self.analysis, v.reshape(self.grid[0], -1), None)
        if self.folds is None:
            return t.reshape(-1, 1, *columns)
        t = t.reshape(*(len(a) for a in self.analysis), *columns)
        front = t.permute(*self._paired_first, -2, -1).reshape(-1, self.single * prod(columns))
        pairs = Fold.apply(front, *self.folds)
        return pairs.reshape(-1, 2, self.single, *columns).transpose(1, 2).flatten(0, 1)

    def synthesise(self, c: Tensor, onto: Tensor | None = None) -> Tensor:
        """`(modes, parts, B, C)` to `(*grid, B, C)`, added to `onto` where it is given (which is overwritten)."""
        sizes, columns = [len(a) for a in self.analysis], c.shape[-2:]
        if self.folds is not None:
            doubled = torch.cat([c[: self.single], 2 * c[self.single :]])  # each pair {k, -k} counts twice
            pairs = doubled.unflatten(0, (-1, self.single)).transpose(1, 2).flatten(0, 1).flatten(1)
            order = self._paired_first
            front = Fold.apply(pairs, self.folds[1], self.folds[0]).reshape(*(sizes[a] for a in order), *columns)
            c = front.permute(*(order.index(axis) for axis in range(len(order))), -2, -1)
        return _along_axes(self.synthesis, c.reshape(sizes[0], -1), onto).reshape(*self.grid, *columns)

    def transposed(self) -> "SeriesTransform":
        """The transform whose synthesis is `analyseᵀ` and the other way round."""
        analysis, synthesis = tuple(s.T for s in self.synthesis), tuple(a.T for a in self.analysis)
        return replace(self, analysis=analysis, synthesis=synthesis)

    def cost(self, columns_in: int, columns_out: int, itemsize: int) -> Cost:
        """The products along the axes, there and back."""
        return _along_cost(self.analysis, columns_in, itemsize) + _along_cost(self.synthesis, columns_out, itemsize)

    @property
    def _paired_first(self) -> list[int]:
        """The axes, those of paired bases before the others."""
        return sorted(range(len(self.paired)), key=lambda axis: not self.paired[axis])


def _along_axes(matrices: tuple[Tensor, ...], t: Tensor, onto: Tensor | None) -> Tensor:
    """Products along each axis of `(n_1, rest)`, in turn, the last one added to `onto`."""
    done, last = 1, len(matrices) - 1
    for axis, matrix in enumerate(matrices):
        t = product_along(matrix, t.reshape(done, matrix.shape[1], -1), onto if axis == last else None)
        done *= len(matrix)
    return t


def _along_cost(matrices: tuple[Tensor, ...], columns: int, itemsize: int) -> Cost:
    total, done = Cost(0, 0), 1
    for axis, matrix in enumerate(matrices):
        rest = prod(m.shape[1] for m in matrices[axis + 1 :]) * columns
        total += product_cost(len(matrix), matrix.shape[1], rest, itemsize, copies=done)
        done *= len(matrix)
    return total


class TruncatedSeries(LinearMap):
    """`(A v)(x) = Σ_k φ_k(x) W_k v̂_k` with φ_k products of one basis per axis and v̂_k the coefficients of v.

    `bases`: one per axis, of any kinds. Along axes of real bases (sine, cosine, Chebyshev) every mode has a real matrix
    W_k; along Fourier axes the matrices are complex, `W_{-k} = conj W_k`, so that real stays real. Parameters:
    `weight`, one real matrix per mode `(modes, C_in, C_out)`, and, where there are Fourier axes, `turn`, the imaginary
    parts of all modes but those of frequency zero. None is redundant on a grid that carries all modes.

    `channels`: (C_out, C_in). `grid`: the grid that the map is prepared for; `forward` works on every grid (`at`
    prepares another), always as the same function: a grid drops the modes that it does not carry.
    Input `(B, C_in, *grid)`, output `(B, C_out, *grid)`. Raises InputError for an input with other channels or axes.
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
        pairs, single = self._sizes()
        scale = inp**-0.5
        self.weight = nn.Parameter(scale * torch.randn(pairs * single, inp, out, dtype=dtype))
        turns = (pairs - 1) * single
        self.turn = nn.Parameter(scale * torch.randn(turns, inp, out, dtype=dtype)) if turns else None

    @property
    def shape(self) -> MapShape:
        """((C_out, *grid), (C_in, *grid))."""
        out, inp = self.channels
        return (out, *self.grid), (inp, *self.grid)

    def at(self, grid: tuple[int, ...]) -> "TruncatedSeries":
        """The map on another grid; the parameters are shared, not copied."""
        other = TruncatedSeries((1, 1), self.bases, grid)
        other.channels, other.weight, other.turn = self.channels, self.weight, self.turn
        return other

    def transform(self, grid: tuple[int, ...]) -> SeriesTransform:
        """The transform of this map for a grid: a value to hold where many maps or calls share it."""
        dtype, device = self.weight.dtype, self.weight.device
        pairs = [b.matrices(n) for b, n in zip(self.bases, grid, strict=True)]
        kept = tuple(b.kept(n) for b, n in zip(self.bases, grid, strict=True))
        fourier = tuple(m for m, b in zip(kept, self.bases, strict=True) if b.paired)
        there, back = folding(fourier) if fourier else (None, None)
        rows = self._rows(kept)
        return SeriesTransform(
            grid=grid,
            analysis=tuple(torch.from_numpy(a).to(device, dtype) for a, _ in pairs),
            synthesis=tuple(torch.from_numpy(s).to(device, dtype) for _, s in pairs),
            paired=tuple(b.paired for b in self.bases),
            folds=(there.to(device, dtype), back.to(device, dtype)) if there and back else None,
            rows=None if rows is None else rows.to(device),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`A x`, `(B, C_in, *grid)` to `(B, C_out, *grid)`, on any grid."""
        prepared = self.transform(self._grid_of(x, self.channels[1]))
        return by_parts(lambda v: _channels_first(self.convolve(_grid_first(v), prepared)), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """`Aᵀ y`, `(B, C_out, *grid)` to `(B, C_in, *grid)`."""
        prepared = self.transform(self._grid_of(y, self.channels[0])).transposed()
        weight, turn = self.weight.mT, None if self.turn is None else -self.turn.mT
        return by_parts(lambda v: _channels_first(_convolve(_grid_first(v), prepared, weight, turn, None)), y)

    def convolve(self, v: Tensor, prepared: SeriesTransform, onto: Tensor | None = None) -> Tensor:
        """`onto + A v` for grid-first tensors, `(*grid, B, C_in)` to `(*grid, B, C_out)`; `onto` may be overwritten."""
        return _convolve(v, prepared, self.weight, self.turn, onto)

    def cost(self, batch: int = 1) -> Cost:
        """Both transforms and the mixing, on the grid that the map is prepared for."""
        prepared = self.transform(self.grid)
        out, inp = self.channels
        size, single = self.weight.itemsize, prepared.single
        count = len(self.weight) if prepared.rows is None else len(prepared.rows)
        parts = 2 if any(prepared.paired) else 1
        mixing = product_cost(parts * batch, inp, out, size, count)
        if self.turn is not None:
            mixing += product_cost(2 * batch, inp, out, size, count - single)
        return prepared.cost(batch * inp, batch * out, size) + mixing

    def _sizes(self) -> tuple[int, int]:
        """Frequencies of the paired axes, one of each pair, and the modes of the others."""
        fourier = tuple(b.modes for b in self.bases if b.paired)
        return len(frequencies(fourier)) if fourier else 1, prod(b.modes for b in self.bases if not b.paired)

    def _rows(self, kept: tuple[int, ...]) -> Tensor | None:
        """Where the modes that a grid carries stand among those of the map; None for all."""
        if kept == tuple(b.modes for b in self.bases):
            return None
        halves = [(k, b.modes) for k, b in zip(kept, self.bases, strict=True) if b.paired]
        others = [(k, b.modes) for k, b in zip(kept, self.bases, strict=True) if not b.paired]
        inner = torch.from_numpy(box_rows(*_columns(others))) if others else torch.zeros(1, dtype=torch.int64)
        outer = torch.from_numpy(rows_of(*_columns(halves))) if halves else torch.zeros(1, dtype=torch.int64)
        return (outer[:, None] * prod(m for _, m in others) + inner).flatten()

    def _grid_of(self, x: Tensor, channels: int) -> tuple[int, ...]:
        if x.ndim != 2 + len(self.bases) or x.shape[1] != channels:
            axes = ", ".join(f"n{j + 1}" for j in range(len(self.bases)))
            raise InputError(f"got a tensor of shape {tuple(x.shape)}, expected (B, {channels}, {axes})")
        return tuple(x.shape[2:])


def _columns(pairs: list[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    first, second = zip(*pairs, strict=True)
    return tuple(first), tuple(second)


def _grid_first(x: Tensor) -> Tensor:
    """`(B, C, *grid)` to `(*grid, B, C)`."""
    return x.movedim((0, 1), (-2, -1)).contiguous()


def _channels_first(v: Tensor) -> Tensor:
    """`(*grid, B, C)` to `(B, C, *grid)`."""
    return v.movedim((-2, -1), (0, 1))


def _convolve(v: Tensor, prepared: SeriesTransform, weight: Tensor, turn: Tensor | None, onto: Tensor | None) -> Tensor:
    return prepared.synthesise(mix(prepared.analyse(v), prepared, weight, turn), onto)


def mix(c: Tensor, prepared: SeriesTransform, weight: Tensor, turn: Tensor | None) -> Tensor:
    """Channels of every mode times its matrix, `(modes, parts, B, C_in)` to `(modes, parts, B, C_out)`."""
    single, full = prepared.single, len(weight) - (0 if turn is None else len(turn))
    if prepared.rows is not None:
        weight = weight[prepared.rows]
        turn = None if turn is None else turn[prepared.rows[single:] - full]
    modes, parts, batch, _ = c.shape
    by_real = torch.bmm(c.flatten(1, 2), weight).unflatten(1, (parts, batch))
    if turn is None or modes == single:
        return by_real
    by_imag = torch.bmm(c[single:].flatten(1, 2), turn).unflatten(1, (2, batch))
    # (a + ib)(W + iV) = (aW - bV) + i(bW + aV); where the frequency is zero, V = 0
    turned = torch.stack([-by_imag[:, 1], by_imag[:, 0]], dim=1)
    return torch.cat([by_real[:single], by_real[single:] + turned])
