"""The benchmark of generation runs in its quick version and writes its rows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "generation.py"


@pytest.mark.slow
def test_quick_version_writes_its_rows(tmp_path):
    target = tmp_path / "rows.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--json", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert target.is_file(), done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(target.read_text())["rows"]}
    assert rows["Darcy 12/3, 32²: nwidth, samples/s"]["measured"] > 0
    assert rows["Darcy 12/3, 32²: GCRO-DR, sorted / nwidth"]["measured"] > 1
    assert rows["32², two-valued 1e14, tau 100: wrong answers called converged"]["holds"]
    assert rows["resident growth from 100 to 300 samples on disk"]["holds"]
    assert "small version" in done.stdout
