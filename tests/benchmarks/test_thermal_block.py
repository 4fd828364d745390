"""The benchmark runs, writes its rows, and fails where a row does not hold."""

import pytest
from tests.benchmarks.quick import run_quick

from nwidth.core.kinds import available


@pytest.mark.slow
@pytest.mark.skipif(not available("pymor"), reason="pyMOR is not installed")
def test_quick_version_holds_its_rows_and_writes_them(tmp_path):
    done = run_quick("thermal_block.py", tmp_path, timeout=300)
    for case in ("2x2", "3x3"):
        for name in ("bounds of the field violated, every N", "limits of the output violated, every N"):
            assert done.rows[f"{case}: {name}"]["measured"] == 0 and done.rows[f"{case}: {name}"]["holds"]
            assert done.rows[f"{case}: {name}"]["detail"]["checked"] >= 50 * 16
        assert done.rows[f"{case}: bounds that are zero or not finite"]["measured"] == 0
        assert done.rows[f"{case}: largest true error, nwidth / pyMOR"]["measured"] == pytest.approx(1.0, abs=0.02)
        assert 0 < done.rows[f"{case}: vectors held offline at the peak / (Q_A N)"]["measured"] < 3
    assert any("dofs" in name for name in done.rows)
    assert done.returncode == 0, done.said
    assert "small version" in done.said
