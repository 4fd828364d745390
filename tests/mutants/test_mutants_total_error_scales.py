"""Mutants of the total error's units, comparison of data and insulated sides: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

SCALES = ("tests/online/test_total_error_scales.py::test_tiny_and_huge_numbers_on_triangles",)
CROSSED = ("tests/bounds/equilibrated/test_insulated_sides.py::test_fluxes_are_in_balance_and_nothing_crosses",)
CONSTANT = ("tests/bounds/equilibrated/test_insulated_sides.py::test_the_constant_of_what_is_left_is_one",)
COMPARED = ("tests/online/test_total_error.py::test_cell_data_that_the_matrices_are_not_made_of",)
MISSING = ("tests/online/test_minimize_unanswered.py",)
HERE = "bounds/equilibrated"

MUTANTS = [
    Mutant(
        "bounds in the units of the problem",
        f"{HERE}/units.py",
        "level = np.where(level < NOTHING // 2, 0, level)",
        "level = 0 * level",
        SCALES,
    ),
    Mutant("an iteration whose squares overflow", "online/total_error.py", "= 128, 1000", "= 10**6, 10**6", SCALES),
    Mutant(
        "data compared in the first sample alone",
        "online/total_error.py",
        "np.argmax(wrong / size)",
        "np.argmax((wrong / size)[:1])",
        COMPARED,
    ),
    Mutant(
        "a turning part that crosses an insulated side",
        f"{HERE}/bubbles.py",
        "np.flatnonzero(~mesh.natural)",
        "np.arange(len(mesh.edges))",
        CROSSED,
    ),
    Mutant(
        "Friedrichs of the box with insulated sides",
        f"{HERE}/triangles.py",
        "if self.natural.any():",
        "if False:",
        CONSTANT,
    ),
    Mutant(
        "a gap promised for designs without an answer",
        "online/minimize.py",
        "unanswered = ~answer.inside | np.isnan(values) | np.isneginf(values)",
        "unanswered = np.zeros(len(values), dtype=bool)",
        MISSING,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
