"""The code of the page on speed runs, and the two programs agree."""

import re
from pathlib import Path

import pytest

pytest.importorskip("neuralop")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "speed.md"


@pytest.mark.filterwarnings("ignore")
def test_the_page_on_speed():
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    assert found["difference"] < 1e-6
