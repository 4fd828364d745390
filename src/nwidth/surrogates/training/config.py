"""What decides the result of training."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nwidth.core.errors import InputError


@dataclass(frozen=True)
class Training:
    """AdamW with a one-cycle learning rate.

    `epochs` passes over the training part, in batches of `batch` samples. The learning rate rises from `rate / 25` to
    `rate` during the first fifth and falls to `rate / 10⁴` along a cosine (Smith and Topin 2018); `decay` is AdamW's
    weight decay (Loshchilov and Hutter 2019).

    `loss`: 'h1' relative energy-type error of every sample (values and differences; grids only), 'l2' relative error,
    'auto' the first where the answers live on a grid. `validation`: the share of the given samples that is only
    watched (at least one): the state with the smallest validation loss is kept. `patience`: stop after so many epochs
    without a better one; None trains to the end, which suits a cycle whose last fifth brings most.

    `augment='square'` turns and mirrors samples by the symmetries of the grid's square or cube; honest only where the
    equation has these symmetries.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    epochs: int = 20
    batch: int = 8
    rate: float = 1e-2
    decay: float = 1e-4
    loss: Literal["auto", "h1", "l2"] = "auto"
    validation: float = 0.05
    patience: int | None = None
    augment: Literal["none", "square"] = "none"

    def __post_init__(self) -> None:
        self._require("epochs", self.epochs >= 0, "0 or more")
        self._require("batch", self.batch >= 1, "1 or more")
        self._require("rate", 0 < self.rate < math.inf, "positive, usually 1e-3 to 1e-2")
        self._require("decay", 0 <= self.decay < math.inf, "0 or more, usually 1e-4")
        self._require("loss", self.loss in ("auto", "h1", "l2"), "'auto', 'h1' or 'l2'")
        self._require("validation", 0 < self.validation < 1, "between 0 and 1, usually 0.05 to 0.2")
        self._require("patience", self.patience is None or self.patience >= 1, "1 or more, or None")
        self._require("augment", self.augment in ("none", "square"), "'none' or 'square'")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"training: {name} is {getattr(self, name)!r}; expected {expected}")


def one_cycle(progress: float, rate: float) -> float:
    """The learning rate at `progress` in [0, 1]: up from rate/25 over the first fifth, down to rate/10⁴ after it."""
    rise = 0.2
    if progress < rise:
        return _cosine(rate / 25, rate, progress / rise)
    return _cosine(rate, rate * 1e-4, min((progress - rise) / (1 - rise), 1.0))


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
