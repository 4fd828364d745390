"""The benchmark of generation runs in its quick version and writes its rows."""

import pytest
from tests.benchmarks.quick import run_quick


@pytest.mark.slow
def test_quick_version_writes_its_rows(tmp_path):
    done = run_quick("generation.py", tmp_path)
    assert done.rows["Darcy 12/3, 32²: nwidth, samples/s"]["measured"] > 0
    assert done.rows["Darcy 12/3, 32²: GCRO-DR, sorted / nwidth"]["measured"] > 1
    assert done.rows["32², two-valued 1e14, tau 100: wrong answers called converged"]["holds"]
    assert done.rows["resident growth from 100 to 300 samples on disk"]["holds"]
    assert "small version" in done.said
