"""The code of the page on the public Darcy data runs where the data is, and what it shows holds."""

import re
from pathlib import Path

import numpy as np
import pytest

from nwidth.core.errors import InputError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "darcy_public.md"


def test_the_page_on_public_darcy_data(nwidth_data, monkeypatch):
    monkeypatch.setenv("NWIDTH_DATA", str(nwidth_data))
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    fine, answer = found["fine"], found["answer"]
    assert answer.field.shape == (25, 33, 33)
    error = np.sqrt(np.mean((answer.field - np.asarray(found["other"].fields)) ** 2, axis=(1, 2)))
    assert np.mean(error <= answer.bound) > 0.6 and np.isfinite(answer.bound).all()
    with pytest.raises(InputError, match="another surrogate"):
        found["nw"].Certified(fine, found["at_16"])
