"""The code of the page on calibrated limits, what it computes holds, and its table names what the code knows."""

import re
from pathlib import Path

import numpy as np

from nwidth.certificates.difficulty import PARTS
from nwidth.core.guarantee import Statistical

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformal.md"


def test_the_page_on_calibrated_limits():
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    error, answer, common = found["error"], found["answer"], found["common"]
    allowed = 3 * np.sqrt(0.09 / 94 + 0.09 / len(error))
    for held in (error <= answer.bound, error <= common.bound, found["inside"]):
        assert abs(np.mean(held) - 0.9) < allowed
    accepted = answer.bound <= found["tolerance"]
    assert accepted.mean() > 0.5 and not (common.bound <= found["tolerance"]).any()
    assert "residual" in found["certified"].certificate.difficulties["field"].name
    grouped, shifted = (found[name].predict(found["fresh"].mu) for name in ("grouped", "shifted"))
    upper = found["fresh"].mu["frequency"] >= found["middle"]
    assert np.isfinite(grouped.bound).all()
    np.testing.assert_array_equal(np.isfinite(shifted.bound), upper)
    assert isinstance(shifted.guarantee, Statistical) and "stated shift" in str(shifted.guarantee)


def test_the_table_names_what_a_scale_may_look_at():
    rows = set(re.findall(r"^\| `\"([\w ]+)\"`", PAGE.read_text(), re.MULTILINE))
    assert rows == {*PARTS, "one for all"}
