"""Transport with diffusion: how coercive, and how far from symmetric, a matrix of nearest neighbours is.

Write `A = S + K` with S symmetric and K skew. Over the faces f between neighbours i, j and the unknowns i,

    vᵀ S v = Σ_f s_f (v_i - v_j)² + Σ_i d_i v_i²,      s_f = -(A_ij + A_ji) / 2,      d_i = S_ii - Σ_{f∋i} s_f,
    vᵀ X v = Σ_f x_f (v_i - v_j)² + Σ_i e_i v_i²,

so that `s_f >= α x_f` and `d_i >= α e_i` prove `S >= α X`. For a flux form d_i holds half the net outflow of a control
volume, the reaction, and what walls take: with a velocity that is discretely free of divergence all d_i - α e_i are
zero or more but for rounding, and α is the smallest face coefficient (upwinding adds |F|/2 to each). A deficit, from
rounding or from a flow that converges, is paid for by Friedrichs' inequality,
`Σ_i δ_i v_i² <= max δ / λ_min(X) ‖v‖²_X`; where that uses α up, nothing is proven. The skew part has one number
κ_f = (A_ij - A_ji) / 2 for each face, and

    |vᵀ K w| = |Σ_f κ_f (v_i w_j - v_j w_i)|  <=  k ‖v‖_X ‖w‖_X,      k = 2 √(max_i ½ Σ_{f∋i} κ_f²/x_f  /  λ_min(X)).

With e = u - v and `‖e‖² = eᵀ A e = eᵀ S e`:

    ‖r‖_{X⁻¹} / (√β + k/√α)  <=  ‖e‖  <=  ‖r‖_{X⁻¹} / √α,        effectivity <= √(β/α) + k/α.

The last term is the Péclet number, |b| L / a, times about 0.23 in a square: that is how the limit loses sharpness. The
upper bound is Lax-Milgram's; reference for the decomposition: Roos, Stynes and Tobiska, Robust Numerical Methods for
Singularly Perturbed Differential Equations (2008), section III.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.bounds.dual_norm import EPS
from nwidth.bounds.dual_residual import Constants, Dual, Norm, Prepared
from nwidth.bounds.metric import check_level, energy_stencils
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.problems.base import Linear, Systems
from nwidth.problems.grid_stencil_systems import StencilSystems
from nwidth.problems.stencils import Stencilled, Stencils
from nwidth.spaces.grid import Grid

#: Rounded operations behind an entry of a matrix and a sum of a row of it.
_TERMS = 64
_DIVERGENCE = (
    "the velocity has divergence (or carries in through an open end) and diffusion does not make up for it: the matrix "
    "could not be proven coercive; take a flow that is discretely free of divergence (from_stream_function), or the "
    "constants InfSupConstants(), which need a factorisation for each query"
)


@dataclass(frozen=True, eq=False)
class FieldOfValues:
    """`lower X <= S <= upper X` and `|vᵀ K w| <= skew ‖v‖_X ‖w‖_X` for each sample, `(B,)`; `lower` may be negative."""

    lower: Real
    upper: Real
    skew: Real

    @property
    def dual(self) -> Dual:
        """Constants in the energy norm; +inf, with the reason, where the matrix is not proven coercive."""
        known = self.lower > 0
        alpha = np.where(known, self.lower, 1.0)
        most = np.sqrt(np.maximum(self.upper, 0.0)) + self.skew / np.sqrt(alpha)
        return Dual(
            above=np.where(known, 1 / np.sqrt(alpha) * (1 + 4 * EPS), np.inf),
            below=np.where(known & (most > 0), (1 - 8 * EPS) / np.where(most > 0, most, 1.0), 0.0),
            reason=np.where(known, "", _DIVERGENCE).astype(object),
            norm="energy norm",
        )


def field_of_values(stencils: Stencils, x: Stencils, lambda_min: float) -> FieldOfValues:
    """The constants of a batch against X, whose stencils have one row. The rounding of every entry is counted."""
    diagonal, unit = stencils.centre.copy(), x.centre.copy()
    size, speed = np.abs(stencils.centre), np.zeros_like(stencils.centre)
    low, high = np.full(len(stencils), np.inf), np.full(len(stencils), -np.inf)
    for axis in range(3):
        if not x.plus[axis].size:
            continue
        up, down = stencils.plus[axis], _mirrored(stencils, axis)
        s, skew, weight = -(up + down) / 2, (up - down) / 2, -x.plus[axis]
        inside = np.broadcast_to(weight > 0, s.shape)
        weight = np.where(weight > 0, weight, 1.0)
        room = _TERMS * EPS * (np.abs(up) + np.abs(down)) / weight
        low = np.minimum(low, _lowest(np.where(inside, s / weight - room, np.inf)))
        high = np.maximum(high, -_lowest(np.where(inside, -s / weight - room, np.inf)))
        diagonal -= _at_both_ends(s, axis)
        unit -= _at_both_ends(-x.plus[axis], axis)
        size += _at_both_ends((np.abs(up) + np.abs(down)) / 2, axis)
        speed += _at_both_ends((np.abs(skew) + EPS * np.abs(up)) ** 2 / weight, axis) / 2
    room = _TERMS * EPS * size
    lower = _absorbed(low, diagonal - room, unit, lambda_min)
    upper = -_absorbed(-high, -diagonal - room, unit, lambda_min)
    k = 2 * np.sqrt(-_lowest(-speed) / lambda_min) * (1 + _TERMS * EPS)
    return FieldOfValues(lower, upper, k)


def _absorbed(faces: Real, diagonal: Real, unit: Real, lambda_min: float) -> Real:
    """The largest proven α with `faces >= α` and `d - α e >= 0` after Friedrichs' inequality, `(B,)`.

    e >= 0, `unit`, is taken at its least favourable within rounding.
    """
    ends = unit > _TERMS * EPS * unit.max()
    quotients = np.where(ends, diagonal / np.where(ends, unit, 1.0), np.inf)
    candidates, quotient = [], _lowest(quotients)
    # a single unknown has no faces: its quotient is all there is
    for alpha in (np.where(np.isfinite(faces), faces, quotient), np.minimum(faces, quotient)):
        scaled = alpha.reshape(-1, 1, 1, 1) * (unit + np.sign(alpha).reshape(-1, 1, 1, 1) * _TERMS * EPS * unit.max())
        deficit = np.maximum(-_lowest(diagonal - scaled), 0.0)
        candidates.append(alpha - deficit / lambda_min * (1 + 8 * EPS))
    return np.maximum(*candidates)


def _lowest(values: Real) -> Real:
    return values.reshape(len(values), -1).min(axis=1)


def _mirrored(stencils: Stencils, axis: int) -> Real:
    """For each unknown the entry of its upper neighbour's row that leads back to it."""
    if stencils.minus is None:
        return stencils.plus[axis]
    return np.roll(stencils.minus[axis], -1, axis + 1)


def _at_both_ends(faces: Real, axis: int) -> Real:
    """Sums over the faces of every unknown."""
    return faces + np.roll(faces, 1, axis + 1)


@dataclass(frozen=True)
class FaceConstants(Constants):
    """Constants of problems with nearest neighbours on a grid, symmetric or not, from the entries of their matrices: no
    eigenvalue, no factorisation. Proven where they are finite."""

    kind: ClassVar[str] = "face-constants"
    norm: ClassVar[Norm] = "energy norm"

    def prepare(self, problem: Linear) -> Prepared:
        if not isinstance(problem, Stencilled) or not isinstance(problem.space, Grid):
            raise InputError(
                f"{type(problem).__name__} does not give stencils on a Grid (GridTransport does); take the constants "
                "InfSupConstants(), which prove by factorisation"
            )
        check_level(problem.space)
        x, lambda_min = energy_stencils(problem.space), problem.space.inner("energy").lambda_min

        def constants(mu: Mu, systems: Systems | None = None) -> Dual:
            stencils = systems.stencils if isinstance(systems, StencilSystems) else problem.stencils(mu)
            return field_of_values(stencils, x, lambda_min).dual

        return constants

    def to_parts(self) -> Parts:
        return Parts({}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls()
