"""The benchmarks of operators in small: every part runs, and what does not depend on a long training holds."""

import pytest
from tests.benchmarks.quick import run_quick

from nwidth.core.kinds import available

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (available("torch") and available("neuralop")), reason="needs torch and neuraloperator"),
]


def test_accuracy_parameters_resolution_and_the_table(tmp_path):
    rows = run_quick("operators.py", tmp_path).rows
    limits = {name: row for name, row in rows.items() if name.endswith("L² error over its limit")}
    assert len(limits) == 4 and all(row["holds"] for row in limits.values())
    for part in ("equal time", "equal epochs", "parameters at equal error", "L² error of U-Net", "POD + kernel"):
        assert any(part in name for name in rows), part


def test_layers_compute_the_same_function_and_resolve(tmp_path):
    rows = run_quick("spectral_layer.py", tmp_path).rows
    exact = [row for name, row in rows.items() if "differ" in name or "deviation" in name]
    assert exact and all(row["holds"] for row in exact)
    assert all(row["measured"] < 1e-5 for name, row in rows.items() if name.endswith("error of ours layer"))
