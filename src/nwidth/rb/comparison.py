"""Stability constants for a user's own inner product, and a guess of them where nothing is proven."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.storable import Parts
from nwidth.problems.base import Stability
from nwidth.problems.min_theta import ThetaStability


def _c_table(name: str, values: Array) -> str:
    numbers = ", ".join(repr(float(v)) for v in np.ravel(values))
    return f"static const double {name}[{np.size(values)}] = {{{numbers}}};"


@dataclass(frozen=True, eq=False)
class ScaledMinTheta(ThetaStability):
    """The min-theta comparison with any product X: `lower X <= Σ_q reference_q A_q <= upper X` proven.

    With low and high the extreme ratios θ_q / reference_q and A_q >= -slack_q X,

        (low · lower - slack (|low| + |high|)) X <= A(mu),    slack = Σ_q reference_q slack_q.
    """

    kind: ClassVar[str] = "scaled-min-theta"

    reference: Real
    lower: float
    upper: float
    slack: float

    def constants(self, theta: Real) -> Stability:
        """Proven bounds; below zero, and of no use, where a coefficient is negative."""
        ratio = theta / self.reference
        low, high = ratio.min(axis=1), ratio.max(axis=1)
        shift = self.slack * (np.abs(low) + np.abs(high))
        below = np.where(low > 0, low * self.lower, low * self.upper)
        return Stability(lower=below - shift, upper=np.abs(high) * self.upper + shift)

    def to_c(self) -> str:
        count = len(self.reference)
        return f"""{{
    {_c_table("reference", self.reference)}
    double low = theta[0] / reference[0];
    double high = low;
    for (int q = 1; q < {count}; ++q) {{
        const double ratio = theta[q] / reference[q];
        if (ratio < low) {{
            low = ratio;
        }}
        if (ratio > high) {{
            high = ratio;
        }}
    }}
    alpha = (low > 0.0) ? (low * {self.lower!r}) : (low * {self.upper!r});
    alpha -= {self.slack!r} * (fabs(low) + fabs(high));
}}"""

    def to_parts(self) -> Parts:
        config = {"lower": self.lower, "upper": self.upper, "slack": self.slack}
        return Parts(config, {"reference": self.reference}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(np.array(arrays["reference"]), config["lower"], config["upper"], config["slack"])


@dataclass(frozen=True, eq=False)
class SampledStability(ThetaStability):
    """`α ≈ min_k Σ_q θ_q y_kq` with y_kq = (A_q v_k, v_k) / (X v_k, v_k) for the lowest eigenvectors v_k found at a few
    parameters: never below the true constant, so never a proof. `missing` says why there is none.

    low, high `(K, Q)`: the quotients of the lowest and of the highest eigenvectors.
    """

    kind: ClassVar[str] = "sampled-stability"

    low: Real
    high: Real
    missing: str

    def constants(self, theta: Real) -> Stability:
        """Estimates, and said to be."""
        return Stability((theta @ self.low.T).min(axis=1), (theta @ self.high.T).max(axis=1), proven=False)

    def to_c(self) -> str:
        samples, count = self.low.shape
        return f"""{{
    {_c_table("quotients", self.low)}
    for (int k = 0; k < {samples}; ++k) {{
        double quotient = 0.0;
        for (int q = 0; q < {count}; ++q) {{
            quotient += theta[q] * quotients[({count} * k) + q];
        }}
        if ((k == 0) || (quotient < alpha)) {{
            alpha = quotient;
        }}
    }}
}}"""

    def to_parts(self) -> Parts:
        return Parts({"missing": self.missing}, {"low": self.low, "high": self.high}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(np.array(arrays["low"]), np.array(arrays["high"]), config["missing"])
