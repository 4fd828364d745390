"""Errors and limits in time, `(B, T)`: at which time they are looked at."""

import numpy as np

from nwidth.core.arrays import Array, Real


def worst(error: Real, limit: Real) -> Array:
    """The time of the largest error relative to its limit, for each case `(B,)`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0, error / limit, 0.0)
    return np.where(np.isnan(error), np.inf, ratio).argmax(axis=1)


def fewest_kept(error: Real, limit: Real) -> int:
    """The time at which fewest cases kept their limit; of several the one that came closest to it."""
    kept = (error <= limit).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0, error / limit, 0.0).max(axis=0)
    return int(np.lexsort((-ratio, kept))[0])
