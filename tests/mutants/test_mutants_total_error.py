"""Mutants of the bounds against the exact solution: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

BOXES = ("tests/bounds/equilibrated/test_boxes.py",)
TRIANGLES = ("tests/bounds/equilibrated/test_triangles.py",)
WHOLE = "tests/online/test_total_error.py"
SOURCE = ("tests/bounds/equilibrated/test_boxes.py::test_the_oscillation_and_the_friedrichs_constant",)
ROUNDING = ("tests/bounds/equilibrated/test_boxes.py::test_round_off_is_counted",)
PLANES = (f"{WHOLE}::test_planes_against_finer_grids",)
SCHEME = (f"{WHOLE}::test_the_energy_of_the_scheme_bounds_that_of_the_equation",)
COMPARED = (f"{WHOLE}::test_cell_data_that_the_matrices_are_not_made_of",)
LEFT = (f"{WHOLE}::test_the_parts_hold_after_a_single_step",)
HERE = "bounds/equilibrated"

MUTANTS = [
    Mutant(
        "a bound without what is left of the balance",
        f"{HERE}/majorant.py",
        "self.combined + self.rest",
        "self.combined",
        SOURCE,
    ),
    Mutant("a bound without its rounding", f"{HERE}/majorant.py", "+ self.noise + TINY", "+ TINY", ROUNDING),
    Mutant(
        "oscillation left out", f"{HERE}/majorant.py", "_root(gap + oscillation) * paid", "_root(gap) * paid", BOXES
    ),
    Mutant(
        "a lower bound that takes the upper one for exact", f"{HERE}/majorant.py", "mine.least *", "mine.gap *", PLANES
    ),
    Mutant("a lower bound that forgets the better field", f"{HERE}/majorant.py", "low**2 - high**2", "low**2", PLANES),
    Mutant("Friedrichs without π", f"{HERE}/boxes.py", "1.0 / (np.pi * np.sqrt(sum", "1.0 / (np.sqrt(sum", BOXES),
    Mutant(
        "1/a from below in the upper bound",
        f"{HERE}/_plane.py",
        "total += _blend(i0, i1, i2, i3, s, t) * square",
        "total += (2 - here * middle) * middle * square",
        BOXES,
    ),
    Mutant("a transverse slope left out", f"{HERE}/_plane.py", "+ here * slope_y", "", BOXES),
    Mutant(
        "a flux that is not balanced",
        f"{HERE}/box_flux.py",
        "missing = source - _leaving(inner, grid)",
        "missing = 0 * source",
        BOXES,
    ),
    Mutant(
        "ends of the box out of balance",
        f"{HERE}/box_flux.py",
        "across[-1] += np.take(more, -1",
        "across[-1] += 0 * np.take(more, -1",
        BOXES,
    ),
    Mutant("a conductance of twice the wall", f"{HERE}/box_flux.py", "[2 * first, 2 * low", "[first, 2 * low", BOXES),
    Mutant(
        "a sweep that moves one face only",
        f"{HERE}/relax.py",
        "y[b, n, j] -= (1 - 2 * s) * px * step",
        "y[b, n, j] -= s * px * step",
        BOXES,
    ),
    Mutant("a sweep with half its slope", f"{HERE}/relax.py", "np.pad(3.0 * m,", "np.pad(1.5 * m,", BOXES),
    Mutant(
        "a scheme whose energy is taken for that of the equation",
        f"{HERE}/grids.py",
        "return np.sqrt(largest) * (1 + 1e-12)",
        "return 0 * largest + 1.0",
        SCHEME,
    ),
    Mutant(
        "a patch that forgets what its field misses",
        f"{HERE}/patches.py",
        "np.where(closed, goal.sum(axis=2), 0.0)",
        "0.0 * np.where(closed, goal.sum(axis=2), 0.0)",
        TRIANGLES,
    ),
    Mutant(
        "a circulation of the wrong sign",
        f"{HERE}/patches.py",
        "return -(first + third)",
        "return (first + third)",
        TRIANGLES,
    ),
    Mutant(
        "Marini's flux without its linear part",
        f"{HERE}/crouzeix_raviart.py",
        "source[:, :, None] / 3 + 2 *",
        "source[:, :, None] / 3 * 0 + 2 *",
        TRIANGLES,
    ),
    Mutant(
        "bubbles turned the wrong way",
        f"{HERE}/bubbles.py",
        "[-both[..., 1], both[..., 0]]",
        "[both[..., 1], -both[..., 0]]",
        TRIANGLES,
    ),
    Mutant(
        "edges that leak",
        f"{HERE}/triangles.py",
        "np.where(follows, 1.0, -1.0)",
        "np.where(follows, 1.0, 1.0)",
        TRIANGLES,
    ),
    Mutant(
        "the surrogate's part without what is left of it",
        "online/total_error.py",
        "surrogate = found.moved + left + slack",
        "surrogate = found.moved + slack",
        LEFT,
    ),
    Mutant(
        "cell data that nobody compares",
        "online/total_error.py",
        "if not gap <= 1e-8 * scale:",
        "if gap < 0:",
        COMPARED,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
