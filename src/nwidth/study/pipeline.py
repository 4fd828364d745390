"""A study as steps: runs, surrogate, limit, check on unseen runs, report."""

import hashlib
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nwidth._version import __version__
from nwidth.bounds.default_constants import has_constants
from nwidth.certificates.quantile import rank
from nwidth.core.errors import InputError
from nwidth.core.solution import Status
from nwidth.core.storable import canonical_json
from nwidth.io.model import load, save
from nwidth.online.certify import certify
from nwidth.online.wrappers import Certified
from nwidth.problems.base import is_coercive
from nwidth.reports import html
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.generate import generate
from nwidth.snapshots.open import open_snapshots
from nwidth.study.check import Checked, check
from nwidth.study.choices import LEARN_FROM_RUNS, check_method
from nwidth.study.report import build_report
from nwidth.study.schema import Study
from nwidth.study.steps import Folders, Step, keys
from nwidth.surrogates.base import Run

#: Where each part begins in the problem's random stream: parts never overlap, and each can grow on its own.
STARTS = {"train": 0, "calibrate": 10_000_000, "test": 20_000_000}

#: A verb of the command line -> the steps up to which it runs.
UPTO: Mapping[str, tuple[str, ...]] = {
    "generate": ("train", "calibrate", "test"),
    "fit": ("fit",),
    "certify": ("certify",),
    "refine": ("check",),
    "evidence": ("certify", "test"),
    "report": ("report",),
    "run": ("report",),
}

SURROGATE, CERTIFIED, CHECKED, REPORT = "surrogate.nwidth", "certified.nwidth", "checked.npz", "report"


def steps_of(study: Study, watched: bool = False) -> list[Step]:
    """The steps of a checked study. Raises InputError for a combination that cannot work, before any work."""
    counts = _counts(study)
    steps = [_runs_step(study, part, count, watched) for part, count in counts.items()]
    trained = "train" in counts
    steps += [_fit_step(study, trained, watched), _certify_step(study, "calibrate" in counts, trained)]
    steps += [_check_step(study, counts["test"])]
    return [*steps, _report_step(study, steps)]


def _counts(study: Study) -> dict[str, int]:
    """How many runs of each part are needed. Raises InputError where there are too few for what is asked."""
    asked, section, kind = study.file.snapshots, study.file.certify, study.method.kind
    check_method(kind, study.problem.instance)
    if kind in LEARN_FROM_RUNS and not asked.train:
        raise InputError(f"{kind} learns from runs: set snapshots.train, for example to 200")
    if _guaranteed(study):
        return {part: count for part, count in (("train", asked.train), ("test", asked.test)) if count}
    if not asked.calibrate:
        raise InputError(
            f"the limit for {study.problem.kind} is calibrated on unseen runs: set snapshots.calibrate, for example "
            "to 100"
        )
    rank(asked.calibrate, section.level)
    counts = {"train": asked.train, "calibrate": asked.calibrate, "test": asked.test}
    return {part: count for part, count in counts.items() if count}


def _guaranteed(study: Study) -> bool:
    """Whether the limit is a guaranteed one."""
    problem, wanted = study.problem.instance, study.file.certify.limit
    possible = is_coercive(problem)
    if wanted == "guaranteed" and not (possible or has_constants(problem)):
        raise InputError(
            f"certify.limit is 'guaranteed', but {study.problem.kind} has no stability constant; choose 'calibrated'"
        )
    return wanted == "guaranteed" or (possible and wanted == "auto")


def _runs_step(study: Study, part: str, count: int, watched: bool) -> Step:
    inputs = {"problem": study.problem.inputs, "seed": study.seed, "start": STARTS[part], "count": count}
    return Step(part, inputs, partial(_solve_runs, study, part, count, watched), title=f"{count:,} runs to {part}")


def _store(study: Study, part: str) -> Path:
    """The store of a part. Its name does not depend on the count: more runs are added to those that are there."""
    text = canonical_json([study.problem.inputs, study.seed, STARTS[part], __version__])
    return study.workdir / "runs" / f"{part}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.zarr"


