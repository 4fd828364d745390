"""Ranks of low-rank spectral weights for a share of the parameters, and the weights of a form by its name."""

from collections.abc import Callable
from math import isqrt, prod
from typing import Literal, TypeAlias

import torch

from nwidth.core.errors import InputError
from nwidth.linmaps.spectral_weights import (
    CPWeights,
    SpectralWeights,
    TensorTrainWeights,
    TuckerWeights,
    frequency_sizes,
    largest_ranks,
)

#: 'tucker', 'cp' or 'tt' (tensor train).
Factorization: TypeAlias = Literal["tucker", "cp", "tt"]
FACTORIZATIONS = ("tucker", "cp", "tt")


def weights_of(
    factorization: Factorization,
    channels: tuple[int, int],
    modes: tuple[int, ...],
    ranks: tuple[int, ...],
    *,
    layers: int = 1,
    joint: int = 0,
    scale: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> SpectralWeights:
    """Fresh weights of a form.

    `ranks`: for 'tucker' (r_in, r_out), or these and one rank per frequency axis; for 'tt' (r_1, ..., r_(d+1)); for
    'cp' (R,). `joint`: the rank over layers where these are slices of one tensor, 0 where each has cores of its own.
    Raises InputError for ranks that do not fit.
    """
    shared = min(joint, layers) or None
    if factorization == "cp" and len(ranks) == 1:
        return CPWeights(channels, modes, ranks[0], layers=layers, scale=scale, dtype=dtype)
    if factorization == "tt" and len(ranks) == len(modes) + 1:
        return TensorTrainWeights(channels, modes, ranks, shared=shared, layers=layers, scale=scale, dtype=dtype)
    if factorization == "tucker" and len(ranks) in (2, 2 + len(modes)):
        return TuckerWeights(
            channels,
            modes,
            (ranks[0], ranks[1]),
            frequencies=ranks[2:] or None,
            shared=shared,
            layers=layers,
            scale=scale,
            dtype=dtype,
        )
    raise InputError(
        f"ranks {ranks} for {factorization!r} with {len(modes)} frequency axes; expected (r_in, r_out), or these and "
        f"one rank per axis, for 'tucker', {len(modes) + 1} ranks for 'tt', one for 'cp'"
    )


def ranks_for(
    factorization: Factorization, channels: tuple[int, int], modes: tuple[int, ...], share: float
) -> tuple[int, ...]:
    """The largest ranks with at most `share` of the dense layer's parameters; fewer channels first.

    Tucker: the channels alone, because that shortens both transforms and the mixing; frequencies too where even one
    channel would be too many. From 8 on, ranks of channels are multiples of 4, which is what processors do best (10
    channels take 1.25 times as long as 8): with 32 channels, 10 % are ranks of 8, which are 6.3 %.
    Raises InputError where nothing fits.
    """
    budget = share * channels[0] * channels[1] * prod(2 * m - 1 for m in modes)
    if factorization == "cp":
        return (_at_least_one(int(budget // (sum(channels) + sum(frequency_sizes(modes)))), share),)
    if factorization == "tt":
        return _train_ranks(channels, modes, budget, share)
    most = _largest(lambda r: _tucker_size(channels, modes, (r, r)), budget, min(channels))
    if most:
        return (_even(most),) * 2
    return _small_tucker(channels, modes, budget, share)


def _even(rank: int) -> int:
    """The largest multiple of 4 up to a rank of 8 or more."""
    return rank if rank < 8 else rank - rank % 4


def _tucker_size(channels: tuple[int, int], modes: tuple[int, ...], ranks: tuple[int, ...]) -> int:
    inner = ranks[2:] or (prod(2 * m - 1 for m in modes),)
    axes = sum(n * r for n, r in zip(frequency_sizes(modes), ranks[2:], strict=bool(ranks[2:])))
    return channels[1] * ranks[0] + channels[0] * ranks[1] + prod(inner) * ranks[0] * ranks[1] + axes


def _small_tucker(channels: tuple[int, int], modes: tuple[int, ...], budget: float, share: float) -> tuple[int, ...]:
    """All ranks in proportion to the square roots of their sizes."""
    sizes = (channels[1], channels[0], *frequency_sizes(modes))

    def ranks(level: int) -> tuple[int, ...]:
        return tuple(max(1, min(n, isqrt(n * level * level // 64))) for n in sizes)

    level = _largest(lambda level: _tucker_size(channels, modes, ranks(level)), budget, 8 * max(sizes))
    return ranks(_at_least_one(level, share))


def _train_ranks(channels: tuple[int, int], modes: tuple[int, ...], budget: float, share: float) -> tuple[int, ...]:
    """The channels' ranks as for Tucker, and what is left for the ranks between frequencies."""
    sizes, limits = frequency_sizes(modes), largest_ranks(channels, frequency_sizes(modes))
    outer = _even(max(1, int(share**0.5 * min(channels))))

    def ranks(outer: int, inner: int) -> tuple[int, ...]:
        wanted = [outer, *[inner] * (len(sizes) - 1), outer]
        within = [min(pair) for pair in zip(wanted, limits, strict=True)]
        for j in range(1, len(within) - 1):  # no rank is of use beyond what its neighbours can carry
            within[j] = min(within[j], within[j - 1] * sizes[j - 1])
        for j in range(len(within) - 2, 0, -1):
            within[j] = min(within[j], sizes[j] * within[j + 1])
        return tuple(within)

    def size(chosen: tuple[int, ...]) -> int:
        bonds = [1, *chosen, 1]
        return sum(a * n * b for a, n, b in zip(bonds, (channels[1], *sizes, channels[0]), bonds[1:], strict=False))

    while outer > 1 and size(ranks(outer, 1)) > budget:
        outer -= 1
    inner = _largest(lambda inner: size(ranks(outer, inner)), budget, max(limits))
    return ranks(outer, _at_least_one(inner, share))


def _largest(size: Callable[[int], int], budget: float, limit: int) -> int:
    """The largest argument up to `limit` whose size is within the budget; 0 where none is."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(middle) <= budget else (low, middle - 1)
    return low


def _at_least_one(rank: int, share: float) -> int:
    if rank < 1:
        raise InputError(f"rank = {share}: not even rank 1 has so few parameters; give a larger share, or ranks")
    return rank
