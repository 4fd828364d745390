"""Refinement broken on purpose, one line at a time: its tests must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

RULES = ("tests/bounds/test_gauss_radau.py",)
SIDES = ("tests/bounds/test_two_sided.py",)
STEPS = ("tests/solvers/test_riesz_cg_bounds.py",)
BESIDE = ("tests/solvers/test_deflation.py",)
REFINE = ("tests/online/test_refiner.py",)

MUTANTS = [
    Mutant(
        "Gauss-Lobatto without the step that is to come",
        "bounds/gauss_radau.py",
        "factor = step + gap",
        "factor = gap",
        RULES,
    ),
    Mutant(
        "an error before that leaves out what is left after",
        "bounds/two_sided.py",
        "np.sqrt(np.maximum(gain + noise, 0.0) + upper**2)",
        "np.sqrt(np.maximum(gain + noise, 0.0))",
        SIDES,
    ),
    Mutant(
        "a direction whose rounding is not counted",
        "bounds/two_sided.py",
        "found = (products - lost) / np.sqrt(energy)",
        "found = products / np.sqrt(energy) * (1 + 1e-9)",
        SIDES,
    ),
    Mutant(
        "one step ahead without what the step leaves",
        "bounds/two_sided.py",
        "np.maximum(gain, 0.0) + lost + rest**2",
        "np.maximum(gain, 0.0) + lost",
        SIDES,
    ),
    Mutant(
        "one step ahead without the rounding of the residual",
        "bounds/two_sided.py",
        "height * np.sqrt(squared) + noise / np.sqrt(",
        "height * np.sqrt(squared) + 0 * noise / np.sqrt(",
        SIDES,
    ),
    Mutant(
        "an error after without the rounding of what was gained",
        "bounds/two_sided.py",
        "np.maximum(square - gain, 0.0) + noise + 8",
        "np.maximum(square - gain, 0.0) + 0 * noise + 0",
        SIDES,
    ),
    Mutant(
        "a Riesz map that is never doubted",
        "bounds/residual.py",
        "s = r - inner.apply(z)",
        "s = 0 * inner.apply(z)",
        (*STEPS, "-k", "not_exact"),
    ),
    Mutant(
        "the clock is not looked at",
        "solvers/riesz_cg.py",
        "k == limit or perf_counter() >= task.ends",
        "k == limit",
        STEPS,
    ),
    Mutant(
        "a projection that forgets the matrix",
        "solvers/deflation.py",
        "along = np.matmul(self._images, z[:, :, None])[:, :, 0]",
        "along = z @ self._basis.T",
        BESIDE,
    ),
    Mutant(
        "samples that go to the other solver without need",
        "solvers/guaranteed.py",
        "far = expected_steps(contrast, known / stop.value) > state.patience",
        "far = known > 0",
        REFINE,
    ),
    Mutant(
        "an answer that missed the tolerance and does not say so",
        "online/refine.py",
        "missed = np.flatnonzero(~solution.converged)\n    if len(missed):\n        bound",
        "missed = np.flatnonzero(~solution.converged)\n    if len(missed) > 99:\n        bound",
        REFINE,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
