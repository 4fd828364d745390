"""The truncated Fourier transform of real grid functions, in real arithmetic, for one grid.

Tensors are *grid first*, `(*grid, B, C)`: every axis is then transformed by one matrix product without a copy, and the
channels of all frequencies are mixed by one batched product.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.linmaps.base import Cost, product_cost
from nwidth.linmaps.half_space import Fold, SignedSum, doubled_folding, folding, frequencies, rows_of

Method: TypeAlias = Literal["auto", "matrix", "fft"]


class Transform(ABC):
    """Analysis `v ↦ c_k = 1/|P| ∫ v e^{-2πi k·x/P} dx` and synthesis `c ↦ Σ_k c_k e^{2πi k·x/P}` on one grid.

    Coefficients are `(H + 1, 2, B, C)`: frequencies of the half space, real and imaginary part. `rows` says which
    of the frequencies asked for this grid can carry (those below its Nyquist frequency); None means all.
    """

    grid: tuple[int, ...]
    rows: Tensor | None

    @abstractmethod
    def analyse(self, v: Tensor) -> Tensor:
        """`(*grid, B, C)` to `(H + 1, 2, B, C)`."""

    @abstractmethod
    def synthesise(self, c: Tensor, onto: Tensor | None = None) -> Tensor:
        """`(H + 1, 2, B, C)` to `(*grid, B, C)`; the imaginary part of c_0 is ignored.

        Added to `onto` where that is given: contiguous, and written over.
        """

    @abstractmethod
    def transposed(self) -> "Transform":
        """The transform with `analyseᵀ` (of the full complex form) as synthesis and the other way round."""

    @abstractmethod
    def cost(self, columns_in: int, columns_out: int, itemsize: int) -> Cost:
        """Cost of one analysis of `columns_in` functions and one synthesis of `columns_out`."""


def transform(
    grid: tuple[int, ...],
    modes: tuple[int, ...],
    period: tuple[float, ...] | None,
    *,
    dtype: torch.dtype,
    device: torch.device,
    method: Method = "auto",
) -> Transform:
    """The transform for a grid, by matrix products or by FFT, whichever is faster for the size.

    `period=None`: n points cover one period, `x_j = j P / n`. Otherwise nodes with both ends on a domain of length 1,
    `x_j = j / (n - 1)`, in a period of `period >= 1` (the rest is padding, at every resolution the same), integrated by
    the trapezoidal rule.
    """
    points = [float(n) for n in grid] if period is None else [p * (n - 1) for p, n in zip(period, grid, strict=True)]
    kept = tuple(min(m, math.ceil(p / 2)) for m, p in zip(modes, points, strict=True))
    rows = None if kept == modes else torch.from_numpy(rows_of(kept, modes)).to(device)
    if method == "fft" and period is not None:
        raise InputError("method='fft' needs a periodic grid (period=None); use method='matrix' or 'auto'")
    if method == "fft" or (method == "auto" and period is None and fft_is_faster(grid, kept)):
        return FFTTransform.build(grid, kept, rows, device)
    pairs = [
        _matrices(n, m, None if period is None else period[axis])
        for axis, (n, m) in enumerate(zip(grid, kept, strict=True))
    ]
    return MatrixTransform(
        grid=grid,
        rows=rows,
        analysis=tuple(torch.from_numpy(a).to(device, dtype) for a, _ in pairs),
        synthesis=tuple(torch.from_numpy(s).to(device, dtype) for _, s in pairs),
        folds=_on(folding(kept), device, dtype),
        doubled=_on(doubled_folding(kept), device, dtype),
    )


def _on(pair: tuple[SignedSum, SignedSum], device: torch.device, dtype: torch.dtype) -> tuple[SignedSum, SignedSum]:
    return pair[0].to(device, dtype), pair[1].to(device, dtype)


def fft_is_faster(grid: tuple[int, ...], modes: tuple[int, ...]) -> bool:
    """Whether an FFT beats matrix products with `2 m - 1` rows per axis.

    Measured (x86, float32, analysis and synthesis, time of FFT / products): 64²: 3.3 with 12 modes, 1.5 with 32;
    129²: 15 and 7; 128²: 1.2 with 48 modes, 0.9 with 64; 1024 points: 1.0 with 32 modes, 0.4 with 128; 1025 points:
    1.0 with 256. Lengths with a prime factor above 7 cost an FFT library several times more.
    """
    limit = 32 if len(grid) == 1 else 56
    return all(m > (limit if _largest_prime(n) <= 7 else 6 * limit) for n, m in zip(grid, modes, strict=True))


def _largest_prime(n: int) -> int:
    factor, largest = 2, 1
    while n > 1:
        while n % factor == 0:
            n, largest = n // factor, factor
        factor += 1
    return largest


@lru_cache(maxsize=64)  # a pure function of three numbers, asked for at every call of a network; not to be written to
def _matrices(n: int, m: int, period: float | None) -> tuple[Array, Array]:
    """Analysis `(2m - 1, n)` with quadrature weights, and synthesis `(n, 2m - 1)`, of one axis."""
    points = n if period is None else (n - 1) * period
    angle = 2 * np.pi * np.arange(n) / points
    weight = np.full(n, 1 / points)
    if period is not None:
        weight[[0, -1]] /= 2
    k = np.arange(m)[:, None]
    basis = np.concatenate([np.cos(k * angle), np.sin(k[1:] * angle)])
    return basis * weight, np.ascontiguousarray(basis.T)


class AddProduct(torch.autograd.Function):
    """`onto + matrix t` written over `onto`, of which (rows, rest) is a view; autograd's own would copy it twice."""

    @staticmethod
    def forward(ctx: Any, onto: Tensor, matrix: Tensor, t: Tensor) -> Tensor:
        """The sum; `matrix` is a constant."""
        ctx.matrix = matrix
        ctx.mark_dirty(onto)
        onto.view(len(matrix), t.shape[1]).addmm_(matrix, t)
        return onto

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, Tensor]:
        """The gradient itself, and the transposed product."""
        flat = grads[0].reshape(len(ctx.matrix), grads[0].numel() // len(ctx.matrix))
        return grads[0], None, ctx.matrix.T @ flat


@dataclass(frozen=True)
class MatrixTransform(Transform):
    """One matrix product per axis with a cosine-sine basis, then sums and differences."""

    grid: tuple[int, ...]
    rows: Tensor | None
    analysis: tuple[Tensor, ...]
    synthesis: tuple[Tensor, ...]
    folds: tuple[SignedSum, SignedSum]
    #: The same with each pair {k, -k} counted twice.
    doubled: tuple[SignedSum, SignedSum]

    def analyse(self, v: Tensor) -> Tensor:
        """Axis by axis; the leading axis first, because it is one large product."""
        columns, rest = v.shape[-2:], prod(v.shape[1:])  # sizes are spelled out: a batch may be empty
        t, done = self.analysis[0] @ v.reshape(self.grid[0], rest), len(self.analysis[0])
        for matrix in self.analysis[1:]:
            rest //= matrix.shape[1]
            t = torch.bmm(matrix.expand(done, -1, -1), t.reshape(done, matrix.shape[1], rest))
            done *= len(matrix)
        c = Fold.apply(t.reshape(done, rest), *self.folds)
        return c.reshape(len(c) // 2, 2, *columns)

    def synthesise(self, c: Tensor, onto: Tensor | None = None) -> Tensor:
        """The transposed sums and differences, then axis by axis; the leading axis last."""
        columns, there = c.shape[-2:], self.doubled[1]
        rest = prod(columns)
        t = Fold.apply(c.reshape(2 * len(c), rest), there, self.doubled[0])
        done = len(t)
        for matrix in reversed(self.synthesis[1:]):
            done //= matrix.shape[1]
            t = torch.bmm(matrix.expand(done, -1, -1), t.reshape(done, matrix.shape[1], rest))
            rest *= len(matrix)
        t = t.reshape(done, rest)
        if onto is not None:
            return AddProduct.apply(onto, self.synthesis[0], t)
        return (self.synthesis[0] @ t).reshape(*self.grid, *columns)

    def transposed(self) -> "MatrixTransform":
        """Analysis by the transposed synthesis and the other way round."""
        return replace(
            self,
            analysis=tuple(s.T for s in self.synthesis),
            synthesis=tuple(a.T for a in self.analysis),
        )

    def cost(self, columns_in: int, columns_out: int, itemsize: int) -> Cost:
        """The products along the axes."""
        total, done = Cost(0, 0), 1
        for axis, (many, n) in enumerate(tuple(a.shape) for a in self.analysis):
            rest = prod(self.grid[axis + 1 :])
            total += product_cost(many, n, rest * columns_in, itemsize, copies=done)
            total += product_cost(n, many, rest * columns_out, itemsize, copies=done)
            done *= many
        return total


@dataclass(frozen=True)
class FFTTransform(Transform):
    """The real FFT of a periodic grid, of which the low frequencies are kept."""

    grid: tuple[int, ...]
    rows: Tensor | None
    low: Tensor
    mirror: Tensor
    mirrored: Tensor
    factor: float = 1.0

    @classmethod
    def build(
        cls, grid: tuple[int, ...], modes: tuple[int, ...], rows: Tensor | None, device: torch.device
    ) -> "FFTTransform":
        """Places of the kept frequencies in the output of `rfftn` with the first axis halved."""
        k = frequencies(modes)
        half = (grid[0] // 2 + 1, *grid[1:])
        place = np.ravel_multi_index(tuple((k % np.array(grid)).T), half)
        both = np.flatnonzero((k[:, 0] == 0) & (k != 0).any(axis=1))  # here -k stands in the same half
        other = np.ravel_multi_index(tuple((-k[both] % np.array(grid)).T), half)
        low, mirror, mirrored = (torch.from_numpy(a).to(device) for a in (place, other, both))
        return cls(grid, rows, low, mirror, mirrored)

    @property
    def _axes(self) -> tuple[int, ...]:
        return (*range(1, len(self.grid)), 0)  # the last one named is halved

    def analyse(self, v: Tensor) -> Tensor:
        """FFT, then the low frequencies."""
        spectrum = torch.fft.rfftn(v, dim=self._axes, norm="forward").flatten(0, len(self.grid) - 1)
        return self.factor * torch.view_as_real(spectrum[self.low]).movedim(-1, 1)

    def synthesise(self, c: Tensor, onto: Tensor | None = None) -> Tensor:
        """The low frequencies and their mirror images among zeros, then the inverse FFT."""
        z = torch.view_as_complex((c / self.factor).movedim(1, -1).contiguous())
        half = (self.grid[0] // 2 + 1, *self.grid[1:])
        spectrum = z.new_zeros(prod(half), *z.shape[1:])
        spectrum = spectrum.index_copy(0, self.low, z).index_copy(0, self.mirror, z[self.mirrored].conj())
        spectrum = spectrum.reshape(*half, *z.shape[1:])
        sizes = [self.grid[axis] for axis in self._axes]
        v = torch.fft.irfftn(spectrum, s=sizes, dim=self._axes, norm="forward")
        return v if onto is None else onto.add_(v)

    def transposed(self) -> "FFTTransform":
        """The same up to the number of points, because the points are equidistant."""
        return replace(self, factor=prod(self.grid) / self.factor)

    def cost(self, columns_in: int, columns_out: int, itemsize: int) -> Cost:
        """The usual count `2.5 N log₂ N` of a real FFT, reading and writing once per axis."""
        size, columns = prod(self.grid), columns_in + columns_out
        flops = int(2.5 * size * math.log2(size) * columns)
        return Cost(flops, 2 * len(self.grid) * size * columns * itemsize)
