"""Mutants of linear maps, of their conversion and of the V-cycle: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

KINDS = ("tests/linmaps/test_matrix_kinds.py",)
CONVERSION = ("tests/linmaps/test_conversion.py",)
CYCLE = ("tests/linmaps/test_multigrid.py",)
SUITE = ("tests/linmaps/test_suite_catches.py",)
MGNO = ("tests/operators/test_mgno.py",)

MUTANTS = [
    Mutant(
        "a transpose for an adjoint", "linmaps/low_rank.py", "else -self.left_imag.T", "else self.left_imag.T", KINDS
    ),
    Mutant(
        "places read the wrong way round",
        "linmaps/sparse_low_rank.py",
        "self.rows, self.columns, self._inputs",
        "self.columns, self.rows, self._inputs",
        KINDS,
    ),
    Mutant(
        "a place counted twice",
        "linmaps/sparse_low_rank.py",
        "Cost(2 * batch * places",
        "Cost(4 * batch * places",
        KINDS,
    ),
    Mutant(
        "outliers bend the vectors",
        "linmaps/sparse_low_rank.py",
        "torch.where(remainder.abs() > threshold, remainder, 0.0)",
        "0.0 * remainder",
        KINDS,
    ),
    Mutant(
        "a product that forgets the other terms",
        "linmaps/kronecker.py",
        "root = s[:terms].sqrt()",
        "root = s[:terms].sqrt() * (torch.arange(terms) < 1)",
        KINDS,
    ),
    Mutant(
        "one rank too few",
        "linmaps/singular.py",
        "max(1, int(good.nonzero()[0]))",
        "max(1, int(good.nonzero()[0]) - 1)",
        CONVERSION,
    ),
    Mutant(
        "a range that is never checked",
        "linmaps/singular.py",
        "if rest <= max(",
        "if q.shape[1] or rest <= max(",
        CONVERSION,
    ),
    Mutant(
        "an estimate taken for a bound",
        "linmaps/convert.py",
        "return math.sqrt((1 + high) / (1 - low))",
        "return 1.0",
        CONVERSION,
    ),
    Mutant(
        "a missed tolerance that nobody hears of",
        "linmaps/convert.py",
        "if tol is not None and not error",
        "if tol is None and not error",
        KINDS,
    ),
    Mutant(
        "the largest of the good ones",
        "linmaps/compress.py",
        "return min(good, key=",
        "return max(good, key=",
        CONVERSION,
    ),
    Mutant(
        "a coarse grid that begins at the boundary",
        "linmaps/stencil.py",
        'int(low == "zero" and n > 1)',
        "0 * n",
        CYCLE,
    ),
    Mutant(
        "a mirror beside the node", "linmaps/stencil.py", "2 * (size - 1) - position", "2 * size - 1 - position", CYCLE
    ),
    Mutant(
        "a correction of f, not of the residual",
        "linmaps/multigrid.py",
        "level.restrict.apply(self.r[number], rest)",
        "level.restrict.apply(self.r[number], f)",
        CYCLE,
    ),
    Mutant(
        "an adjoint in the order of the cycle",
        "linmaps/multigrid.py",
        "for s in reversed(smoothers[pre:])",
        "for s in reversed(smoothers[pre + 1 :])",
        CYCLE,
    ),
    Mutant(
        "a residual that costs nothing",
        "linmaps/multigrid.py",
        "residuals = len(smoothers) - 1",
        "residuals = 0",
        CYCLE,
    ),
    Mutant(
        "a suite that allows redundancy",
        "testing/linmaps.py",
        "rank == count - self.gauge",
        "rank <= count - self.gauge",
        SUITE,
    ),
    Mutant(
        "a suite that does not compare costs",
        "testing/linmaps.py",
        "counter.cost == linear_map.cost(batch)",
        "counter.cost is not None",
        SUITE,
    ),
    Mutant("Neumann sides taken for Dirichlet", "operators/mgno.py", '"neumann": "mirror"', '"neumann": "zero"', MGNO),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
