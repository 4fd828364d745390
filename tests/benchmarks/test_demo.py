"""The demo's benchmark runs in small, and everything that does not depend on size or time holds."""

import pytest
from tests.benchmarks.quick import run_quick

from nwidth.core.kinds import available


@pytest.mark.slow
@pytest.mark.skipif(not available("torch"), reason="torch is not installed")
def test_quick_version_holds_its_rows_and_writes_them(tmp_path):
    done = run_quick("demo.py", tmp_path)
    for problem in ("power module", "thermal block", "Darcy"):
        row = done.rows[f"{problem}: answers outside their limit"]
        assert row["measured"] == 0 and row["detail"]["checked"] >= 30
    assert done.rows["Darcy: limit over error, smallest"]["measured"] >= 1
    assert done.rows["Darcy: limit over error, largest"]["measured"] <= 2
    missed = [name for name, row in done.rows.items() if not row["holds"]]
    assert missed == [] and done.returncode == 0, done.said
