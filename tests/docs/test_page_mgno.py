"""The code of the page on MgNO runs, and what it says of it holds."""

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "mgno.md"


def test_the_page_on_mgno():
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    cycle, field = found["network"].cycles[0], found["answer"].field
    assert cycle.depth == 4 and cycle.ends == (("zero", "zero"),) * 2
    runs = found["runs"]
    assert np.linalg.norm(field - runs.fields) < 0.5 * np.linalg.norm(runs.fields)
    np.testing.assert_array_equal(field[:, 0], 0.0)


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)|`(tests/[\w/]+\.py)`", PAGE.read_text()):
        target = PAGE.parent / link[0] if link[0] else PAGE.parents[2] / link[1]
        assert target.exists(), target
