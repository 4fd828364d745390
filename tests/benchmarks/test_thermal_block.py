"""The benchmark runs, writes its rows, and fails where a row does not hold."""

import pytest
from tests.benchmarks.quick import run_quick

from nwidth.core.kinds import available


@pytest.mark.slow
@pytest.mark.skipif(not available("pymor"), reason="pyMOR is not installed")
def test_quick_version_holds_its_rows_and_writes_them(tmp_path):
    done = run_quick("thermal_block.py", tmp_path, timeout=300)
    for name in ("bounds of the field violated", "limits of the output violated"):
        assert done.rows[f"2x2: {name}"]["measured"] == 0 and done.rows[f"2x2: {name}"]["holds"]
    assert done.rows["2x2: largest true error, nwidth / pyMOR"]["measured"] == pytest.approx(1.0, abs=0.02)
    assert done.returncode == 0, done.said
    assert "small version" in done.said
