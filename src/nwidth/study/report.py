"""The report of a study: what was checked, in the words of `nwidth.reports`."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.io.model import read_manifest
from nwidth.reports.model import (
    Appendix,
    Chart,
    CostChart,
    Curves,
    FieldPlot,
    LimitCheck,
    OutputRow,
    ParameterRange,
    ProblemReport,
    Promise,
    Ranges,
    Report,
    Table,
)
from nwidth.reports.words import percent, plural, significant
from nwidth.reports.worth import judge
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.box import Box
from nwidth.spaces.mesh import MeshSpace
from nwidth.study.answers import difference_unit
from nwidth.study.check import Checked
from nwidth.study.exact import exact_chart, exact_sentence, exact_table
from nwidth.study.measure import machine, versions
from nwidth.study.schema import Study
from nwidth.study.steps import RECORD, Folders

#: A calibrated limit that is missed this much more often than announced is reported as broken (two-sided 95 %).
_Z = 1.96


def build_report(study: Study, checked: Checked, upstream: Folders, keys: Mapping[str, str]) -> Report:
    """The report of one problem; `upstream` holds the folders of the steps behind it, `keys` their hashes."""
    title = study.file.report.title or f"{study.problem.kind.replace('_', ' ').capitalize()}, {study.method.kind}"
    offline = sum(_seconds(upstream[name]) for name in ("train", "calibrate", "fit", "certify") if name in upstream)
    problem = ProblemReport(
        name=study.name,
        title=title,
        question="Is a surrogate worth it here, and how far can it be from the full-order solution?",
        answer=checked.verdict,
        summary=checked.verdict,
        verdict=judge([*checked.single, *checked.batched], offline, study.file.report.queries),
        promise=_promise(checked),
        outputs=_rows(checked),
        output_charts=_limit_charts(checked),
        tables=_tables(checked),
        cost_charts=_cost_charts(checked),
        cost_note=_cost_note(checked),
        ranges=_ranges(study, checked),
        fields=_fields(study, checked),
        fields_note="Above: the case with the median error. Below: the worst of the checked cases.",
        appendix=_appendix(study, upstream, keys),
    )
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Report(title, _lead(checked), (problem,), created, f"nwidth run {study.name}.yaml", machine(), versions())


def _lead(checked: Checked) -> str:
    return f"Checked on {plural(len(checked.error), 'run')} that the surrogate has never seen."


def _promise(checked: Checked) -> Promise:
    missing = [
        _mesh(checked),
        "Errors of the model's data.",
    ]
    if checked.rigorous:
        return Promise((checked.promise, "The limit holds inside and outside the tested ranges."), tuple(missing))
    missing.insert(0, "Cases outside the range of the runs, optimised designs, and feedback: there is no limit there.")
    return Promise((checked.promise,), tuple(missing))


def _mesh(checked: Checked) -> str:
    """What is known about the mesh's own error, which the limit does not count."""
    if checked.exact:
        return f"The mesh's own error, which the limit does not count. {exact_sentence(checked.exact)}"
    return checked.mesh or "The mesh's own error: how far your full-order solution is from the exact one."


def _rows(checked: Checked) -> tuple[OutputRow, ...]:
    relative, limits = checked.error / checked.size, checked.limit / checked.size
    rows = [
        OutputRow(
            f"field, {checked.norm}", "%", len(relative), float(relative.max()), float(np.median(limits)),
            float(limits.max()), int((~checked.held).sum()), relative=True,
        )
    ]  # fmt: skip
    for name, (value, limit, truth, slack) in checked.outputs.items():
        error, unit = np.abs(value - truth), difference_unit(checked.units[name])
        rows.append(
            OutputRow(name, unit, len(error), float(error.max()), float(np.median(limit)), float(limit.max()),
                      int((error > limit + slack).sum()))
        )  # fmt: skip
    return tuple(rows)


def _limit_charts(checked: Checked) -> tuple[Chart, ...]:
    charts: list[Chart] = [LimitCheck("Field: every unseen run", 100 * checked.error / checked.size,
                         100 * checked.limit / checked.size, "%", _relative_lower(checked))]  # fmt: skip
    for name, (value, limit, truth, _) in checked.outputs.items():
        unit = difference_unit(checked.units[name])
        charts.append(LimitCheck(f"{name}: every unseen run", np.abs(value - truth), limit, unit))
    if checked.exact:
        charts.append(exact_chart(checked.exact))
    return tuple(charts)


def _relative_lower(checked: Checked) -> Real | None:
    """In percent, where every case has one."""
    return 100 * checked.lower / checked.size if len(checked.lower) == len(checked.size) else None


