"""Mutants of formulas, exported C files and matrices from other programs: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

C = ("tests/rb/test_export.py",)
FORMULAS = ("tests/core/test_expressions.py", "tests/problems/test_formulas.py")
MATRICES = ("tests/rb/test_matrices.py",)
TEMPLATES = "rb/export/templates.py"

MUTANTS = [
    Mutant("C: a bound without the constant", TEMPLATES, "root = sqrt(alpha);", "root = 1.0;", C),
    Mutant("C: one row of the residual left out", TEMPLATES, "at += length;", "at += (k == 3U) ? 0U : length;", C),
    Mutant("C: a bound without rounding", TEMPLATES, " + ((noise / root) * @one@)", "", C),
    Mutant(
        "C: a limit without the correction",
        TEMPLATES,
        "        value += correction;\n",
        "",
        C,
    ),
    Mutant("C: the limit of an output from the field alone", TEMPLATES, "energy * @name@_energy(z, root)", "energy", C),
    Mutant("C: a broken sensor that goes unnoticed", TEMPLATES, "status |= @NAME@_NOT_FINITE;", "status |= 0U;", C),
    Mutant("C: an upper end that is outside", TEMPLATES, "mu[i] <= @name@_high[i]", "mu[i] < @name@_high[i]", C),
    Mutant("C: a limit in spite of an unstable model", TEMPLATES, "status |= @NAME@_NOT_STABLE;", "status |= 0U;", C),
    Mutant(
        "C: work that depends on the data",
        TEMPLATES,
        "k < K_; ++k) {\n        const",
        "(k < K_) && (z[K_ - 1U] < 0.0); ++k) {\n        const",
        C,
    ),
    Mutant(
        "C: a quadratic output without its quadratic part of the limit",
        "rb/export/dual_templates.py",
        " + ((@continuity@ * bound * bound) / alpha)",
        "",
        C,
    ),
    Mutant(
        "C: the larger of two limits", "rb/export/dual_templates.py", "if (limit <= result", "if (limit >= result", C
    ),
    Mutant("C: numbers of six digits", "rb/export/text.py", "float(value).hex()", "f'{float(value):.6e}'", C),
    Mutant("C: a promise without a proof", "rb/export/header.py", "if parts.proven else", "if parts.model else", C),
    Mutant("a power from the left", "core/expressions.py", 'ast.Pow: "**"', 'ast.Pow: "*"', FORMULAS),
    Mutant(
        "formulas that may call anything",
        "core/expressions.py",
        "if name in _FUNCTIONS:\n                return self._call",
        "if name in _FUNCTIONS or name == 'eval':\n                return self._call",
        FORMULAS,
    ),
    Mutant(
        "a maximum that swallows NaN",
        "core/programs.py",
        "x if x > y or np.isnan(x) else y",
        "x if x > y else y",
        FORMULAS,
    ),
    Mutant("a value that is not finite passes", "core/programs.py", "bad = b\n", "bad = bad\n", FORMULAS),
    Mutant(
        "prescribed values without their loads",
        "rb/matrices.py",
        "-(matrices[q] @ values)",
        "0 * (matrices[q] @ values)",
        MATRICES,
    ),
    Mutant(
        "an estimate that is called proven", "rb/comparison.py", ".max(axis=1), proven=False", ".max(axis=1)", MATRICES
    ),
    Mutant(
        "a comparison without its product",
        "rb/comparison.py",
        "low * self.lower, low * self.upper",
        "low, low",
        MATRICES,
    ),
    Mutant(
        "terms that are not semidefinite pass",
        "rb/matrix_stability.py",
        "(known.constants(theta).lower > 0).all()",
        "known is not None",
        MATRICES,
    ),
    Mutant(
        "a product that is not symmetric passes",
        "rb/matrix_checks.py",
        "_SYMMETRY * largest:",
        "1e9 * largest:",
        MATRICES,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
