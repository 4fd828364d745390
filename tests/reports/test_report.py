"""The page: complete, in order, self-contained, escaped, and readable without the network."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console
from tests.reports import synthetic

from nwidth.core.errors import InputError, WorkError
from nwidth.reports import figures, html
from nwidth.reports.console import print_verdict
from nwidth.reports.model import Curves, LimitCheck
from nwidth.reports.palette import LIGHT, PAGE
from nwidth.reports.style import styled


@pytest.fixture(scope="module")
def page() -> str:
    return html.render(synthetic.report())


class Structure(HTMLParser):
    """Open and closed tags, ids, and every attribute that could load something."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.loads += [v for k, v in attributes if k in ("src", "href", "xlink:href", "srcset", "data") and v]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


@pytest.fixture(scope="module")
def structure(page) -> Structure:
    parser = Structure()
    parser.feed(page)
    return parser


def test_sections_come_in_the_promised_order(page):
    assert re.findall(r"<section id='(\w+)'", page) == [
        "verdict", "promises", "outputs", "cost", "ranges", "fields", "appendix",
    ]  # fmt: skip


def test_every_tag_is_closed_and_every_id_is_unique(structure):
    assert structure.stack == []
    assert len(structure.ids) == len(set(structure.ids)) > 20


def test_nothing_is_loaded_from_outside(page, structure):
    assert structure.loads, "the check must see the links inside the figures"
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in structure.loads)
    assert not re.search(r"@import|url\((?!#)|<script|<link|<iframe", page)
    targets = {link[1:] for link in structure.loads if link.startswith("#")}
    assert targets <= set(structure.ids), "a reference inside a figure points to nothing"


def test_user_text_is_escaped(page):
    assert "&lt;k &amp; h&gt;" in page and "<k & h>" not in page


def test_figures_follow_the_colour_scheme(page):
    assert "prefers-color-scheme: dark" in page and "var(--ink)" in page
    assert not any(placeholder in page for placeholder in vars(PAGE).values())


def test_the_page_states_verdict_promise_limits_and_violations(page):
    for text in ("✓ Use", "Promised", "Not promised", "At most 0.0008 K", "0 of 200", "Pays after", "weakest case"):
        assert text in page


def test_a_limit_that_was_missed_is_shown_as_an_alarm():
    row = synthetic.reduced_problem().outputs[0]
    missed = html._output_row(type(row)(**{**vars(row), "outside": 3}))
    assert "class='alarm'>3 of 200" in missed and "class='ok'" not in missed


def test_without_matplotlib_the_page_still_tells_everything(monkeypatch):
    monkeypatch.setattr(html, "available", lambda package: False)
    page = html.render(synthetic.report())
    assert "nwidth[report]" in page and "<svg" not in page and "At most 0.0008 K" in page


def test_written_whole_or_not_at_all(tmp_path):
    target = html.write(synthetic.report(), tmp_path / "deep" / "report")
    assert target.read_text(encoding="utf-8").endswith("</html>\n") and len(list(target.parent.iterdir())) == 1
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkError, match="choose another folder"):
        html.write(synthetic.report(), tmp_path / "file")


def test_the_console_says_the_same_in_about_ten_lines():
    console = Console(width=400, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_verdict(synthetic.report(), console)
    lines = console.export_text().strip().splitlines()
    assert len(lines) == 3 * len(synthetic.report().problems)
    assert lines[0].startswith("✓ Power module: Use it")


def test_a_violation_is_drawn_as_a_cross():
    limits = np.full(5, 1.0)
    with styled(LIGHT):
        held = figures.draw(LimitCheck("", limits / 2, limits, "K"), LIGHT).axes[0]
        missed = figures.draw(LimitCheck("", np.array([0.5, 2.0, 0.5, 0.5, 0.5]), limits, "K"), LIGHT).axes[0]
    assert [len(c.get_offsets()) for c in held.collections[1:]] == [5, 0]
    assert [len(c.get_offsets()) for c in missed.collections[1:]] == [4, 1]


def test_the_same_chart_gives_the_same_picture():
    chart = Curves("t", "x", "y", {"a": (np.arange(3), np.array([1.0, 0.1, 0.01]))})
    assert figures.svg(chart, "f1") == figures.svg(chart, "f1")


def test_something_else_is_not_a_chart():
    with pytest.raises(InputError, match="cannot draw a int"):
        figures.draw(3, LIGHT)
