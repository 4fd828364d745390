"""From a table of runs and their results to a saved surrogate with a calibrated limit: no equation, no study file."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.conformal import calibrate
from nwidth.certificates.cross_conformal import CrossConformalCertificate, cross_calibrate
from nwidth.certificates.quantile import Coverage, coverage, rank
from nwidth.certificates.quantities import FIELD, Truth, errors_of, norm_named, spreads
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction
from nwidth.core.rows import marks
from nwidth.core.validation import as_mu
from nwidth.io.model import save
from nwidth.io.readers.base import Runs
from nwidth.io.readers.runs import read_runs
from nwidth.online.wrappers import Certified
from nwidth.rb.pod_regression import PODRegression
from nwidth.reports.words import at_most, percent, plural, quantity
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points
from nwidth.study.answers import difference_unit
from nwidth.surrogates.base import Fitter, Surrogate

#: Below this many runs none can be spared: each trains, and each is left out once.
SPLIT_FROM = 100
#: Parts of a split: train and validate (inside the fit, by leave-one-out), choose the scale, calibrate, test.
_TRAIN, _TEST = 0.6, 0.15
#: Fewer test runs than this say nothing, and are better used.
_FEWEST_TESTS = 5
#: Half the width of the range of a column that never varies, relative to its value.
_HAIR = 1e-9


@dataclass(frozen=True)
class Measured:
    """One quantity on runs that nothing was fitted to: true errors, limits (in `unit`), how often the limit held."""

    name: str
    unit: str
    typical_error: float
    largest_error: float
    typical_limit: float
    spread: float
    coverage: Coverage

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        low, high = self.coverage.interval()
        held = {"held": self.coverage.held, "total": self.coverage.total, "interval_95": [low, high]}
        return {**{k: v for k, v in vars(self).items() if k != "coverage"}, "coverage": held}


@dataclass(frozen=True)
class FitReport:
    """What was fitted, from what, how good it is, and what may be promised."""

    path: Path
    method: str
    level: float
    parts: Mapping[str, int]
    failed: Mapping[str, str]
    notes: tuple[str, ...]
    modes: int
    relative_error: float | None
    measured: tuple[Measured, ...]
    words: str
    parameters: tuple[str, ...] = ()
    certified: Certified | None = field(default=None, compare=False, repr=False)

    @property
    def lines(self) -> tuple[str, ...]:
        """The report in words."""
        return (*self._data(), *self._errors(), *self._promise(), f"Saved in {self.path}.")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = {k: v for k, v in vars(self).items() if k not in ("path", "measured", "certified", "parameters")}
        measured = [m.to_dict() for m in self.measured]
        return {"path": str(self.path), "parameters": list(self.parameters), "measured": measured, **plain}

    def _data(self) -> list[str]:
        used = sum(self.parts.values())
        parts = ", ".join(f"{count} {what}" for what, count in self.parts.items() if count)
        lines = [f"{plural(used, 'run')} used ({parts}); {plural(len(self.parameters), 'parameter')}."]
        if self.failed:
            run, why = next(iter(self.failed.items()))
            lines.append(f"{plural(len(self.failed), 'failed run')} left out ({run}: {why}).")
        return [*lines, *(f"Note: {note}." for note in self.notes)]

    def _errors(self) -> list[str]:
        on = f"{self.parts['test']} unseen runs" if self.parts["test"] else "each run, left out once"
        lines = []
        if self.relative_error is not None:
            kept = f" ({plural(self.modes, 'mode')})" if self.modes else ""
            lines.append(f"Typical error of the field{kept}: {percent(self.relative_error)} of its size, on {on}.")
        for m in self.measured:
            what = self.words if m.name == FIELD else "error"
            of = f"; it varies by {quantity(m.spread, m.unit)}" if m.name != FIELD else ""
            lines.append(
                f"{m.name}: {what} typically {quantity(m.typical_error, m.unit)}, at worst "
                f"{at_most(m.largest_error, m.unit)}{of}."
            )
        return lines

    def _promise(self) -> list[str]:
        lines = []
        for m in self.measured:
            limit = f"{m.name}: limit typically {at_most(m.typical_limit, m.unit)}"
            lines.append(f"{limit}; {m.coverage}.")
        return [
            *lines,
            f"Expect {frequency(self.level)} for runs drawn the same way; not for optimised designs or feedback.",
        ]


def fit_runs(
    table: str | Path,
    results: str | Path | None = None,
    output: str | Path = "model.nwidth",
    *,
    outputs: Sequence[str] = (),
    fields: Sequence[str] = (),
    level: float = 0.9,
    seed: int = 0,
    norm: str = "max",
    fitter: Fitter | None = None,
) -> FitReport:
    """Fit POD + regression to runs, calibrate its limit, measure both on runs kept apart, and save the model.

    `table` has one row per run; `results`, `outputs` and `fields` say where the results are (`read_runs`). From 100
    usable runs on they are split: 60 % train (validated inside the fit, by leave-one-out), 10 % choose how the limit
    varies, 15 % calibrate, 15 % test. From 20 to 99 every run trains and is left out once (`cross_calibrate`), and a
    fifth, as far as 20 remain, is kept for the test. `norm` is that of the field's limit ('max': largest error
    anywhere; 'rms'). `fitter` takes the place of PODRegression().

    Raises InputError for fewer than 20 usable runs, data that cannot be read, a level that the runs cannot promise;
    WorkError where the model cannot be written. Nothing is written before all is known.
    """
    norm_named(norm)
    target = Path(output)
    if not target.parent.is_dir() or target.is_dir():
        raise InputError(f"the model cannot be written to {target}: give a file name in a folder that exists")
    runs = read_runs(table, results, outputs=outputs, fields=fields)
    data = as_snapshots(runs)
    if len(data) < 20:
        raise InputError(f"{plural(len(data), 'usable run')} of {len(runs.names)}; at least 20 are needed: add runs")
    fitter = PODRegression() if fitter is None else fitter
    if len(data) >= SPLIT_FROM:
        surrogate, certificate, parts, test = _split(fitter, data, level, seed, norm)
    else:
        surrogate, certificate, parts, test = _cross(fitter, data, level, seed, norm)
    certified = Certified(surrogate, certificate)
    measured, relative = _measure(certified, certificate, test, data, norm)
    basis = getattr(surrogate, "basis", None)
    report = FitReport(
        path=target,
        method="split" if len(data) >= SPLIT_FROM else "leave-one-out",
        level=level,
        parts=parts,
        failed=runs.failed,
        notes=runs.notes,
        modes=0 if basis is None else len(basis.modes),
        relative_error=relative,
        measured=measured,
        words=norm_named(norm).words,
        parameters=data.parameters.names,
        certified=certified,
    )
    save(certified, target, provenance=_provenance(report, Path(table), seed) | _calibrated_on(data, test))
    return report


def as_snapshots(runs: Runs) -> Snapshots:
    """The usable runs; their ranges are the fitted set. A column that never varies has a range as thin as a hair."""
    rows = np.flatnonzero(runs.good)
    mu = {name: values[rows] for name, values in runs.parameters.items()}
    mu |= {name: np.full(len(rows), value) for name, value in runs.fixed.items()}
    low = [float(a.min()) for a in mu.values()]
    high = [float(a.max()) for a in mu.values()]
    hair = [_HAIR * (abs(a) or 1.0) if a == b else 0.0 for a, b in zip(low, high, strict=True)]
    box = Box(
        tuple(mu),
        low=[a - h for a, h in zip(low, hair, strict=True)],
        high=[b + h for b, h in zip(high, hair, strict=True)],
        units=[runs.units.get(name, "") for name in mu],
    )
    space, fields = _fields(runs, rows)
    outputs = {name: values[rows] for name, values in runs.outputs.items()}
    return Snapshots(box, space, mu, fields, outputs=outputs, provenance={"units": dict(runs.units)})


def frequency(level: float) -> str:
    """'9 in 10' for 0.9: the smallest whole numbers that say it."""
    for whole in (2, 3, 4, 5, 10, 20, 50, 100, 200, 1000):
        if abs(level * whole - round(level * whole)) < 1e-9:
            return f"{round(level * whole)} in {whole}"
    return percent(level, 3)


def _fields(runs: Runs, rows: Array) -> tuple[Points, Array]:
    if runs.fields is None:
        return Points((0,)), np.empty((len(rows), 0))
    values = runs.fields[rows]
    several = len(runs.components) > 1
    kind = "complex128" if np.iscomplexobj(values) else "float64"
    space = Points(
        values.shape[1:],
        runs.coordinates,
        names=runs.components if several else ("u",),
        cells=runs.cells if runs.coordinates is not None else None,
        type=kind,
    )
    return space, values


_Fitted = tuple[Surrogate, Certificate, dict[str, int], Snapshots]


def _split(fitter: Fitter, data: Snapshots, level: float, seed: int, norm: str) -> _Fitted:
    """Disjoint parts: train, scale and calibration (parted inside `calibrate`), test."""
    count = len(data)
    test = round(_TEST * count)
    # `calibrate` takes a third for the scale; what remains must be able to promise the level.
    held = max(count - round(_TRAIN * count) - test, int(np.ceil(1.5 * level / (1 - level))) if 0 < level < 1 else 0)
    train = count - test - held
    if train < 20:
        rank(max(0, count - test - 20) * 2 // 3, level)
    first, middle, last = data.split(train, held, test, seed=seed)
    surrogate = fitter.fit(first, seed=seed)
    certificate = calibrate(surrogate, middle, level, seed, norm=norm, training=first.mu)
    used = certificate.calibrated_on
    parts = {"train": train, "choose the scale": held - used, "calibrate": used, "test": test}
    return surrogate, certificate, parts, last


def _cross(fitter: Fitter, data: Snapshots, level: float, seed: int, norm: str) -> _Fitted:
    """All train and all calibrate, but for a few that only test."""
    count = len(data)
    needed = int(np.ceil((1 + level) / (1 - level) - 1e-9)) if 0 < level < 1 else count
    test = max(0, min(count // 5, count - max(20, needed)))
    test = test if test >= _FEWEST_TESTS else 0
    rest, last = data.split(count - test, test, seed=seed)
    surrogate, certificate = cross_calibrate(fitter, rest, level, seed, norm=norm)
    return surrogate, certificate, {"train and calibrate": count - test, "test": test}, last


def _measure(
    certified: Certified, certificate: Certificate, test: Snapshots, data: Snapshots, norm: str
) -> tuple[tuple[Measured, ...], float | None]:
    """Errors, limits and coverage of every quantity on the test runs; without any, the left-out errors."""
    left_out = certificate.residuals if isinstance(certificate, CrossConformalCertificate) else {}
    # Without test runs, limits are those of the runs themselves: their size is shown, their coverage is not.
    asked = test if len(test) else data
    mu = as_mu(asked.mu, certified.parameters.names)
    prediction = certified.predict(mu)
    errors = dict(left_out)
    relative = None
    if len(test):
        spread = spreads(certified.surrogate.predict(certified.parameters.sample(range(256), 0)))
        errors = errors_of(prediction, Truth(np.asarray(test.fields), test.outputs), norm, spread)
        relative = _relative(prediction, test)
    elif FIELD in errors and data.space.size:
        size = norm_named(norm).measure(np.asarray(data.fields), data.space)
        relative = float(np.median(errors[FIELD] / np.maximum(np.median(size), 1e-300)))
    limits: dict[str, Real] = {name: o.limit for name, o in prediction.outputs.items()}
    if data.space.size:
        limits = {FIELD: prediction.bound, **limits}
    return tuple(_summary(name, errors[name], limits[name], len(test), prediction, data) for name in limits), relative


def _summary(name: str, errors: Real, limits: Real, tested: int, prediction: Prediction, data: Snapshots) -> Measured:
    finite = limits[np.isfinite(limits)]
    unit = difference_unit(prediction.outputs[name].unit) if name in prediction.outputs else ""
    return Measured(
        name=name,
        unit=unit,
        typical_error=float(np.median(errors)),
        largest_error=float(errors.max()),
        typical_limit=float(np.median(finite)) if len(finite) else float("inf"),
        spread=float(np.std(data.outputs[name])) if name in data.outputs else 0.0,
        coverage=coverage(errors, limits) if tested else Coverage(0, 0),
    )


def _relative(prediction: Prediction, test: Snapshots) -> float | None:
    """The median of the relative errors of the field, in the Euclidean norm of its nodal values."""
    if not test.space.size:
        return None
    truth = test.space.flatten(np.asarray(test.fields))
    answers = test.space.flatten(np.asarray(prediction.field))
    size = np.linalg.norm(truth, axis=1)
    return float(np.median(np.linalg.norm(answers - truth, axis=1) / np.where(size > 0, size, 1.0)))


def _calibrated_on(data: Snapshots, test: Snapshots) -> dict[str, Any]:
    """Marks of all runs but those that only test: evidence on any of these would be none."""
    tested = set(marks(test.mu))
    return {"holdout": {"marks": [mark for mark in marks(data.mu) if mark not in tested]}}


def _provenance(report: FitReport, table: Path, seed: int) -> dict[str, Any]:
    content = report.to_dict()
    del content["path"], content["failed"]
    return {
        "made by": "fit_runs",
        "seed": seed,
        "table": {"name": table.name, "sha256": hashlib.sha256(table.read_bytes()).hexdigest()},
        "failed runs": len(report.failed),
        "summary": [line for line in report.lines if not line.startswith("Saved")],
        **content,
    }
