"""A surrogate against unseen runs: true error beside stated limit, refinement, and what each way to answer costs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.bounds.outputs import problem_outputs
from nwidth.bounds.two_grid import discretisation_estimate
from nwidth.certificates.conformal import ConformalCertificate
from nwidth.certificates.quantities import FIELD, TOGETHER, Truth, errors_of, norm_named
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Guarantee, Rigorous, Statistical
from nwidth.core.prediction import Output, Prediction
from nwidth.core.storable import canonical_json
from nwidth.core.validation import as_mu
from nwidth.io.atomic import write_atomically
from nwidth.online.refine import refine
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Linear, Problem, Resizable, is_coercive
from nwidth.reports.words import at_most, percent, plural, significant
from nwidth.reports.worth import CostPoint
from nwidth.snapshots.base import Snapshots
from nwidth.solvers.choose import solve
from nwidth.spaces.grid import Grid
from nwidth.study.costs import costs
from nwidth.study.errors import energy_errors, relative_errors, run_bounds
from nwidth.study.exact import SPLIT, WHOLE, exact_parts, exact_sentence, proven
from nwidth.study.field_errors import ENERGY, SOLVED, field_errors, reference_of

#: Samples that are solved on finer grids, for the error of the grid itself.
_COMPARED = 4


@dataclass(frozen=True)
class Checked:
    """What the check found; arrays are per sample `(B,)`.

    `error`, `limit` and `size` (of the solution) of the field in `norm`; `slack`: how far the runs, which the error is
    measured against, can themselves be from the full-order solution that a guaranteed limit speaks of (0 for a
    calibrated one, which speaks of runs); `outputs` holds name -> (value, limit, truth, slack), `(4, B)`; `shown` the
    rows whose `truth` and `answer` fields are kept for pictures; `refined` holds the steps from the surrogate's answer,
    and the limit that was reached, relative to the solution; `lower` is a bound of the error from below (empty where
    none is known), `exact` the distance to the exact solution and its parts, see `exact_parts`; where there is none,
    `mesh` says how far the grid's solution is itself from the equation's, where that can be estimated.
    """

    norm: str
    promise: str
    rigorous: bool
    level: float
    error: Real
    limit: Real
    size: Real
    slack: Real
    inside: Mask
    mu: Mu
    outputs: Mapping[str, Real]
    units: Mapping[str, str]
    shown: Array
    truth: Array
    answer: Array
    lower: Real = field(default_factory=lambda: np.zeros(0))
    exact: Mapping[str, Real] = field(default_factory=dict)
    refined: Mapping[str, Real] = field(default_factory=dict)
    rtol: float | None = None
    mesh: str = ""
    single: tuple[CostPoint, ...] = ()
    batched: tuple[CostPoint, ...] = ()

    @property
    def held(self) -> Mask:
        """Whether the limit held, as far as the runs can tell."""
        return self.error <= self.limit + self.slack

    @property
    def verdict(self) -> str:
        """One sentence: the error, and whether the limits held."""
        relative = self.error / self.size
        held, count = int(self.held.sum()), len(self.error)
        text = f"Error {percent(float(np.median(relative)))} (median), {percent(float(relative.max()))} (worst), "
        text += f"{self.norm}. "
        if held == count:
            return text + f"The limit held on all {plural(count, 'unseen run')}."
        if self.rigorous:
            return text + f"The limit FAILED on {count - held} of {plural(count, 'unseen run')}: it is not a guarantee."
        return text + f"The limit held on {held} of {plural(count, 'unseen run')}; expected about {self.level:.0%}."

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, for people."""
        ratio = self.limit / np.maximum(self.error, np.finfo(float).tiny)
        low, high = (significant(float(v)) for v in (ratio.min(), ratio.max()))
        found = [self.verdict, f"The limit is {low} to {high} times the true error (1 is ideal)."]
        if self.refined and self.rtol:
            steps = self.refined["iterations"]
            found.append(
                f"Refined to {at_most(100 * self.rtol, '%')}, guaranteed, on every run: {steps.min():.0f} to "
                f"{steps.max():.0f} steps of the full-order solver."
            )
        if self.exact:
            found.append(exact_sentence(self.exact))
        return (*found, *([self.mesh] if self.mesh else []))

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers that matter, for people and JSON."""
        relative, effectivity = self.error / self.size, self.limit / np.maximum(self.error, 1e-300)
        found: dict[str, Any] = {
            "norm": self.norm,
            "checked": len(self.error),
            "held": int(self.held.sum()),
            "relative_error": _spread(relative),
            "relative_limit": _spread(self.limit / self.size),
            "limit_over_error": _spread(effectivity),
        }
        if self.exact:
            flags = {name: proven(self.exact, name) for name in (WHOLE, SPLIT)}
            found["exact"] = {name: flags[name] if name in flags else _spread(v) for name, v in self.exact.items()}
        if self.refined:
            found["refined"] = {"rtol": self.rtol} | {name: _spread(v) for name, v in self.refined.items()}
        found["outputs"] = {name: _output_summary(rows, self.units[name]) for name, rows in self.outputs.items()}
        return found | {"sentences": self.sentences}

    def save(self, path: Path) -> None:
        """One NPZ file."""
        arrays = {f"array/{name}": getattr(self, name) for name in _ARRAYS}
        for group in _GROUPS:
            arrays |= {f"{group}/{name}": np.asarray(v) for name, v in getattr(self, group).items()}
        points = {name: [asdict(p) for p in getattr(self, name)] for name in ("single", "batched")}
        plain = {name: getattr(self, name) for name in _PLAIN} | {"units": dict(self.units)} | points
        arrays["plain"] = np.frombuffer(canonical_json(plain).encode(), dtype=np.uint8)
        write_atomically(path, lambda stream: np.savez_compressed(stream, **arrays))

    @classmethod
    def load(cls, path: Path) -> "Checked":
        """The check in a file."""
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        plain = json.loads(arrays.pop("plain").tobytes())
        for name in ("single", "batched"):
            plain[name] = tuple(CostPoint(**point) for point in plain[name])
        grouped: dict[str, dict[str, Array]] = {group: {} for group in ("array", *_GROUPS)}
        for name, values in arrays.items():
            group, _, key = name.partition("/")
            grouped[group][key] = values
        content: dict[str, Any] = {**plain, **grouped.pop("array"), **grouped}
        return cls(**content)


_ARRAYS = ("error", "limit", "size", "slack", "inside", "shown", "truth", "answer", "lower")
_GROUPS = ("mu", "outputs", "refined", "exact")
_PLAIN = ("norm", "promise", "rigorous", "level", "rtol", "mesh")


def check(certified: Certified, problem: Problem, runs: Snapshots, rtol: float | None) -> Checked:
    """The surrogate on runs that it has never seen; with `rtol`, each answer refined to it as well.

    Raises InputError where no run is usable, WorkError where the tolerance is missed.
    """
    usable = runs.take(runs.good)
    if not len(usable):
        raise InputError("none of the test runs is usable, so nothing can be checked")
    mu = as_mu(usable.mu, certified.parameters.names)
    prediction = certified.predict(mu)
    guarantee = prediction.guarantee
    error, size, norm = _errors(certified, problem, usable, prediction)
    slack, slacks = _slack(certified, problem, usable, guarantee)
    order = np.argsort(error / size)
    shown = order[[len(order) // 2, -1]]
    field_values = np.asarray(prediction.field)
    refined = _refined(prediction, problem, rtol) if rtol is not None else {}
    exact = exact_parts(problem, prediction)
    reached = relative_errors(problem, mu, np.asarray(usable.fields), field_values)
    single, batched = costs(certified, problem, usable, float(np.median(reached)), rtol)
    return Checked(
        norm=norm,
        promise=str(guarantee),
        rigorous=isinstance(guarantee, Rigorous),
        level=guarantee.level if isinstance(guarantee, Statistical) else 1.0,
        error=error,
        limit=prediction.bound,
        size=size,
        slack=slack,
        inside=prediction.inside,
        mu={name: values for name, values in mu.items() if values.ndim == 1},
        outputs={
            n: _output_rows(output, usable.outputs[n], slacks[n].limit if n in slacks else 0.0)
            for n, output in prediction.outputs.items()
            if n in usable.outputs
        },
        units={name: output.unit for name, output in prediction.outputs.items()},
        shown=shown,
        truth=np.asarray(usable.fields)[shown],
        answer=field_values[shown],
        refined=refined,
        rtol=rtol,
        lower=np.zeros(0) if prediction.lower is None else prediction.lower,
        exact=exact,
        mesh="" if exact else _mesh(problem, runs),
        single=single,
        batched=batched,
    )


def _errors(certified: Certified, problem: Problem, runs: Snapshots, prediction: Prediction) -> tuple[Real, Real, str]:
    """True error and size of the solution, in the norm of the limit."""
    certificate = certified.certificate
    fields = np.asarray(runs.fields)
    if isinstance(certificate, ConformalCertificate):
        errors = errors_of(prediction, Truth(fields, runs.outputs), certificate.norm, certificate.spread)
        if FIELD not in errors:
            return errors[TOGETHER], np.ones(len(fields)), certificate.guarantee.norm
        size = norm_named(certificate.norm).measure(fields, runs.space)
        return errors[FIELD], size, certificate.guarantee.norm
    answers, norm = np.asarray(prediction.field), prediction.guarantee.norm
    if is_coercive(problem) and norm == ENERGY:
        return *energy_errors(problem, prediction.mu, fields, answers), norm
    measured = [field_errors(norm, problem, prediction.mu, values) for values in (answers - fields, fields)]
    if measured[0] is None or measured[1] is None:
        raise InputError(f"this limit is in the {norm}, in which a study cannot measure; use certify.limit: calibrated")
    return measured[0], measured[1], norm


def _mesh(problem: Problem, runs: Snapshots) -> str:
    """How far the grid's solution is from the equation's: an estimate in words, for a few of the samples."""
    space = problem.space
    comparable = isinstance(problem, Resizable) and isinstance(space, Grid) and len(set(space.cells)) == 1
    if not (comparable and isinstance(problem, Linear)) or runs.index is None or "seed" not in runs.provenance:
        return ""
    indices = np.asarray(runs.index)[:_COMPARED].tolist()
    return str(discretisation_estimate(problem, _solved, indices, int(runs.provenance["seed"])))


def _solved(problem: Problem, mu: Mu) -> Array:
    return solve(problem, mu).field


def _slack(
    certified: Certified, problem: Problem, runs: Snapshots, guarantee: Guarantee
) -> tuple[Real, Mapping[str, Output]]:
    """The runs' own guaranteed distance from the full-order solution, where that is what the limit speaks of: of the
    field, in the limit's norm, and of the outputs.

    Raises InputError for runs that are too far away to measure anything by: any limit would seem to hold.
    """
    mu, truth = runs.mu, np.asarray(runs.fields)
    reference = None
    if not isinstance(guarantee, Statistical):
        reference = reference_of(certified.certificate, problem, guarantee.norm, mu, truth)
    if reference is None:
        return np.zeros(len(runs)), {}
    if reference.wrong.any():
        raise InputError(
            f"{int(reference.wrong.sum())} of the {len(runs)} test runs are not known to solve this equation to "
            f"{SOLVED:g}: nothing can be checked against them. Solve them to a smaller tolerance, or give the equation "
            "that they solve"
        )
    if not is_coercive(problem):
        return reference.slack, {}
    energy = reference.slack if guarantee.norm == ENERGY else run_bounds(problem, mu, truth)
    return reference.slack, problem_outputs(problem, mu, truth, energy)


def _output_rows(output: Output, truth: Array, slack: Real | float) -> Real:
    true = np.asarray(truth, dtype=float)
    return np.stack([output.values, output.limit, true, np.broadcast_to(slack, true.shape)])


def _refined(prediction: Prediction, problem: Problem, rtol: float) -> dict[str, Real]:
    answer = refine(prediction, problem, rtol)
    found = {"limit": answer.bound / answer.stats["norm"], "iterations": answer.stats["iterations"]}
    return {name: np.asarray(values, dtype=float) for name, values in found.items()}


def _spread(values: Array) -> dict[str, float]:
    return {"min": float(values.min()), "median": float(np.median(values)), "max": float(values.max())}


def _output_summary(rows: Real, unit: str) -> dict[str, Any]:
    value, limit, truth, slack = rows
    error = np.abs(value - truth)
    return {
        "unit": unit,
        "largest_error": float(error.max()),
        "median_limit": float(np.median(limit)),
        "largest_limit": float(limit.max()),
        "outside": int((error > limit + slack).sum()),
    }
