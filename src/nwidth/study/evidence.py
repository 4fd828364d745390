"""`write_evidence`: one page for a reviewer, from a study or from a model file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.core.arrays import Mu
from nwidth.core.errors import InputError
from nwidth.core.storable import fingerprint
from nwidth.io.migrate import Manifest
from nwidth.io.model import load, read_manifest
from nwidth.online.wrappers import Certified, Refining
from nwidth.problems.base import Problem
from nwidth.reports.evidence import Assumption, Evidence, check_folder
from nwidth.reports.words import plural
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.generate import generate
from nwidth.study.answers import equation_of
from nwidth.study.evidence_cases import cases_of
from nwidth.study.evidence_checks import Subject, checks_of
from nwidth.study.evidence_files import data_hash, extras_of, file_hash
from nwidth.study.evidence_unseen import unseen_checks
from nwidth.study.evidence_words import answers_of, counts_table, pictures, promise_of, ranges_table, remembered
from nwidth.study.holdout import read_holdout
from nwidth.study.licences import licences
from nwidth.study.measure import versions
from nwidth.study.pipeline import runs_of
from nwidth.study.run import load as load_study
from nwidth.study.run import run
from nwidth.study.schema import Study
from nwidth.study.software_tests import TestCounts, read_test_counts
from nwidth.study.steps import Listener

#: Fresh cases are drawn far behind those that studies use: train, calibrate and test start at 0, 10 and 20 million.
FRESH = 40_000_000
_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Written:
    """The evidence, and the files that hold it."""

    evidence: Evidence
    html: Path
    markdown: Path

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self.evidence.to_dict() | {"html": self.html, "markdown": self.markdown}


def write_evidence(
    source: str | Path,
    folder: str | Path = "evidence",
    *,
    overrides: Sequence[str] = (),
    use: str = "",
    holdout: Snapshots | str | Path | None = None,
    results: str | Path | None = None,
    problem: Problem | None = None,
    cases: int = 100,
    tests: str | Path | None = None,
    seed: int | None = None,
    kinds: Sequence[type] = (),
    watched: bool = False,
    listen: Listener = lambda event: None,
) -> Written:
    """`evidence.html` and `evidence.md` in `folder`, for a study (YAML) or a model file with limits.

    Where the page cannot be written, and a file of test results that is none, are found before the work.

    A study is run as far as its limit and its unseen runs, and these are what is checked. A model is checked on
    `holdout` (snapshots, a store, or a table with `results`); without it on `cases` fresh ones, solved in full, where
    the model holds its equation or `problem` is given. `use` states the intended use (in a study: `evidence.use`);
    `tests` is a JUnit XML file with the software's own tests.

    The page holds no date, time or path: the same inputs give the same bytes. Raises InputError for a source without
    limits, as `study.load` and `load` do, WorkError where the page cannot be written.
    """
    path = Path(source)
    check_folder(folder)
    counts = None if tests is None else read_test_counts(tests)
    if path.suffix.lower() in _YAML:
        _refuse(holdout=holdout, results=results, problem=problem)
        study = load_study(path, overrides, seed=seed, kinds=kinds)
        parts = _of_study(study, watched, listen)
    else:
        if overrides:
            raise InputError(f"{overrides[0]!r}: KEY=VALUE changes a study, and {path} is a model")
        parts = _of_model(path, holdout, results, problem, cases, seed or 0, kinds, watched)
    evidence = _gather(parts, use, counts, None if tests is None else Path(tests))
    return Written(evidence, *evidence.write(folder))


@dataclass(frozen=True)
class _Parts:
    """What a page is made from: the subject, the model's file, and the data at hand."""

    subject: Subject
    model: Path
    manifest: Manifest
    data: Mapping[str, Snapshots]
    use: str = ""
    settings: Mapping[str, str] | None = None
    hashes: Mapping[str, str] | None = None


def _of_study(study: Study, watched: bool, listen: Listener) -> _Parts:
    outcome = run(study, "evidence", watched=watched, listen=listen)
    if outcome.model is None:
        raise InputError(f"the study {study.name} has no model yet")
    certified = load(outcome.model, study.kinds)
    asked = study.file.snapshots
    counts = {"train": asked.train, "calibrate": asked.calibrate, "test": asked.test}
    data = {part: runs_of(study, part, counts[part]) for part in counts if part in outcome.steps}
    problem: Problem = study.problem.instance
    found = cases_of(certified, problem, data["test"], "the study's own unseen runs")
    mu = {part: _parameters(runs) for part, runs in data.items()}
    missing = _unusable(data["test"]) if found is None else ""
    subject = Subject(study.name, certified, problem, found, mu, seed=study.seed, missing=missing)
    settings = _flat("problem", study.problem.inputs) | _flat("fit", study.method.inputs)
    settings |= _flat("", study.file.model_dump(mode="json", include={"seed", "snapshots", "certify"}))
    return _Parts(subject, outcome.model, read_manifest(outcome.model), data, study.file.evidence.use, settings)


