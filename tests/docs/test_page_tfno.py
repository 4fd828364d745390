"""The code of the pages on the tensorised operator and its patches runs, and what they say holds."""

import re
from pathlib import Path

import numpy as np
import pytest

from nwidth.linmaps.spectral_ranks import ranks_for
from nwidth.operators.tensor_network import parameter_parts

PAGES = Path(__file__).resolve().parents[2] / "docs" / "operators"


def run(page: str) -> dict:
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(), re.DOTALL):
        exec(block, found)
    return found


def test_the_page_on_the_tensorised_operator():
    found = run("tfno.md")
    parts = parameter_parts(found["surrogate"].module.network)
    assert sum(parts.values()) == found["numbers"]
    assert parts["weights"] <= 0.1 * 3 * 16**2 * 121
    low, error = found["low"], found["error"]
    assert parameter_parts(low.module.network)["weights"] <= 8_000
    assert 0 < error < 1
    assert np.isfinite(low.predict(found["runs"].mu).values).all()
    assert ranks_for("tucker", (32, 32), (16, 16), 0.1) == (8, 8)
    assert round(100 * (961 * 64 + 2 * 32 * 8) / (961 * 32**2), 1) == 6.3


def test_the_page_on_patches():
    found = run("mg_tfno.md")
    assert found["windows"].shape == (2, 13)
    values = found["surrogate"].predict(found["runs"].mu).values
    truth = np.asarray(found["runs"].fields)
    assert np.linalg.norm(values - truth) < 0.5 * np.linalg.norm(truth)


@pytest.mark.parametrize("page", ["tfno.md", "mg_tfno.md"])
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", (PAGES / page).read_text()):
        assert (PAGES / link).resolve().exists() or link == "index.md", link
