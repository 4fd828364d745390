"""Unseen cases for a page of evidence: what the surrogate answers, what the full-order solver says, and the limits."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nwidth.bounds.outputs import problem_outputs
from nwidth.certificates.base import Certificate
from nwidth.certificates.quantities import NORMS
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.guarantee import Rigorous, Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.validation import as_mu
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Problem, is_coercive
from nwidth.problems.parabolic import AffineEvolution
from nwidth.reports.words import plural, significant
from nwidth.snapshots.base import Snapshots
from nwidth.study.answers import difference_unit
from nwidth.study.errors import run_bounds
from nwidth.study.evidence_times import fewest_kept, worst
from nwidth.study.field_errors import Reference, calibrated_norm, field_errors, reference_of

#: A limit is judged where the reference is known to this part of it.
_SHARP = 0.1
#: In the words of limits that hold at each time, not at all times together.
EACH_TIME = "each stored time on its own"


@dataclass(frozen=True)
class Measured:
    """One quantity on unseen cases, `(B,)` each: true error, stated limit, and how far the reference itself can be from
    the full-order solution that a guarantee speaks of.

    `wrong`: cases whose run does not solve the equation. `tries`: of so many times the worst was chosen.
    """

    name: str
    unit: str
    error: Real
    limit: Real
    slack: Real
    wrong: Mask | None = None
    tries: int = 1

    @property
    def answered(self) -> Mask:
        """Which cases have a limit at all."""
        return np.isfinite(self.limit)

    @property
    def broken(self) -> Mask:
        """Whether the limit is below the error, whatever the reference is off."""
        return ~(self.error <= self.limit + self.slack)

    @property
    def undecided(self) -> Mask:
        """Where the reference is too far off to tell: a bound of its own error makes any limit look right."""
        vague = self.answered & ~(self.slack <= _SHARP * self.limit)
        return ~self.broken & (vague if self.wrong is None else vague | self.wrong)

    @property
    def held(self) -> Mask:
        """Whether the limit held."""
        return ~self.broken & ~self.undecided


@dataclass(frozen=True)
class Cases:
    """Unseen cases with their answers; `source` says in words where they come from, `reference` how good they are,
    `unmeasured` which quantities have a limit that could not be compared, and why."""

    source: str
    runs: Snapshots
    mu: Mu
    prediction: Prediction
    measured: tuple[Measured, ...]
    reference: Reference | None = None
    unmeasured: tuple[tuple[str, str], ...] = ()
    failed: int = 0

    def __len__(self) -> int:
        return len(self.prediction)


@dataclass
class _Found:
    """Quantities as they are compared, or not."""

    measured: list[Measured] = field(default_factory=list)
    missed: list[tuple[str, str]] = field(default_factory=list)


def cases_of(certified: Certified, problem: Problem | None, runs: Snapshots, source: str) -> Cases | None:
    """The usable runs (converged, all numbers finite), answered and compared; None where there are none."""
    usable = runs.take(runs.good)
    usable = usable.take(np.flatnonzero(_finite(usable)))
    if not len(usable):
        return None
    mu = as_mu(usable.mu, certified.parameters.names)
    prediction, found = certified.predict(mu), _Found()
    reference = _reference(certified.certificate, problem, usable, prediction)
    _field(found, problem, usable, prediction, reference)
    _outputs(found, certified.certificate.equation or problem, usable, prediction, reference)
    failed = len(runs) - len(usable)
    return Cases(source, usable, mu, prediction, tuple(found.measured), reference, tuple(found.missed), failed)


def _finite(runs: Snapshots) -> Mask:
    tables = [*runs.mu.values(), *runs.outputs.values(), runs.fields]
    rows = [np.isfinite(np.asarray(t)).all(axis=tuple(range(1, np.ndim(t)))) for t in tables]
    return np.all(rows, axis=0)


def _reference(
    certificate: Certificate, problem: Problem | None, runs: Snapshots, answer: Prediction
) -> Reference | None:
    if isinstance(answer.guarantee, Statistical) or not np.isfinite(answer.bound).any():
        return None
    if runs.times is not None or not runs.space.size:
        return None
    return reference_of(certificate, problem, answer.guarantee.norm, answer.mu, np.asarray(runs.fields))


def _field(
    found: _Found, problem: Problem | None, runs: Snapshots, answer: Prediction, reference: Reference | None
) -> None:
    """The field in the norm of its limit, where that norm can be evaluated here."""
    if not runs.space.size or not np.isfinite(answer.bound).any():
        return
    truth, fields = np.asarray(runs.fields), np.asarray(answer.field)
    if truth.shape != fields.shape:
        found.missed.append(("field", f"the runs hold {_shape(truth)} values each, the answers {_shape(fields)}"))
    elif runs.times is not None:
        _in_time(found, problem, runs, truth - fields, answer)
    elif isinstance(answer.guarantee, Statistical):
        _calibrated(found, runs, truth - fields, answer)
    else:
        norm = answer.guarantee.norm
        error = field_errors(norm, problem, answer.mu, truth - fields)
        if error is None:
            found.missed.append(("field", f"its norm cannot be evaluated here: {norm}"))
            return
        slack, wrong = (np.zeros(len(error)), None) if reference is None else (reference.slack, reference.wrong)
        found.measured.append(Measured(f"field, {norm}", "", error, answer.bound, slack, wrong))


def _shape(fields: Array) -> str:
    return " x ".join(map(str, fields.shape[1:]))


def _calibrated(found: _Found, runs: Snapshots, difference: Array, prediction: Prediction) -> None:
    norm = calibrated_norm(prediction.guarantee)
    if norm is None:
        found.missed.append(("field", f"its norm cannot be evaluated here: {prediction.guarantee.norm}"))
        return
    error = NORMS[norm].measure(difference, runs.space)
    measured = Measured(f"field, {NORMS[norm].words}", "", error, prediction.bound, np.zeros(len(error)))
    found.measured.append(measured)


def _in_time(
    found: _Found, problem: Problem | None, runs: Snapshots, difference: Array, prediction: Prediction
) -> None:
    """At every stored time."""
    limits: Any = prediction.stats.get("in time")
    measured = None if limits is None else _errors_in_time(problem, runs, difference, prediction)
    if measured is None:
        found.missed.append(("field", f"its norm cannot be evaluated here: {prediction.guarantee.norm}"))
        return
    words, error = measured
    found.measured.append(_over_time(f"field, {words}", "", error, np.asarray(limits), runs, prediction))


def _errors_in_time(
    problem: Problem | None, runs: Snapshots, difference: Array, prediction: Prediction
) -> tuple[str, Real] | None:
    """The norm in words, and the error `(B, T)` in it."""
    levels, norm = difference.shape[:2], calibrated_norm(prediction.guarantee)
    flat = difference.reshape(-1, *difference.shape[2:])
    if isinstance(prediction.guarantee, Statistical) and norm is not None:
        return NORMS[norm].words, NORMS[norm].measure(flat, runs.space).reshape(levels)
    if isinstance(problem, AffineEvolution) and prediction.guarantee.norm.startswith("norm of the mass"):
        e = np.where(problem.terms().free, runs.space.flatten(flat), 0.0)
        squares = np.sum(e * (problem.mass().matrix @ e.T).T, axis=1)
        return "norm of the mass", np.sqrt(np.maximum(squares, 0.0)).reshape(levels)
    return None


def _over_time(name: str, unit: str, error: Real, limit: Real, runs: Snapshots, prediction: Prediction) -> Measured:
    """Each case at its worst time; a limit that is calibrated for each time on its own, at the time that kept fewest.

    Such a limit promises nothing about the worst of many times.
    """
    limit, count = np.broadcast_to(limit, error.shape), error.shape[1]
    none = np.zeros(len(error))
    if isinstance(prediction.guarantee, Statistical) and EACH_TIME in prediction.guarantee.norm:
        k = fewest_kept(error, limit)
        when = f"step {k + 1}" if runs.times is None else f"t = {significant(float(runs.times[k]), 4)}"
        title = f"{name}, at {when} (of {plural(count, 'time')} the one that kept fewest)"
        return Measured(title, unit, error[:, k], limit[:, k], none, tries=count)
    rows, at = np.arange(len(error)), worst(error, limit)
    title = f"{name}, each case at the worst of {plural(count, 'time')}"
    return Measured(title, unit, error[rows, at], limit[rows, at], none)


def _outputs(
    found: _Found, problem: Problem | None, runs: Snapshots, prediction: Prediction, reference: Reference | None
) -> None:
    """Every output that the runs have as well."""
    slacks = _output_slacks(problem, runs, prediction)
    for name, output in prediction.outputs.items():
        if name not in runs.outputs:
            if np.isfinite(output.limit).any():
                found.missed.append((name, "the runs do not hold it"))
            continue
        error = np.abs(np.asarray(output.values) - np.asarray(runs.outputs[name]))
        unit, limit = difference_unit(output.unit), np.broadcast_to(output.limit, error.shape)
        if error.ndim > 1:
            found.measured.append(_over_time(name, unit, error, limit, runs, prediction))
            continue
        slack = slacks.get(name, np.zeros(len(error)))
        wrong = None if reference is None else reference.wrong
        found.measured.append(Measured(name, unit, error, limit, slack, wrong))


def _output_slacks(problem: Problem | None, runs: Snapshots, prediction: Prediction) -> dict[str, Real]:
    """What the runs' own distance from the full-order solution can do to an output."""
    if not (isinstance(prediction.guarantee, Rigorous) and is_coercive(problem)):
        return {}
    truth = np.asarray(runs.fields)
    if truth.shape[1:] != problem.space.shape:
        return {}
    bounds = run_bounds(problem, prediction.mu, truth)
    return {name: output.limit for name, output in problem_outputs(problem, prediction.mu, truth, bounds).items()}
