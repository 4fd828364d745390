"""How wrong a fitted regression thinks that it is, as a function of the parameters: it shapes a calibrated limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.storable import Parts, Storable
from nwidth.rb.features import Features
from nwidth.rb.regressors.base import Uncertain


@dataclass(frozen=True, eq=False)
class Deviation(Storable):
    """`√((scale d(mu))² + floor²)` with d the regression's own deviation; `floor` is what the modes leave out."""

    kind: ClassVar[str] = "regression-deviation"

    features: Features
    model: Uncertain
    scale: float = 1.0
    floor: float = 0.0

    def __call__(self, mu: Mu) -> Real:
        """`(B,)` > 0; NaN where the features are not finite."""
        return np.hypot(self.scale * self.model.deviation(self.features(mu)), self.floor)

    def to_parts(self) -> Parts:
        children: dict[str, Storable] = {"features": self.features, "model": self.model}
        return Parts({"scale": self.scale, "floor": self.floor}, {}, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["features"], children["model"], config["scale"], config["floor"])
