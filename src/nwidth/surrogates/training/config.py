"""What decides the result of training."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from nwidth.core.errors import InputError

LossName = Literal["auto", "h1", "l2", "lp", "h-1"]
OptimiserName = Literal["adamw", "soap", "muon"]
ScheduleName = Literal["one-cycle", "cosine", "step", "constant", "warmup-stable-decay"]
Precision = Literal["float32", "bfloat16", "float64"]
Augmentation = Literal["none", "square", "translate", "square-translate"]


@dataclass(frozen=True)
class Training:
    """How a network learns; the defaults are AdamW with a one-cycle learning rate and the H1 error.

    `epochs` passes over the training part, in batches of `batch` samples; `rate` is the largest learning rate and
    `decay` the weight decay (Loshchilov and Hutter 2019).

    `optimiser`: 'adamw'; 'soap', Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024; needs the extra
    `neural`); 'muon', orthogonalised momentum for matrices and AdamW for the rest (Jordan et al. 2024). Good rates:
    5e-3 to 2e-2, for 'muon' 2e-2 to 5e-2. `schedule`: see `schedules.py`; `clip`: the largest norm of a gradient, None
    for any.

    `loss`: 'h1' relative energy-type error of every sample (values and differences; grids only), 'l2' relative error,
    'lp' the same in L^`p`, 'h-1' relative error in the dual norm of H1 (smooth errors count most), 'auto' the first
    where the answers live on a grid, else the second. All integrate with the weights of the grid or mesh.

    `precision`: 'float32'; 'bfloat16', the network under autocast (parameters, loss and optimiser stay in single
    precision); 'float64' throughout. `ema`: decay of a running mean of the parameters, usually 0.99 to 0.9999; it is
    this mean that is validated and kept; None for none.

    `validation`: the share of the given samples that is only watched (at least one): the state with the smallest
    validation loss is kept. `patience`: stop after so many epochs without a better one; None trains to the end, which
    suits a cycle whose last fifth brings most.

    `augment='square'` turns and mirrors samples by the symmetries of the grid's square or cube; honest only where the
    equation has these symmetries. 'translate' moves them around a torus by whole nodes, 'square-translate' does both.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    epochs: int = 20
    batch: int = 8
    rate: float = 1e-2
    decay: float = 1e-4
    loss: LossName = "auto"
    validation: float = 0.05
    patience: int | None = None
    augment: Augmentation = "none"
    p: float = 2.0
    optimiser: OptimiserName = "adamw"
    schedule: ScheduleName = "one-cycle"
    precision: Precision = "float32"
    ema: float | None = None
    clip: float | None = None

    def __post_init__(self) -> None:
        self._require("epochs", self.epochs >= 0, "0 or more")
        self._require("batch", self.batch >= 1, "1 or more")
        self._require("rate", 0 < self.rate < math.inf, "positive, usually 1e-3 to 1e-2")
        self._require("decay", 0 <= self.decay < math.inf, "0 or more, usually 1e-4")
        self._require("validation", 0 < self.validation < 1, "between 0 and 1, usually 0.05 to 0.2")
        self._require("patience", self.patience is None or self.patience >= 1, "1 or more, or None")
        self._require("p", 1 <= self.p < math.inf, "1 or more, for loss='lp'")
        self._require("ema", self.ema is None or 0 < self.ema < 1, "between 0 and 1, usually 0.99 to 0.9999, or None")
        self._require("clip", self.clip is None or 0 < self.clip < math.inf, "positive, usually 1, or None")
        for name, words in _WORDS.items():
            self._require(name, getattr(self, name) in words, ", ".join(map(repr, words)))

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"training: {name} is {getattr(self, name)!r}; expected {expected}")


_WORDS = {
    "loss": get_args(LossName),
    "optimiser": get_args(OptimiserName),
    "schedule": get_args(ScheduleName),
    "precision": get_args(Precision),
    "augment": get_args(Augmentation),
}
