"""A document as Markdown (CommonMark with tables): for a repository, a ticket, a diff."""

import numpy as np

from nwidth.reports.document import Block, Bullets, Document, Facts, Grid, Paragraph, Scatter, Tone
from nwidth.reports.words import significant

_MARKS = {Tone.PLAIN: "", Tone.GOOD: "✓ ", Tone.BAD: "✕ ", Tone.OPEN: "? "}


def to_markdown(document: Document) -> str:
    """The whole page."""
    parts = [f"# {_plain(document.title)}", _plain(document.lead)]
    for number, section in enumerate(document.sections, start=1):
        parts.append(f"## {number}. {_plain(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block))]
    return "\n\n".join([*parts, _plain(document.footer)]) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, tone):
            return _MARKS[tone] + _plain(text)
        case Bullets(items, tone, title):
            lines = "\n".join(f"- {_MARKS[tone]}{_plain(item)}" for item in items)
            return f"**{_plain(title)}**\n\n{lines}" if title else lines
        case Grid(table, tones, judged):
            marks = [_MARKS[tone] for tone in tones] or [""] * len(table.rows)
            rows = [table.header, tuple("---" for _ in table.header)]
            rows += [_marked(row, mark, judged) for row, mark in zip(table.rows, marks, strict=True)]
            text = "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)
            text = f"**{_plain(table.title)}**\n\n{text}" if table.title else text
            return f"{text}\n\n{_plain(table.note)}" if table.note else text
        case Facts(values):
            return "\n".join(f"- {_plain(name)}: `{value}`" for name, value in values.items())
        case Scatter(title):
            return _plain(f"{title}: {_in_words(block)}. The picture is in the HTML page.")


def _in_words(scatter: Scatter) -> str:
    """What the picture shows: how far limits are above errors."""
    shown = np.isfinite(scatter.errors) & np.isfinite(scatter.limits)
    if not shown.any():
        return "no case has a limit"
    ratio = scatter.limits[shown] / np.maximum(scatter.errors[shown], np.finfo(float).tiny)
    least, middle, most = (significant(float(f(ratio))) for f in (np.min, np.median, np.max))
    return f"stated limit over true error from {least} to {most}, median {middle}"


def _marked(row: tuple[str, ...], mark: str, judged: int) -> tuple[str, ...]:
    return tuple(mark + cell if i == judged else cell for i, cell in enumerate(row))


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands, on one line."""
    for mark in ("\\", "`", "*", "_", "<", "[", "#"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.splitlines())
