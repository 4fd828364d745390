"""The report as one HTML file: no script, no network, figures inline, readable in light and dark.

Every text is escaped where it enters the page; the order of the sections is part of what the report promises.
"""

from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from itertools import count
from pathlib import Path

from nwidth.core.errors import WorkError
from nwidth.core.kinds import available, load_attribute
from nwidth.reports.model import (
    Chart,
    CostChart,
    Designs,
    FieldPlot,
    OutputRow,
    ParameterRange,
    ProblemReport,
    Report,
    Table,
)
from nwidth.reports.palette import DARK, LIGHT, css_variables
from nwidth.reports.words import at_most, duration, exact, percent, plural, quantity, significant, with_unit
from nwidth.reports.words import count as counted
from nwidth.reports.worth import ROUNDING, speed

_NO_PICTURES = "<p class='note'>Pictures need matplotlib: pip install 'nwidth[report]'</p>"

#: Titles of the sections, in the order in which people need them.
SECTIONS = (
    ("verdict", "The verdict"),
    ("promises", "What is promised, and what is not"),
    ("outputs", "Outputs: error against limit"),
    ("cost", "Cost against error"),
    ("ranges", "Tested ranges and the weakest corner"),
    ("fields", "Fields side by side"),
    ("appendix", "Appendix"),
)


