"""The benchmark of certificates in small: every part has rows, and every row with a target holds."""

import pytest
from tests.benchmarks.quick import run_quick

from nwidth.core.kinds import available

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (available("torch") and available("pypardiso")), reason="needs torch and pypardiso"),
]

#: Words of a row of each part.
PARTS = {
    "bounds": "grid, Robin: violations",
    "refine": "iterations to 1e-4, operator over zero",
    "nonsymmetric": "violations, transport",
    "total": "total error, violations",
    "time": "violations in time, affine",
    "selection": "the surrogate's own optimum",
    "coverage": "from its law",
    "routing": "time over the best single way",
    "evidence": "evidence: one page",
}


def test_every_part_has_rows_and_every_target_is_met(tmp_path):
    found = run_quick("certificates.py", tmp_path)
    missing = [part for part, words in PARTS.items() if not any(words in name for name in found.rows)]
    assert not missing, found.said
    judged = {name: row for name, row in found.rows.items() if row["target"] is not None}
    assert not [name for name, row in judged.items() if not row["holds"]], found.said
    assert found.returncode == 0 and len(judged) > 60
