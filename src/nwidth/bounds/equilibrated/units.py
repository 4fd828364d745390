"""Units of each sample, powers of two: squares of tiny or huge numbers leave the range of floating point, so that the
bounds are computed for fields, sources and coefficients of moderate size, and multiplied back exactly.

With a = 2^s a', v = 2^k v' and f = 2^(s+k) f' the equation is the same for a', v', f', and ‖v‖_a is `2^(k + s/2)`
times that of v' with a'.
"""

from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Array, Mask, Real

TINY = float(np.finfo(np.float64).tiny)
#: The exponent of zero: below that of every number, products included.
NOTHING = -(10**5)


@dataclass(frozen=True, eq=False)
class Units:
    """Exponents of the field and of the coefficient (even), integers `(B,)`; `usable`: samples whose coefficient keeps
    all of its digits in these units, `(B,)`."""

    level: Array
    strength: Array
    usable: Mask

    @classmethod
    def of(cls, a: Real, f: Real, fields: tuple[Real, ...], length: float) -> "Units":
        """For `a`, `f` and fields `(B, ...)` on a domain of this length: a and the fields are at most 1, and the source
        at most `1 / length²`."""
        strength = 2 * (exponents(a) // 2)
        source = exponents(f) + 2 * int(np.frexp(length)[1]) - strength
        level = np.maximum(source, np.max([exponents(v) for v in fields], axis=0))
        level = np.where(level < NOTHING // 2, 0, level)
        return cls(level, strength, scaled(_rows(a).min(axis=1), -strength) >= TINY)

    @property
    def energy(self) -> Array:
        """The exponent of energy norms, `(B,)`."""
        return self.level + self.strength // 2

    def coefficient(self, a: Real) -> Real:
        """a in these units; 1 where it has none."""
        return np.where(_along(self.usable, a), scaled(a, -self.strength), 1.0)

    def source(self, f: Real) -> Real:
        """f in these units."""
        return scaled(f, -self.level - self.strength)

    def field(self, v: Real) -> Real:
        """v in these units."""
        return scaled(v, -self.level)


def underflow(volume: float, length: float, smallest: Real) -> Real:
    """What squares that underflow take at most from an energy norm, or from an oscillation, over a domain of this
    volume and length with `smallest <= a <= 1`, `(B,)`.

    Each loses at most a few times the smallest number, 2⁻¹⁰⁷⁴; the smallest normal one stands for all that is summed.
    """
    return np.sqrt(TINY * (1.0 + volume * (1.0 + length**2) / smallest))


def vanished(sizes: Real) -> float:
    """What underflow takes at most from `Σ numbers² / sizes`, all sizes given."""
    return TINY * (1.0 + sizes.size / float(sizes.min()))


def exponents(values: Real) -> Array:
    """The exponent of the largest absolute value of each sample, `(B,)`."""
    rows = _rows(values)
    largest = np.maximum(np.abs(rows.max(axis=1)), np.abs(rows.min(axis=1)))
    return np.where(largest > 0, np.frexp(largest)[1].astype(np.int64), NOTHING)


def scaled(values: Real, powers: Array) -> Real:
    """`values · 2^powers` for integers `(B,)`: exact but for what leaves the range of numbers."""
    powers = np.clip(powers, -2000, 2000)
    first = np.clip(powers, -1000, 1000)
    values = values * _along(np.ldexp(1.0, first), values)
    rest = powers - first
    return values * _along(np.ldexp(1.0, rest), values) if rest.any() else values


def _rows(values: Real) -> Real:
    return values.reshape(len(values), -1)


def _along(numbers: Array, values: Real) -> Array:
    return numbers.reshape(-1, *(1,) * (values.ndim - 1))
