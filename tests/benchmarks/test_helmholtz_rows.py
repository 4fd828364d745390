"""The Helmholtz rows of the benchmark of generation: everybody solves the same systems, nobody is timed for garbage."""

import numpy as np
import pytest


@pytest.fixture
def helmholtz(beside):
    return beside("_helmholtz_rows")


def test_every_contestant_reaches_the_tolerance_but_the_usual_baseline(helmholtz):
    rows = {row.name: row for row in helmholtz.rows(True, 0)}
    ratios = [row for name, row in rows.items() if "/ batched" in name and "reason" not in row.detail]
    assert len(ratios) >= 4 and all(np.isfinite(row.measured) for row in ratios)
    for row in ratios:
        for part in row.detail.values():
            if isinstance(part, dict):
                assert part["largest_residual"] <= helmholtz.RTOL and part["ms"] > 0
    krylov = next(row for name, row in rows.items() if "GMRES" in name)
    assert krylov.measured > 1e-3 and "does not converge" in krylov.detail["reason"]


def test_a_wrong_contestant_has_no_ratio(helmholtz):
    problem = helmholtz.Helmholtz(16)
    results = helmholtz._race(problem, 0, 1, everybody=False)
    results["SuperLU, fixed ordering"].residuals.append(1e-3)
    found = {row.name: row.measured for row in helmholtz._ratios("x", results, None)}
    assert np.isnan(found["x: SuperLU, fixed ordering / batched LDLᵀ"])


def test_without_pardiso_its_row_does_not_hold(helmholtz, monkeypatch):
    monkeypatch.setattr(helmholtz, "available", lambda name: False)
    results = helmholtz._race(helmholtz.Helmholtz(16), 0, 1, everybody=False)
    row = helmholtz._ratios("x", results, 3.0)[-1]
    assert not row.holds and row.detail["reason"] == "no pypardiso"
