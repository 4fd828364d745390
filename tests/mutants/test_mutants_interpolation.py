"""Mutants of empirical interpolation and its bounds: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

BOUND = ("tests/certificates/test_interpolation_certificate.py",)
INTERPOLANT = ("tests/rb/interpolation/test_interpolant.py",)
TAYLOR = ("tests/rb/interpolation/test_taylor.py",)
PROBLEM = ("tests/problems/test_non_affine.py",)

MUTANTS = [
    Mutant(
        "a bound without the interpolation error",
        "certificates/interpolation.py",
        "self.total = (norm + self.change + self.rounding)",
        "self.total = (norm + self.rounding)",
        BOUND,
    ),
    Mutant(
        "a bound without the error of the source",
        "certificates/interpolation.py",
        "+ errors.source * self._constant\n",
        "\n",
        BOUND,
    ),
    Mutant(
        "a bound without the error of the reaction",
        "certificates/interpolation.py",
        "+ errors.reaction * self._constant * (self._constant * size + mean_lift)",
        "+ 0.0 * mean_lift",
        BOUND,
    ),
    Mutant(
        "an output limit without the interpolation of the primal",
        "certificates/interpolation.py",
        "(total / self.root) + self.change * size + rounding",
        "(total / self.root) + rounding",
        BOUND,
    ),
    Mutant(
        "a bound without the error of the diffusion",
        "certificates/interpolation.py",
        "errors.diffusion * (size + lift)",
        "0.0 * lift",
        BOUND,
    ),
    Mutant(
        "one more point that passes for a proof",
        "certificates/interpolation.py",
        'if self.error == "next point":',
        'if self.error == "nowhere":',
        BOUND,
    ),
    Mutant(
        "the wrong end of the spectrum",
        "certificates/interpolation_error.py",
        "lower=stability_of(forms, values).lower",
        "lower=stability_of(forms, values).upper",
        BOUND,
    ),
    Mutant("a remainder without the operator", "rb/interpolation/taylor.py", "self.gain * rest", "rest", TAYLOR),
    Mutant(
        "a Taylor series without factorials",
        "rb/interpolation/taylor.py",
        "prod(factorial(b)",
        "prod(2 * factorial(b)",
        TAYLOR,
    ),
    Mutant("half the distance", "rb/interpolation/taylor.py", "distance = np.abs(", "distance = 0.5 * np.abs(", TAYLOR),
    Mutant(
        "a slope that forgets a direction",
        "certificates/interpolation_error.py",
        "for gradient in forms.gradients",
        "for gradient in forms.gradients[:1]",
        BOUND,
    ),
    Mutant(
        "a weighted bound without the source",
        "certificates/interpolation_error.py",
        'rest, rounding = error["source"].value, error',
        'rest, rounding = 0.0 * error["source"].value, error',
        BOUND,
    ),
    Mutant(
        "fewer coordinates without what they leave out",
        "rb/interpolation/compressed.py",
        "defects=residual.defects + residual.gain * left_out * (1 + 1e-9)",
        "defects=residual.defects",
        ("tests/rb/interpolation/test_compressed.py",),
    ),
    Mutant(
        "a projector in the wrong norm",
        "rb/interpolation/interpolant.py",
        "right.T @ self.operator @ left",
        "self.operator @ left",
        INTERPOLANT,
    ),
    Mutant(
        "pivots of the transpose",
        "rb/interpolation/selection.py",
        "la.qr(basis, mode",
        "la.qr(basis[:, ::-1], mode",
        INTERPOLANT,
    ),
    Mutant(
        "points that are not nested",
        "rb/interpolation/interpolant.py",
        "self.points[:terms], int(",
        "self.points[-terms:], int(",
        INTERPOLANT,
    ),
    Mutant(
        "a load that forgets the lift",
        "problems/non_affine.py",
        "if forms.lift.any():",
        "if not forms.lift.any():",
        PROBLEM,
    ),
    Mutant(
        "a reaction that is left out of the constant",
        "problems/non_affine.py",
        "np.minimum(least, 0.0)",
        "0.0 * np.minimum(least, 0.0)",
        PROBLEM,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