def _of_model(
    path: Path,
    holdout: Snapshots | str | Path | None,
    results: str | Path | None,
    problem: Problem | None,
    count: int,
    seed: int,
    kinds: Sequence[type],
    watched: bool,
) -> _Parts:
    certified = certified_in(path, kinds)
    manifest, problem = read_manifest(path), problem or equation_of(certified)
    runs, source, hashes = None, "", {}
    if isinstance(holdout, Snapshots):
        runs, source = holdout, "runs kept apart"
    elif holdout is not None:
        runs, source = read_holdout(certified, holdout, results, kinds=kinds), f"runs kept apart ({Path(holdout).name})"
        named = {"unseen runs": holdout, "results": results}
        files = {what: Path(p) for what, p in named.items() if p and Path(p).is_file()}
        hashes = {f"{what} ({file.name})": file_hash(file) for what, file in files.items()}
    elif problem is not None and count:
        runs = generate(problem, count, seed, start=FRESH, progress=watched)
        source = f"drawn afresh from the problem's parameters (seed {seed}) and solved for this page"
    found = None if runs is None else cases_of(certified, problem, runs, source)
    parts = {} if runs is None else {"test": _parameters(runs)}
    if runs is None or found is None:
        known = remembered(manifest["provenance"])
    else:
        known = tuple(unseen_checks(certified, manifest["provenance"], runs, found.mu))
    missing = "no unseen cases were given" if runs is None else _unusable(runs)
    subject = Subject(path.stem, certified, problem, found, parts, known, seed, missing)
    return _Parts(subject, path, manifest, {} if runs is None else {"test": runs}, hashes=hashes)


def _unusable(runs: Snapshots) -> str:
    """Why there is nothing to compare."""
    return f"none of {plural(len(runs), 'unseen run')} converged with finite numbers"


def certified_in(path: Path, kinds: Sequence[type] = ()) -> Certified:
    """The surrogate with limits in a model file. Raises InputError for a file without."""
    found = load(path, kinds)
    if isinstance(found, Refining):
        return found.certified
    if not isinstance(found, Certified):
        raise InputError(
            f"{path} holds a {found.kind!r} without limits; give it some first: nwidth certify {path} --holdout "
            "RUNS.csv -o OUT.nwidth, or --problem STUDY.yaml"
        )
    return found


def _gather(parts: _Parts, use: str, counts: TestCounts | None, tests: Path | None) -> Evidence:
    subject = parts.subject
    checked = checks_of(subject)
    if counts is not None:
        total = counts.passed + counts.failed
        checked += (
            Assumption.judged("The software's own tests pass", "the given JUnit file; at least one must have run",
                              counts.failed == 0 and counts.passed > 0,
                              f"{counts.passed:,} of {total:,}; {counts.skipped:,} skipped"),
        )  # fmt: skip
    hashes = {parts.model.name: file_hash(parts.model), "surrogate (fingerprint)": _fingerprint(subject.certified)}
    hashes |= {f"runs to {part}": data_hash(runs) for part, runs in parts.data.items()} | dict(parts.hashes or {})
    if tests is not None:
        hashes[f"software tests ({tests.name})"] = file_hash(tests)
    extras = extras_of(parts.manifest)
    return Evidence(
        name=subject.name,
        use=use or parts.use,
        answers=answers_of(subject, parts.manifest, parts.model.stat().st_size),
        promise=promise_of(subject),
        ranges=ranges_table(subject),
        assumptions=checked,
        counts=counts_table(subject, parts.data, parts.manifest["provenance"], counts),
        hashes=hashes,
        licences=licences(extras),
        versions=versions(()) | {"model file": f"format {parts.manifest['version']}"},
        limits=pictures(subject),
        settings=parts.settings or {},
    )


def _fingerprint(certified: Certified) -> str:
    try:
        return fingerprint(certified.surrogate)
    except InputError:
        return "none: the surrogate cannot be stored"


def _parameters(runs: Snapshots) -> Mu:
    return {name: np.asarray(values) for name, values in runs.mu.items()}


def _refuse(**given: Any) -> None:
    """Options that make no sense for a study, which has runs and a problem of its own."""
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise InputError(f"{named[0]} is for a model file; a study has unseen runs and a problem of its own")


def _flat(name: str, content: Any) -> dict[str, str]:
    """Nested options as dotted names."""
    if isinstance(content, Mapping):
        inner = (_flat(f"{name}.{key}" if name else key, value) for key, value in content.items())
        return {k: v for found in inner for k, v in found.items()}
    return {name: "none" if content is None else str(content)}
