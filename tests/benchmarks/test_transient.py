"""The transient benchmark runs, writes its rows, and its limits hold."""

import pytest
from tests.benchmarks.quick import run_quick


@pytest.mark.slow
def test_quick_version_holds_its_rows_and_writes_them(tmp_path):
    done = run_quick("transient.py", tmp_path, timeout=600)
    assert done.rows["2,000 steps: limits violated"]["measured"] == 0
    assert done.rows["2,000 steps: limit of an output / true error, median"]["measured"] <= 100
    # the networks fit where they are at home, and not where the cooling changes
    home, away = (done.rows[f"{name}: RC network, largest error"]["measured"] for name in ("one h", "h changes"))
    assert home < 0.1 and away > 1.0
    assert done.rows["h changes: RC network with a cooled node, largest error"]["measured"] < 0.5
    assert done.rows["h changes: reduced model, largest error"]["measured"] < 0.1
    assert done.returncode == 0, done.said
