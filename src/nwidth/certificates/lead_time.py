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
from nwidth.certificates.quantile import quantile, rank
from nwidth.certificates.quantities import FIELD, norm_named
from nwidth.certificates.unseen import refuse_known
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Statistical
from nwidth.core.prediction import Output, Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, check_choice, select
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Surrogate

#: Trajectories that are compared at a time.
_PIECE = 8
#: Errors below this part of the answer are round-off: no limit is ever zero.
_FLOOR = 1e-14
_TINY = float(np.finfo(np.float64).tiny)
_IN_TIME = ("mass", "max", "rms", "energy")


@dataclass(frozen=True, eq=False)
class LeadTimeCertificate(Certificate):
    """Limits of the field (in a `norm`, L² by default) and of every output at each stored time, from unseen runs.

    `limits`: quantity -> `(T,)`. Each of them, at its own time, holds with probability at least `level` for a fresh run
    that is drawn like the n calibration runs, on average over calibrations: it is the `⌈(n + 1) level⌉`-th smallest of
    their errors. With `together`, one quantity holds at *all* times of a run with that probability: the limits are then
    a profile, chosen on a third of the runs, times the same quantile of the largest error over it. Not for runs picked
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
        largest of these. Outside the fitted set +inf. Raises InputError for other quantities or times."""
        check_quantities(prediction, self.limits)
        _check_times(prediction.space.shape[0], self.times)
        usable = prediction.inside[:, None]
        limits = {name: np.where(usable, values, np.inf) for name, values in self.limits.items()}
        reason = np.full(len(prediction), "", dtype=object)
        reason[~prediction.inside] = "outside the range of the runs that the limit was calibrated on"
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
    runs = snapshots.take(snapshots.good)
    inside = surrogate.parameters.contains(as_mu(runs.mu, surrogate.parameters.names))
    runs = runs.take(np.flatnonzero(inside))
    rank(len(runs), level)
    mu = as_mu(runs.mu, surrogate.parameters.names)
    refuse_known(surrogate, mu)
    errors = _errors(surrogate, runs, norm)
    order = np.random.default_rng([seed, len(runs)]).permutation(len(runs))
    choosing, calibrating = (order[: len(runs) // 3], order[len(runs) // 3 :]) if together else (order[:0], order)
    rank(len(calibrating), level)
    limits = {name: _limit(values, choosing, calibrating, level) for name, values in errors.items()}
    times = np.asarray(snapshots.times, dtype=np.float64)
    return LeadTimeCertificate(Identity.of(surrogate, mu), level, together, len(calibrating), times, limits, norm)


def _limit(errors: Real, choosing: Array, calibrating: Array, level: float) -> Real:
    """Limits `(T,)` from errors `(n, T)`."""
    if not len(choosing):
        return np.array([quantile(column, level) for column in errors[calibrating].T])
    profile = np.sqrt(np.mean(errors[choosing] ** 2, axis=0))
    profile = np.maximum(profile, 1e-3 * profile.max())
    return profile * quantile(np.max(errors[calibrating] / profile, axis=1), level)


def _errors(surrogate: Surrogate, runs: Snapshots, norm: str) -> dict[str, Real]:
    """Errors of the field and of each output, `(n, T)`."""
    space, found = surrogate.space, []
    for first in range(0, len(runs), _PIECE):
        rows = np.arange(first, min(first + _PIECE, len(runs)))
        answer = surrogate.predict(select(runs.mu, rows))
        truth = np.asarray(runs.fields[rows])
        _check_times(answer.space.shape[0], np.asarray(runs.times))
        flat = (np.asarray(answer.field) - truth).reshape(-1, *space.shape)
        size = np.sqrt(np.mean(np.abs(truth.reshape(*truth.shape[:2], -1)) ** 2, axis=2))
        here = {FIELD: norm_named(norm).measure(flat, space).reshape(size.shape) + _FLOOR * size + _TINY}
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


def _check_times(count: int, times: Real) -> None:
    if count != len(times):
        raise InputError(f"the surrogate answers at {count} times, the runs have {len(times)}; give the same times")
