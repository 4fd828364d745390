"""The code of the pages on Fourier operators runs, and what the pages count is right."""

import re
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parents[2] / "docs" / "operators"


def run(page):
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        exec(block, found)
    return found


def test_the_page_on_the_fourier_operator():
    found = run("fno.md")
    assert found["answer"].field.shape == (4, 24, 24)
    assert (found["answer"].field[:, 0] == 0).all() and np.isfinite(found["answer"].field).all()


def test_the_page_on_the_factorised_operator():
    found = run("ffno.md")
    spectral = found["surrogate"].module.network.layers[0].spectral
    counted = sum(p.numel() for p in spectral.parameters())
    assert counted == 2 * (2 * 8 - 1) * 12**2 < found["numbers"]
    assert found["surrogate"].module.network.layers[2].spectral is spectral
