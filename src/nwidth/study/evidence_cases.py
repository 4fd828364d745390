"""Unseen cases for a page of evidence: what the surrogate answers, what the full-order solver says, and the limits."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nwidth.bounds.outputs import problem_outputs
from nwidth.certificates.quantities import NORMS
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.guarantee import Rigorous, Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.validation import as_mu
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Coercive, Problem, is_coercive
from nwidth.problems.parabolic import AffineEvolution
from nwidth.snapshots.base import Snapshots
from nwidth.study.answers import difference_unit
from nwidth.study.errors import run_bounds
from nwidth.study.field_errors import calibrated_norm, field_errors, reference_slack


@dataclass(frozen=True)
class Measured:
    """One quantity on unseen cases, `(B,)` each: true error, stated limit, and how far the reference itself can be from
    the full-order solution that a guarantee speaks of."""

    name: str
    unit: str
    error: Real
    limit: Real
    slack: Real

    @property
    def answered(self) -> Mask:
        """Which cases have a limit at all."""
        return np.isfinite(self.limit)

    @property
    def held(self) -> Mask:
        """Whether the limit held, as far as the reference can tell."""
        return self.error <= self.limit + self.slack


@dataclass(frozen=True)
class Cases:
    """Unseen cases with their answers; `source` says in words where they come from."""

    source: str
    runs: Snapshots
    mu: Mu
    prediction: Prediction
    measured: tuple[Measured, ...]
    failed: int = 0

    def __len__(self) -> int:
        return len(self.prediction)


def cases_of(certified: Certified, problem: Problem | None, runs: Snapshots, source: str) -> Cases:
    """The usable runs, answered and compared."""
    usable = runs.take(runs.good)
    mu = as_mu(usable.mu, certified.parameters.names)
    prediction = certified.predict(mu)
    measured = (*_field(certified, problem, usable, prediction), *_outputs(problem, usable, prediction))
    return Cases(source, usable, mu, prediction, measured, failed=len(runs) - len(usable))


def _field(certified: Certified, problem: Problem | None, runs: Snapshots, answer: Prediction) -> tuple[Measured, ...]:
    """The field in the norm of its limit, where that norm can be evaluated here."""
    if not runs.space.size:
        return ()
    truth, fields = np.asarray(runs.fields), np.asarray(answer.field)
    if truth.shape != fields.shape:
        return ()
    if runs.times is not None:
        return _in_time(problem, runs, truth, fields, answer)
    if isinstance(answer.guarantee, Statistical):
        return _calibrated(runs, truth - fields, answer)
    norm = answer.guarantee.norm
    error = field_errors(norm, problem, answer.mu, truth - fields)
    if error is None:
        return ()
    slack = reference_slack(certified.certificate, problem, answer.mu, truth)
    return (Measured(f"field, {norm}", "", error, answer.bound, slack),)


def _calibrated(runs: Snapshots, difference: Array, prediction: Prediction) -> tuple[Measured, ...]:
    norm = calibrated_norm(prediction.guarantee)
    if norm is None:
        return ()
    error = NORMS[norm].measure(difference, runs.space)
    return (Measured(f"field, {NORMS[norm].words}", "", error, prediction.bound, np.zeros(len(error))),)


def _in_time(
    problem: Problem | None, runs: Snapshots, truth: Array, answer: Array, prediction: Prediction
) -> tuple[Measured, ...]:
    """At the last stored time, where limits are largest as a rule."""
    limits: Any = prediction.stats.get("in time")
    if limits is None:
        return ()
    last = truth[:, -1] - answer[:, -1]
    norm = calibrated_norm(prediction.guarantee)
    if isinstance(prediction.guarantee, Statistical) and norm is not None:
        words, error = NORMS[norm].words, NORMS[norm].measure(last, runs.space)
    elif isinstance(problem, AffineEvolution) and prediction.guarantee.norm.startswith("norm of the mass"):
        e = np.where(problem.terms().free, runs.space.flatten(last), 0.0)
        words, error = "norm of the mass", np.sqrt(np.maximum(np.sum(e * (problem.mass().matrix @ e.T).T, axis=1), 0.0))
    else:
        return ()
    name = f"field at the last time, {words}"
    return (Measured(name, "", error, np.asarray(limits)[:, -1], np.zeros(len(error))),)


def _outputs(problem: Problem | None, runs: Snapshots, prediction: Prediction) -> tuple[Measured, ...]:
    """Every output that the runs have as well."""
    found = []
    slacks = _output_slacks(problem, runs, prediction)
    for name, output in prediction.outputs.items():
        if name not in runs.outputs:
            continue
        error = np.abs(np.asarray(output.values) - np.asarray(runs.outputs[name]))
        limit, slack = np.broadcast_to(output.limit, error.shape), slacks.get(name, np.zeros(len(error)))
        if error.ndim > 1:
            error, limit = error[:, -1], limit[:, -1]
        found.append(Measured(name, difference_unit(output.unit), error, limit, slack))
    return tuple(found)


def _output_slacks(problem: Problem | None, runs: Snapshots, prediction: Prediction) -> dict[str, Real]:
    """What the runs' own distance from the full-order solution can do to an output."""
    if not (isinstance(prediction.guarantee, Rigorous) and is_coercive(problem)) or runs.times is not None:
        return {}
    return _propagated(problem, runs)


def _propagated(problem: Coercive, runs: Snapshots) -> dict[str, Real]:
    truth = np.asarray(runs.fields)
    bounds = run_bounds(problem, runs.mu, truth)
    return {name: output.limit for name, output in problem_outputs(problem, runs.mu, truth, bounds).items()}
