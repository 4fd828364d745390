"""The benchmark of non-affine problems runs in small, and no limit is missed."""

import pytest
from tests.benchmarks.quick import run_quick


@pytest.mark.slow
def test_quick_version_holds_its_rows_and_writes_them(tmp_path):
    done = run_quick("non_affine.py", tmp_path, timeout=600)
    missed = {name: row["measured"] for name, row in done.rows.items() if "limits missed" in name}
    assert len(missed) == 2 and set(missed.values()) == {0}
    assert done.rows["EIM: largest error over pyMOR's, same terms"]["measured"] == pytest.approx(1.0, rel=1e-6)
    assert done.returncode == 0, done.said
