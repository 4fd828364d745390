"""Simultaneous bands: one width for every value of the field, which holds at all of them at once.

A band is the largest error in units of a profile, and that is a norm like any other: what calibrates a limit
calibrates a band.
"""

from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Array, Real

#: No value has a width below this part of the widest.
_NARROWEST = 1e-3
#: Fewer runs than this say nothing about single values.
_FEWEST = 15
_POWERS = (0.0, 0.5, 1.0)
_PIECE = 2**22


@dataclass(frozen=True, eq=False)
class Profile:
    """How the width of a band varies over the field: `σ` `(N,)` > 0, its largest entry 1.

    `|e_j| <= c σ_j` for all j is `max_j |e_j| / σ_j <= c`. Which σ is chosen decides how wide the band is where, not
    how often it holds. Reference: Diquigiovanni, Fontana, Vantini, J. Multivariate Anal. 189 (2022), section 3.
    """

    sigma: Real

    @classmethod
    def flat(cls, size: int) -> "Profile":
        """The same width everywhere."""
        return cls(np.ones(size))

    @classmethod
    def learned(cls, differences: Array, level: float = 0.9) -> "Profile":
        """From the errors `(n, N)` of runs none of which calibrates: a power of their root mean square at every value.

        The power (0, which is flat, 1/2 or 1) is the one whose band for these runs is narrowest on average; flat for
        fewer than 15 runs.
        """
        sigma = np.sqrt(np.mean(np.abs(differences) ** 2, axis=0)) if len(differences) >= _FEWEST else np.zeros(0)
        largest = float(sigma.max(initial=0.0))
        if not 0 < largest < np.inf:
            return cls.flat(differences.shape[1])
        made = [cls(np.maximum(sigma / largest, _NARROWEST) ** power) for power in _POWERS]
        widths = [p.sigma.mean() * float(np.quantile(p.measure(differences), level)) for p in made]
        return made[int(np.argmin(widths))]

    def measure(self, differences: Array) -> Real:
        """`max_j |e_j| / σ_j` of errors `(B, N)`, `(B,)`."""
        step = max(1, _PIECE // max(1, differences.shape[1]))
        pieces = [np.abs(differences[i : i + step]) / self.sigma for i in range(0, len(differences), step)]
        return np.concatenate([p.max(axis=1) for p in pieces]) if pieces else np.zeros(0)

    def band(self, limits: Real) -> Real:
        """The widths `(B, N)` of limits `(B,)` of the largest entry."""
        return limits[:, None] * self.sigma
