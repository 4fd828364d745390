"""Learning rates over the course of training: `progress` in [0, 1] to a rate."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from nwidth.surrogates.training.config import ScheduleName

#: (progress, largest rate) to the rate at that moment.
Schedule: TypeAlias = Callable[[float, float], float]

_RISE = 0.2
_WARMUP = 0.05
_STABLE = 0.8


def one_cycle(progress: float, rate: float) -> float:
    """Up from rate/25 over the first fifth, down to rate/10⁴ along a cosine after it (Smith and Topin 2018)."""
    if progress < _RISE:
        return _cosine(rate / 25, rate, progress / _RISE)
    return _cosine(rate, rate * 1e-4, (progress - _RISE) / (1 - _RISE))


def cosine(progress: float, rate: float) -> float:
    """From `rate` at the start down to rate/10⁴ along half a cosine (Loshchilov and Hutter 2017)."""
    return _cosine(rate, rate * 1e-4, progress)


def step(progress: float, rate: float) -> float:
    """Half as large after every fifth: rate, rate/2, ..., rate/16."""
    return rate * 0.5 ** min(math.floor(5 * progress), 4)


def constant(progress: float, rate: float) -> float:
    """Always `rate`."""
    return rate


def warmup_stable_decay(progress: float, rate: float) -> float:
    """Linearly up from rate/25 over the first 5 %, `rate` until 80 %, linearly down to rate/10⁴ (Hu et al. 2024)."""
    if progress < _WARMUP:
        return rate * (1 / 25 + (1 - 1 / 25) * progress / _WARMUP)
    fall = min(max(0.0, (progress - _STABLE) / (1 - _STABLE)), 1.0)
    return rate * (1 - fall * (1 - 1e-4))


#: The schedules by the names that `Training.schedule` takes.
SCHEDULES: Mapping[ScheduleName, Schedule] = MappingProxyType(
    {
        "one-cycle": one_cycle,
        "cosine": cosine,
        "step": step,
        "constant": constant,
        "warmup-stable-decay": warmup_stable_decay,
    }
)


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(fraction, 1.0))) / 2
