"""What happened during training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Ending = Literal["", "epochs", "patience", "budget"]


@dataclass(frozen=True)
class History:
    """Mean training and validation loss of every epoch, the epoch that was kept, and why training ended.

    `runs` are the marks of the runs that it learned from or watched (`nwidth.core.rows.marks`). `seconds` is wall-clock
    time over all sessions; it is not stored, so that equal fits give equal files.
    """

    train: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()
    best_epoch: int = -1
    ended: Ending = ""
    seconds: float = 0.0
    runs: tuple[str, ...] = ()

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
        lists: dict[str, Any] = {name: tuple(config.get(name, ())) for name in ("train", "validation", "runs")}
        return cls(**{**config, **lists})
