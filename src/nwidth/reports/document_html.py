"""A document as one HTML file: no script, no network, drawings inline, the same bytes for the same document."""

from collections.abc import Iterable
from html import escape

from nwidth.reports.document import Block, Bullets, Document, Facts, Grid, Paragraph, Scatter, Section, Tone
from nwidth.reports.html import stylesheet
from nwidth.reports.model import Table
from nwidth.reports.scatter import scatter_svg

#: What the sheet of the reports lacks: tables whose cells are sentences.
_CSS = """
main, header, footer { max-width: 980px; }
section { margin: 1.9rem 0; }
td { text-align: left; } thead th { text-align: left; }
table { width: 100%; }
tbody th { text-align: left; font-weight: 500; min-width: 7rem; }
td.state { white-space: nowrap; font-weight: 700; }
p.t-good, td.t-good { color: var(--good); } p.t-bad, td.t-bad { color: var(--bad); }
p.t-open, td.t-open { color: var(--unsure); }
p.t-good, p.t-bad, p.t-open { font-weight: 600; }
ul.t-good li::before { content: "✓"; color: var(--good); }
ul.t-bad li::before { content: "–"; color: var(--bad); }
ul.t-open li::before { content: "?"; color: var(--unsure); }
.facts { grid-template-columns: minmax(8rem, 18rem) 1fr; }
figure { display: inline-block; width: min(100%, 430px); margin: .9rem 1rem 0 0; vertical-align: top; }
@media print { body { font-size: 10pt; } section { break-inside: auto; } tr { break-inside: avoid; } }
"""
_MARKS = {Tone.PLAIN: "", Tone.GOOD: "✓ ", Tone.BAD: "✕ ", Tone.OPEN: "? "}


def to_html(document: Document) -> str:
    """The whole page."""
    body = "".join(_section(i, section) for i, section in enumerate(document.sections, start=1))
    links = "".join(f"<a href='#{s.key}'>{escape(s.title)}</a>" for s in document.sections)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(document.title)}</title><style>{stylesheet()}{_CSS}</style></head><body>"
        f"<header><h1>{escape(document.title)}</h1><p class='lead'>{escape(document.lead)}</p><nav>{links}</nav>"
        "</header>"
        f"<main>{body}</main><footer><p>{escape(document.footer)}</p></footer></body></html>\n"
    )


def _section(number: int, section: Section) -> str:
    blocks = "".join(_block(block) for block in section.blocks)
    return (
        f"<section id='{section.key}'><h2><span class='n'>{number}</span>{escape(section.title)}</h2>"
        f"<div class='card'>{blocks}</div></section>"
    )


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, tone):
            return f"<p{_class(tone)}>{_MARKS[tone]}{escape(text)}</p>"
        case Bullets(items, tone, title):
            head = f"<h4>{escape(title)}</h4>" if title else ""
            lines = "".join(f"<li>{escape(item)}</li>" for item in items)
            return f"{head}<ul class='plain t-{tone or 'good'}'>{lines}</ul>"
        case Grid(table, tones, judged):
            return _grid(table, tones, judged)
        case Facts(values):
            rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in values.items())
            return f"<dl class='facts'>{rows}</dl>"
        case Scatter(title):
            return f"<figure><figcaption>{escape(title)}</figcaption>{scatter_svg(block)}</figure>"


def _class(tone: Tone) -> str:
    return f" class='t-{tone}'" if tone else ""


def _grid(table: Table, tones: Iterable[Tone], judged: int) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    marked = list(tones) or [Tone.PLAIN] * len(table.rows)
    rows = "".join(_row(row, tone, judged) for row, tone in zip(table.rows, marked, strict=True))
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    note = f"<p class='note'>{escape(table.note)}</p>" if table.note else ""
    return (
        f"<div class='scroll'><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


def _row(cells: tuple[str, ...], tone: Tone, judged: int) -> str:
    first, *rest = cells
    found = [f"<th>{escape(first)}</th>"]
    for i, cell in enumerate(rest, start=1):
        mark = f" class='state t-{tone}'" if i == judged and tone else ""
        found.append(f"<td{mark}>{_MARKS[tone] if mark else ''}{escape(cell)}</td>")
    return f"<tr>{''.join(found)}</tr>"
