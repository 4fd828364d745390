"""Mutants of where calibrated and guaranteed limits end: values that are no numbers, tiny data, members that know."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

CORNERS = "tests/certificates/test_limits_corners.py"
SCALES = "tests/certificates/test_trajectory_scales.py"
TYPICAL = "tests/certificates/test_typical_limits.py"
FUNCTION = "tests/surrogates/test_function.py"


def only(file: str, test: str) -> tuple[str, ...]:
    """The one test that should notice: a run of it takes seconds."""
    return (f"{file}::{test}",)


MUTANTS = [
    Mutant(
        "calibration on the training runs of a member",
        "certificates/conformal.py",
        "for member in (m for hint in hints for m in hint.asked):",
        "for member in ():",
        only(CORNERS, "test_members_that_were_fitted_to_the_calibration_runs_are_refused"),
    ),
    Mutant(
        "a function that works on the query itself",
        "surrogates/function.py",
        "lent = {name: values.copy() for name, values in mu.items()}",
        "lent = mu",
        only(FUNCTION, "test_a_function_that_changes_its_query_answers_the_one_that_was_asked"),
    ),
    Mutant(
        "a limit for a rollout that is not finite",
        "certificates/lead_time.py",
        "np.where(inside & finite[name], values, np.inf)",
        "np.where(inside, values, np.inf)",
        only(CORNERS, "test_a_rollout_that_is_not_finite_has_no_limit_from_there_on"),
    ),
    Mutant(
        "a limit for an output that is not finite",
        "certificates/limits.py",
        "finite = {n: whole & np.isfinite(o.values) for n, o in prediction.outputs.items()}",
        "finite = {n: whole for n, o in prediction.outputs.items()}",
        only(CORNERS, "test_an_output_that_is_not_finite_has_no_limit_and_the_others_keep_theirs"),
    ),
    Mutant(
        "a limit below the error that it was read from",
        "certificates/conformal.py",
        "np.exp(g + q) * _ROUNDED",
        "np.exp(g + q)",
        only(CORNERS, "test_an_error_that_all_runs_have_is_within_its_limit"),
    ),
    Mutant(
        "few runs together that hold each on its own",
        "certificates/lead_time.py",
        "    if together:\n        limits",
        "    if len(choosing):\n        limits",
        only(CORNERS, "test_few_runs_together_still_hold_together"),
    ),
    Mutant(
        "a profile of squares that are nothing",
        "certificates/lead_time.py",
        "profile = np.sqrt(np.mean((errors / errors.max()) ** 2, axis=0))",
        "profile = np.sqrt(np.mean(errors**2, axis=0))",
        only(CORNERS, "test_an_exact_output_has_a_joint_profile"),
    ),
    Mutant(
        "times that are only counted",
        "certificates/lead_time.py",
        "if not isinstance(space, Trajectories):",
        "if True:",
        only(CORNERS, "test_other_times_are_refused_though_their_number_is_the_same"),
    ),
    Mutant(
        "outputs that are accepted by themselves",
        "certificates/conformal.py",
        "self.level, prediction, first)",
        "self.level, prediction, g)",
        only(CORNERS, "test_outputs_in_other_units_are_accepted_with_their_field"),
    ),
    Mutant(
        "surrogates that are alike where they are small",
        "certificates/identity.py",
        "atol=1e-12 * largest",
        "atol=1e-12",
        only(CORNERS, "test_another_surrogate_is_another_one_at_any_scale"),
    ),
    Mutant(
        "trajectories of tiny data in their own units",
        "bounds/space_time.py",
        "return 1.0 if largest == 0 or _SMALL < largest < _LARGE else binary(largest)",
        "return 1.0",
        only(SCALES, "test_the_same_limits_in_any_units"),
    ),
    Mutant(
        "levels that have died out have no length",
        "bounds/step_systems.py",
        "TINY = float(np.finfo(np.float64).tiny)",
        "TINY = 0.0",
        only(SCALES, "test_levels_that_have_died_out_are_still_limited"),
    ),
    Mutant(
        "data whose lengths are nothing",
        "bounds/step_systems.py",
        "units = np.array([binary(size) for size in np.abs(rows).max(axis=1, initial=0.0)])",
        "units = np.ones(len(rows))",
        only(SCALES, "test_lengths_never_lose_what_is_small"),
    ),
    Mutant(
        "one strange parameter for all",
        "certificates/parabolic_residual.py",
        "if inside and all(np.isfinite(values).all() for values in mu.values()):",
        "if True:",
        only(SCALES, "test_one_parameter_that_is_none_has_no_limit_and_takes_no_other_with_it"),
    ),
    Mutant(
        "components in single precision",
        "spaces/field_density.py",
        "basis = self.basis.astype(np.float64)",
        "basis, x = self.basis, x.astype(np.float32)",
        only(TYPICAL, "test_a_field_is_inside_or_not_whatever_is_asked_with_it"),
    ),
    Mutant(
        "logarithms by the fields that give the limit",
        "spaces/field_density.py",
        "[np.concatenate([first, second])].all()",
        ".all()",
        only(TYPICAL, "test_whether_logarithms_are_taken_is_not_decided_by_the_fields_that_give_the_limit"),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
