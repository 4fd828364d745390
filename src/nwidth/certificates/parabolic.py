"""The guaranteed bound of a reduced parabolic problem, in one pass and constant memory.

Both schemes solve `M (w^k - w^{k-1}) / dt + A_k w_ϑ^k = f_k` with `w_ϑ = ϑ w^k + (1 - ϑ) w^{k-1}`, ϑ = 1 or 1/2. The
error e of any reduced trajectory, stepped in whatever way, satisfies the same with its residual r^k on the right.
Tested with e_ϑ, with `q_k = ‖r^k‖_{X⁻¹} / √α_k` and `a_k = ‖e_ϑ^k‖_{A_k}`,

    ½ ‖e^k‖²_M - ½ ‖e^{k-1}‖²_M + dt a_k² <= dt q_k a_k.                                                    (1)

*Energy*: summed, `‖e^K‖²_M + Σ dt a_k² <= ‖e⁰‖²_M + Σ dt q_k²`, the space-time bound (Grepl and Patera 2005, section 3;
Haasdonk and Ohlberger 2008, proposition 4.1). It only grows.

*Contraction*: a_k is not free. With A >= c M, implicit Euler has `a_k >= √c ‖e^k‖_M`, and in (1) tested before the
product of the two levels is estimated,

    E² - E_- E <= dt (q a - a²),   a >= √c E:    E = (E_- + dt √c q) / (1 + c dt),   or (E_- + √(E_-² + dt q²)) / 2

where the first would need a < q / 2. Crank-Nicolson damps fast modes by a factor near one, so that it takes the upper
constant too: `e^k = e_ϑ + δ/2` with `M δ = dt (r - A e_ϑ)` and A <= C M gives
`E <= a (1/√c + dt √C / 2) + dt ‖r‖_{M⁻¹} / 2`, and E is the largest value that this and (1) allow. Either way E stays
near q / √c for ever, the size of the stationary bound, instead of growing with the square root of time.

Outputs at the points of the steps: `|l·e_ϑ| <= ‖l‖_{M⁻¹} ‖e_ϑ‖_M`; `nwidth.certificates.parabolic_dual` does better.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts
from nwidth.problems.parabolic import AffineEvolution
from nwidth.rb.parabolic import Piece, ReducedEvolution, check_batch
from nwidth.rb.parabolic_constants import MassConstants, mass_constants
from nwidth.rb.parabolic_kernels import contract
from nwidth.rb.parabolic_model import EvolutionModel
from nwidth.rb.rounding import EPS, gamma
from nwidth.rb.threads import one_thread

_TINY = float(np.finfo(np.float64).tiny)
_NORM = "norm of the mass, at each time level"
_COVERS = ("reduction", "round-off")
_REFERENCE = "the full-order solution in the same time steps (the steps' own error is not included either)"


class Bounds(NamedTuple):
    """What is known after the steps of a piece, `(B, T)` each: q of the residual, the bound E of the error in the
    M-norm and the space-time energy bound S at their ends, and E before each of them."""

    q: Real
    error: Real
    energy: Real
    before: Real
    proven: bool


@dataclass(frozen=True, eq=False)
class EvolutionCertificate(Certificate):
    """Bounds of trajectories and outputs in one reduced basis, rounding and initial error included.

    The bound of a prediction is the largest over time of the M-norm error; `stats` holds it for every stored level
    ("in time", `(B, T)`) and the space-time energy bound at the end ("energy"). Rigorous where the stability constant
    is proven. Valid outside the training range too, wherever the coercivity holds; elsewhere +inf.
    """

    kind: ClassVar[str] = "evolution-certificate"

    surrogate: ReducedEvolution
    constants: MassConstants

    @classmethod
    def build(
        cls, surrogate: ReducedEvolution, problem: AffineEvolution | None = None, anchors: Real | None = None
    ) -> Self:
        """The certificate of a reduced basis; `anchors` as in `mass_constants`.

        Raises InputError for another problem.
        """
        own = surrogate.problem
        if problem is not None and problem is not own and problem != own:
            raise InputError(
                f"this basis was built for {own!r}, not for {problem!r}; certify it with surrogate.problem"
            )
        return cls(surrogate, mass_constants(own, anchors))

    def __post_init__(self) -> None:
        _ = self.problem.stability  # raises where there is none

    @property
    def problem(self) -> AffineEvolution:
        """What the bounds refer to."""
        return self.surrogate.problem

    @property
    def guarantee(self) -> Guarantee:
        """From the time-discrete full-order solution; neither the mesh's nor the steps' own error is counted."""
        return Rigorous(_NORM, _COVERS, _REFERENCE)

    def moved_to(self, problem: AffineEvolution) -> "EvolutionCertificate":
        """For other steps and inputs (`ReducedEvolution.moved_to`)."""
        return replace(self, surrogate=self.surrogate.moved_to(problem))

    def bound(self, prediction: Prediction) -> Prediction:
        """The trajectory marched again, with its limits: those of the returned values.

        Raises InputError for a prediction by another surrogate.
        """
        mu = check_batch(self.surrogate, prediction)
        levels, values, limits, errors = [], [], [], []
        proven, energy = True, np.zeros(0)
        for piece, bounds in self.stream(mu):
            here = self.problem.stepping.stored(piece.first, piece.last)
            proven &= bounds.proven
            levels.append(piece.levels[:, here])
            values.append(self.surrogate.output_values(piece.points[:, here]))
            limits.append(self.output_limits(piece, bounds)[:, here])
            errors.append(bounds.error[:, here] + self.reconstruction(piece.levels[:, here]))
            energy = bounds.energy[:, -1]
        in_time, joined = (
            np.concatenate(errors, axis=1),
            (np.concatenate(part, axis=1) for part in (levels, values, limits)),
        )
        answer = self.surrogate.answer(mu, *joined)
        worst = in_time.max(axis=1)
        return replace(
            answer,
            bound=worst,
            guarantee=self.guarantee if proven else Estimate(_NORM, "a proven stability constant"),
            reason=reasons(worst),
            stats=dict(prediction.stats) | {"in time": in_time, "energy": energy},
        )

    def stream(self, mu: Mu) -> Iterator[tuple[Piece, Bounds]]:
        """The march and its bounds, piece by piece, in constant memory."""
        stepping, model = self.problem.stepping, self.surrogate.model
        error = self.initial(mu)
        energy = error**2
        for piece in self.surrogate.stream(mu):
            with one_thread():
                norm, _ = model.residual_norms(piece.theta, piece.phi, piece.start, piece.levels, stepping)
            known = residual_bound(self, piece.theta, norm)
            found = contract(error, known.q, known.coercive, known.upper, known.jump, stepping.dt, stepping.weight)
            found = np.where(np.isnan(found), np.inf, found)
            before = np.concatenate([error[:, None], found[:, :-1]], axis=1)
            total = energy[:, None] + stepping.dt * np.cumsum(known.q**2, axis=1) * (1 + gamma(len(norm[0]) + 8))
            error, energy = np.ascontiguousarray(found[:, -1]), np.where(np.isnan(total[:, -1]), np.inf, total[:, -1])
            energy = energy * (1 + 4 * EPS)
            total = np.sqrt(np.where(np.isnan(total), np.inf, total)) * (1 + 4 * EPS)
            yield piece, Bounds(known.q, found, total, before, known.proven)

    def initial(self, mu: Mu) -> Real:
        """A bound of the initial error in the M-norm, `(B,)`."""
        psi, model = np.abs(self.problem.starts(mu)[0]), self.surrogate.model
        rounding = gamma(psi.shape[1] + 2) * (psi @ np.abs(model.starts)) @ model.reduced.lengths
        return (psi @ model.start_defects + rounding * _mass_norm(model)) * (1 + gamma(psi.shape[1] + 8))

    def output_limits(self, piece: Piece, bounds: Bounds) -> Real:
        """Limits of all outputs at the points of a piece, `(B, T, s)`, from the error in the M-norm."""
        weight = self.problem.stepping.weight
        error = bounds.error if weight == 1.0 else weight * bounds.error + (1 - weight) * bounds.before
        return error[:, :, None] * self.constants.functionals * (1 + 8 * EPS) + self.output_rounding(piece)

    def output_rounding(self, piece: Piece) -> Real:
        """What rounding does to the computed outputs of a piece, `(B, T, s)`."""
        reduced = self.surrogate.model.reduced
        values = self.surrogate.output_values(piece.points)
        # the bound is for the point of the rounded levels, from which the computed one differs by some ε of either
        size = np.abs(piece.points) + np.abs(piece.before)
        exact = size @ (reduced.output_weights * (1 + 16 / max(reduced.operations, 1)))
        return exact + 4 * EPS * (np.abs(values) + np.abs(reduced.offsets)) + _TINY

    def reconstruction(self, levels: Real) -> Real:
        """Rounding in `lift + c @ basis`, in the M-norm, `(B, T)`."""
        reduced = self.surrogate.model.reduced
        entries = gamma(reduced.modes + 2) * (np.abs(levels) @ reduced.lengths) + 2 * EPS * reduced.lift_length
        return _mass_norm(self.surrogate.model) * entries

    def to_parts(self) -> Parts:
        """The surrogate and the constants as children."""
        return Parts({}, {}, {"surrogate": self.surrogate, "constants": self.constants})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["surrogate"], children["constants"])


class ResidualBound(NamedTuple):
    """Residuals and what they act on, `(B, T)` each: q, the coercivity c with A >= c M, an upper constant C with
    A <= C M, and the residual in the norm of M⁻¹."""

    q: Real
    coercive: Real
    upper: Real
    jump: Real
    proven: bool


def residual_bound(certificate: EvolutionCertificate, theta: Real, norm: Real) -> ResidualBound:
    """From bounds of `‖r‖_{X⁻¹}` `(B, T)`, at coefficients θ `(B, T, Q_A)`; +inf where no coercivity is known."""
    constants, shape = certificate.constants, norm.shape
    stability = certificate.problem.stability.constants(theta.reshape(-1, theta.shape[2]))
    alpha, beta = stability.lower.reshape(shape), stability.upper.reshape(shape)
    coercive = constants.lower(theta)
    known = (alpha > 0) & (coercive > 0) & ~np.isnan(norm)
    q = np.where(known, norm / np.sqrt(np.where(known, alpha, 1.0)), np.inf) * (1 + 8 * EPS) + _TINY
    jump = norm * np.sqrt(constants.upper) * (1 + 8 * EPS)
    return ResidualBound(q, np.where(known, coercive, 1.0), beta * constants.upper, jump, stability.proven)


def reasons(bound: Real) -> Array:
    """Why a bound is infinite."""
    reason = np.full(len(bound), "", dtype=object)
    reason[~np.isfinite(bound)] = "no coercivity is known there, or the reduced matrix is not positive definite"
    return reason


def _mass_norm(model: EvolutionModel) -> float:
    """A bound of √‖M‖₂."""
    return float(np.sqrt(model.reduced.term_norms[-1]))
