"""From a saved surrogate to a saved surrogate with limits: calibrated on runs in files, or proven from an equation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Storable
from nwidth.io.model import load, read_manifest, save
from nwidth.online.certify import certify
from nwidth.online.wrappers import Certified, Refining
from nwidth.problems.base import Problem
from nwidth.reports.words import at_most, plural
from nwidth.snapshots.base import Snapshots
from nwidth.study.answers import difference_unit, equation_of
from nwidth.study.evidence_unseen import calibration_record
from nwidth.study.holdout import read_holdout, read_parameters
from nwidth.surrogates.base import Surrogate

#: Cases on which a limit is shown, drawn from the fitted set.
_SHOWN = 32


@dataclass(frozen=True)
class CertifyReport:
    """What was certified, by what, and what the limits promise."""

    path: Path
    promise: str
    guarantee: str
    replaced: str
    runs: int
    typical: dict[str, str]

    @property
    def lines(self) -> tuple[str, ...]:
        """The report in words."""
        used = f"{plural(self.runs, 'unseen run')} read." if self.runs else "Proven from the equation; no runs used."
        found = [f"Replaces the limit that was there ({self.replaced})."] if self.replaced else []
        found += [used, *(f"{name}: limit typically {limit}." for name, limit in self.typical.items())]
        return (*found, self.promise, f"Saved in {self.path}.")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {"path": str(self.path)}


def certify_file(
    model: str | Path,
    output: str | Path,
    *,
    holdout: str | Path | None = None,
    results: str | Path | None = None,
    training: str | Path | None = None,
    outputs: Sequence[str] = (),
    fields: Sequence[str] = (),
    problem: Problem | None = None,
    level: float | None = None,
    norm: str | None = None,
    seed: int = 0,
    kinds: Sequence[type] = (),
) -> CertifyReport:
    """The surrogate in `model` with a limit on every answer, saved in `output`; a limit that it had is replaced.

    `holdout`: unseen runs that calibrate, a snapshot store or a table with `results` (`read_holdout`); `training`: the
    parameters of the runs that it was fitted to, a store or a table, so that a shared run is refused and the limit can
    grow with the distance to them. Without `holdout` the limit is guaranteed, by `problem` or by the equation that the
    model holds. `norm`, `level` as in `nw.certify`. Nothing is written where anything is wrong.

    Raises InputError for a file without a surrogate, and as `nw.certify` and `read_holdout` do.
    """
    target = Path(output)
    if not target.parent.is_dir() or target.is_dir():
        raise InputError(f"the model cannot be written to {target}: give a file name in a folder that exists")
    surrogate, replaced = bare_surrogate(load(model, kinds), Path(model))
    equation = problem or equation_of(surrogate)
    runs = None if holdout is None else read_holdout(
        surrogate, holdout, results, outputs=outputs, fields=fields, kinds=kinds
    )  # fmt: skip
    if runs is None and equation is None:
        raise InputError(
            f"{model} holds no equation, so a limit needs unseen runs or the equation: --holdout RUNS.csv --results "
            "FOLDER, or --problem STUDY.yaml"
        )
    if runs is None:
        _only_calibrated(level=level, training=training, norm=None if norm in ("energy", "l2") else norm)
    known = None if training is None else read_parameters(surrogate, training, kinds)
    certified = certify(
        surrogate, equation, holdout=runs, level=0.9 if level is None else level, norm=norm, training=known, seed=seed
    )
    report = _report(certified, target, runs, replaced)
    save(certified, target, provenance=_provenance(report, Path(model), runs, seed))
    return report


def _only_calibrated(**given: Any) -> None:
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise InputError(
            f"{named[0]} = {given[named[0]]} is for limits that are calibrated on runs; a limit from the equation is "
            "guaranteed, in the energy or the l2 norm: give --holdout, or leave it out"
        )


def bare_surrogate(found: Storable, path: Path) -> tuple[Surrogate, str]:
    """The surrogate without its limits, and the promise that it had. Raises InputError for what is no surrogate."""
    if isinstance(found, Refining):
        found = found.certified
    if isinstance(found, Certified):
        return found.surrogate, str(found.guarantee).rstrip(".")
    if not isinstance(found, Surrogate):
        raise InputError(f"{path} holds a {found.kind!r}, which answers no questions; give a surrogate")
    return found, ""


def _report(certified: Certified, path: Path, runs: Snapshots | None, replaced: str) -> CertifyReport:
    answer = certified.predict(certified.parameters.sample(range(_SHOWN), 0))
    guarantee = answer.guarantee
    count = 0 if runs is None else len(runs.good)
    return CertifyReport(path, str(guarantee), type(guarantee).__name__.lower(), replaced, count, _typical(answer))


def _typical(answer: Prediction) -> dict[str, str]:
    """The median of each limit over cases that are drawn from the fitted set."""
    named = {name: (o.limit, difference_unit(o.unit)) for name, o in answer.outputs.items()}
    if int(np.prod(answer.space.shape)):
        named = {"field": (answer.bound, "")} | named
    finite = {name: (limit[np.isfinite(limit)], unit) for name, (limit, unit) in named.items()}
    return {name: at_most(float(np.median(limit)), unit) if len(limit) else "none" for name, (limit, unit) in
            finite.items()}  # fmt: skip


def _provenance(report: CertifyReport, model: Path, runs: Snapshots | None, seed: int) -> dict[str, Any]:
    """Where the surrogate came from stays; what was said about the limit that is replaced does not."""
    old = read_manifest(model)["provenance"]
    kept = {name: old[name] for name in ("made by", "table", "parts", "method", "seed") if name in old}
    made = (
        {"made by": "certify_file", "seed": seed, "from": kept} if kept else {"made by": "certify_file", "seed": seed}
    )
    if runs is not None:
        made["holdout"] = calibration_record(runs)
    return made | {"summary": [line for line in report.lines if not line.startswith("Saved")]}
