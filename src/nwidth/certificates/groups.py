"""Calibration by group (Mondrian): the limit holds in every group on its own, not only on average over all queries.

A limit that holds for nine in ten of all queries may hold for half of those with a large load. A group is read from
the query or from the answer, never from the truth.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.cutoffs import Cutoff
from nwidth.certificates.quantile import quantile, rank
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable


class Groups(Storable):
    """A rule that puts every query into one of a few groups."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The groups in words."""

    @abstractmethod
    def __call__(self, prediction: Prediction, expected: Real) -> Array:
        """The group of every query `(B,)`, -1 for none, the same for all quantities.

        `expected` `(B,)` is the expected logarithm of the error of the field (without one, of all outputs together).
        """


@dataclass(frozen=True)
class ByRange(Groups):
    """Groups by a scalar parameter or a predicted output: below the first edge, between two edges, from the last on.

        ByRange("load", (10.0, 50.0))      # load < 10, 10 <= load < 50, load >= 50

    Raises InputError for edges that do not increase.
    """

    kind: ClassVar[str] = "groups-by-range"

    name: str
    edges: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(float(e) for e in self.edges))
        if not self.edges or any(a >= b for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise InputError(f"edges {self.edges} of groups by {self.name!r}; give at least one number, increasing")

    @property
    def labels(self) -> tuple[str, ...]:
        inner = [f"{a:g} <= {self.name} < {b:g}" for a, b in zip(self.edges, self.edges[1:], strict=False)]
        return (f"{self.name} < {self.edges[0]:g}", *inner, f"{self.name} >= {self.edges[-1]:g}")

    def __call__(self, prediction: Prediction, expected: Real) -> Array:
        values = np.asarray(self._values(prediction), dtype=np.float64)
        if values.ndim != 1:
            raise InputError(f"{self.name!r} has shape {values.shape}; groups need one number per query, (B,)")
        found = np.searchsorted(np.asarray(self.edges), values, side="right")
        return np.where(np.isnan(values), -1, found)

    def _values(self, prediction: Prediction) -> Array:
        if self.name in prediction.mu:
            return prediction.mu[self.name]
        if self.name in prediction.outputs:
            return prediction.outputs[self.name].values
        known = ", ".join([*prediction.mu, *prediction.outputs])
        raise InputError(f"groups by {self.name!r}: that is neither a parameter nor an output; choose one of {known}")

    def to_parts(self) -> Parts:
        return Parts({"name": self.name, "edges": list(self.edges)}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(config["name"], config["edges"])


@dataclass(frozen=True)
class ByDifficulty(Groups):
    """Two groups: queries whose expected error is at most `threshold`, which a tolerance accepts, and all others."""

    kind: ClassVar[str] = "groups-by-difficulty"

    threshold: float

    @property
    def labels(self) -> tuple[str, ...]:
        return (f"expected error up to {self.threshold:.3g}", f"expected error above {self.threshold:.3g}")

    def __call__(self, prediction: Prediction, expected: Real) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(np.isnan(expected), -1, (expected > np.log(self.threshold)).astype(np.int64))

    def to_parts(self) -> Parts:
        return Parts({"threshold": self.threshold}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(config["threshold"])


@dataclass(frozen=True, eq=False)
class Grouped(Cutoff):
    """q of a query is the `⌈(n_G + 1) level⌉`-th smallest score of the n_G runs in its own group G.

    Given the groups of the runs, the limit holds with probability at least `level` for a fresh run *of each group*.
    `runs`: quantity -> group of every calibration run `(n,)`. A group with too few runs has no limit where `partial`,
    and is an InputError otherwise. Reference: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005),
    section 4.5 (Mondrian predictors); Vovk, Mach. Learn. 92 (2013), proposition 3.
    """

    kind: ClassVar[str] = "grouped-cutoff"

    groups: Groups
    runs: Mapping[str, Array]
    partial: bool = False

    def check(self, scores: Mapping[str, Real], level: float) -> None:
        for name in scores:
            counts = self.counts(name)
            for label, count in counts.items():
                self._check_group(label, count, level)
            if self.partial:
                rank(max(counts.values()), level)

    def _check_group(self, label: str, count: int, level: float) -> None:
        try:
            rank(count, level)
        except InputError as error:
            if not self.partial:
                raise InputError(f"group {label!r}: {error}; or join it with another group") from error

    def counts(self, name: str) -> dict[str, int]:
        """How many runs calibrate each group of a quantity."""
        return {label: int(np.sum(self.runs[name] == g)) for g, label in enumerate(self.groups.labels)}

    def __call__(self, name: str, scores: Real, level: float, prediction: Prediction, expected: Real) -> Real:
        of_group = np.full(len(self.groups.labels) + 1, np.inf)
        for g in range(len(self.groups.labels)):
            own = scores[self.runs[name] == g]
            if len(own) >= level / (1 - level) - 1e-9:
                of_group[g] = quantile(own, level)
        return of_group[self.groups(prediction, expected)]

    def reasons(self, prediction: Prediction, limits: Real) -> Array:
        without = "it is in no group, or too few runs were calibrated in its group"
        return np.where(np.isfinite(limits), "", without).astype(object)

    def guarantee(self, words: str, level: float, count: int) -> Statistical:
        return Statistical(f"{words}; in every group on its own ({', '.join(self.groups.labels)})", level, count)

    def to_parts(self) -> Parts:
        arrays = {f"group of {name}": values for name, values in self.runs.items()}
        return Parts({"partial": self.partial, "quantities": list(self.runs)}, arrays, {"groups": self.groups})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        runs = {name: arrays[f"group of {name}"] for name in config["quantities"]}
        first = next(iter(runs.values()))
        if not all(np.array_equal(of_quantity, first) for of_quantity in runs.values()):
            raise InputError(
                "these limits were calibrated by an earlier version of nwidth, with groups of their own for every "
                "output; calibrate them again"
            )
        return cls(children["groups"], runs, config["partial"])
