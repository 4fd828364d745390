"""Low-rank weights of spectral convolutions: Tucker, CP and tensor-train forms of `W[layer, k, c_in, c_out]`.

Every form is brought to one shape, channel factors around a small mixing matrix per frequency, in which the spectral
convolution is computed without W (see `tensor_fourier.py`).
"""

from abc import ABC, abstractmethod
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.half_space import frequencies


class Factors(NamedTuple):
    """`W_k = inward (real_k + i imag_k) outward` for the frequencies k of a half space.

    `inward (C_in, r_in)`, `outward (r_out, C_out)`; `real (H + 1, r_in, r_out)` and `imag (H, r_in, r_out)`, or
    `(H + 1, R)` and `(H, R)` for the diagonals of diagonal matrices (CP).
    """

    inward: Tensor
    real: Tensor
    imag: Tensor
    outward: Tensor

    @property
    def diagonal(self) -> bool:
        """Whether frequencies mix nothing, only scale."""
        return self.real.ndim == 2

    def at(self, rows: Tensor | None) -> "Factors":
        """Only the frequencies `rows` (which a coarse grid can carry); None means all."""
        if rows is None:
            return self
        return self._replace(real=self.real[rows], imag=self.imag[rows[1:] - 1])

    def transposed(self) -> "Factors":
        """The factors of the adjoint map, `W_kᴴ`."""
        real, imag = (self.real, self.imag) if self.diagonal else (self.real.mT, self.imag.mT)
        return Factors(self.outward.T, real, -imag, self.inward.T)

    def dense(self) -> tuple[Tensor, Tensor]:
        """`real (H + 1, C_in, C_out)` and `imag (H, C_in, C_out)` of W."""
        parts = torch.cat([self.real, self.imag])
        left = (
            self.inward * parts.unsqueeze(1)
            if self.diagonal
            else torch.bmm(self.inward.expand(len(parts), -1, -1), parts)
        )
        whole = times(left, self.outward)
        return whole[: len(self.real)], whole[len(self.real) :]


def frequency_sizes(modes: tuple[int, ...]) -> tuple[int, ...]:
    """Rows per frequency axis of a separable weight: k_1 >= 0, all k_j; the last axis holds real and imaginary parts.

    (One axis has no imaginary part at k = 0.)
    """
    if len(modes) == 1:
        return (2 * modes[0] - 1,)
    return (modes[0], *(2 * m - 1 for m in modes[1:-1]), 2 * (2 * modes[-1] - 1))


@lru_cache(maxsize=64)
def frequency_places(modes: tuple[int, ...]) -> Tensor:
    """Where the real and then the imaginary parts of the half space stand in a flat array of `frequency_sizes`.

    Not to be written to.
    """
    k = frequencies(modes)
    place = k % np.array([2 * m - 1 for m in modes])
    imag = place[1:].copy()
    imag[:, -1] += modes[0] - 1 if len(modes) == 1 else 2 * modes[-1] - 1
    flat = np.ravel_multi_index(tuple(np.concatenate([place, imag]).T), frequency_sizes(modes))
    return torch.from_numpy(flat)


