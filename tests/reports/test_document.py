"""A page as data: HTML and Markdown of the same content, escaped, closed, and with broken limits in sight."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from nwidth.reports.document import Bullets, Document, Facts, Grid, Paragraph, Scatter, Section, Tone
from nwidth.reports.document_html import to_html
from nwidth.reports.document_markdown import to_markdown
from nwidth.reports.model import Table
from nwidth.reports.scatter import scatter_svg

NASTY = "a <b> & | *c* _d_ `e` [f]"


def page() -> Document:
    table = Table("caption", ("first", "second"), ((NASTY, "1"), ("y", "2")), "a note")
    blocks = (
        Paragraph(NASTY, Tone.BAD),
        Bullets((NASTY,), Tone.GOOD, "Promised"),
        Grid(table, (Tone.GOOD, Tone.OPEN), judged=1),
        Facts({"name": "value"}),
        Scatter("errors", np.array([1e-3, 2e-3]), np.array([2e-3, 1e-3]), "K"),
    )
    return Document("Title", "Lead", (Section("one", "Section", blocks),), "Footer")


class Closed(HTMLParser):
    """The stack of open tags, and what is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.loads += [value for key, value in attributes if key in ("src", "href") and value]
        if tag not in ("meta", "br"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def test_html_is_closed_escaped_and_loads_nothing():
    text = to_html(page())
    parser = Closed()
    parser.feed(text)
    assert parser.stack == [] and all(link.startswith("#") for link in parser.loads)
    assert "a &lt;b&gt; &amp; |" in text and "<b>" not in text
    assert not re.search(r"<script|<link|@import|url\(", text)


def test_markdown_shows_text_as_it_stands():
    text = to_markdown(page())
    assert "a \\<b> & \\| \\*c\\* \\_d\\_ \\`e\\` \\[f]" in text  # inside the table
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4 and {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}
    assert "| ✓ 1 |" in text and "| ? 2 |" in text


def test_a_broken_limit_is_a_cross_and_lies_below_the_diagonal():
    drawn = scatter_svg(Scatter("t", np.array([1e-3, 2e-3]), np.array([2e-3, 1e-3])))
    assert drawn.count("<circle") == 1 and drawn.count("✕") == 1
    (x, y), (left, top) = re.search(r"<circle cx='([\d.]+)' cy='([\d.]+)'", drawn).groups(), (52.0, 16.0)
    # limit = 2 x error: above the diagonal, which runs from the lower left to the upper right corner
    assert (300 - (float(y) - top)) > float(x) - left


@pytest.mark.parametrize(
    ("errors", "limits"), [([], []), ([np.nan], [1.0]), ([0.0], [1e-3]), ([1e-30, 1e-3], [1e-3, np.inf])]
)
def test_odd_numbers_are_drawn_or_left_out(errors, limits):
    drawn = scatter_svg(Scatter("t", np.array(errors, dtype=float), np.array(limits, dtype=float)))
    assert drawn.count("<circle") == int(np.sum(np.isfinite(errors) & np.isfinite(limits)))
    assert "nan" not in drawn and "inf" not in drawn
