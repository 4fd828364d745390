"""The benchmark runs, writes its rows, and fails where a row does not hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nwidth.core.kinds import available

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "thermal_block.py"


@pytest.mark.slow
@pytest.mark.skipif(not available("pymor"), reason="pyMOR is not installed")
def test_quick_version_holds_its_rows_and_writes_them(tmp_path):
    target = tmp_path / "rows.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--json", str(target)], capture_output=True, text=True, timeout=300
    )
    written = json.loads(target.read_text())
    assert set(written) >= {"name", "rows", "machine", "versions", "seed"}
    rows = {row["name"]: row for row in written["rows"]}
    for name in ("bounds of the field violated", "limits of the output violated"):
        assert rows[f"2x2: {name}"]["measured"] == 0 and rows[f"2x2: {name}"]["holds"]
    assert rows["2x2: largest true error, nwidth / pyMOR"]["measured"] == pytest.approx(1.0, abs=0.02)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "small version" in done.stdout