class SpectralWeights(nn.Module, ABC):
    """The weights of `layers` spectral convolutions in one low-rank form; `factors(layer)` gives those of one.

    `channels`: (C_out, C_in); `modes`: frequencies per axis, as for `TruncatedFourier`. Fresh weights have entries of
    standard deviation `scale`.
    """

    def __init__(self, channels: tuple[int, int], modes: tuple[int, ...], layers: int):
        super().__init__()
        self.channels, self.modes, self.layers = channels, tuple(modes), layers
        self.pairs = (prod(2 * m - 1 for m in modes) - 1) // 2

    @abstractmethod
    def factors(self, layer: int = 0) -> Factors:
        """The factors of one layer's weight."""

    @property
    @abstractmethod
    def gauge(self) -> int:
        """Directions in parameter space that change nothing: what the invertible changes of bases amount to."""

    @abstractmethod
    def preparation(self) -> list[tuple[int, int, int, int]]:
        """(rows, inner, columns, copies) of the products behind `factors`, which no batch multiplies."""

    @property
    def dense_size(self) -> int:
        """Parameters of the same weights without structure."""
        return self.layers * self.channels[0] * self.channels[1] * (2 * self.pairs + 1)

    def _split(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of `2 H + 1` real numbers into real and imaginary parts."""
        return parts[: self.pairs + 1], parts[self.pairs + 1 :]

    def _gathered(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """From `(Π frequency_sizes, ...)` to real and imaginary parts on the half space."""
        if len(self.modes) == 1:
            return self._split(grid)
        return self._split(grid.index_select(0, frequency_places(self.modes).to(grid.device)))


class TuckerWeights(SpectralWeights):
    """`W[l, k, i, o] = Σ S[l,a] F_1[k_1,b] ⋯ F_d[k_d,e] U[i,p] V[q,o] G[a,b,…,e,p,q]` (Tucker 1966), all real.

    `ranks`: (r_in, r_out) of the channels. `frequencies`: one rank per axis, or None: no compression over frequencies,
    and the core stands on the half space itself. `shared`: the rank over layers, or None: a core for each layer, and
    only the channel factors are common. The factors are free up to invertible r x r matrices: `gauge = Σ r²`.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        ranks: tuple[int, int],
        *,
        frequencies: tuple[int, ...] | None = None,
        shared: int | None = None,
        layers: int = 1,
        scale: float | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(channels, modes, layers)
        sizes = frequency_sizes(self.modes)
        _check_ranks("Tucker", ranks, (channels[1], channels[0]))
        _check_ranks("Tucker, frequencies", frequencies or (), sizes if frequencies is not None else ())
        _check_ranks("Tucker, layers", () if shared is None else (shared,), () if shared is None else (layers,))
        self.inward = _normal((channels[1], ranks[0]), ranks[0] ** -0.5, dtype)
        self.outward = _normal((ranks[1], channels[0]), ranks[1] ** -0.5, dtype)
        inner = frequencies or (2 * self.pairs + 1,)
        scale = channels[1] ** -0.5 if scale is None else scale
        self.core = _normal((shared or layers, *inner, *ranks), scale, dtype)
        self.axes = nn.ParameterList(
            _normal((n, r), r**-0.5, dtype) for n, r in zip(sizes, frequencies or (), strict=frequencies is not None)
        )
        self.mixture = None if shared is None else _normal((layers, shared), shared**-0.5, dtype)

    def factors(self, layer: int = 0) -> Factors:
        """Core and frequency factors multiplied out for one layer."""
        core = self.core[layer] if self.mixture is None else _first(self.mixture[layer : layer + 1], self.core)[0]
        if not self.axes:
            return Factors(self.inward, *self._split(core), self.outward)
        ranks = core.shape[-2:]
        done = core.reshape(1, *core.shape)
        for axis in self.axes:  # (done, r, rest) to (done n, rest)
            done = torch.bmm(axis.expand(len(done), -1, -1), done.reshape(len(done), axis.shape[1], -1)).flatten(0, 1)
        return Factors(self.inward, *self._gathered(done.reshape(-1, *ranks)), self.outward)

    @property
    def gauge(self) -> int:
        """`Σ r²` over all factors."""
        factors = [self.inward.shape[1], self.outward.shape[0], *(axis.shape[1] for axis in self.axes)]
        return sum(r * r for r in factors) + (0 if self.mixture is None else self.mixture.shape[1] ** 2)

    def preparation(self) -> list[tuple[int, int, int, int]]:
        """One product for the layer's core, one per frequency axis."""
        inner = self.core.shape[1:]
        products = [] if self.mixture is None else [(1, self.mixture.shape[1], prod(inner), 1)]
        done = 1
        for j, axis in enumerate(self.axes):
            products.append((axis.shape[0], axis.shape[1], prod(inner[j + 1 :]), done))
            done *= axis.shape[0]
        return products


class TensorTrainWeights(SpectralWeights):
    """`W[l, k, i, o] = S[l] A[i] G_1[k_1] ⋯ G_d[k_d] B[o]`, a product of matrices (Oseledets 2011), all real.

    `ranks`: (r_1, ..., r_(d+1)) between channel in, the frequency axes and channel out. `shared`: the rank between the
    layer and the rest, or None: trains of their own for all layers but for `B`, which is common.
    Neighbours are free up to invertible r x r matrices: `gauge = Σ r²`.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        ranks: tuple[int, ...],
        *,
        shared: int | None = None,
        layers: int = 1,
        scale: float | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(channels, modes, layers)
        sizes = frequency_sizes(self.modes)
        _check_ranks("tensor train", ranks, tuple(largest_ranks(channels, sizes)))
        _check_ranks("tensor train, layers", () if shared is None else (shared,), () if shared is None else (layers,))
        scale = channels[1] ** -0.5 if scale is None else scale
        trains = shared or layers
        self.inward = _normal((trains, channels[1], ranks[0]), ranks[0] ** -0.5, dtype)
        self.cars = nn.ParameterList(
            _normal((left, n, right), right**-0.5, dtype)
            for left, n, right in zip(ranks[:-1], sizes, ranks[1:], strict=True)
        )
        self.outward = _normal((ranks[-1], channels[0]), scale, dtype)
        self.mixture = None if shared is None else _normal((layers, shared), shared**-0.5, dtype)

    def factors(self, layer: int = 0) -> Factors:
        """The cars of the frequency axes multiplied out."""
        inward = self.inward[layer] if self.mixture is None else _first(self.mixture[layer : layer + 1], self.inward)[0]
        train = self.cars[0]
        first = train.shape[0]
        for car in list(self.cars)[1:]:
            train = train.reshape(-1, car.shape[0]) @ car.reshape(car.shape[0], -1)
        grid = train.reshape(first, -1, self.outward.shape[0]).transpose(0, 1)
        return Factors(inward, *self._gathered(grid), self.outward)

    @property
    def gauge(self) -> int:
        """`Σ r²` over all bonds."""
        bonds = [car.shape[0] for car in self.cars] + [self.outward.shape[0]]
        return sum(r * r for r in bonds) + (0 if self.mixture is None else self.mixture.shape[1] ** 2)

    def preparation(self) -> list[tuple[int, int, int, int]]:
        """One product for the layer's first car, one per further frequency axis."""
        inner = prod(self.inward.shape[1:])
        products = [] if self.mixture is None else [(1, self.mixture.shape[1], inner, 1)]
        done = prod(self.cars[0].shape[:2])
        for car in list(self.cars)[1:]:
            products.append((done, car.shape[0], prod(car.shape[1:]), 1))
            done *= car.shape[1]
        return products


class CPWeights(SpectralWeights):
    """`W[l, k, i, o] = Σ_r S[l,r] F_1[k_1,r] ⋯ F_d[k_d,r] U[i,r] V[r,o]` (Hitchcock 1927), all real.

    Term by term, the scales of the factors are free up to their product: `gauge = rank (factors - 1)`.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        modes: tuple[int, ...],
        rank: int,
        *,
        layers: int = 1,
        scale: float | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(channels, modes, layers)
        if rank < 1:
            raise InputError(f"CP: rank {rank}; expected 1 or more")
        scale = channels[1] ** -0.5 if scale is None else scale
        self.inward = _normal((channels[1], rank), 1.0, dtype)
        self.axes = nn.ParameterList(_normal((n, rank), 1.0, dtype) for n in frequency_sizes(self.modes))
        self.outward = _normal((rank, channels[0]), scale * rank**-0.5, dtype)
        self.mixture = _normal((layers, rank), 1.0, dtype) if layers > 1 else None

    def factors(self, layer: int = 0) -> Factors:
        """Frequency factors multiplied out, the layer's scale in the channels."""
        grid = self.axes[0]
        for axis in list(self.axes)[1:]:
            grid = (grid.unsqueeze(1) * axis).flatten(0, 1)
        inward = self.inward if self.mixture is None else self.inward * self.mixture[layer]
        return Factors(inward, *self._gathered(grid), self.outward)

    @property
    def gauge(self) -> int:
        """Scales of all factors but one, for every term."""
        return self.outward.shape[0] * (len(self.axes) + 1 + (self.mixture is not None))

    def preparation(self) -> list[tuple[int, int, int, int]]:
        """No matrix products."""
        return []


def times(x: Tensor, matrix: Tensor) -> Tensor:
    """`(..., r)` times `(r, s)` as one product."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).view(*x.shape[:-1], matrix.shape[1])


def _normal(shape: tuple[int, ...], deviation: float, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(deviation * torch.randn(shape, dtype=dtype))


def _first(matrix: Tensor, tensor: Tensor) -> Tensor:
    """`(n, r)` times `(r, ...)` along the first axis."""
    return (matrix @ tensor.flatten(1)).reshape(len(matrix), *tensor.shape[1:])


def largest_ranks(channels: tuple[int, int], sizes: tuple[int, ...]) -> list[int]:
    """Ranks of a train beyond which nothing is gained."""
    all_sizes = (channels[1], *sizes, channels[0])
    return [min(prod(all_sizes[:j]), prod(all_sizes[j:])) for j in range(1, len(all_sizes))]


def _check_ranks(what: str, ranks: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    if len(ranks) != len(sizes) or any(not 1 <= r <= n for r, n in zip(ranks, sizes, strict=False)):
        raise InputError(f"{what}: ranks {tuple(ranks)}; expected {len(sizes)} of them, 1 to {tuple(sizes)}")
