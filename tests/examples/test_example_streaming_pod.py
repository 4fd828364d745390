"""The example of a killed and resumed pass: the same basis bit by bit, and a bound that holds."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "streaming_pod.py"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_the_pass_is_killed_and_gives_the_same_basis():
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], env=os.environ.copy(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert f"ended with {-signal.SIGKILL}" in done.stdout
    assert "the same bit by bit: True" in done.stdout
    lost = float(done.stdout.partition("leave out at most ")[2].split()[0])
    assert 1e-6 < lost <= 1e-4
    assert "uaranteed" in done.stdout
