"""Calibrated limits of trajectories, one for each lead time: errors grow, or die out, on the way.

For a problem in time without a stability constant, or where the guaranteed limit is too large to be of use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.conformal import check_quantities
from nwidth.certificates.identity import Identity
from nwidth.certificates.limits import NO_NUMBER, OUTSIDE
from nwidth.certificates.quantile import quantile, rank
from nwidth.certificates.quantities import FIELD, difference_of, names_of, norm_named
from nwidth.certificates.unseen import refuse_known, usable_rows
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Statistical
from nwidth.core.prediction import Output, Prediction, Reduced, Shaped
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, check_choice, select
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.trajectories import Trajectories
from nwidth.surrogates.base import Surrogate

#: Trajectories that are compared at a time.
_PIECE = 8
#: Errors below this part of the answer are round-off: no limit is ever zero.
_FLOOR = 1e-14
_TINY = float(np.finfo(np.float64).tiny)
#: A profile times a quotient by it may lie below the number itself, by rounding.
_ROUNDED = 1 + 1e-12
#: Times that differ by less than this part of the last one are the same.
_CLOSE = 1e-6
_IN_TIME = ("mass", "max", "rms", "energy")


@dataclass(frozen=True, eq=False)
class LeadTimeCertificate(Certificate):
    """Limits of the field (in a `norm`, L² by default) and of every output at each stored time, from unseen runs.

    `limits`: quantity -> `(T,)`. Each of them, at its own time, holds with probability at least `level` for a fresh run
    that is drawn like the n calibration runs, on average over calibrations: it is the `⌈(n + 1) level⌉`-th smallest of
    their errors. With `together`, one quantity holds at *all* times of a run with that probability: the limits are then
    a profile, chosen on a third of the runs (flat where these are too few to give some away), times the same quantile
    of the largest error over it. Not for runs picked
    by their answers, nor for longer ones. Reference: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, J. Amer. Stat. Assoc.
    113 (2018), theorem 2.2; the largest error over a profile is a score like any other.
    """

    kind: ClassVar[str] = "lead-time-certificate"

    identity: Identity
    level: float
    together: bool
    calibrated_on: int
    times: Real
    limits: Mapping[str, Real]
    norm: str = "mass"

    @property
    def guarantee(self) -> Statistical:
        """Statistical: each quantity on its own, at each time on its own unless `together`."""
        when = "at all stored times of a run together" if self.together else "each stored time on its own"
        return Statistical(
            f"{norm_named(self.norm).words}, {when}; each output on its own", self.level, self.calibrated_on
        )

    def check(self, surrogate: Storable) -> None:
        """Raises InputError for another surrogate than the one that was calibrated."""
        self.identity.check(surrogate)

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with its limits in time: outputs `(B, T)`, `stats["in time"]` for the field; `bound` is the
        largest of these. Outside the fitted set +inf, and wherever the answer is not finite (outputs also where the
        field is not). Raises InputError for other quantities or times."""
        check_quantities(prediction, self.limits)
        _check_times(prediction.space, self.times)
        there = _finite(prediction)
        finite = {FIELD: there} | {n: there & np.isfinite(o.values) for n, o in prediction.outputs.items()}
        inside = prediction.inside[:, None]
        limits = {name: np.where(inside & finite[name], values, np.inf) for name, values in self.limits.items()}
        reason = np.full(len(prediction), "", dtype=object)
        reason[~np.isfinite(limits[FIELD]).all(axis=1)] = NO_NUMBER
        reason[~there.all(axis=1)] = "the trajectory is not finite"
        reason[~prediction.inside] = OUTSIDE
        return replace(
            prediction,
            bound=limits[FIELD].max(axis=1),
            lower=None,
            guarantee=self.guarantee,
            outputs={name: Output(o.values, limits[name], o.unit) for name, o in prediction.outputs.items()},
            reason=reason,
            stats=dict(prediction.stats) | {"in time": limits[FIELD]},
        )

    def to_parts(self) -> Parts:
        config = {
            "fingerprint": self.identity.fingerprint,
            "level": self.level,
            "together": self.together,
            "calibrated_on": self.calibrated_on,
            "quantities": list(self.limits),
            "norm": self.norm,
        }
        named = {f"limit of {name}": values for name, values in self.limits.items()}
        return Parts(config, {"times": self.times, **named, **self.identity.arrays()}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(
            identity=Identity.from_stored(config["fingerprint"], arrays),
            level=config["level"],
            together=config["together"],
            calibrated_on=config["calibrated_on"],
            times=arrays["times"],
            limits={name: arrays[f"limit of {name}"] for name in config["quantities"]},
            norm=config.get("norm", "mass"),  # files of versions before it do not have the word
        )


def calibrate_lead_times(
    surrogate: Surrogate,
    snapshots: Snapshots,
    level: float = 0.9,
    *,
    norm: str = "mass",
    together: bool = False,
    seed: int = 0,
) -> LeadTimeCertificate:
    """A certificate for a surrogate of trajectories `(B, T, ...)` from trajectories that it has never seen.

    `norm` of the field at a time: 'mass' (L²), 'max', the largest error anywhere, 'rms' or 'energy'. `together`: one
    limit of a whole trajectory holds at all its times at once.

    Raises InputError for a level above n / (n + 1), runs without times or that the surrogate
    was trained on, or outputs that the runs lack.
    """
    check_choice("norm", norm, _IN_TIME)
    if snapshots.times is None:
        raise InputError("the runs have no times; limits for each lead time need trajectories, fields (B, T, ...)")
    rows = usable_rows(surrogate, snapshots, level)
    mu = as_mu({name: np.asarray(values[rows]) for name, values in snapshots.mu.items()}, surrogate.parameters.names)
    refuse_known(surrogate, mu)
    errors = _errors(surrogate, snapshots, rows, mu, norm)
    order = np.random.default_rng([seed, len(rows)]).permutation(len(rows))
    choosing, calibrating = (order[: len(rows) // 3], order[len(rows) // 3 :]) if together else (order[:0], order)
    rank(len(calibrating), level)
    if together:
        limits = {name: _joint(values, choosing, calibrating, level) for name, values in errors.items()}
    else:
        limits = {name: _each(values, level) for name, values in errors.items()}
    times = np.asarray(snapshots.times, dtype=np.float64)
    return LeadTimeCertificate(Identity.of(surrogate, mu), level, together, len(calibrating), times, limits, norm)


def _each(errors: Real, level: float) -> Real:
    """A limit for each time on its own, `(T,)`, from errors `(n, T)`."""
    return np.array([quantile(column, level) for column in errors.T])


def _joint(errors: Real, choosing: Array, calibrating: Array, level: float) -> Real:
    """Limits `(T,)` that hold at all times at once."""
    profile = _profile(errors[choosing]) if len(choosing) else np.ones(errors.shape[1])
    with np.errstate(over="ignore"):
        return profile * quantile(np.max(errors[calibrating] / profile, axis=1), level) * _ROUNDED


def _profile(errors: Real) -> Real:
    """The root mean square over the runs, `(T,)`, in units of the largest error so that no square leaves float64; at
    least a thousandth of its largest entry."""
    profile = np.sqrt(np.mean((errors / errors.max()) ** 2, axis=0))
    return np.maximum(profile, 1e-3 * profile.max())


def _errors(surrogate: Surrogate, runs: Snapshots, usable: Array, mu: Mu, norm: str) -> dict[str, Real]:
    """Errors of the field and of each output, `(n, T)`, on the usable rows; read in pieces."""
    space, found = surrogate.space, []
    for first in range(0, len(usable), _PIECE):
        rows = usable[first : first + _PIECE]
        answer = surrogate.predict(select(mu, slice(first, first + _PIECE)))
        names_of(answer)  # raises for an output that takes the field's name
        truth = np.asarray(runs.fields[rows])
        _check_times(answer.space, np.asarray(runs.times))
        flat = difference_of(answer, truth).reshape(-1, *space.shape)
        size = np.sqrt(np.mean(np.abs(truth.reshape(*truth.shape[:2], -1)) ** 2, axis=2))
        here = {FIELD: norm_named(norm).of(flat, space).reshape(size.shape) + _FLOOR * size + _TINY}
        for name, output in answer.outputs.items():
            if name not in runs.outputs:
                raise InputError(f"the runs have no output {name!r}, which the surrogate answers; add it to the runs")
            known = np.asarray(runs.outputs[name][rows])
            here[name] = np.abs(output.values - known) + _FLOOR * np.abs(known) + _TINY
        found.append(here)
    errors = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    for name, values in errors.items():
        if not np.isfinite(values).all():
            raise InputError(f"{name} is not finite in some runs or answers; mark these runs as failed or repair them")
    return errors


def _finite(prediction: Prediction) -> Mask:
    """Which states are finite, `(B, T)`; by their coefficients where they are reduced."""
    values = prediction.values
    numbers = np.isfinite(values.coefficients if isinstance(values, Reduced) else np.asarray(values))
    count = prediction.space.shape[0]
    if numbers.ndim < 2 or numbers.shape[1] != count:  # coefficients of whole trajectories
        whole = np.asarray(numbers.all(axis=tuple(range(1, numbers.ndim))), dtype=bool)
        return np.broadcast_to(whole[:, None], (len(whole), count))
    return np.asarray(numbers.all(axis=tuple(range(2, numbers.ndim))), dtype=bool)


def _check_times(space: Shaped, times: Real) -> None:
    if space.shape[0] != len(times):
        raise InputError(
            f"the surrogate answers at {space.shape[0]} times, the runs have {len(times)}; give the same times"
        )
    if not isinstance(space, Trajectories):
        return
    own = np.asarray(space.times, dtype=np.float64)
    if np.abs(own - times).max(initial=0.0) > _CLOSE * np.abs(times).max(initial=0.0):
        raise InputError(
            f"the surrogate answers at times from {own[0]:g} to {own[-1]:g}, the runs have times from {times[0]:g} to "
            f"{times[-1]:g}; give the same times"
        )
