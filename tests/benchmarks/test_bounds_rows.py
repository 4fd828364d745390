"""The rows on residual bounds in small: the oracle agrees with the package, and sees a bound that is none."""

from dataclasses import replace

import numpy as np
import pytest

from nwidth.problems.base import Stability


@pytest.fixture
def bounds(beside):
    return beside("_certificate_bounds_rows")


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
        # energy and L2 from both sides, and each output with both certificates
        outputs = family.problem.quantities() if family.name in ("mesh", "elasticity") else ()
        assert tally.checks == 60 * (4 + 2 * len(outputs)) and not any(tally.refused.values())
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
    assert tally.violations["upper"] + tally.refused["upper"] > 5


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"bound": np.inf, "lower": 0.0}, "cases without a limit"),
        ({"lower": 0.0}, "lower bound over the error up to contrast 4, smallest"),
        ({"bound": 1e200}, "L2 limit over the error up to contrast 4, median"),
    ],
)
@pytest.mark.parametrize("norm", ["energy", "l2"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # quantiles of infinite numbers
def test_a_bound_that_says_nothing_misses_a_row(bounds, monkeypatch, change, name, norm):
    """What would be no violation: no limit at all, a lower bound of zero, a limit that is far off."""

    class Silent(bounds.ResidualCertificate):
        def bound(self, prediction):
            said = super().bound(prediction)
            return replace(said, **{k: np.full(len(said), v) for k, v in change.items()}) if self.norm == norm else said

    monkeypatch.setattr(bounds, "ResidualCertificate", Silent)
    family = next(f for f in bounds.families() if f.name == "grid, values given")
    missed = {row.name for row in bounds._rows(family, 60, 0) if not row.holds}
    assert missed, (name, norm)
    if norm == ("l2" if "L2" in name else "energy"):
        assert f"{family.name}: {name}" in missed


def test_an_output_s_limit_that_is_too_small_is_counted(bounds, monkeypatch):
    class Small(bounds.ResidualCertificate):
        def bound(self, prediction):
            said = super().bound(prediction)
            outputs = {name: replace(o, limit=1e-3 * o.limit) for name, o in said.outputs.items()}
            return replace(said, outputs=outputs)

    monkeypatch.setattr(bounds, "ResidualCertificate", Small)
    for family in bounds.families():
        if family.name in ("mesh", "elasticity"):
            assert bounds.tallied(family, 60, 0).violations["outputs"] > 5


def test_a_quick_run_has_every_row(bounds, monkeypatch):
    monkeypatch.setattr(bounds, "families", lambda: [])
    rows = bounds.rows(True, 0)
    assert [row.name for row in rows] == [
        "bound for 8 fields at 32² / own multigrid",
        "bound for 8 fields at 32² / Pardiso",
        "bound for 8 fields at 32² / Pardiso as this package calls it",
    ][: len(rows)]
    assert all(0 < row.measured < 1 or "reason" in row.detail for row in rows)
    spent = rows[0].detail["milliseconds per field"]
    if "reason" not in rows[1].detail:
        assert 0 < spent["of that, the assembly"] < spent["Pardiso, assembly included"]
        assert rows[0].detail["largest residual of Pardiso"] < 1e-8
