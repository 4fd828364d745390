"""Mutants of multigrid: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

TAPES = ("tests/solvers/test_multigrid_hierarchy.py",)
BATCHED = ("tests/solvers/test_multigrid_batched.py", "-k", "not gpu and (failures or start)")

MUTANTS = [
    Mutant(
        "a product from the wrong side", "solvers/multigrid/hierarchy.py", "-box.flat(back)", "box.flat(back)", TAPES
    ),
    Mutant(
        "couplings of the way back from the wrong place",
        "solvers/multigrid/hierarchy.py",
        "opposite(step)] + box.flat(shift)",
        "opposite(step)]",
        TAPES,
    ),
    Mutant(
        "weights that forget the couplings along the other axes",
        "solvers/multigrid/hierarchy.py",
        "if not any(s[a] for a in axes)]",
        "if not any(s)]",
        TAPES,
    ),
    Mutant("a halo that is not copied", "solvers/multigrid/tape.py", "if box.periodic[axis]:", "if False:", TAPES),
    Mutant(
        "residuals restricted from the neighbour",
        "solvers/multigrid/cycle.py",
        "move = -box.flat(shift)",
        "move = 0",
        TAPES,
    ),
    Mutant(
        "sweeps in the same order up and down", "solvers/multigrid/cycle.py", "order(fine)[::-1]", "order(fine)", TAPES
    ),
    Mutant("a weak axis that does not wait", "solvers/multigrid/plan.py", "p / 4 if h else p", "p", TAPES),
    Mutant(
        "a ring that is cut on the coarsest grid",
        "solvers/multigrid/plan.py",
        "if not periodic and not",
        "if not",
        TAPES,
    ),
    Mutant(
        "a load without a solution",
        "solvers/multigrid/work.py",
        "lost &= np.abs(flat.sum(axis=1)) >",
        "lost &= np.abs(flat.sum(axis=1)) < 0 *",
        BATCHED,
    ),
    Mutant(
        "whatever came out is called converged",
        "solvers/multigrid/batched.py",
        "done = usable & (norm <= tolerance * load)",
        "done = usable",
        BATCHED,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
