"""Mutants of the residual bounds: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

DUAL = ("tests/bounds/test_dual_norm.py",)
ENERGY = ("tests/bounds/test_residual.py",)
LIMITS = ("tests/certificates/test_residual_limits.py",)
FAST = (*LIMITS, "-k", "fast_way")
OUTPUTS = ("tests/certificates/test_residual_certificate.py", "-k", "output")
GRID = ("tests/certificates/test_grid_certificate.py", "-k", "few_nodes")
NORMS = ("tests/bounds/test_norms.py",)

MUTANTS = [
    Mutant(
        "a stability constant a part in a thousand too large",
        "bounds/residual.py",
        "alpha = np.where(known, stability.lower, 1.0)",
        "alpha = np.where(known, 1.001 * stability.lower, 1.0)",
        ENERGY,
    ),
    Mutant(
        "the chord from the wrong end",
        "bounds/residual.py",
        "square = 1 + alpha / beta - mean / beta",
        "square = 1 + alpha / beta - mean / alpha",
        ENERGY,
    ),
    Mutant(
        "a chord that forgets what z misses",
        "bounds/residual.py",
        "return dual.energy * np.sqrt(square) + dual.rest",
        "return dual.energy * np.sqrt(square)",
        (*ENERGY, "-k", "sloppy"),
    ),
    Mutant(
        "a chord without the rounding of the residual",
        "bounds/residual.py",
        "/ np.sqrt(alpha) + floor",
        "/ np.sqrt(alpha) + 0 * floor",
        ENERGY,
    ),
    Mutant(
        "a lower bound that counts the rounding on the wrong side",
        "bounds/residual.py",
        "found = (form.product - noise * dual.energy)",
        "found = (form.product + noise * dual.energy)",
        (*LIMITS, "-k", "random"),
    ),
    Mutant(
        "a constant that nobody doubts",
        "bounds/residual.py",
        "none = ~known | wrong",
        "none = ~known",
        ENERGY,
    ),
    Mutant(
        "a dual norm without what the Riesz map misses",
        "bounds/dual_norm.py",
        "upper = np.sqrt(np.maximum(squared, 0.0) + loss + rest**2)",
        "upper = np.sqrt(np.maximum(squared, 0.0) + loss)",
        DUAL,
    ),
    Mutant(
        "numbers that are not scaled",
        "bounds/dual_norm.py",
        "if (scale == 1).all():",
        "if True:",
        DUAL,
    ),
    Mutant(
        "a Riesz map in single precision with a factor too many",
        "spaces/single_riesz.py",
        "return Folded(even, odd, size / self._weight)",
        "return Folded(even, odd, size)",
        DUAL,
    ),
    Mutant(
        "the fast way without its smallest face",
        "bounds/_grid_residual.py",
        "low[k] = min(low[k], mean)\n            high[k] = max(high[k], mean)\n        if i > 0",
        "high[k] = max(high[k], mean)\n        if i > 0",
        FAST,
    ),
    Mutant(
        "the fast way with a residual that misses a neighbour",
        "bounds/_grid_residual.py",
        "+ (e2 * v[i, k - 1] + e3 * v[i, k + 1])\n            sizes",
        "+ (e2 * v[i, k - 1])\n            sizes",
        FAST,
    ),
    Mutant(
        "the fast way for a field with wrong values on the boundary",
        "bounds/_grid_residual.py",
        "if v[b, i, k] != g[d, i, k]:",
        "if False:",
        FAST,
    ),
    Mutant(
        "L2 without Friedrichs' constant",
        "bounds/norms.py",
        "direct = middle * self._norms(found.z)[1] + half * self.root * dual.energy + rest",
        "direct = middle * self._norms(found.z)[1] + half * dual.energy + rest",
        NORMS,
    ),
    Mutant(
        "L2 from the representer alone",
        "bounds/norms.py",
        "direct = middle * self._norms(found.z)[1] + half * self.root * dual.energy + rest",
        "direct = middle * self._norms(found.z)[1] + rest",
        NORMS,
    ),
    Mutant(
        "a correction whose own error is not counted",
        "bounds/norms.py",
        "np.fmin(upper, high + rest), np.fmax(lower, (low - rest)",
        "np.fmin(upper, high), np.fmax(lower, (low)",
        NORMS,
    ),
    Mutant(
        "a resistor network that counts each path once",
        "bounds/mesh_friedrichs.py",
        "beyond[before[node]] += beyond[node]",
        "beyond[before[node]] += 0 * beyond[node]",
        NORMS,
    ),
    Mutant(
        "Friedrichs' constant of a box twice as long",
        "bounds/friedrichs.py",
        "(np.pi**2 * (1 / sides**2).sum())",
        "(4 * np.pi**2 * (1 / sides**2).sum())",
        NORMS,
    ),
    Mutant(
        "a limit of an output without the stability constant",
        "bounds/outputs.py",
        "limit = dual / np.sqrt(np.where(known, lower, 1.0)) *",
        "limit = dual *",
        OUTPUTS,
    ),
    Mutant(
        "a limit of an output with a stability constant a part in a thousand too large",
        "bounds/outputs.py",
        "limit = dual / np.sqrt(np.where(known, lower, 1.0)) *",
        "limit = dual / np.sqrt(np.where(known, 1.001 * lower, 1.0)) *",
        (*OUTPUTS[:2], "output and representer"),
    ),
    Mutant(
        "a limit of an output with half of its dual norm",
        "bounds/outputs.py",
        "quantity.functional, 0.0)[None])[0]",
        "quantity.functional, 0.0)[None])[0] / 2",
        OUTPUTS,
    ),
    Mutant(
        "the fast way without the rounding of its residual",
        "bounds/grid_residual.py",
        "np.sqrt(found[passes.MAGNITUDE] / self.inner.lambda_min)",
        "np.sqrt(0 * found[passes.MAGNITUDE] / self.inner.lambda_min)",
        GRID,
    ),
    Mutant(
        "limits where sources and fluxes do not balance",
        "certificates/residual.py",
        "reason[~solvable] =",
        "reason[solvable & ~solvable] =",
        (*LIMITS, "-k", "balance"),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
