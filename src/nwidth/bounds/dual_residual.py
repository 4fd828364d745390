"""The error from the dual norm of the residual, for matrices that need not be symmetric, definite or real.

For `A u = f`, any v that carries the prescribed values, e = u - v and r = f - A v, constants of the kind

    below ‖r‖_{X⁻¹}  <=  ‖e‖  <=  above ‖r‖_{X⁻¹}

follow from what is known of A. In what norm ‖e‖ is measured belongs to them:

- "energy norm", `‖e‖² = Re(eᴴ A e)`, the form of the symmetric part (see `nonsymmetric`);
- "gradient norm", `‖e‖ = ‖e‖_X` (see `inf_sup`): where A is indefinite it has no energy.

Reference for both: Babuška, Numer. Math. 16 (1971), theorem 2.1; in the form used here Prud'homme et al., J. Fluids
Eng. 124 (2002), section 3, and Rozza, Huynh and Patera, Arch. Comput. Methods Eng. 15 (2008), section 9.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from nwidth.bounds.dual_norm import EPS, euclidean
from nwidth.bounds.metric import Metric, dot
from nwidth.bounds.residual import EnergyBounds
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.storable import Storable
from nwidth.problems.base import Linear, Systems

Norm = Literal["energy norm", "gradient norm"]

_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Dual:
    """`above` and `below` of each sample `(B,)`; `above` is +inf where nothing is known, with the `reason`, and `below`
    may be zero."""

    above: Real
    below: Real
    reason: Array
    norm: Norm

    def take(self, rows: Array | slice) -> "Dual":
        """The chosen samples."""
        return Dual(self.above[rows], self.below[rows], self.reason[rows], self.norm)


class Prepared(Protocol):
    """What is prepared once for a problem: parameters to constants. `systems`, where the caller has them, save work."""

    def __call__(self, mu: Mu, systems: Systems | None = None) -> Dual:
        """The constants of a batch."""
        ...


class Constants(Storable):
    """A way to the constants of a problem; stored with a certificate. `norm`: the one that they bound errors in."""

    norm: ClassVar[Norm]

    @property
    def missing(self) -> str:
        """What a proof would need; empty where the constants are proven."""
        return ""

    @abstractmethod
    def prepare(self, problem: Linear) -> Prepared:
        """What is the same for all parameters is done here. Raises InputError for a problem that it does not suit."""


def residual_bounds(systems: Systems, v: Array, metric: Metric, dual: Dual) -> EnergyBounds:
    """Bounds of ‖u - v‖ for dofs v `(B, N)` that carry the prescribed values; `floor` is what rounding puts into
    `upper`. Never zero, never NaN."""
    noise = rounding(systems, v, metric)
    with np.errstate(over="ignore", invalid="ignore"):
        high, low = metric.dual_norm(systems.residual(v))
        known = np.isfinite(dual.above) & ~np.isnan(high + noise)
        above = np.where(known, dual.above, 1.0)
        upper = np.where(known, above * (high + noise) * (1 + 8 * EPS), np.inf)
        left = low - noise
        lower = np.where(left > 0, left, 0.0) * dual.below
        return EnergyBounds(upper=upper, lower=np.minimum(lower, upper), floor=np.where(known, above * noise, np.inf))


def rounding(systems: Systems, v: Array, metric: Metric) -> Real:
    """A bound in the X⁻¹ norm of the rounding of a residual, `(B,)`: see `nwidth.bounds.residual.round_off`.

    A complex product costs four real ones and two sums, each operation √8 ε (Higham, section 3.6).
    """
    each = systems.terms * EPS * (3.0 if np.iscomplexobj(v) or np.iscomplexobj(systems.load) else 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        scale = euclidean(systems.magnitude(v - systems.lift))
    return each * scale / np.sqrt(metric.inner.lambda_min) + _TINY


def size_of(systems: Systems, w: Array, metric: Metric, norm: Norm, image: Array | None = None) -> Real:
    """The norm of changes from the lift, dofs w `(B, N)` zero where values are prescribed; `image` is A w where the
    caller has it."""
    if norm == "gradient norm":
        return metric.inner.norm(w)
    return np.sqrt(np.maximum(dot(w, systems.apply(w) if image is None else image), 0.0))
