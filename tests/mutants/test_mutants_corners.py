"""Corners of the bounds broken on purpose, one line at a time: their tests must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

LIMITS, STEPS = "tests/bounds/test_corners.py", "tests/solvers/test_riesz_cg_corners.py"

MUTANTS = [
    Mutant(
        "a bound that takes the coefficients of the steps at their word",
        "solvers/riesz_cg.py",
        "bound[rows] = np.fmin(bound[rows], start.after(task, v, rows))",
        "bound[rows] = np.fmin(bound[rows], np.sqrt(run.rho[rows] / task.lower[rows]))",
        (f"{STEPS}::test_rounding_along_the_basis_is_in_the_bound",),
    ),
    Mutant(
        "a bound where there is no solution",
        "bounds/residual.py",
        "    if not isinstance(space, Grid) or not space.floating:",
        "    if True:",
        (f"{STEPS}::test_where_there_is_no_solution_there_is_no_bound",),
    ),
    Mutant(
        "an open level that has a limit",
        "bounds/outputs.py",
        "bound if fixed(q, problem.space) else unknown",
        "bound",
        (f"{LIMITS}::test_a_quantity_that_sees_an_open_level_has_no_limit",),
    ),
    Mutant(
        "a table for every problem of its size",
        "bounds/resonances.py",
        "if self.product != _digest(x):",
        "if False:",
        (f"{LIMITS}::test_a_table_of_resonances_belongs_to_its_energy_product",),
    ),
    Mutant(
        "a reaction that products leave out",
        "problems/grid_diffusion.py",
        "            if values is not None:",
        "            if False:",
        (f"{LIMITS}::test_diffusion_refuses_what_its_products_would_leave_out",),
    ),
    Mutant(
        "sources of another batch in compiled loops",
        "bounds/grid_residual.py",
        '_plain(check_values("source", self.problem.source(mu), grid.shape, "finite", grid.axes(), len(a)))',
        "_plain(self.problem.source(mu))",
        (f"{LIMITS}::test_data_of_another_batch_or_that_are_no_numbers_are_refused",),
    ),
    Mutant(
        "energies without their negative terms",
        "bounds/step_systems.py",
        "total += self.theta[:, q] * form",
        "total += np.maximum(self.theta[:, q], 0.0) * form",
        (f"{LIMITS}::test_the_energy_of_a_difference_of_terms_counts_both",),
    ),
    Mutant(
        "restarts that give up where no relative bound is finite",
        "solvers/gmres.py",
        "return (first[0] < second[0]) | (np.isinf(first[0]) & np.isinf(second[0]) & (first[1] < second[1]))",
        "return first[0] < second[0]",
        ("tests/solvers/test_gmres_corners.py",),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
