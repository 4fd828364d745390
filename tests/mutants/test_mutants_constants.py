"""Stability constants a part in a thousand too large, wherever one enters a bound: the suite must notice each.

Those of bounds/residual.py, bounds/space_time.py and bounds/outputs.py stand beside their other mutants. Gauss rules
take the proven ends of the spectrum a thousandth apart from what they are, so that here they are moved from there.
"""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

RULES = ("tests/bounds/test_gauss_radau.py",)
STEPS = ("tests/solvers/test_riesz_cg_bounds.py",)
INF_SUP = ("tests/bounds/test_inf_sup.py", "-k", "just_below")
FACES = ("tests/bounds/test_nonsymmetric.py", "-k", "one_node or upwinding")
LINEAR = ("tests/certificates/test_linear_residual.py", "-k", "attained or transport")
NORMS = ("tests/bounds/test_norms.py", "-k", "known_exactly or hold")
BLOCK = ("tests/problems/test_thermal_block.py", "-k", "enclose")
REDUCED = ("tests/certificates/test_reduced_certificate.py", "-k", "agrees_with")
ESTIMATOR = ("tests/certificates/test_estimator_certificate.py",)
INTERPOLATION = ("tests/certificates/test_interpolation_certificate.py", "-k", "multiple_of")

MUTANTS = [
    Mutant(
        "the lower end of the spectrum in a Gauss rule",
        "bounds/gauss_radau.py",
        "STRETCH = 0.999,",
        "STRETCH = 1.001,",
        RULES,
    ),
    Mutant(
        "the upper end of the spectrum in a Gauss rule",
        "bounds/gauss_radau.py",
        "= 0.999, 1.001",
        "= 0.999, 0.999",
        RULES,
    ),
    Mutant(
        "the chord between steps of conjugate gradients",
        "solvers/riesz_cg.py",
        "found.energy(task.systems, task.inner, Stability(task.lower, task.upper))",
        "found.energy(task.systems, task.inner, Stability(1.001 * task.lower, task.upper))",
        (*STEPS, "-k", "both_ends"),
    ),
    Mutant(
        "the bounds of conjugate gradients with Riesz maps of their own",
        "solvers/riesz_cg.py",
        "stability, systems, inner = Stability(task.lower, task.upper),",
        "stability, systems, inner = Stability(1.001 * task.lower, task.upper),",
        STEPS,
    ),
    Mutant(
        "an inf-sup constant", "bounds/inf_sup.py", "value = (delta - shift", "value = (1.001 * delta - shift", INF_SUP
    ),
    Mutant(
        "coercivity read off the faces",
        "bounds/nonsymmetric.py",
        "np.where(inside, s / weight - room, np.inf)",
        "np.where(inside, 1.001 * s / weight - room, np.inf)",
        FACES,
    ),
    Mutant(
        "an energy bound from the faces",
        "bounds/nonsymmetric.py",
        "above=np.where(known, 1 / np.sqrt(alpha) *",
        "above=np.where(known, 1 / np.sqrt(1.001 * alpha) *",
        LINEAR,
    ),
    Mutant(
        "a residual bound without symmetry",
        "bounds/dual_residual.py",
        "above = np.where(known, dual.above, 1.0)",
        "above = np.where(known, dual.above / 1.001, 1.0)",
        LINEAR,
    ),
    Mutant(
        "L2 by duality",
        "bounds/norms.py",
        "alpha = np.where(known, stability.lower, 1.0)",
        "alpha = np.where(known, 1.001 * stability.lower, 1.0)",
        NORMS,
    ),
    Mutant(
        "the coefficients of a grid",
        "problems/grid_range.py",
        "    return low, high\n",
        "    return 1.001 * low, high\n",
        FACES,
    ),
    Mutant(
        "the smallest ratio of coefficients",
        "problems/min_theta.py",
        "Stability(lower=low - shift,",
        "Stability(lower=1.001 * low - shift,",
        BLOCK,
    ),
    Mutant(
        "a reduced basis",
        "certificates/reduced.py",
        "root = np.sqrt(lower)[:, None]",
        "root = np.sqrt(1.001 * lower)[:, None]",
        REDUCED,
    ),
    Mutant(
        "a basis from matrices of one's own",
        "certificates/estimator.py",
        "np.where(stability.lower > 0, stability.lower, np.nan))  # no",
        "np.where(stability.lower > 0, 1.001 * stability.lower, np.nan))  # no",
        ESTIMATOR,
    ),
    Mutant(
        "a basis with interpolated coefficients",
        "certificates/interpolation.py",
        "np.where(errors.lower > 0, errors.lower, np.nan)",
        "np.where(errors.lower > 0, 1.001 * errors.lower, np.nan)",
        INTERPOLATION,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
