"""The arithmetic of calibrated limits: which rank is the limit, and what a measured coverage tells."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError


def rank(count: int, level: float) -> int:
    """`⌈(n + 1) level⌉`: the limit is that smallest of n scores.

    Of n + 1 exchangeable scores the last is at most the k-th smallest of the others with probability at least
    k / (n + 1). Raises InputError for a level above n / (n + 1), which n runs cannot promise.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}; choose a number between 0 and 1, such as 0.9")
    # A level like 0.9 is not 9/10 in binary: without the allowance 9 runs would be refused.
    k = math.ceil((count + 1) * level - 1e-9)
    if k > count:
        needed = math.ceil(level / (1 - level) - 1e-9)
        raise InputError(
            f"level {level:g} needs at least {needed} calibration runs, got {count}; add runs, or ask for at most "
            f"{count}/{count + 1} = {count / (count + 1):.3g}"
        )
    return k


def quantile(scores: Array, level: float) -> float:
    """The limit of n scores `(n,)` at `level`. Raises InputError as `rank` does."""
    k = rank(len(scores), level)
    return float(np.partition(scores, k - 1)[k - 1])


def largest_accepted(expected: Real, log_errors: Real, log_tolerance: float, level: float) -> float:
    """The largest of the expected log errors g_i `(n,)` up to which a limit at `level` meets the tolerance; -inf for
    none: `g_i + quantile{log error_j - g_j : g_j <= g_i} <= log tolerance`."""
    order = np.argsort(expected)
    found = -math.inf
    for count in range(1, len(order) + 1):
        rows = order[:count]
        if count < level / (1 - level) - 1e-9:
            continue
        if expected[rows[-1]] + quantile(log_errors[rows] - expected[rows], level) <= log_tolerance:
            found = float(expected[rows[-1]])
    return found


@dataclass(frozen=True)
class Coverage:
    """How often a limit held on runs that nothing was fitted to."""

    held: int
    total: int

    @property
    def share(self) -> float:
        """The measured coverage."""
        return self.held / self.total if self.total else float("nan")

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The exact binomial (Clopper-Pearson) interval of the coverage."""
        tail = (1 - confidence) / 2
        low = float(betaincinv(self.held, self.total - self.held + 1, tail)) if self.held else 0.0
        high = float(betaincinv(self.held + 1, self.total - self.held, 1 - tail)) if self.held < self.total else 1.0
        return low, high

    def __str__(self) -> str:
        if not self.total:
            return "not measured: no runs were left over"
        low, high = self.interval()
        return (
            f"held on {self.held} of {self.total} unseen runs ({self.share:.0%}; 95 % interval {low:.0%} to {high:.0%})"
        )


def coverage(errors: Real, limits: Real) -> Coverage:
    """How often `errors <= limits`, `(n,)` each; an infinite limit is no answer and is not counted."""
    answered = np.isfinite(limits)
    return Coverage(int(np.sum(errors[answered] <= limits[answered])), int(answered.sum()))
