"""The law of coverage on fresh runs: with n calibration runs the hits among m test runs are beta-binomial.

Of n + 1 exchangeable scores the limit is the k-th smallest of n, k = ⌈(n + 1) level⌉, so that the coverage of one
calibration is Beta(k, n + 1 - k) (Vovk, Asian Conference on Machine Learning 2012), and repeats are independent.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from _harness import Row
from scipy.stats import betabinom

from nwidth.certificates.quantile import rank
from nwidth.core.arrays import Mask

#: Standard errors within which a measured coverage counts as its law's: 99.9 %, about 25 rows are compared.
SIGMAS = 3.3


@dataclass
class Hits:
    """Hits among fresh runs, repeat by repeat, with the number of runs that calibrated."""

    level: float
    found: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, held: Mask, calibrated: int) -> None:
        """One repeat: whether each run was held."""
        self.found.append((int(held.sum()), len(held), calibrated))

    @property
    def share(self) -> float:
        """The measured coverage."""
        return sum(h for h, _, _ in self.found) / max(1, sum(m for _, m, _ in self.found))

    @property
    def laws(self) -> list[Any]:
        """The law of each repeat's hits."""
        return [betabinom(m, rank(n, self.level), n + 1 - rank(n, self.level)) for _, m, n in self.found]

    @property
    def deviation(self) -> float:
        """Standard errors between the hits and the mean of their law."""
        laws = self.laws
        expected, spread = sum(law.mean() for law in laws), np.sqrt(sum(law.var() for law in laws))
        return float((sum(h for h, _, _ in self.found) - expected) / spread)

    @property
    def scatter(self) -> float:
        """The variance of the hits over that of their law: 1 where the whole law is right, not only its mean."""
        residual = [(h - law.mean()) ** 2 for (h, _, _), law in zip(self.found, self.laws, strict=True)]
        return float(np.sum(residual) / sum(law.var() for law in self.laws))

    def detail(self, **others: Any) -> dict[str, Any]:
        """What the row was made of, with the interval that 99.9 % of such measurements lie in."""
        laws, runs = self.laws, sum(m for _, m, _ in self.found)
        mean, spread = sum(law.mean() for law in laws) / runs, np.sqrt(sum(law.var() for law in laws)) / runs
        interval = [mean - SIGMAS * spread, mean + SIGMAS * spread]
        sizes = {"repeats": len(self.found), "test_runs": runs}
        return {"coverage": self.share, "interval": interval, "variance_ratio": self.scatter, **sizes, **others}


def law_row(name: str, hits: Hits, **others: Any) -> Row:
    """Holds where the coverage lies within the interval of its law; the coverage itself is in `detail`."""
    return Row(name, abs(hits.deviation), "sd", SIGMAS, "<=", hits.detail(**others))
