"""Recorded frames of a field as a parameter: the past from which a surrogate in time goes on."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.spaces.base import ParameterSpace


@dataclass(frozen=True)
class Frames(ParameterSpace):
    """Fields `(k, *shape)` at the k increasing `times`, with values from `low` to `high`; they can only be recorded.

    Raises InputError for times that do not increase or an empty range.
    """

    kind: ClassVar[str] = "frames"

    name: str = "frames"
    shape: tuple[int, ...] = ()
    times: tuple[float, ...] = (0.0,)
    low: float = -np.inf
    high: float = np.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "times", tuple(float(t) for t in self.times))
        if not self.times or any(a >= b for a, b in pairwise(self.times)):
            raise InputError(f"frames at the times {self.times}; give at least one, increasing")
        if not self.low <= self.high:
            raise InputError(f"values from {self.low:g} to {self.high:g}; expected low <= high")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Raises InputError: frames come from runs, not from a law."""
        raise InputError(
            f"{self.name!r} are recorded frames, which cannot be drawn; take them from runs: "
            "nw.snapshots.windowed(runs, count)"
        )

    def contains(self, mu: Mu) -> Mask:
        """Which rows have these shapes and values in the range."""
        values = as_mu(mu, self.names)[self.name]
        if values.shape[1:] != (len(self.times), *self.shape):
            return np.zeros(len(values), dtype=bool)
        size = np.abs(values) if values.dtype.kind == "c" else values
        return np.all((size >= self.low) & (size <= self.high), axis=tuple(range(1, size.ndim)))

    def to_parts(self) -> Parts:
        config = asdict(self)
        ends = {name: config.pop(name) for name in ("low", "high")}
        return Parts(config, {"range": np.array([ends["low"], ends["high"]])}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        low, high = (float(v) for v in arrays["range"])
        return cls(config["name"], tuple(config["shape"]), tuple(config["times"]), low, high)
