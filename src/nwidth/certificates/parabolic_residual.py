"""A guaranteed limit for trajectories from anywhere: a neural operator rolled out, a regression, a guess.

What is bounded is the distance between the *returned* trajectory, with the prescribed values imposed, and the
full-order solution in the same steps. Theory: `nwidth.bounds.space_time`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self, cast

import numpy as np

from nwidth.bounds.space_time import TimeBounds, Trajectory, corrected, direct, infinite, known
from nwidth.bounds.step_systems import EPS, StepSystem, gamma
from nwidth.certificates.base import Certificate
from nwidth.certificates.parabolic_prepared import Prepared, check_steps, prepare
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Output, Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import select
from nwidth.problems.base import Evolution, Quantity
from nwidth.problems.parabolic import AffineEvolution
from nwidth.problems.stepped import Stepped
from nwidth.spaces.constant_march import has_march
from nwidth.spaces.grid import Grid
from nwidth.spaces.trajectories import Trajectories

_TINY = float(np.finfo(np.float64).tiny)
_NORM = "norm of the mass, at each time level"
_REFERENCE = "the full-order solution in the same time steps (the steps' own error is not included either)"
#: Stored times and steps agree up to this part of the longest time.
_CLOSE = 1e-6
#: Numbers in the trajectories that are worked on together.
_PIECE = 2_000_000


class _Sample(NamedTuple):
    """Values `(K, N)` with the prescribed ones imposed, their w from the start on, and what is judged.

    No system, and then no trajectory, where the problem refuses the parameter: `refused` says why.
    """

    values: Real
    w: Real
    system: StepSystem | None
    trajectory: Trajectory | None
    proven: bool
    refused: str = ""


class _Piece(NamedTuple):
    """Values and limits of some samples; `outputs`: one list of (values, limits) per sample."""

    values: Real
    upper: Real
    lower: Real
    energy: Real
    outputs: list[list[tuple[Real, Real]]]
    proven: bool
    refused: list[str]

    @classmethod
    def of(cls, samples: Sequence[tuple[_Sample, TimeBounds]], own: Prepared) -> "_Piece":
        """Side by side."""
        return cls(
            np.stack([s.values for s, _ in samples]),
            np.stack([b.upper for _, b in samples]),
            np.stack([b.lower for _, b in samples]),
            np.array([b.energy for _, b in samples]),
            [_of_points(own, s, b) for s, b in samples],
            all(s.proven for s, _ in samples),
            [s.refused for s, _ in samples],
        )


@dataclass(frozen=True)
class SpaceTimeCertificate(Certificate):
    """`‖e^k‖_M` at every level and `√(‖e^K‖²_M + Σ dt ‖e_ϑ^k‖²_A)`, e = u - v, for any trajectory v at the levels of
    the steps.

    The bound of a prediction is the largest over time; `stats` holds "in time" and "at least in time" `(B, T)`, upper
    and lower bounds of the error at each level, and "energy" `(B,)`, the space-time bound at the end. `sweeps`: 0 takes
    the residuals as they are; 1 (the default) or more march them with the constant-coefficient operator first, which is
    much sharper for errors that jump from level to level, at the price of one solve with a kept factorisation for each
    step and sweep. Rigorous where the stability constant is proven; a trajectory that is not finite, without
    coercivity, or for a parameter that is none (not finite, or outside and refused by the problem) gets +inf with the
    reason.

    Raises InputError for frames that are coarser than the steps, and problems without a stability constant.
    """

    kind: ClassVar[str] = "space-time-certificate"

    problem: AffineEvolution | Stepped
    sweeps: int = 1

    def __post_init__(self) -> None:
        check_steps(self.problem)
        if self.sweeps < 0:
            raise InputError(f"sweeps = {self.sweeps}; give 0 (residuals as they are), 1 or more")

    @property
    def guarantee(self) -> Guarantee:
        """From the time-discrete full-order solution; neither the mesh's nor the steps' own error is counted."""
        return Rigorous(_NORM, ("reduction", "round-off"), _REFERENCE)

    # the problem never changes, so what is prepared from it always belongs to it
    @cached_property
    def prepared(self) -> Prepared:
        """Constants, products and factorisations; made at the first call."""
        return prepare(self.problem, self.sweeps)

    def bound(self, prediction: Prediction) -> Prediction:
        """The trajectories in float64 with prescribed values imposed, and their limits.

        Raises InputError for other levels than those of the steps, and complex fields.
        """
        fields = self._checked(prediction)
        if not len(fields):
            return self._nothing(prediction, fields)
        pieces = [self._piece(prediction, fields, rows) for rows in self._rows(len(fields))]
        values, upper, lower = (_stacked([getattr(p, n) for p in pieces]) for n in ("values", "upper", "lower"))
        proven, worst = all(p.proven for p in pieces), upper.max(axis=1)
        return replace(
            prediction,
            values=values.reshape(*values.shape[:2], *self.problem.space.shape),
            space=Trajectories(self.problem.space, self.problem.times),
            bound=worst,
            lower=lower.max(axis=1),
            guarantee=self.guarantee if proven else Estimate(_NORM, "a proven stability constant"),
            outputs=_outputs(self.prepared.outputs, [row for p in pieces for row in p.outputs]),
            reason=_reasons(
                worst, np.asarray(np.isfinite(values).all(axis=(1, 2))), [text for p in pieces for text in p.refused]
            ),
            stats=dict(prediction.stats)
            | {"in time": upper, "at least in time": lower, "energy": _stacked([p.energy for p in pieces])},
        )

    def _nothing(self, prediction: Prediction, fields: Real) -> Prediction:
        """The answer to no query."""
        none, levels = np.zeros(0), np.zeros(fields.shape[:2])
        return replace(
            prediction,
            values=fields.reshape(*fields.shape[:2], *self.problem.space.shape),
            space=Trajectories(self.problem.space, self.problem.times),
            bound=none,
            lower=none,
            guarantee=self.guarantee,
            outputs={n: Output(levels, levels, q.unit) for n, q in self.prepared.outputs.items()},
            reason=np.zeros(0, dtype=object),
            stats=dict(prediction.stats) | {"in time": levels, "at least in time": levels, "energy": none},
        )

    def _rows(self, count: int) -> list[Array]:
        """Samples that are worked on together."""
        size = max(1, _PIECE // (self.problem.stepping.count * self.problem.space.size))
        return [np.arange(first, min(first + size, count)) for first in range(0, count, size)]

    def _piece(self, prediction: Prediction, fields: Real, rows: Array) -> "_Piece":
        """Some samples: trajectories that can be corrected go together."""
        own, samples, found, waiting = self.prepared, [], {}, {}
        with np.errstate(over="ignore", invalid="ignore"):
            for place, i in enumerate(rows):
                one = select(prediction.mu, slice(int(i), int(i) + 1))
                sample = self._judged(one, fields[i], bool(prediction.inside[i]))
                samples.append(sample)
                if sample.trajectory is None:
                    found[place] = infinite(fields.shape[1])
                elif own.march is None or not (sample.trajectory.facts.alpha > 0).all():
                    found[place] = direct(sample.trajectory, own.product, own.mass)
                else:
                    waiting[place] = sample.trajectory
            if waiting and own.march is not None:
                bounds = corrected(list(waiting.values()), own.product, own.mass, own.march, self.sweeps)
                found |= dict(zip(waiting, bounds, strict=True))
            return _Piece.of([(sample, found[place]) for place, sample in enumerate(samples)], own)

    def _judged(self, mu: Mu, field: Real, inside: bool) -> "_Sample":
        """One sample; a parameter that is none takes no other with it. Raises InputError for one inside the set."""
        try:
            return self._sample(mu, field)
        except InputError as error:
            if inside and all(np.isfinite(values).all() for values in mu.values()):
                raise
            w = np.full((len(field) + 1, field.shape[1]), np.nan)
            return _Sample(field, w, None, None, True, f"the problem refuses this parameter: {error}")

    def _sample(self, mu: Mu, field: Real) -> "_Sample":
        """One sample with the prescribed values imposed; no trajectory where nothing can be known about it."""
        systems = self.prepared.systems
        system = systems.of(mu)
        values, w = system.imposed(field)
        alpha, beta, proven = systems.constants(mu, system)
        usable = alpha[0] > 0 and bool(np.isfinite(w).all())
        facts = known(alpha, beta, self.prepared.mass)
        return _Sample(values, w, system, Trajectory.of(system, facts, w) if usable else None, proven)

    def _checked(self, prediction: Prediction) -> Real:
        """Fields `(B, K, N)`."""
        problem, fields = self.problem, np.asarray(prediction.field)
        if np.iscomplexobj(fields):
            raise InputError("fields are complex; limits in time are for real fields")
        shape = (problem.stepping.count, *problem.space.shape)
        if fields.shape[1:2] != shape[:1] or int(np.prod(fields.shape[2:])) != problem.space.size:
            raise InputError(
                f"the answers have the shape {fields.shape[1:]}, the steps {shape}: a limit needs every level of the "
                "scheme. Calibrate coarser frames on unseen runs: nw.certify(surrogate, holdout=snapshots)"
            )
        if isinstance(prediction.space, Trajectories):
            times, own = np.asarray(prediction.space.times), problem.times
            if np.abs(times - own).max() > _CLOSE * own[-1]:
                raise InputError(
                    f"the answers are for times from {times[0]:g} to {times[-1]:g}, the steps end at {own[0]:g} to "
                    f"{own[-1]:g}: ask the surrogate for problem.times"
                )
        return fields.reshape(*fields.shape[:2], problem.space.size).astype(np.float64)

    def to_parts(self) -> Parts:
        """The problem as a child. Raises InputError for a problem that cannot be stored."""
        if not isinstance(self.problem, Storable):
            raise InputError(
                f"{type(self.problem).__name__} cannot be stored with its certificate: inherit nwidth's Storable "
                "(kind, to_parts, from_parts), or save the surrogate alone and certify it again after loading"
            )
        return Parts({"sweeps": self.sweeps}, {}, {"problem": self.problem})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["problem"], config["sweeps"])


def trajectory_certificate(problem: Evolution) -> SpaceTimeCertificate:
    """Limits for trajectories of a problem from anywhere.

    Two sweeps where they are transforms, one where it is a march with kept factorisations, none where there is none.

    Raises InputError where no limit is known, with what is missing.
    """
    check_steps(problem)
    sweeps = 0 if not has_march(problem.space) else 2 if isinstance(problem.space, Grid) else 1
    return SpaceTimeCertificate(cast(Any, problem), sweeps)


def _of_points(own: Prepared, sample: _Sample, bounds: TimeBounds) -> list[tuple[Real, Real]]:
    """Values and limits of every quantity at the points of the steps of one sample."""
    field, w, system = sample.values, sample.w, sample.system
    if system is None:
        unknown = np.full(len(field), np.nan), np.full(len(field), np.inf)
        return [unknown for _ in own.outputs]
    weight = system.stepping.weight
    before = np.concatenate([(w[0] + system.shift)[None], field[:-1]])
    point = field if weight == 1.0 else weight * field + (1 - weight) * before
    with np.errstate(invalid="ignore", over="ignore"):
        error = bounds.upper if weight == 1.0 else weight * bounds.upper + (1 - weight) * bounds.before
    size, found = weight * np.abs(field) + (1 - weight) * np.abs(before), []
    for quantity, dual in zip(own.outputs.values(), own.functionals, strict=True):
        noise = gamma(field.shape[1] + 8) * (size @ np.abs(quantity.functional) + abs(quantity.offset))
        limit = error * dual * (1 + 8 * EPS) + noise + _TINY
        limit = np.where(np.isfinite(limit), limit, np.inf)
        found.append((point @ quantity.functional + quantity.offset, limit))
    return found


def _outputs(quantities: Mapping[str, Quantity], rows: list[list[tuple[Real, Real]]]) -> dict[str, Output]:
    return {
        name: Output(np.stack([row[i][0] for row in rows]), np.stack([row[i][1] for row in rows]), quantity.unit)
        for i, (name, quantity) in enumerate(quantities.items())
    }


def _stacked(parts: list[Real]) -> Real:
    return np.concatenate(parts)


def _reasons(bound: Real, finite: Array, refused: Sequence[str]) -> Array:
    reason = np.full(len(bound), "", dtype=object)
    reason[~np.isfinite(bound)] = "no coercivity is known there, or the numbers are too large"
    reason[~finite] = "the trajectory is not finite"
    for row, text in enumerate(refused):
        reason[row] = text or reason[row]
    return reason
