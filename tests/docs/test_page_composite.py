"""The code of the page on the composite runs, and what it says about its answers holds."""

import re
from pathlib import Path

import numpy as np

from nwidth.core.guarantee import Statistical

PAGE = Path(__file__).resolve().parents[2] / "docs" / "composite.md"


def test_the_page_on_the_composite(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    answer, truth = found["answer"], np.asarray(found["unseen"].fields)
    assert isinstance(answer.guarantee, Statistical) and answer.inside.all()
    error = np.abs(answer.field - truth).max(axis=(1, 2))
    assert np.mean(error <= answer.bound) >= 0.5 and np.median(error) < truth.max()
    np.testing.assert_allclose(found["turned"], found["p"][0].T, atol=1e-3 * found["p"].max())
    # what is printed: the peak of one cell, and the stress of its first load step
    assert "largest plastic strain" in capsys.readouterr().out
    assert (tmp_path / "comparison.tex").exists() and "booktabs" not in (tmp_path / "comparison.csv").read_text()
