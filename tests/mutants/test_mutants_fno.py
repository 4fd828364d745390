"""Series, boundaries and the factorised operator, one line broken at a time: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

SERIES = ("tests/linmaps/test_series.py",)
FACTORISED = ("tests/linmaps/test_factorised.py",)
BOUNDARIES = ("tests/operators/test_boundaries.py",)

MUTANTS = [
    Mutant("a sine series that ends beside zero", "linmaps/sine.py", "values[:, [0, -1]] = 0.0", "pass", SERIES),
    Mutant(
        "a grid that carries a cosine without its norm",
        "linmaps/cosine.py",
        'n - 1 if self.points == "node" else n',
        "n",
        SERIES,
    ),
    Mutant("end points with full weight", "linmaps/basis.py", "w[[0, -1]] /= 2", "pass", SERIES),
    Mutant(
        "Chebyshev coefficients without bound",
        "linmaps/chebyshev.py",
        "math.isqrt(4 * (n - 1)) + 1",
        "n",
        SERIES,
    ),
    Mutant(
        "opposite frequencies counted once",
        "linmaps/series.py",
        "2 * c[self.single :]",
        "c[self.single :]",
        SERIES,
    ),
    Mutant(
        "weights of other frequencies on a coarse grid",
        "linmaps/series.py",
        "turn[prepared.rows[single:] - full]",
        "turn[: len(prepared.rows) - single]",
        SERIES,
    ),
    Mutant(
        "a factorised map turned the other way",
        "linmaps/factorised.py",
        "torch.cat([w, -v], dim=2), torch.cat([v, w], dim=2)",
        "torch.cat([w, v], dim=2), torch.cat([-v, w], dim=2)",
        FACTORISED,
    ),
    Mutant(
        "padding on a torus",
        "operators/boundaries/axes.py",
        'padding if chosen == "padded" else 0.0',
        "padding",
        BOUNDARIES,
    ),
    Mutant(
        "a bubble that vanishes at the free end too",
        "operators/boundaries/ends.py",
        "x * (2 - x) if low",
        "4 * x * y if low",
        BOUNDARIES,
    ),
    Mutant(
        "slopes of the grid taken for those of the cubics",
        "operators/boundaries/ends.py",
        "np.linalg.solve(spread @ slopes, spread)",
        "spread",
        BOUNDARIES,
    ),
    Mutant(
        "values imposed although samples differ",
        "operators/boundaries/bounded.py",
        "if bool((y[..., mask] == y[:1, ..., mask]).all()):",
        "if True:",
        BOUNDARIES,
    ),
    Mutant(
        "a residual that autograd loses sight of",
        "operators/ffno.py",
        "rest = v.clone() if v._is_view() else v",
        "rest = v",
        BOUNDARIES,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
