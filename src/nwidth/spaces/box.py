"""A box of scalar parameters, each with its range, its unit and a linear or logarithmic scale."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.spaces.base import ParameterSpace

#: Samples are drawn in blocks, one random stream per block: a stream for each of 100,000 designs costs seconds.
_BLOCK = 256


@dataclass(frozen=True)
class Box(ParameterSpace):
    """`low <= mu <= high` for named scalars; drawn uniformly, on a logarithmic scale where `log` says so.

        Box(("k", "h"), low=(0.8, 1e3), high=(6, 2e4), units=("W/mK", "W/m²K"), log=(False, True))

    One value for `low`, `high`, `units` or `log` serves all names. Raises InputError for an empty range, or a
    logarithmic one that does not lie above zero.
    """

    kind: ClassVar[str] = "box"

    names: tuple[str, ...] = ()
    low: float | Sequence[float] = 0.0
    high: float | Sequence[float] = 1.0
    units: str | Sequence[str] = ""
    log: bool | Sequence[bool] = False

    def __post_init__(self) -> None:
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        object.__setattr__(self, "names", names)
        for field, cast in (("low", float), ("high", float), ("units", str), ("log", bool)):
            object.__setattr__(self, field, _one_each(field, getattr(self, field), cast, names))
        _check_names(names)
        for name, low, high, log in zip(names, *self._ranges, strict=True):
            _check_range(name, low, high, log)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Draws `(B,)` for every name."""
        index = np.fromiter(indices, dtype=np.int64)
        unit = np.empty((len(index), len(self.names)))
        for block in np.unique(index // _BLOCK):
            rows = index // _BLOCK == block
            unit[rows] = generator(seed, int(block)).random((_BLOCK, len(self.names)))[index[rows] % _BLOCK]
        return self.from_unit(unit)

    def contains(self, mu: Mu) -> Mask:
        """Which rows lie in the box, its faces included."""
        values = self._table(mu)
        low, high, _ = self._ranges
        return np.all((values >= low) & (values <= high), axis=1)

    def describe(self, mu: Mu) -> Array:
        """What is outside in each row, as a sentence, `(B,)`; empty where the row is inside.

        "h = 25,000 is above your range 1,000-20,000 W/m²K".
        """
        values = self._table(mu)
        low, high, _ = self._ranges
        texts = np.full(len(values), "", dtype=object)
        for row in np.flatnonzero(~np.all((values >= low) & (values <= high), axis=1)):
            texts[row] = "; ".join(filter(None, map(_outside, self.names, values[row], low, high, self.units)))
        return texts

    def to_unit(self, mu: Mu) -> Real:
        """The rows as points of the unit cube `(B, P)`; outside of it where the row is outside the box.

        Raises InputError for a parameter on a logarithmic scale that is not positive.
        """
        values = self._table(mu)
        low, high, log = self._ranges
        for name, column in zip(np.array(self.names)[log], values[:, log].T, strict=True):
            if not np.all(column > 0):
                row = int(np.argmin(column > 0))
                raise InputError(
                    f"{name} is {column[row]:g} in row {row}; its scale is logarithmic: give it above zero"
                )
        values[:, log], low[log], high[log] = np.log(values[:, log]), np.log(low[log]), np.log(high[log])
        return (values - low) / (high - low)

    def from_unit(self, unit: Array) -> dict[str, Array]:
        """Parameters name -> `(B,)` at points of the unit cube `(B, P)`; a point in the cube never leaves the box."""
        unit = np.asarray(unit, dtype=np.float64)
        if unit.ndim != 2 or unit.shape[1] != len(self.names):
            raise InputError(f"got an array of shape {unit.shape}; expected (B, {len(self.names)}), one row per query")
        low, high, log = self._ranges
        ratio = np.where(log, high / np.where(log, low, 1.0), 1.0)
        values = np.where(log, low * ratio**unit, low + (high - low) * unit)
        in_cube = (unit >= 0) & (unit <= 1)
        values = np.where(in_cube, np.clip(values, low, high), values)
        return {name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(self.names)}

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**config)

    @property
    def _ranges(self) -> tuple[Real, Real, Mask]:
        return np.array(self.low, dtype=float), np.array(self.high, dtype=float), np.array(self.log, dtype=bool)

    def _table(self, mu: Mu) -> Real:
        """The parameters as one array `(B, P)`."""
        columns = as_mu(mu, self.names)
        for name, values in columns.items():
            if values.ndim != 1:
                raise InputError(f"{name} has shape {values.shape}; it is a scalar: give one number per query, (B,)")
        return np.stack([np.asarray(columns[name], dtype=np.float64) for name in self.names], axis=1)


def _one_each(field: str, value: Any, cast: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """One entry per name."""
    single = isinstance(value, str) or np.ndim(value) == 0
    entries = tuple(cast(v) for v in ([value] * len(names) if single else value))
    if len(entries) != len(names):
        raise InputError(f"{field} has {len(entries)} entries for {len(names)} names {names}; give one for each")
    return entries


def _check_names(names: tuple[str, ...]) -> None:
    if not names or len(set(names)) < len(names):
        raise InputError(f"a box needs at least one name, all different; got {names}")


def _check_range(name: str, low: float, high: float, log: bool) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"{name} ranges from {low:g} to {high:g}; give two finite numbers, the smaller one first")
    if log and low <= 0:
        raise InputError(f"{name} starts at {low:g} on a logarithmic scale; start above zero or use a linear scale")


def _outside(name: str, value: float, low: float, high: float, unit: str) -> str:
    """Why one value is outside its range; empty where it is inside."""
    shown = f"{_text(low)}{'-' if low >= 0 else ' to '}{_text(high)}{' ' + unit if unit else ''}"
    if not np.isfinite(value):
        return f"{name} is not a finite number; your range is {shown}"
    if low <= value <= high:
        return ""
    limit = low if value < low else high
    return f"{name} = {_text(value, limit)} is {'below' if value < low else 'above'} your range {shown}"


def _text(value: float, other: float | None = None) -> str:
    """A number as people write it, with as many digits as it takes to tell it from `other`."""
    for digits in (6, 9, 12, 15):
        text = f"{value:,.{digits}g}"
        if other is None or text != f"{other:,.{digits}g}":
            return text
    return f"{value:,.17g}"
