"""Mutants of the page of evidence: a check that cannot fail, or bytes that change, must be noticed."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

PAGE = "tests/study/test_evidence.py::"
KINDS = "tests/study/test_evidence_kinds.py::"
UNSEEN = "tests/study/test_evidence_unseen.py::"
EQUATION, STATISTICS = "study/evidence_equation.py", "study/evidence_statistics.py"

MUTANTS = [
    Mutant(
        "a limit that is never below the error",
        "study/evidence_cases.py",
        "return ~(self.error <= self.limit + self.slack)",
        "return np.zeros(len(self.error), dtype=bool)",
        (PAGE + "test_limits_that_are_wrong_by_a_factor_are_seen",),
    ),
    Mutant(
        "a reference that excuses any limit",
        "study/evidence_cases.py",
        "(vague if self.wrong is None else vague | self.wrong)",
        "np.zeros(len(self.error), dtype=bool)",
        (UNSEEN + "test_runs_that_do_not_solve_the_equation_prove_nothing",),
    ),
    Mutant(
        "a constant that is never too large",
        EQUATION,
        "low >= 1 - _ROOM",
        "low >= 0.9",
        (PAGE + "test_an_equation_that_is_not_what_it_says_is_seen",),
    ),
    Mutant(
        "a chance counted from the wrong side",
        STATISTICS,
        "k, n + 1 - k)",
        "n + 1 - k, k)",
        (PAGE + "test_coverage_is_judged_by_what_chance_allows", PAGE + "test_the_chance_of_so_few_is_right"),
    ),
    Mutant(
        "shared runs that are compared with themselves alone",
        STATISTICS,
        "in_both(parts[first], parts[second])",
        "in_both(parts[first], {n: v + 1 for n, v in parts[second].items()})",
        (PAGE + "test_a_level_that_runs_cannot_promise_and_runs_in_two_parts_are_seen",),
    ),
    Mutant(
        "an error in another norm than its limit",
        "study/field_errors.py",
        'space.inner("energy" if norm == GRADIENT else "mass")',
        'space.inner("energy")',
        (KINDS + "test_a_limit_in_l2_is_measured_in_l2",),
    ),
    Mutant(
        "a hash of the data without the data",
        "study/evidence_files.py",
        "state.update(_bytes(",
        "_bytes((",
        (PAGE + "test_one_bit_of_the_data_changes_its_hash",),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