class _Pictures:
    """Draws charts one after the other, each with ids of its own; says so where matplotlib is missing."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._svg = load_attribute("nwidth.reports.figures:svg") if available("matplotlib") else None

    def figure(self, chart: Chart) -> str:
        if self._svg is None:
            return _NO_PICTURES
        wide = " class='wide'" if isinstance(chart, Designs) else ""
        picture = self._svg(chart, f"f{next(self._numbers)}").replace("<svg ", f"<svg {_label(chart)} ", 1)
        return f"<figure{wide}><figcaption>{escape(chart.title)}</figcaption>{picture}</figure>"

    def grid(self, charts: Iterable[Chart], *, small: bool = False) -> str:
        pictures = "".join(self.figure(c) for c in charts)
        return f"<div class='charts{' small' if small else ''}'>{pictures}</div>" if pictures else ""


def _label(chart: Chart) -> str:
    return f"role='img' aria-label='{escape(chart.title, quote=True)}'"


def write(report: Report, folder: Path) -> Path:
    """Write `folder/index.html`. Raises WorkError where the folder cannot be written."""
    target = Path(folder) / "index.html"
    text = render(report)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise WorkError(f"could not write {target}: {error}; choose another folder with --out") from error
    return target


def render(report: Report) -> str:
    """The whole page."""
    pictures = _Pictures()
    parts = (_verdicts, _promises, _outputs, _cost, _ranges, _fields, _appendix)
    body = "".join(
        _section(i, key, title, part(report, pictures))
        for i, ((key, title), part) in enumerate(zip(SECTIONS, parts, strict=True), start=1)
    )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(report.title)}</title><style>{stylesheet()}</style></head><body>"
        f"<header><h1>{escape(report.title)}</h1><p class='lead'>{escape(report.lead)}</p>{_navigation()}</header>"
        f"<main>{body}</main>{_footer(report)}</body></html>\n"
    )


def stylesheet() -> str:
    """The style sheet with the palettes of the figures."""
    css = files("nwidth.reports").joinpath("page.css").read_text(encoding="utf-8")
    return css.replace("LIGHT_PALETTE", css_variables(LIGHT)).replace("DARK_PALETTE", css_variables(DARK))


def _navigation() -> str:
    return "<nav>" + "".join(f"<a href='#{key}'>{escape(title)}</a>" for key, title in SECTIONS) + "</nav>"


def _section(number: int, key: str, title: str, body: str) -> str:
    return f"<section id='{key}'><h2><span class='n'>{number}</span>{escape(title)}</h2>{body}</section>"


def _card(problem: ProblemReport, body: str) -> str:
    return f"<div class='card'><h3>{escape(problem.title)}</h3>{body}</div>" if body else ""


def _paragraph(text: str, css: str = "") -> str:
    return f"<p{f' class={css!r}' if css else ''}>{escape(text)}</p>" if text else ""


# 1 ------------------------------------------------------------------------------------------------------------------


def _verdicts(report: Report, pictures: _Pictures) -> str:
    return f"<div class='cards'>{''.join(_verdict(p) for p in report.problems)}</div>"


def _verdict(problem: ProblemReport) -> str:
    verdict = problem.verdict
    tone, word = ("bad", "✕ Do not use") if verdict.use == "do not use" else ("good", f"✓ {verdict.use.capitalize()}")
    return (
        f"<div class='card {tone}'><span class='pill'>{escape(word)}</span><h3>{escape(problem.title)}</h3>"
        f"{_paragraph(problem.question, 'question')}{_paragraph(problem.answer, 'answer')}"
        f"{_paragraph(verdict.reason, 'reason')}<dl>{_verdict_numbers(problem)}</dl></div>"
    )


def _verdict_numbers(problem: ProblemReport) -> str:
    verdict = problem.verdict
    rows = {"Pays after": _cases(verdict.pays_after), "Preparation": duration(verdict.offline_seconds)}
    if verdict.single:
        rows["One case at a time"] = speed(verdict.single.speedup)
    if verdict.batched:
        rows["In batches"] = speed(verdict.batched.speedup)
    return _definitions(rows)


def _cases(number: float) -> str:
    return f"{counted(number)} cases" if number != float("inf") else "never"


def _definitions(rows: Mapping[str, str]) -> str:
    return "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows.items())


# 2 ------------------------------------------------------------------------------------------------------------------


def _promises(report: Report, pictures: _Pictures) -> str:
    return "".join(_card(p, _promise(p)) for p in report.problems)


def _promise(problem: ProblemReport) -> str:
    yes, no = _items(problem.promise.promised, "yes"), _items(problem.promise.not_promised, "no")
    return f"<div class='two'><div><h4>Promised</h4>{yes}</div><div><h4>Not promised</h4>{no}</div></div>"


def _items(sentences: Iterable[str], css: str) -> str:
    return f"<ul class='plain {css}'>" + "".join(f"<li>{escape(s)}</li>" for s in sentences) + "</ul>"


# 3 ------------------------------------------------------------------------------------------------------------------


def _outputs(report: Report, pictures: _Pictures) -> str:
    intro = (
        "Unseen cases were solved in full and compared. Energy norm: the error of the gradient in the mean square, "
        "weighted with the material; it sees local errors that a mean of values hides."
    )
    return _paragraph(intro, "intro") + "".join(_card(p, _output(p, pictures)) for p in report.problems)


def _output(problem: ProblemReport, pictures: _Pictures) -> str:
    header = ("Quantity", "Unseen cases", "Largest error", "Typical limit", "Largest limit", "Outside the limit")
    rows = "".join(_output_row(row) for row in problem.outputs)
    table = f"<div class='scroll'><table>{_head(header)}<tbody>{rows}</tbody></table></div>"
    tables = "".join(f"<div>{_table(t)}</div>" for t in problem.tables)
    return table + pictures.grid(problem.output_charts) + (f"<div class='tables'>{tables}</div>" if tables else "")


def _output_row(row: OutputRow) -> str:
    show = percent if row.relative else lambda v: quantity(v, row.unit)
    ceiling = (lambda v: at_most(100 * v, "%")) if row.relative else (lambda v: at_most(v, row.unit))
    state = "ok" if row.outside == 0 else "alarm"
    cells = f"{row.checked:,}", show(row.largest_error), ceiling(row.median_limit), ceiling(row.largest_limit)
    return (
        f"<tr><th>{escape(row.name)}</th>{''.join(f'<td>{escape(c)}</td>' for c in cells)}"
        f"<td class='{state}'>{row.outside} of {row.checked:,}</td></tr>"
    )


def _head(header: Iterable[str]) -> str:
    return "<thead><tr>" + "".join(f"<th>{escape(h)}</th>" for h in header) + "</tr></thead>"


def _table(table: Table) -> str:
    rows = "".join(
        f"<tr><th>{escape(first)}</th>{''.join(f'<td>{escape(c)}</td>' for c in rest)}</tr>"
        for first, *rest in table.rows
    )
    return (
        f"<div class='scroll'><table><caption>{escape(table.title)}</caption>{_head(table.header)}"
        f"<tbody>{rows}</tbody></table></div>{_paragraph(table.note, 'note')}"
    )


# 4 ------------------------------------------------------------------------------------------------------------------


def _cost(report: Report, pictures: _Pictures) -> str:
    intro = (
        "Lower left is better. A surrogate is worth its preparation only where no plain solver reaches the same error "
        "as fast, a coarser grid and a looser tolerance included. Filled: states a limit for each answer."
    )
    cards = "".join(_card(p, _cost_card(p, pictures)) for p in report.problems)
    return _paragraph(intro, "intro") + cards


def _cost_card(problem: ProblemReport, pictures: _Pictures) -> str:
    blocks = "".join(f"<div>{pictures.figure(c)}{_cost_table(c)}</div>" for c in problem.cost_charts)
    return f"<div class='charts'>{blocks}</div>{_paragraph(problem.cost_note, 'note')}"


def _cost_table(chart: CostChart) -> str:
    points = sorted(chart.points, key=lambda p: p.seconds)
    rows = tuple(
        (
            f"{i}  {p.name}",
            duration(p.seconds),
            _error(p.error, chart),
            "yes" if p.guaranteed else "no",
        )
        for i, p in enumerate(points, start=1)
    )
    return _table(Table("", ("Way to answer", "Per case", "Error", "Limit stated"), rows))


def _error(value: float, chart: CostChart) -> str:
    if value < ROUNDING:
        return "rounding"
    return percent(value) if chart.percent else significant(value)


# 5 ------------------------------------------------------------------------------------------------------------------


def _ranges(report: Report, pictures: _Pictures) -> str:
    return "".join(_card(p, _range_card(p, pictures)) for p in report.problems)


def _range_card(problem: ProblemReport, pictures: _Pictures) -> str:
    if problem.ranges is None:
        return ""
    bars = "".join(_bar(r) for r in problem.ranges.intervals)
    words = _paragraph(problem.ranges.weakest) + bars + _paragraph(problem.ranges.note, "note")
    return words + pictures.grid(problem.ranges.charts)


def _bar(interval: ParameterRange) -> str:
    mark, at = "", ""
    if interval.weakest is not None:
        at = significant(interval.weakest, 3)
        value = escape(with_unit(at, interval.unit), quote=True)
        mark = f"<i style='left:{100 * interval.position:.1f}%' title='weakest case: {value}'></i>"
    high = with_unit(exact(interval.high), interval.unit)
    return (
        f"<div class='range'><span class='name'>{escape(interval.name)}</span>"
        f"<span class='low'>{escape(exact(interval.low))}</span><span class='bar'>{mark}</span>"
        f"<span>{escape(high)}</span><span class='at'>{escape(at)}</span></div>"
    )


# 6 ------------------------------------------------------------------------------------------------------------------


def _fields(report: Report, pictures: _Pictures) -> str:
    return "".join(_card(p, _field_card(p, pictures)) for p in report.problems)


def _field_card(problem: ProblemReport, pictures: _Pictures) -> str:
    rows: tuple[tuple[FieldPlot, ...], ...] = problem.fields
    return "".join(pictures.grid(row, small=True) for row in rows) + _paragraph(problem.fields_note, "note")


# 7 ------------------------------------------------------------------------------------------------------------------


def _appendix(report: Report, pictures: _Pictures) -> str:
    cards = "".join(_card(p, _appendix_card(p, pictures)) for p in report.problems)
    facts = {"Command": report.command, **report.machine, **report.versions}
    return cards + f"<div class='card'><h3>Run</h3>{_facts(facts)}</div>"


def _appendix_card(problem: ProblemReport, pictures: _Pictures) -> str:
    appendix = problem.appendix
    return (
        pictures.grid(appendix.charts)
        + _folded("Configuration", appendix.configuration)
        + _folded("Hashes (SHA-256)", appendix.hashes)
    )


def _folded(title: str, facts: Mapping[str, str]) -> str:
    return f"<details open><summary>{escape(title)}</summary>{_facts(facts)}</details>" if facts else ""


def _facts(facts: Mapping[str, str]) -> str:
    return f"<dl class='facts'>{_definitions(facts)}</dl>"


def _footer(report: Report) -> str:
    notes = "".join(_paragraph(n) for n in report.notes)
    made = f"{plural(len(report.problems), 'problem')}, made {report.created}".rstrip()
    return f"<footer>{notes}<p>{escape(made)}. Error-bounded; not a safety certification.</p></footer>"
