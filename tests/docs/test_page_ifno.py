"""The code of the page on the implicit Fourier operator runs."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "ifno.md"


def test_the_page_on_the_implicit_operator():
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    assert found["answer"].field.shape == (4, 17, 17)
    assert sum(p.numel() for p in found["surrogate"].module.parameters()) < 30_000
