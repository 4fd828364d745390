"""The rows on residual bounds in small: the oracle agrees with the package, and sees a bound that is none."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nwidth.problems.base import Stability

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bounds(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import _certificate_bounds_rows

    yield _certificate_bounds_rows
    for name in ("_harness", "_bounds_oracle", "_certificate_bounds_rows"):
        sys.modules.pop(name, None)


def test_the_oracle_solves_what_the_package_assembles(bounds):
    rng = np.random.default_rng(0)
    for family in bounds.families():
        mu = family.draw(rng, 3)
        truth = family.truth(family.problem, mu)
        for i in range(3):
            system = family.problem.assemble({name: values[i : i + 1] for name, values in mu.items()})
            free = system.free
            theirs = system.matrix.tocsr()[free][:, free].toarray()
            np.testing.assert_allclose(truth.a[i].astype(float), theirs, atol=1e-13 * np.abs(theirs).max())
            solved = np.linalg.solve(theirs, system.load[free]) + system.lift[free]
            np.testing.assert_allclose(
                truth.u[i, free].astype(float), solved, rtol=1e-6, atol=1e-9 * np.abs(solved).max()
            )


def test_no_case_escapes_and_effectivity_stays_within_the_theory(bounds):
    for family in bounds.families():
        tally = bounds.tallied(family, 60, 1)
        assert tally.cases == 60 and not any(tally.violations.values()), (family.name, tally.violations)
        effectivity, contrast = np.concatenate(tally.effectivity), np.concatenate(tally.contrast)
        assert (effectivity <= (1 + 1e-6) * (contrast + 1) / (2 * np.sqrt(contrast))).all()
        assert len(effectivity) > 25


@pytest.mark.parametrize("factor", [1.001, 2.0])
def test_a_false_constant_is_seen(bounds, factor):
    """Where a coefficient is constant the bound is the error: a part in a thousand shows, or is disproved."""
    family = next(f for f in bounds.families() if f.name == "grid, harmonic means")
    true = family.problem

    class Wrong(type(true)):
        def constant(self, mu, field=None):
            known = super().constant(mu)
            return Stability(factor * known.lower, factor * known.upper)

    tally = bounds.tallied(replace(family, problem=Wrong(true.grid, true.rule)), 200, 0)
    assert tally.violations["upper"] + tally.refused > 5


def test_a_quick_run_has_every_row(bounds, monkeypatch):
    monkeypatch.setattr(bounds, "families", lambda: [])
    rows = bounds.rows(True, 0)
    assert [row.name for row in rows] == [
        "bound for 8 fields at 32² / own multigrid",
        "bound for 8 fields at 32² / Pardiso",
    ]
    assert all(0 < row.measured < 1 or "reason" in row.detail for row in rows)
