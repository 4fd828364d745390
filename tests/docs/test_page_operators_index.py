"""The index of the operators: its code runs, and every page it names exists."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "index.md"


def test_the_code_runs():
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    assert found["answer"].field.shape == (4, 17, 17)


def test_every_page_exists():
    links = re.findall(r"\]\(([\w./]+\.md)\)", PAGE.read_text())
    assert len(links) > 12
    assert [link for link in links if not (PAGE.parent / link).is_file()] == []
