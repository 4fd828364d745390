"""Mutants of residual estimators, of certificates for any surrogate, and of enrichment: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

FORMULAS = ("tests/rb/test_interpolated.py",)
ANY = ("tests/certificates/test_reduced_residual.py",)
CHEAPER = ("tests/certificates/test_estimator_certificate.py",)
ENRICH = ("tests/online/test_enrich.py",)

MUTANTS = [
    Mutant(
        "an interpolation without its remainder",
        "rb/interpolated.py",
        "whole = self.remainder is None",
        "whole = False",
        FORMULAS,
    ),
    Mutant(
        "a remainder that is not weighted",
        "rb/interpolated_kernel.py",
        "rest += sizes[k] * abs(z[i, k] - y[i, k])",
        "rest += abs(z[i, k] - y[i, k])",
        FORMULAS,
    ),
    Mutant(
        "a term of the combination dropped",
        "rb/interpolated_kernel.py",
        "for q in range(terms):",
        "for q in range(terms - 1):",
        FORMULAS,
    ),
    Mutant(
        "the Riesz map replaced by the identity",
        "rb/wide.py",
        "y = self.inner.riesz(target.astype(np.float64)).astype(LONG)",
        "y = target; return y * scale, 0 * scale[:, 0].astype(np.float64)",
        FORMULAS,
    ),
    Mutant(
        "the rounding of the square left out",
        "rb/interpolated.py",
        "noise = (rounding + defect + remainder)",
        "noise = (0 * rounding + 0 * defect + remainder)",
        FORMULAS,
    ),
    Mutant(
        "a bound by an estimator without the stability constant",
        "certificates/estimator.py",
        "energy = _no_nan((norm + noise) / root",
        "energy = _no_nan((norm + noise) / 1.0",
        CHEAPER,
    ),
    Mutant(
        "an estimator that is an estimate, called rigorous",
        "certificates/estimator.py",
        "return Estimate(_NORM, missing) if missing else",
        "return",
        CHEAPER,
    ),
    Mutant(
        "output limits without the dual norm",
        "certificates/estimator.py",
        "limits = _no_nan((self.duals * (energy / root)[:, None] + rounding)",
        "limits = _no_nan((0.1 * self.duals * (energy / root)[:, None] + rounding)",
        CHEAPER,
    ),
    Mutant(
        "prescribed values that are not imposed",
        "rb/extend.py",
        "cleared = np.where(self.terms.free, fields, 0.0)",
        "cleared = fields",
        ENRICH,
    ),
    Mutant(
        "the surrogate's offset left out",
        "certificates/reduced_residual.py",
        "return self.coordinates[0] + values.coefficients",
        "return values.coefficients",
        ANY,
    ),
    Mutant(
        "a projection in the Euclidean product",
        "certificates/reduced_residual.py",
        'problem.space.inner("energy").apply(rest) @ self.basis.T, np.nan)',
        "rest @ self.basis.T, np.nan)",
        ANY,
    ),
    Mutant(
        "an enrichment that stops one step too early",
        "online/enrich.py",
        "while not (relative <= self.rtol).all():",
        "for _ in range(1):",
        ENRICH,
    ),
    Mutant(
        "an enrichment that trusts a bound without its rounding",
        "online/enrich.py",
        "reduced = self._growing.reduced()",
        "reduced = self._growing.reduced(certified=False)",
        ENRICH,
    ),
    Mutant(
        "a relative bound against the wrong norm",
        "online/reduced_relative.py",
        "own = np.minimum(own, whole",
        "own = np.maximum(own, whole",
        ENRICH,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
