"""The benchmarks of regressions in small: errors and coverage of what can be fitted here, or the reason why not."""

import pytest
from tests.benchmarks.quick import run_quick

from nwidth.core.errors import InputError
from nwidth.core.kinds import available
from nwidth.io.public import public_data


def missing(name):
    try:
        return public_data(name) is None
    except InputError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(missing("holed_poisson") or not available("torch"), reason="no public data, or no torch to read it")
def test_the_moving_hole(tmp_path):
    rows = run_quick("moving_hole.py", tmp_path).rows
    assert rows["moving hole, kernel: typical error"]["measured"] < 0.05
    for regressor in ("kernel", "rbf", "gaussian-process", "network", "kernel, by turns"):
        row = rows[f"moving hole, {regressor}: held out within their limit"]
        assert row["holds"] and row["detail"]["total"] == 24
    if available("ezyrb"):
        assert rows["moving hole: error of the best EZyRB / best of nwidth"]["holds"]


@pytest.mark.slow
@pytest.mark.skipif(missing("elastic_block"), reason="no public data")
def test_the_elastic_block(tmp_path):
    rows = run_quick("elastic_block.py", tmp_path).rows
    assert rows["elastic block, kernel: typical error"]["holds"]
    assert rows["elastic block, rbf: held out within their limit"]["detail"]["total"] == 100
