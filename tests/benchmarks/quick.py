"""Run the quick version of a benchmark as people do, and read the rows that it writes."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@dataclass(frozen=True)
class Quick:
    """What a benchmark wrote (name -> row), said and returned."""

    rows: Mapping[str, Any]
    said: str
    returncode: int


def run_quick(script: str, folder: Path, timeout: float = 600) -> Quick:
    """`python benchmarks/SCRIPT --quick --json folder/rows.json`, with the header of the file checked."""
    target = folder / "rows.json"
    command = [sys.executable, str(BENCHMARKS / script), "--quick", "--json", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    said = done.stdout + done.stderr
    assert target.is_file() and "Traceback" not in said, said  # rows are written part by part
    written = json.loads(target.read_text())
    assert set(written) >= {"name", "rows", "machine", "versions", "seed"}
    return Quick({row["name"]: row for row in written["rows"]}, said, done.returncode)
