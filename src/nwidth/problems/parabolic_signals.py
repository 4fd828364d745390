"""Parameters that vary in time, as steps: each value holds for a while."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.box import Box


@dataclass(frozen=True)
class Signals(ParameterSpace):
    """Named signals `(B, pieces)`: value i holds for `i length < t <= (i + 1) length`. Ranges, units and logarithmic
    scales as in a `Box`; the values of a draw are independent.

    Raises InputError as `Box` does, and for no pieces or no length.
    """

    kind: ClassVar[str] = "signals"

    names: tuple[str, ...] = ()
    low: float | tuple[float, ...] = 0.0
    high: float | tuple[float, ...] = 1.0
    units: str | tuple[str, ...] = ""
    log: bool | tuple[bool, ...] = False
    pieces: int = 1
    length: float = 1.0

    def __post_init__(self) -> None:
        if self.pieces < 1 or not 0 < self.length < np.inf:
            raise InputError(f"got {self.pieces} pieces of length {self.length}; both must be above zero")
        box = self.box
        for name in ("names", "low", "high", "units", "log"):
            object.__setattr__(self, name, getattr(box, name))

    @property
    def box(self) -> Box:
        """The range of the values at one time."""
        return Box(self.names, self.low, self.high, self.units, self.log)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Draws `(B, pieces)`; sample i depends on (seed, i) alone, and its first pieces not on their number."""
        draws = [generator(seed, int(i)).random((self.pieces, len(self.names))) for i in indices]
        unit = np.array(draws, dtype=np.float64).reshape(-1, len(self.names))
        return {name: v.reshape(len(draws), self.pieces) for name, v in self.box.from_unit(unit).items()}

    def contains(self, mu: Mu) -> Mask:
        """Which rows stay in their range at all times."""
        values = self._checked(mu)
        flat = self.box.contains({name: v.ravel() for name, v in values.items()})
        return np.asarray(flat.reshape(-1, self.pieces).all(axis=1))

    def at(self, values: Array, times: Real) -> Real:
        """A signal `(B, pieces)` at times `(T,)`, `(B, T)`.

        Raises InputError for another number of pieces, or a time beyond the last.
        """
        values = np.asarray(values, dtype=np.float64)
        # a step that ends with a piece belongs to it, whatever rounding says
        place = np.maximum(np.ceil(np.asarray(times) / self.length * (1 - 1e-12)).astype(int) - 1, 0)
        if values.ndim != 2 or values.shape[1] != self.pieces or place.max(initial=0) >= self.pieces:
            raise InputError(
                f"got a signal of shape {values.shape} for times up to {np.max(times):g}; expected (B, {self.pieces}), "
                f"which last {self.pieces * self.length:g}"
            )
        return values[:, place]

    def _checked(self, mu: Mu) -> dict[str, Array]:
        values = as_mu(mu, self.names)
        for name, v in values.items():
            if v.shape[1:] != (self.pieces,):
                raise InputError(
                    f"{name} has shape {v.shape}; it is a signal of {self.pieces} pieces: give (B, {self.pieces})"
                )
        return values

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in config.items()}
        return cls(**fields)
