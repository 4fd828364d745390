"""Which calibration score is a query's limit: one for all queries, or one that depends on the query.

With scores `s_i = log error - g` of n runs, the limit of a query is `exp(g + q)`; a cutoff says what q is.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.quantile import quantile, rank
from nwidth.core.arrays import Array, Real
from nwidth.core.guarantee import Estimate, Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable


class Cutoff(Storable):
    """How the scores of the calibration become the limit of a query."""

    @abstractmethod
    def check(self, scores: Mapping[str, Real], level: float) -> None:
        """Raises InputError for a level that these runs cannot promise."""

    @abstractmethod
    def __call__(self, name: str, scores: Real, level: float, prediction: Prediction, expected: Real) -> Real:
        """q of every query `(B,)` for the quantity `name` with scores `(n,)`; +inf where there is none.

        `expected` `(B,)` is g, the expected logarithm of the error, of the first quantity: the field.
        """

    def reasons(self, prediction: Prediction, limits: Real) -> Array:
        """Why a limit is +inf, `(B,)` texts, empty where the cutoff is not the reason."""
        return np.full(len(prediction), "", dtype=object)

    @abstractmethod
    def guarantee(self, words: str, level: float, count: int) -> Statistical | Estimate:
        """What the limits promise; `words` name the norm, `count` runs calibrated."""


class Pooled(Cutoff):
    """All runs calibrate all queries: q is the `⌈(n + 1) level⌉`-th smallest score.

    Reference: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, J. Amer. Stat. Assoc. 113 (2018), theorem 2.2.
    """

    kind: ClassVar[str] = "pooled-cutoff"

    def check(self, scores: Mapping[str, Real], level: float) -> None:
        for values in scores.values():
            rank(len(values), level)

    def __call__(self, name: str, scores: Real, level: float, prediction: Prediction, expected: Real) -> Real:
        return np.full(len(prediction), quantile(scores, level))

    def guarantee(self, words: str, level: float, count: int) -> Statistical:
        return Statistical(words, level, count)

    def to_parts(self) -> Parts:
        return Parts({}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls()
