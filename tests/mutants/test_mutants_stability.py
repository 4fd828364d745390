"""Mutants of proven stability constants and of output limits: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

POSITIVE = ("tests/bounds/test_positive.py",)
SCM = ("tests/bounds/test_scm.py",)
STABILITY = ("tests/rb/test_stability.py",)
DUAL = ("tests/rb/test_dual.py",)
RESIDUALS = "bounds/factor_residual.py"

MUTANTS = [
    Mutant("a residual that forgets the mirror", RESIDUALS, "sums[i] += size_here", "sums[i] += 0.0", POSITIVE),
    Mutant("a residual without its rounding", RESIDUALS, "* _EPS * magnitude", "* 0.0 * magnitude", POSITIVE),
    Mutant("a sum without its rounding", "bounds/positive.py", "+ rounding) *", ") *", POSITIVE),
    Mutant("a shift that is not translated into X", "bounds/positive.py", "sigma - loss - 4", "sigma - 4", POSITIVE),
    Mutant("pivots of any sign", "bounds/positive.py", "(pivots > 0).all()", "(pivots != 0).all()", POSITIVE),
    Mutant(
        "an eigenvalue taken for a bound",
        "bounds/positive.py",
        "    loss = delta / lambda_min",
        "    return sigma + 1e-3 * abs(sigma)\n    loss = delta / lambda_min",
        POSITIVE,
    ),
    Mutant("a box with its sides exchanged", "bounds/scm.py", "total += min(at_low", "total += max(at_low", SCM),
    Mutant("a multiplier's term left out", "bounds/scm.py", "rest = theta[q] - moved\n", "rest = theta[q]\n", SCM),
    Mutant("multipliers below zero", "bounds/scm.py", "np.maximum(multipliers, 0.0)", "multipliers", SCM),
    Mutant("a bound that only its box knows", "bounds/scm.py", "if found > best", "if found < best", SCM),
    Mutant("a constraint with the wrong sign", "bounds/scm_build.py", "[low, -high]", "[low, high]", SCM),
    Mutant(
        "a search that trusts its quotients", "bounds/scm_build.py", "gap = 1 - lower / above", "gap = 0 * lower", SCM
    ),
    Mutant("another comparison in C", "bounds/scm.py", "(total > alpha)", "(total < alpha)", SCM),
    Mutant("negative constants pass", "rb/stability.py", "found.lower > 0", "found.lower > -np.inf", STABILITY),
    Mutant(
        "an infinite limit without its reason",
        "certificates/reduced.py",
        "reason[np.isnan(lower)] =",
        "reason[:0] =",
        STABILITY,
    ),
    Mutant("a limit without the continuity constant", "rb/dual.py", " + self.continuity * bound**2 / lower", "", DUAL),
    Mutant("a continuity constant of one side", "rb/dual_greedy.py", "max(abs(low), abs(high))", "abs(low)", DUAL),
    Mutant("a limit without the dual bound", "rb/dual.py", "bound * dual_bound", "0.0 * dual_bound", DUAL),
    Mutant(
        "a dual bound with α a part in a thousand too large",
        "rb/dual.py",
        "root = np.sqrt(lower)",
        "root = np.sqrt(1.001 * lower)",
        ("tests/certificates/test_output_certificate.py",),
    ),
    Mutant("a dual problem that forgets Q", "rb/dual_greedy.py", "2 * rowwise(q, ", "0 * rowwise(q, ", DUAL),
    Mutant("a dual problem that forgets the lift", "rb/dual_greedy.py", " + 2 * at_lift", "", DUAL),
    Mutant("no correction", "rb/dual.py", '"bm,bm->b", duals, rest', '"bm,bm->b", 0 * duals, rest', DUAL),
    Mutant("an output without rounding", "rb/dual.py", "return gamma(self.operations)", "return 0.0", DUAL),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
