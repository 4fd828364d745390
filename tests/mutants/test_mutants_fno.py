"""Series, boundaries and the factorised operator, one line broken at a time: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

SERIES = "tests/linmaps/test_series.py"
FACTORISED = "tests/linmaps/test_factorised.py"
BOUNDARIES = "tests/operators/test_boundaries.py"


def only(file: str, *names: str) -> tuple[str, ...]:
    """The tests that should object, and no others: a mutant costs seconds."""
    return tuple(f"{file}::{name}" for name in names)


MUTANTS = [
    Mutant(
        "a sine series that ends beside zero",
        "linmaps/sine.py",
        "values[:, [0, -1]] = 0.0",
        "pass",
        only(SERIES, "test_sines_vanish_exactly_and_cosines_have_no_flux"),
    ),
    Mutant(
        "a grid that carries a cosine without its norm",
        "linmaps/cosine.py",
        'n - 1 if self.points == "node" else n',
        "n",
        only(SERIES, "test_a_coarse_grid_drops_the_modes_it_does_not_carry"),
    ),
    Mutant(
        "end points with full weight",
        "linmaps/basis.py",
        "w[[0, -1]] /= 2",
        "pass",
        only(SERIES, "test_functions_in_the_span_are_exact_on_every_grid"),
    ),
    Mutant(
        "Chebyshev coefficients without bound",
        "linmaps/chebyshev.py",
        "math.isqrt(4 * (n - 1)) + 1",
        "n",
        only(SERIES, "test_many_chebyshev_modes_stay_stable"),
    ),
    Mutant(
        "opposite frequencies counted once",
        "linmaps/series.py",
        "2 * c[self.single :]",
        "c[self.single :]",
        only(SERIES, "test_fourier_axes_alone_are_the_truncated_fourier_map"),
    ),
    Mutant(
        "weights of other frequencies on a coarse grid",
        "linmaps/series.py",
        "turn[prepared.rows[single:] - full]",
        "turn[: len(prepared.rows) - single]",
        only(SERIES, "TestTooCoarse::test_agrees_with_the_oracle"),
    ),
    Mutant(
        "a factorised map turned the other way",
        "linmaps/factorised.py",
        "torch.cat([w, -v], dim=2), torch.cat([v, w], dim=2)",
        "torch.cat([w, v], dim=2), torch.cat([-v, w], dim=2)",
        only(FACTORISED, "test_one_axis_is_the_truncated_fourier_map"),
    ),
    Mutant(
        "padding on a torus",
        "operators/boundaries/axes.py",
        'padding if chosen == "padded" else 0.0',
        "padding",
        only(BOUNDARIES, "test_the_space_chooses_the_series"),
    ),
    Mutant(
        "a bubble that vanishes at the free end too",
        "operators/boundaries/ends.py",
        "x * (2 - x) if low",
        "4 * x * y if low",
        only(BOUNDARIES, "test_values_at_some_ends"),
    ),
    Mutant(
        "slopes of the grid taken for those of the cubics",
        "operators/boundaries/ends.py",
        "np.linalg.solve(spread @ slopes, spread)",
        "spread",
        only(BOUNDARIES, "test_fluxes_are_taken_out_exactly_and_only_them"),
    ),
    Mutant(
        "values imposed although samples differ",
        "operators/boundaries/bounded.py",
        "if bool((y[..., mask] == y[:1, ..., mask]).all()):",
        "if True:",
        only(BOUNDARIES, "test_values_that_differ_between_samples_are_not_imposed"),
    ),
    Mutant(
        "a residual that autograd loses sight of",
        "operators/ffno.py",
        "rest = v.clone() if v._is_view() else v",
        "rest = v",
        only(BOUNDARIES, "test_every_parameter_is_trained"),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
