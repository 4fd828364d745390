"""The successive constraint method with an online value that is a theorem: weak duality instead of a linear program.

For `A(θ) = Σ_q θ_q A_q` write y_q(v) = (A_q v, v) / (X v, v), so that the coercivity constant is the minimum over v of
`Σ_q θ_q y_q(v)`. What is proven about y: a box, `low_q <= y_q <= high_q`, and lower bounds of a few combinations,
`Σ_q a_kq y_q >= α_k`. For any multipliers λ >= 0 then

    Σ_q θ_q y_q  >=  Σ_k λ_k α_k + Σ_q min over the box of (θ_q - Σ_k λ_k a_kq) y_q.

Multipliers come from linear programs at training parameters (`scm_build`); a poor choice costs sharpness and never
truth. Each stored direction t λ is scaled online by the t >= 0 that is best for the query: the right-hand side is
concave and piecewise linear in t, so the best t is a breakpoint. With the single combination
`X = Σ_q reference_q A_q` and semidefinite terms this is the min-theta comparison.

References: Huynh, Rozza, Sen and Patera, C. R. Acad. Sci. Paris, Ser. I 345 (2007) 473, whose online value is the
linear program itself, with α_k and the box from eigenvalue solvers; here both are proven by factorisation
(`positive`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numba import njit

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.problems.base import Stability
from nwidth.problems.min_theta import ThetaStability

EPS = float(np.finfo(np.float64).eps)
_ARRAYS = ("low", "high", "values", "shifts", "anchors", "alphas")


@dataclass(frozen=True, eq=False)
class SuccessiveConstraints(ThetaStability):
    """Coercivity as a function of θ: the box `low, high (Q,)`, and multipliers as `values (M,)` = Σ_k λ_k α_k and
    `shifts (M, Q)` = Σ_k λ_k a_k, rounding paid for in the values.

    `anchors (K, Q)` and `alphas (K,)` are the combinations and their proven bounds, kept to be read. Valid for every
    θ, seen or not; where the value is not positive there is no proof of coercivity, and so no bound of an error.
    """

    kind: ClassVar[str] = "successive-constraints"

    low: Real
    high: Real
    values: Real
    shifts: Real
    anchors: Real
    alphas: Real

    @classmethod
    def of(cls, low: Real, high: Real, anchors: Real, alphas: Real, multipliers: Real) -> Self:
        """From proven numbers and multipliers `(M, K)` of any origin; those below zero count as zero."""
        kept = np.maximum(multipliers, 0.0)
        sums = kept.sum(axis=1, keepdims=True)
        kept = np.divide(kept, sums, out=np.zeros_like(kept), where=sums > 0)
        values, shifts = kept @ alphas, kept @ anchors
        # how far the stored sums may be from the exact ones, at the worst corner of the box
        reach = np.maximum(np.abs(low), np.abs(high))
        rounding = (len(alphas) + 4) * EPS * (kept @ (np.abs(alphas) + np.abs(anchors) @ reach))
        return cls(low, high, values - rounding * (1 + 1e-12), shifts, anchors, alphas)

    def constants(self, theta: Real) -> Stability:
        """`lower X <= A(θ) <= upper X` for each row of θ `(B, Q)`. Raises InputError for another number of terms."""
        theta = np.ascontiguousarray(theta, dtype=np.float64)
        if theta.ndim != 2 or theta.shape[1] != len(self.low):
            raise InputError(f"θ has shape {theta.shape}; expected (B, {len(self.low)}), one column per term")
        numbers = (self.low, self.high, self.values, self.shifts)
        return Stability(_lower(theta, *numbers), -_lower(-theta, *numbers))

    def to_c(self) -> str:
        terms, count = len(self.low), len(self.values)
        tables = "\n".join(
            f"    static const double {name}[{array.size}] = {{{', '.join(repr(float(v)) for v in array.ravel())}}};"
            for name, array in (("low", self.low), ("high", self.high), ("value", self.values), ("shift", self.shifts))
        )
        return _C.replace("@tables@", tables).replace("@terms@", str(terms)).replace("@count@", str(count)).replace(
            "@rounding@", repr(_rounding(terms))
        )  # fmt: skip

    def to_parts(self) -> Parts:
        return Parts({}, {name: getattr(self, name) for name in _ARRAYS}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(*(np.ascontiguousarray(arrays[name]) for name in _ARRAYS))


def _rounding(terms: int) -> float:
    """Rounded operations behind one value times ε."""
    return (terms + 8) * EPS


@njit(cache=True, nogil=True)
def _at(theta: Real, low: Real, high: Real, value: float, shift: Real, t: float) -> float:
    """`t value + Σ_q min over the box of (θ_q - t shift_q) y_q`, less what rounding may have added."""
    total, magnitude = t * value, abs(t * value)
    for q in range(len(theta)):
        moved = t * shift[q]
        rest = theta[q] - moved
        at_low, at_high = rest * low[q], rest * high[q]
        total += min(at_low, at_high)
        magnitude += (abs(theta[q]) + abs(moved)) * max(abs(low[q]), abs(high[q]))
    return total - (len(theta) + 8) * EPS * magnitude


@njit(cache=True, nogil=True)
def _lower(theta: Real, low: Real, high: Real, values: Real, shifts: Real) -> Real:
    """The largest value over all multipliers and the breakpoints of their scale, `(B,)`."""
    result = np.empty(len(theta))
    for b in range(len(theta)):
        best = _at(theta[b], low, high, 0.0, shifts[0], 0.0)
        for m in range(len(values)):
            for p in range(theta.shape[1]):
                if shifts[m, p] != 0.0:
                    t = theta[b, p] / shifts[m, p]
                    if 0.0 < t < 1e300:
                        found = _at(theta[b], low, high, values[m], shifts[m], t)
                        if found > best:
                            best = found
        result[b] = best
    return result


# the same operations for every θ; the last step of the second loop is the box alone, t = 0
_C = """{
@tables@
    for (int m = 0; m < @count@; ++m) {
        for (int p = 0; p <= @terms@; ++p) {
            const double slope = (p < @terms@) ? shift[(@terms@ * m) + p] : 0.0;
            const double point = (slope != 0.0) ? (theta[p] / slope) : 0.0;
            const double t = ((point > 0.0) && (point < 1e300)) ? point : 0.0;
            double total = t * value[m];
            double magnitude = fabs(total);
            for (int q = 0; q < @terms@; ++q) {
                const double moved = t * shift[(@terms@ * m) + q];
                const double rest = theta[q] - moved;
                const double at_low = rest * low[q];
                const double at_high = rest * high[q];
                const double reach = (fabs(low[q]) > fabs(high[q])) ? fabs(low[q]) : fabs(high[q]);
                total += (at_low < at_high) ? at_low : at_high;
                magnitude += (fabs(theta[q]) + fabs(moved)) * reach;
            }
            total -= @rounding@ * magnitude;
            if (((m == 0) && (p == 0)) || (total > alpha)) {
                alpha = total;
            }
        }
    }
}"""
