"""The demo's benchmark runs in small, and everything that does not depend on size or time holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nwidth.core.kinds import available

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "demo.py"


@pytest.mark.slow
@pytest.mark.skipif(not available("torch"), reason="torch is not installed")
def test_quick_version_holds_its_rows_and_writes_them(tmp_path):
    target = tmp_path / "rows.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--json", str(target)], capture_output=True, text=True, timeout=600
    )
    written = json.loads(target.read_text())
    assert set(written) >= {"name", "rows", "machine", "versions", "seed"}
    rows = {row["name"]: row for row in written["rows"]}
    for problem in ("power module", "thermal block", "Darcy"):
        row = rows[f"{problem}: answers outside their limit"]
        assert row["measured"] == 0 and row["detail"]["checked"] >= 30
    assert rows["Darcy: limit over error, smallest"]["measured"] >= 1
    assert rows["Darcy: limit over error, largest"]["measured"] <= 2
    missed = [row["name"] for row in written["rows"] if not row["holds"]]
    assert missed == [] and done.returncode == 0, done.stdout + done.stderr
