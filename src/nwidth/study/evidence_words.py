"""What a page of evidence says about a surrogate: what it answers, where it was tested, on how many runs."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nwidth.certificates.quantile import Coverage
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous, Statistical
from nwidth.io.migrate import Manifest
from nwidth.problems.parabolic_signals import Signals
from nwidth.reports.document import Scatter
from nwidth.reports.evidence import Assumption, State
from nwidth.reports.model import Promise, Table
from nwidth.reports.words import exact, plural, significant, with_unit
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.box import Box
from nwidth.spaces.joint import Joint
from nwidth.study.evidence_cases import Measured
from nwidth.study.evidence_checks import Subject
from nwidth.study.software_tests import TestCounts

#: Characters of a law's description that are shown.
_LONGEST = 400


def guarantee_of(subject: Subject) -> Guarantee:
    """The promise that the answers carry; without answers, the certificate's."""
    return subject.cases.prediction.guarantee if subject.cases else subject.certified.guarantee


def answers_of(subject: Subject, manifest: Manifest, size: int) -> dict[str, str]:
    """What goes in, what comes out, and how it is made."""
    certified = subject.certified
    one = certified.predict(certified.parameters.sample([0], 0))
    shape = " x ".join(map(str, certified.space.shape))
    outputs = ", ".join(f"{name} [{o.unit}]" if o.unit else name for name, o in one.outputs.items())
    facts = {
        "Parameters": ", ".join(certified.parameters.names),
        "Quantities of interest": outputs or "none",
        "Field": f"{shape} values" if certified.space.size else "none",
        "Equation": type(subject.problem).__name__ if subject.problem else "none: learned from runs alone",
        "Surrogate": certified.surrogate.kind,
        "Limit": certified.certificate.kind,
        "Size of the model": f"{size / 1e6:.3g} MB",
        "Written by": f"nwidth {manifest['provenance'].get('nwidth', 'of unknown version')}",
    }
    return facts


def promise_of(subject: Subject) -> Promise:
    """What is promised and what is not, for people who sign."""
    guarantee = guarantee_of(subject)
    missing = ["The mesh's or the time steps' own error.", "Errors of material data, loads, and of the model itself."]
    match guarantee:
        case Rigorous(covers=covers):
            if "discretisation" in covers:
                missing = missing[1:]
            return Promise((str(guarantee), "Where an answer has a limit, it holds inside and outside the tested "
                            "ranges."), tuple(missing))  # fmt: skip
        case Statistical():
            missing.insert(0, "Cases outside the tested range (no limit is stated there), optimised designs, feedback, "
                           "and runs drawn in another way.")  # fmt: skip
            return Promise((str(guarantee),), tuple(missing))
        case Estimate():
            return Promise((), (str(guarantee), *missing))


def ranges_table(subject: Subject) -> Table:
    """The fitted set beside what the unseen cases reached of it."""
    space = subject.certified.parameters
    reached = {} if subject.cases is None else {n: np.asarray(v) for n, v in subject.cases.mu.items()}
    header = ("Parameter", "Stated range", "Scale", "Unseen cases from ... to")
    rows = tuple(_range_rows(space, reached))
    source = f"Unseen cases: {subject.cases.source}. " if subject.cases else ""
    law = "" if isinstance(space, Box) else f"Law of the parameters: {_law(space)}"
    return Table("", header, rows, f"{source}{law}".strip())


def _range_rows(space: ParameterSpace, reached: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row for each parameter; those of a joint space one part after the other."""
    if isinstance(space, Box):
        yield from _box_rows(space, reached)
    elif isinstance(space, Signals):
        yield from _box_rows(space.box, reached)
    elif isinstance(space, Joint):
        for part in space.parts:
            yield from _range_rows(part, reached)
    else:
        yield from _law_rows(space, reached)


def _box_rows(space: Box, reached: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    columns = (np.atleast_1d(v) for v in (space.low, space.high, space.units, space.log))
    for name, low, high, unit, log in zip(space.names, *columns, strict=True):
        scale = "logarithmic" if log else "linear"
        yield name, _span(float(low), float(high), str(unit)), scale, _reached(reached.get(name), str(unit))


def _law_rows(space: ParameterSpace, reached: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    sample = space.sample([0], 0)
    for name in space.names:
        shape = np.shape(sample[name])[1:]
        words = f"a field of {' x '.join(map(str, shape))} values" if len(shape) > 1 else "values"
        yield name, words if shape else "a number", "", _reached(reached.get(name), "")


def _span(low: float, high: float, unit: str) -> str:
    return with_unit(f"{exact(low)} to {exact(high)}", unit)


def _reached(values: Any, unit: str) -> str:
    if values is None or not np.size(values):
        return "none"
    return with_unit(f"{significant(float(np.min(values)), 4)} to {significant(float(np.max(values)), 4)}", unit)


def _law(space: ParameterSpace) -> str:
    parts = space.to_parts()
    inner = [f"{name}: {child.kind} {_options(child.to_parts().config)}" for name, child in parts.children.items()]
    text = "; ".join([f"{space.kind} {_options(parts.config)}".strip(), *inner])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _options(config: Mapping[str, Any]) -> str:
    found = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in sorted(config.items())}
    return "(" + ", ".join(f"{name} = {value}" for name, value in found.items()) + ")" if found else ""


def counts_table(
    subject: Subject, data: Mapping[str, Snapshots], provenance: Mapping[str, Any], tests: TestCounts | None
) -> Table:
    """Runs by their part, limits that were compared, and the software's own tests."""
    words = {"train": "fitted", "calibrate": "calibrated the limit", "test": "unseen, compared"}
    rows = [(words[part], f"{len(runs):,}", f"{len(runs) - len(runs.good):,} failed and left out")
            for part, runs in data.items()]  # fmt: skip
    rows += [(f"{what} (when it was fitted)", f"{count:,}", "") for what, count in provenance.get("parts", {}).items()]
    measured = subject.cases.measured if subject.cases else ()
    rows += [(m.name, f"{int(m.answered.sum()):,}", _kept(m)) for m in measured]
    if tests is not None:
        total = tests.passed + tests.failed
        rows.append(("software tests", f"{total:,}", f"{tests.failed:,} failed, {tests.skipped:,} skipped"))
    return Table("", ("What", "How many", "Of these"), tuple(rows))


def _kept(measured: Measured) -> str:
    held, undecided = (int(found[measured.answered].sum()) for found in (measured.held, measured.undecided))
    return f"{held:,} within the limit" + (f", {undecided:,} undecided" if undecided else "")


def pictures(subject: Subject) -> tuple[Scatter, ...]:
    """True error against limit of every quantity on the unseen cases."""
    measured = subject.cases.measured if subject.cases else ()
    return tuple(Scatter(f"{m.name}: {plural(len(m.error), 'unseen case')}", m.error, m.limit, m.unit)
                 for m in measured)  # fmt: skip


def remembered(provenance: Mapping[str, Any]) -> tuple[Assumption, ...]:
    """What was measured when the model was fitted, as its file says."""
    found = []
    for one in provenance.get("measured", ()):
        counted = Coverage(int(one["coverage"]["held"]), int(one["coverage"]["total"]))
        if not counted.total:
            continue
        text = f"{one['name']}: the limit held on runs kept apart when the model was fitted"
        low, high = counted.interval()
        level = float(provenance.get("level", 0.0))
        how = f"counted then, stored in the file; announced: {level:.0%}; 95 % interval {low:.0%} to {high:.0%}"
        state = State.HOLDS if high >= level else State.FAILS
        found.append(Assumption(text, how, state, f"{counted.held} of {counted.total}"))
    return tuple(found)
