"""What happened during training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Ending = Literal["", "epochs", "patience", "budget"]


@dataclass(frozen=True)
class History:
    """Mean training and validation loss of every epoch, the epoch that was kept, and why training ended.

    `seconds` is wall-clock time over all sessions; it is not stored, so that equal fits give equal files.
    """

    train: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()
    best_epoch: int = -1
    ended: Ending = ""
    seconds: float = 0.0

    @property
    def best(self) -> float:
        """The smallest validation loss so far, or infinity."""
        return self.validation[self.best_epoch] if self.best_epoch >= 0 else float("inf")

    def to_config(self) -> dict[str, Any]:
        """For a model file."""
        config = asdict(self)
        del config["seconds"]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """From a model file."""
        return cls(**{**config, "train": tuple(config["train"]), "validation": tuple(config["validation"])})
