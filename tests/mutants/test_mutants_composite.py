"""Mutants of the composite cell, the contest and its tables: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

J2 = ("tests/problems/test_j2.py",)
CELL = ("tests/problems/test_cell_path.py",)
PROBLEM = ("tests/problems/test_composite.py",)
CONTEST = ("tests/study/test_contest.py",)
TABLES = ("tests/reports/test_tables.py",)
SHIFTS = ("tests/surrogates/test_translate.py",)

MUTANTS = [
    Mutant(
        "Prager without its two thirds", "problems/j2.py", "2 * shear + 2 * kinematic / 3", "2 * shear + kinematic", J2
    ),
    Mutant("a plane without its third deviator", "problems/j2.py", "x22 * x22 + x33 * x33 + 2", "x22 * x22 + 2", J2),
    Mutant("the continuum tangent", "problems/j2.py", "left = 1 - 3 * shear * step / q", "left = 1 - 0 * step / q", J2),
    Mutant(
        "Green's operator without its coupling",
        "problems/periodic_cell.py",
        "0.5 * (g11 - g22) + 1j * g12",
        "0.5 * (g11 - g22) + 0j * g12",
        CELL,
    ),
    Mutant(
        "a step that forgets its history", "problems/cell_path.py", "state, past, scale = after,", "past, scale =", CELL
    ),
    Mutant("Newton that is content too soon", "problems/cell_path.py", "<= self.stepping.tol:", "<= 1e-3:", CELL),
    Mutant(
        "linear systems that are never solved better",
        "problems/cell_path.py",
        "min(self.stepping.forcing, 0.9 * ratio**2)",
        "0.5",
        CELL,
    ),
    Mutant("discs that do not go around", "spaces/discs.py", "distance - np.round(distance)", "distance", PROBLEM),
    Mutant("discs that touch", "spaces/discs.py", "2 * self.radius + self.gap", "self.radius + self.gap", PROBLEM),
    Mutant(
        "one sign of the load only",
        "problems/composite.py",
        "*(1.0, -1.0) * self.cycles",
        "*(1.0, 1.0) * self.cycles",
        PROBLEM,
    ),
    Mutant("epochs although time was agreed", "study/contest.py", "epochs=_MANY", "epochs=1", CONTEST),
    Mutant(
        "a deviation of the whole",
        "reports/tables.py",
        "spread = float(np.std(entry, ddof=1))",
        "spread = float(np.std(entry, ddof=0))",
        TABLES,
    ),
    Mutant(
        "LaTeX that is broken by a name", "reports/tables.py", "name.translate(_LATEX), *cells", "name, *cells", TABLES
    ),
    Mutant(
        "an output that stays behind",
        "surrogates/training/translate.py",
        "torch.roll(x, shifts, axes), torch.roll(y, shifts, axes)",
        "torch.roll(x, shifts, axes), y",
        SHIFTS,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
