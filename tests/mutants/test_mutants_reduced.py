"""Mutants of the offline stage and of batches: the suite must notice each.

The classic three (a bound without coercivity, a residual that forgets a term, no Riesz map) stand in `test_mutants`.
"""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

ORTHONORMAL = ("tests/rb/test_orthonormal.py",)
EXACT = ("tests/rb/test_compensated.py",)
PRODUCTS = ("tests/rb/test_products.py",)
MANY = ("tests/rb/test_many.py",)
GREEDY = ("tests/rb/test_greedy.py",)
LANES = ("tests/rb/test_lanes.py",)
MEMORY = ("tests/rb/test_offline_memory.py",)
DEFECTS = ("tests/rb/test_residual_defects.py",)

MUTANTS = [
    Mutant(
        "vectors projected only once",
        "rb/orthonormal.py",
        "moved = project(basis, block, inner.apply(block))",
        "moved = np.zeros((len(block), 1))",
        ORTHONORMAL,
    ),
    Mutant(
        "a new part relative to nothing", "rb/orthonormal.py", "new[left] = sizes\n", "new[left] = 1.0\n", ORTHONORMAL
    ),
    Mutant("a sum that forgets how its products were rounded", "rb/compensated.py", ") + low_product)", "))", EXACT),
    Mutant(
        "a norm of half the stencil",
        "spaces/grid_products.py",
        "4 * float(self._weights.sum())",
        "2 * float(self._weights.sum())",
        PRODUCTS,
    ),
    Mutant(
        "coordinates that begin a mode late", "rb/steps.py", "firsts = terms * np", "firsts = terms + terms * np", MANY
    ),
    Mutant(
        "every output taken for a compliant one",
        "rb/many.py",
        "guess if apart and beyond else np.nan",
        "guess",
        MANY,
    ),
    Mutant(
        "a compliant dual of the wrong size",
        "rb/many.py",
        "kappa / np.where(nonzero, ",
        "kappa * np.where(nonzero, ",
        MANY,
    ),
    Mutant(
        "a functional left out of its own residual", "rb/many.py", "np.ones((1, batch))", "np.zeros((1, batch))", MANY
    ),
    Mutant(
        "a backward substitution that skips its block",
        "rb/lanes.py",
        "for e in range(r + 1, rows)",
        "for e in ()",
        LANES,
    ),
    Mutant(
        "pivots that are no reciprocals",
        "rb/lanes.py",
        "self.builder.fdiv(one, self",
        "self.builder.fmul(one, self",
        LANES,
    ),
    Mutant(
        "a search that solves where the bound is smallest",
        "rb/greedy.py",
        "worst = int(np.argmax(per_sample))",
        "worst = int(np.argmin(per_sample))",
        GREEDY,
    ),
    Mutant(
        "a residual basis that is held twice",
        "rb/residual.py",
        "self._used += len(found.fresh)",
        "self._used += len(found.fresh); self._again = self._w[: self._used].copy()",
        MEMORY,
    ),
    Mutant(
        "defects of loads alone",
        "rb/residual.py",
        "defects[place:stop] = self._defect(self._matrices, modes, here, lengths)",
        "defects[place:stop] = 0.0",
        DEFECTS,
    ),
    Mutant(
        "defects without the Riesz map's constant",
        "rb/residual.py",
        "return rest / np.sqrt(self._inner.lambda_min)",
        "return rest",
        DEFECTS,
    ),
    Mutant(
        "a basis of representatives that counts as orthonormal",
        "rb/residual.py",
        "np.sqrt(1 + np.sqrt(square))",
        "1.0",
        DEFECTS,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
