"""Mutants of limits of trajectories, of steps that are a problem's own, and of verified optima: each is noticed."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

FILE = "tests/certificates/test_parabolic_residual.py"
STEADY = (f"{FILE}::test_a_steady_error_in_the_slowest_mode_has_its_own_size_as_the_limit",)
EXACT = (f"{FILE}::test_where_the_operator_is_the_reference_the_limit_is_the_error",)
HEAT = (f"{FILE}::test_nothing_breaks_the_limits_of_heat",)
AFFINE = (f"{FILE}::test_nothing_breaks_the_limits_of_affine_problems",)
GAIN = (f"{FILE}::test_each_sweep_gains_a_factor",)
CONTRACTION = (f"{FILE}::test_contraction_is_that_of_the_compiled_kernel",)
IMPOSED = (f"{FILE}::test_prescribed_values_are_imposed_and_the_given_start_is_used",)
BEST = ("tests/online/test_minimize.py",)

MUTANTS = [
    Mutant(
        "a limit without the stability constant",
        "bounds/space_time.py",
        "np.where(usable, norm / root, np.inf)",
        "np.where(usable, norm, np.inf)",
        (*STEADY, *HEAT),
    ),
    Mutant(
        "a stability constant that is a thousandth too large",
        "bounds/space_time.py",
        "return Known(alpha, beta, alpha * mass.lower * (1 - slack)",
        "alpha = 1.001 * alpha\n    return Known(alpha, beta, alpha * mass.lower * (1 - slack)",
        STEADY,
    ),
    Mutant(
        "the Riesz map applied twice",
        "bounds/space_time.py",
        "z = self.inner.riesz(r)",
        "z = self.inner.riesz(self.inner.riesz(r))",
        STEADY,
    ),
    Mutant(
        "levels in single precision",
        "bounds/step_systems.py",
        "np.ascontiguousarray(w.T)",
        "np.ascontiguousarray(w.T).astype(np.float32).astype(np.float64)",
        EXACT,
    ),
    Mutant(
        "a residual without the change in time",
        "bounds/step_systems.py",
        "left = self.mass.matrix @ ((columns",
        "left = 0 * self.mass.matrix @ ((columns",
        EXACT,
    ),
    Mutant(
        "a rest that forgets how far the operator is from the reference",
        "bounds/space_time.py",
        "distance * np.sqrt(product.square(point))",
        "0 * distance * np.sqrt(product.square(point))",
        AFFINE,
    ),
    Mutant(
        "a lower bound that forgets the rest",
        "bounds/space_time.py",
        "- (rest.upper + moved) * (1 + 16 * EPS), 0.0)",
        "- moved * (1 + 16 * EPS), 0.0)",
        AFFINE,
    ),
    Mutant(
        "a second sweep of the same residual",
        "bounds/space_time.py",
        "self.r = np.where(system.free, self.r - left, 0.0)",
        "self.r = np.where(system.free, self.r, 0.0)",
        GAIN,
    ),
    Mutant(
        "an energy without its last level",
        "bounds/space_time.py",
        "np.sum(system.energy(z))) + float(high[-1]))",
        "np.sum(system.energy(z))))",
        EXACT,
    ),
    Mutant(
        "Crank-Nicolson that damps fast modes",
        "bounds/space_time.py",
        "kappa = 1.0 / root + 0.5 * dt * top",
        "kappa = 1.0 / root",
        CONTRACTION,
    ),
    Mutant(
        "prescribed values that are not imposed",
        "bounds/step_systems.py",
        "return np.where(self.free, field, self.given[1:] + self.shift), w",
        "return field, w",
        IMPOSED,
    ),
    Mutant(
        "loads of the end alone",
        "problems/stepped.py",
        "0.5 * (np.array(ends[1:]) + np.array(ends[:-1]))",
        "np.array(ends[1:])",
        HEAT,
    ),
    Mutant(
        "a modal march without the past",
        "spaces/constant_march.py",
        "(modes[:, k] + self._shift * z) * inverse",
        "modes[:, k] * inverse",
        EXACT,
    ),
    Mutant(
        "a winner by what the surrogate said",
        "online/minimize.py",
        "best = int(np.argmin(solved))",
        "best = int(np.argmin(search.value[chosen]))",
        BEST,
    ),
    Mutant(
        "a winner whose limit always holds",
        "online/minimize.py",
        "held=bool(abs(value - predicted) <= limit) if known",
        "held=True if known",
        BEST,
    ),
    Mutant(
        "a limit that holds for whatever lies below",
        "online/minimize.py",
        "held=bool(abs(value - predicted) <= limit) if known",
        "held=bool(predicted - value <= limit) if known",
        BEST,
    ),
    Mutant(
        "a gap without the limits",
        "online/minimize.py",
        "self.value - self.limit, np.inf)[others]",
        "self.value, np.inf)[others]",
        BEST,
    ),
    Mutant(
        "limits of weights that keep their sign",
        "online/minimize.py",
        "np.sum([abs(w) *",
        "np.sum([w *",
        BEST,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