def runs_of(study: Study, part: str, count: int) -> Snapshots:
    """The first `count` runs of a part; read lazily where that is all of them."""
    runs = open_snapshots(_store(study, part), study.kinds)
    return runs if len(runs) == count else runs.take(slice(0, count))


def _solve_runs(
    study: Study, part: str, count: int, watched: bool, folder: Path, upstream: Folders
) -> Mapping[str, Any]:
    path = _store(study, part)
    known = open_snapshots(path, study.kinds) if path.exists() else None
    if known is None or len(known) < count or np.any(np.asarray(known.status)[:count] == Status.MISSING):
        generate(
            study.problem.instance,
            max(count, 0 if known is None else len(known)),
            study.seed,
            path=path,
            start=STARTS[part],
            workers=study.file.run.workers,
            progress=watched,
        )
    runs = runs_of(study, part, count)
    return {"runs": count, "failed": count - len(runs.good), "store": path.relative_to(study.workdir).as_posix()}


def _fit_step(study: Study, on_runs: bool, watched: bool) -> Step:
    def work(folder: Path, upstream: Folders) -> Mapping[str, Any]:
        runs = runs_of(study, "train", study.file.snapshots.train) if on_runs else None
        run = Run(workdir=folder / "training", device=study.file.run.device, progress=watched)
        surrogate = study.method.instance.fit(runs, study.problem.instance, seed=study.seed, run=run)
        path = save(surrogate, folder / SURROGATE)
        shutil.rmtree(folder / "training", ignore_errors=True)
        return {"method": study.method.kind, "bytes": path.stat().st_size}

    inputs = {"problem": study.problem.inputs, "method": study.method.inputs, "seed": study.seed}
    needs = ("train",) if on_runs else ()
    return Step("fit", inputs, work, needs, title=f"surrogate: {study.method.kind}")


def _certify_step(study: Study, on_runs: bool, trained: bool) -> Step:
    section, counts = study.file.certify, study.file.snapshots

    def work(folder: Path, upstream: Folders) -> Mapping[str, Any]:
        surrogate = load(upstream["fit"] / SURROGATE, study.kinds)
        holdout = runs_of(study, "calibrate", counts.calibrate) if on_runs else None
        # limits for each stored time do not use the distance to the training runs
        near = trained and holdout is not None and holdout.times is None
        certified = certify(
            surrogate,
            study.problem.instance,
            holdout=holdout,
            level=section.level,
            norm=section.norm,
            training=runs_of(study, "train", counts.train) if near else None,
            seed=study.seed,
        )
        save(certified, folder / CERTIFIED)
        return {"promise": str(certified.guarantee)}

    needs = ("fit", *(("calibrate",) if on_runs else ()), *(("train",) if on_runs and trained else ()))
    inputs = {"level": section.level if on_runs else None, "norm": section.norm, "seed": study.seed}
    return Step("certify", inputs, work, needs, title="limit: " + ("calibrated" if on_runs else "guaranteed"))


def _check_step(study: Study, count: int) -> Step:
    section = study.file.refine
    rtol = None if section is None else section.rtol

    def work(folder: Path, upstream: Folders) -> Mapping[str, Any]:
        certified: Certified = load(upstream["certify"] / CERTIFIED, study.kinds)
        checked = check(certified, study.problem.instance, runs_of(study, "test", count), rtol)
        checked.save(folder / CHECKED)
        return checked.summary

    return Step(
        "check", {"rtol": rtol, "layout": 2}, work, ("certify", "test"), title=f"check on {count:,} unseen runs"
    )


def _report_step(study: Study, steps: list[Step]) -> Step:
    section = study.file.report

    def work(folder: Path, upstream: Folders) -> Mapping[str, Any]:
        checked = Checked.load(upstream["check"] / CHECKED)
        report = build_report(study, checked, upstream, keys(steps))
        html.write(report, folder / REPORT)
        return {"verdict": report.problems[0].verdict.headline, "answer": report.problems[0].answer}

    inputs = section.model_dump(mode="json") | {"name": study.name}
    return Step("report", inputs, work, tuple(step.name for step in steps), title="report")
