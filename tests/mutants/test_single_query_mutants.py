"""Mutants of the compiled single query: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

ONE = ("tests/certificates/test_one_by_one.py",)

MUTANTS = [
    Mutant(
        "a single query with a constant a part in a thousand too large",
        "rb/single.py",
        "np.empty(widths[n]), np.sqrt(lower)",
        "np.empty(widths[n]), np.sqrt(1.001 * lower)",
        ONE,
    ),
    Mutant(
        "residual rows that end too early",
        "rb/single.py",
        "width, amount = widths[j + 1], mode[j]",
        "width, amount = widths[j], mode[j]",
        ONE,
    ),
    Mutant(
        "a single query without its dual's rounding",
        "rb/single.py",
        "output_weights[s]) + shift * size +",
        "output_weights[s]) +",
        ONE,
    ),
    Mutant("a query outside that is called inside", "rb/single.py", "inside and box[0, i]", "inside or box[0, i]", ONE),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
