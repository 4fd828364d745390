"""Frequencies of a truncated real Fourier series, without the redundant half, and the bookkeeping between two bases.

A real function needs one complex coefficient for each pair {k, -k} and a real one for k = 0. In d dimensions the
products of cosines and sines are a real basis of the same space that factorises over the axes (so that it is computed
by one matrix product per axis); the two are related by sums and differences of at most 2^(d-1) coefficients.
"""

from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array


def frequencies(modes: tuple[int, ...]) -> Array:
    """Frequencies k with |k_j| < modes[j]: k = 0 first, then one of each pair {k, -k}, `(H + 1, d)`.

    Kept is the one whose first nonzero entry is positive.
    """
    axes = [np.arange(modes[0])] + [np.concatenate([np.arange(m), -np.arange(1, m)]) for m in modes[1:]]
    k = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(modes))
    first = np.take_along_axis(k, np.argmax(k != 0, axis=1)[:, None], axis=1)[:, 0]
    return k[first >= 0]


def rows_of(kept: tuple[int, ...], modes: tuple[int, ...]) -> Array:
    """Where the frequencies of the smaller set `kept` stand among those of `modes`."""
    inside = (np.abs(frequencies(modes)) < np.array(kept)).all(axis=1)
    return np.flatnonzero(inside)


class SignedSum(NamedTuple):
    """The sparse map `y[r] = Σ_t sign[t, r] x[places[t, r]]` along the first axis, as a few gathers."""

    places: Tensor
    sign: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """From `(columns, R)` to `(rows, R)`."""
        y = x.index_select(0, self.places[0]).mul_(self.sign[0])
        for places, sign in zip(self.places[1:], self.sign[1:], strict=True):
            y.addcmul_(x.index_select(0, places), sign)
        return y

    def to(self, device: torch.device, dtype: torch.dtype) -> "SignedSum":
        """The same map for other tensors."""
        return SignedSum(self.places.to(device), self.sign.to(device, dtype))


def folding(modes: tuple[int, ...]) -> tuple[SignedSum, SignedSum]:
    """The map from cosine-sine coefficients to complex ones, and its transpose; not to be written to.

    Columns are products of [cos 0, cos θ, ..., sin θ, ...] over the axes, row-major; rows alternate the real and the
    imaginary part of `∫ v e^{-ik·θ}` for k in `frequencies(modes)`:  e^{-ikθ} = Π_j (cos|k_j|θ_j - i s_j sin|k_j|θ_j).
    """
    return _sums(_folding_tables(modes))


# Arrays are kept, not tensors: one that is made while a network is traced belongs to the trace.
@lru_cache(maxsize=32)  # a pure function of a few integers, asked for at every call of a network
def _folding_tables(modes: tuple[int, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    k = frequencies(modes)
    rows, columns, signs = [], [], []
    for sines in product((False, True), repeat=len(modes)):
        taken = np.array(sines)
        present = (k[:, taken] != 0).all(axis=1)  # sin 0 = 0 has no coefficient
        place = np.abs(k) + np.where(taken, np.array(modes) - 1, 0)
        turn = (-1j) ** taken.sum() * np.sign(k[:, taken]).prod(axis=1)
        imaginary = int(taken.sum()) % 2
        rows.append((2 * np.arange(len(k)) + imaginary)[present])
        columns.append(np.ravel_multi_index(tuple(place[present].T), tuple(2 * m - 1 for m in modes)))
        signs.append((turn.imag if imaginary else turn.real)[present])
    entries = np.concatenate(rows), np.concatenate(columns), np.concatenate(signs)
    size = 2 * len(k), int(np.prod([2 * m - 1 for m in modes]))
    return _table(entries[0], entries[1], entries[2], size[0]), _table(entries[1], entries[0], entries[2], size[1])


def _sums(tables: tuple[tuple[Array, Array], tuple[Array, Array]]) -> tuple[SignedSum, SignedSum]:
    there, back = (SignedSum(torch.from_numpy(places), torch.from_numpy(sign)) for places, sign in tables)
    return there, back


def _table(rows: Array, columns: Array, signs: Array, size: int) -> tuple[Array, Array]:
    """Triples (row, column, sign) as a padded table with one line per term."""
    order = np.argsort(rows, kind="stable")
    rows, columns, signs = rows[order], columns[order], signs[order]
    count = np.bincount(rows, minlength=size)
    term = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    index, sign = np.zeros((count.max(), size), dtype=np.int64), np.zeros((count.max(), size, 1))
    index[term, rows], sign[term, rows, 0] = columns, signs
    return index, sign


def doubled_folding(modes: tuple[int, ...]) -> tuple[SignedSum, SignedSum]:
    """`folding` with each pair {k, -k} counted twice and k = 0 once: what synthesis and its adjoint need."""
    return _sums(_doubled_tables(modes))


@lru_cache(maxsize=32)
def _doubled_tables(modes: tuple[int, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (places, sign), (back_places, back_sign) = _folding_tables(modes)
    rows = np.arange(places.shape[1])[:, None]
    twice, back_twice = (np.where(r >= 2, 2.0, 1.0) for r in (rows, back_places[..., None]))
    return (places, sign * twice), (back_places, back_sign * back_twice)


class Fold(torch.autograd.Function):
    """A SignedSum whose derivative is the transposed SignedSum (autograd's own would scatter, slowly)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: SignedSum, back: SignedSum) -> Tensor:
        """`there x`."""
        ctx.pair = (there, back)
        return there.apply(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """`backᵀ`, itself differentiable."""
        there, back = ctx.pair
        return Fold.apply(grads[0], back, there), None, None
