"""The code of the page on regression runs, what it computes holds, and the names in its table are those of the code."""

import re
from pathlib import Path

import numpy as np

from nwidth.core.guarantee import Statistical
from nwidth.rb.pod_regression import PODRegression
from nwidth.rb.regressors.choose import BEST, REGRESSORS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "regression.md"


def test_the_page_on_regression(capsys):
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    answer, error = found["answer"], found["error"]
    assert isinstance(answer.guarantee, Statistical) and answer.guarantee.level == 0.9
    # 60 runs calibrate: three standard deviations of the coverage
    assert abs(np.mean(error <= answer.bound) - 0.9) < 3 * np.sqrt(0.09 / 60 + 0.09 / 300)
    assert "error on runs left out" in capsys.readouterr().out


def test_the_table_names_every_regressor():
    rows = set(re.findall(r"^\| `\"([\w-]+)\"`", PAGE.read_text(), re.MULTILINE))
    assert rows == {*REGRESSORS, BEST}
    assert PODRegression().regressor == "kernel" and '`"kernel"` (default)' in PAGE.read_text()