def _tables(checked: Checked) -> tuple[Table, ...]:
    effectivity = checked.limit / np.maximum(checked.error, np.finfo(float).tiny)
    rows = [("the limit over the true error (1 is ideal)", *(significant(v) for v in _three(effectivity)))]
    if checked.refined:
        rows.append((f"steps to refine to {percent(checked.rtol or 0)}",
                     *(f"{v:.0f}" for v in _three(checked.refined["iterations"]))))  # fmt: skip
        rows.append(("limit after refinement", *(percent(v) for v in _three(checked.refined["limit"]))))
    tight = Table("How tight the limit is", ("", "smallest", "median", "largest"), tuple(rows))
    return (tight, exact_table(checked.exact)) if checked.exact else (tight,)


def _three(values: Array) -> tuple[float, float, float]:
    return float(values.min()), float(np.median(values)), float(values.max())


def _cost_charts(checked: Checked) -> tuple[CostChart, ...]:
    label = "relative error (median)"
    charts = [CostChart("One case at a time", checked.single, label)]
    if checked.batched and checked.batched[0].batch > 1:
        charts.append(CostChart(f"{checked.batched[0].batch} cases at a time", checked.batched, label))
    return tuple(charts)


def _cost_note(checked: Checked) -> str:
    if any("cells" in point.name for point in checked.single):
        return "Solvers may use coarser grids: what counts is the error that is reached, not how."
    return (
        "Every solver here works on the same mesh. A coarser one may reach the surrogate's error in less time: compare "
        "with it before you decide."
    )


def _ranges(study: Study, checked: Checked) -> Ranges:
    worst = int(np.argmax(checked.limit / checked.size))
    largest = percent(float(checked.limit[worst] / checked.size[worst]))
    space = study.problem.instance.parameters
    intervals: tuple[ParameterRange, ...] = ()
    if isinstance(space, Box):
        columns = zip(
            space.names, *(np.atleast_1d(v) for v in (space.low, space.high, space.units, space.log)), strict=True
        )
        intervals = tuple(
            ParameterRange(name, float(low), float(high), str(unit), float(checked.mu[name][worst]), bool(log))
            for name, low, high, unit, log in columns
        )
    weakest = f"The limit is largest, {largest} of the solution, at:" if intervals else (
        f"The largest limit was {largest} of the solution. The parameter is a field: its range is the law that it is "
        "drawn from."
    )  # fmt: skip
    return Ranges(intervals, weakest)


def _fields(study: Study, checked: Checked) -> tuple[tuple[FieldPlot, ...], ...]:
    """Full-order field, answer and difference of the median and the worst case, where the domain is plane."""
    space: FunctionSpace = study.problem.instance.space
    points = space.points()
    if points.shape[-1] != 2 or len(points) != space.size:
        return ()
    triangles = space.elements if isinstance(space, MeshSpace) and space.cell == "triangle" else None
    rows = []
    for truth, own in zip(checked.truth, checked.answer, strict=True):
        u, v = truth.ravel(), own.ravel()
        span = (float(u.min()), float(u.max()))
        rows.append((
            FieldPlot("Full order", points, u, "u", span, triangles),
            FieldPlot("Surrogate", points, v, "u", span, triangles),
            FieldPlot("Difference", points, v - u, "difference", None, triangles, diverging=True),
        ))  # fmt: skip
    return tuple(rows)


def _appendix(study: Study, upstream: Folders, keys: Mapping[str, str]) -> Appendix:
    configuration = {**_flat("problem", study.problem.inputs), **_flat("fit", study.method.inputs)}
    sections = study.file.model_dump(mode="json", exclude={"problem", "fit", "run"})
    for name, content in sections.items():
        configuration |= _flat(name, content)
    charts = _training_curve(upstream["certify"] / "certified.nwidth")
    return Appendix(charts, configuration, {f"step {name}": key for name, key in keys.items()})


def _flat(name: str, content: Any) -> dict[str, str]:
    """Nested options as dotted names."""
    if isinstance(content, Mapping):
        return {k: v for key, inner in content.items() for k, v in _flat(f"{name}.{key}", inner).items()}
    return {name: "none" if content is None else str(content)}


def _training_curve(path: Path) -> tuple[Chart, ...]:
    """Losses by epoch, which stand in the model file's configuration; nothing for methods that do not train."""
    config = read_manifest(path)["object"]["children"]["surrogate"]["config"]
    history = config.get("history", {})
    if not (isinstance(history, Mapping) and history.get("train")):
        return ()
    lines = {name: _line(history[key]) for name, key in (("training", "train"), ("validation", "validation"))}
    return (Curves("Training", "epoch", "loss", lines),)


def _line(values: list[float]) -> tuple[Real, Real]:
    return np.arange(1.0, len(values) + 1), np.array(values)


def _seconds(folder: Path) -> float:
    return float(json.loads((folder / RECORD).read_text(encoding="utf-8"))["seconds"])
