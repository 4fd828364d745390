"""The residual of a reduced solution by interpolation between coefficients at which its norm is known accurately.

A residual is `r = Σ_k ζ_k F_k` with the functionals F = (f_q, A_q v_j) and ζ = (φ, -θ ⊗ c). The square of its norm is
linear in the products ζ_k ζ_l. The usual Gram form evaluates that linear function by its values on single products,
each as large as the load, and loses half of the digits where they cancel. Casenave, Ern and Lelièvre take its values
where they are wanted instead: at the coefficients of reduced solutions, whose residuals are small. Here:

    ζ = Σ_j b_j q_j + e,      ‖r‖_{X⁻¹} <= (Σ_ij b_i b_j H_ij)^½ + Σ_k g_k |e_k|,

with q_1 ... q_m made from ζ at m parameters by empirical interpolation (b solves an m × m triangular system at m
chosen entries of ζ), H_ij = (r(q_i), r(q_j))_{X⁻¹} computed at full order in extended precision, g_k >= ‖F_k‖_{X⁻¹},
and e the remainder, computed for the query at hand: with it the value is a bound for *any* coefficients. H_ij are the
values at the points q_i and q_i + q_j, for which the linear system of the published formula is solved in closed form.
The remainder enters as a norm and not as a square, so that its own rounding is ε times the load and not √ε.

With m = K functions e is rounding alone (the stable formula); with few, e is a part of the residual that is chosen
offline (its EIM form). Reference: Casenave, Ern and Lelièvre, "Accurate and online-efficient evaluation of the a
posteriori error bound in the reduced basis method", ESAIM: M2AN 48 (2014), sections 3 and 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.rb.interpolated_kernel import CHUNK, interpolate
from nwidth.rb.rounding import EPS, gamma
from nwidth.rb.threads import one_thread

_TINY = float(np.finfo(np.float64).tiny)
_NUMBERS = ("slack", "loads", "terms", "kept", "remainder")
_ARRAYS = ("functions", "magic", "gram", "sizes", "heights", "defects")


@dataclass(frozen=True, eq=False)
class InterpolatedResidual:
    """What the online stage needs: functions q `(m, K)`, unit lower triangular at the entries `magic (m,)`; H `(m, m)`;
    g `(K,)`; heights h `(m,)` with `‖r(q_j)‖_{X⁻¹} <= h_j + defects_j`; an error in H_ij of at most `slack` h_i h_j.

    `loads` and `terms` are Q_f and Q_A; `kept` is the number of modes in the coefficients of a query (the others are
    zero). `remainder` is None where e is computed for each query; a number replaces it by ten times the largest one on
    the training set: cheaper, since only m entries of ζ are looked at, and then an estimate.
    """

    functions: Real
    magic: Array
    gram: Real
    sizes: Real
    heights: Real
    defects: Real
    slack: float
    loads: int
    terms: int
    kept: int
    remainder: float | None = None

    @property
    def points(self) -> int:
        """m, the number of coefficient vectors at which the residual is known."""
        return len(self.functions)

    @property
    def modes(self) -> int:
        """n of the basis that it was built for."""
        return (self.functions.shape[1] - self.loads) // self.terms

    @property
    def missing(self) -> str:
        """What keeps norm + noise from being a bound; empty where nothing does."""
        return "" if self.remainder is None else "a proof of the interpolation's remainder between training parameters"

    @property
    def operations(self) -> int:
        """Multiplications per query."""
        solved = self.points * (self.points - 1) // 2 + self.points**2
        return solved + (self.functions.shape[1] * (self.points + 2) if self.remainder is None else 0)

    @cached_property
    def _triangle(self) -> Real:
        """`L` with `L b = ζ[magic]`."""
        return np.ascontiguousarray(self.functions[:, self.magic].T)

    @cached_property
    def _per_point(self) -> Real:
        """Heights, defects and `Σ_k g_k |q_jk|`, `(3, m)`."""
        return np.stack([self.heights, self.defects, np.abs(self.functions) @ self.sizes])

    def norms(self, theta: Real, phi: Real, coefficients: Real) -> tuple[Real, Real]:
        """The interpolated norm and what must be added to it, both `(B,)`: `‖r‖_{X⁻¹} <= norm + noise`.

        θ `(B, Q_A)`, φ `(B, Q_f)`, coefficients `(B, n)`. The noise holds the remainder, the defects and rounding.
        Raises InputError for coefficients of another basis.
        """
        if coefficients.shape[1] != self.kept or theta.shape[1] != self.terms or phi.shape[1] != self.loads:
            raise InputError(
                f"got {theta.shape[1]} terms, {phi.shape[1]} loads and {coefficients.shape[1]} coefficients; this "
                f"residual belongs to {self.terms}, {self.loads} and {self.kept}"
            )
        arguments = [np.ascontiguousarray(part, dtype=np.float64) for part in (theta, phi, coefficients)]
        whole = self.remainder is None
        with one_thread(self.functions.size * min(len(theta), CHUNK)):
            sums = interpolate(
                *arguments, self.functions, self._triangle, self.magic, self.gram, self.sizes, self._per_point, whole
            )
        square, level, defect, reach, left, own = sums.T
        norm = np.sqrt(np.maximum(square, 0.0))
        # rounding of the square, as a change of its root: √(s + d) <= √s + min(√d, d / 2√s)
        wrong = (gamma(2 * self.points + 12) + self.slack) * level**2
        with np.errstate(divide="ignore", invalid="ignore"):
            rounding = np.fmin(np.sqrt(wrong), wrong / (2 * norm))
        remainder = left + gamma(self.points + 4) * (own + reach) if whole else np.full(len(norm), self.remainder)
        noise = (rounding + defect + remainder) * (1 + gamma(len(self.sizes) + self.points + 32))
        return norm, noise + 2 * EPS * norm + _TINY

    def truncate(self, modes: int, terms: int) -> "InterpolatedResidual":
        """The same for the first `modes` modes: valid for them, and as sharp as before only for coefficients near the
        ones it was built from. Build it again (`interpolated_residual`) for a residual made for the smaller basis.

        Raises InputError for more modes than there are.
        """
        if not 0 <= modes <= self.kept or terms != self.terms:
            raise InputError(f"cannot keep {modes} of {self.kept} modes with {terms} of {self.terms} terms")
        return replace(self, kept=modes)

    def to_stored(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Configuration and arrays."""
        config = {name: getattr(self, name) for name in _NUMBERS}
        return config, {f"interpolated.{name}": getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_stored(cls, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> "InterpolatedResidual":
        """The residual again."""
        named: dict[str, Any] = {name: np.ascontiguousarray(arrays[f"interpolated.{name}"]) for name in _ARRAYS}
        return cls(**named, **{name: config[name] for name in _NUMBERS})


def combination(theta: Real, phi: Real, coefficients: Real) -> Real:
    """ζ = (φ, -θ ⊗ c), `(B, Q_f + Q_A n)`, modes slow; each entry is rounded at most once."""
    products = coefficients[:, :, None] * theta[:, None, :]
    return np.concatenate([phi, -products.reshape(len(theta), -1)], axis=1)
