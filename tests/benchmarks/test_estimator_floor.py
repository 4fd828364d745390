"""The benchmark of residual formulas runs in small, writes its rows, and every one of them holds."""

import pytest
from tests.benchmarks.quick import run_quick


@pytest.mark.slow
def test_quick_version_holds_its_rows_and_writes_them(tmp_path):
    done = run_quick("estimator_floor.py", tmp_path, timeout=300)
    assert done.returncode == 0, done.said
    assert "small version" in done.said
    for name in ("orthonormal", "interpolated", "interpolated, all points"):
        assert done.rows[f"{name}: bounds violated"]["measured"] == 0
        assert done.rows[f"{name}: bounds that are zero or NaN"]["measured"] == 0
    curves = done.rows["true residual at the largest N, of the load"]["detail"]["curves"]
    assert len(curves["true"]) == len(curves["value"]["interpolated"]) == 13
    ours, true = curves["value"]["interpolated"], curves["true"]
    assert all(abs(a - b) < 1e-14 for a, b in zip(ours, true, strict=True))
    assert curves["value"]["assembled"][-1] > 100 * true[-1]
