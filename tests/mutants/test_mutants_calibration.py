"""Mutants of calibrated limits: what shapes them, groups, shifts, bands, parts. The suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

GROUPS = ("tests/certificates/test_groups.py",)
SHIFTS = ("tests/certificates/test_weighted.py",)
BANDS = ("tests/certificates/test_bands.py",)
UNSEEN = ("tests/certificates/test_unseen.py",)
HINTS = ("tests/certificates/test_hints.py",)
LEAD = ("tests/certificates/test_lead_time_nonlinear.py", "-k", "law")
CROSS = ("tests/certificates/test_cross_conformal.py",)

MUTANTS = [
    Mutant(
        "calibration on the training runs of a regression",
        "rb/pod_regression.py",
        "found |= learned.regression.has_seen(mu)",
        "found &= learned.regression.has_seen(mu)",
        HINTS,
    ),
    Mutant(
        "calibration on the training runs of an operator",
        "operators/surrogate.py",
        "known = set(self.history.runs)",
        "known = set(self.history.runs[:0])",
        UNSEEN,
    ),
    Mutant(
        "a residual with the Riesz map applied twice",
        "certificates/hints.py",
        "self.inner.dual_norm(systems.residual(systems.impose(v)))",
        "self.inner.dual_norm(self.inner.riesz(systems.residual(systems.impose(v))))",
        HINTS,
    ),
    Mutant(
        "a residual without the stability constant",
        "certificates/hints.py",
        "return sizes / np.sqrt(np.where(lower > 0, lower, 1.0))",
        "return sizes",
        HINTS,
    ),
    Mutant(
        "an ensemble of which only the last member counts",
        "certificates/hints.py",
        "squares.get(name, 0.0) + distance**2",
        "distance**2",
        HINTS,
    ),
    Mutant(
        "a mirror that does not mirror the answer back",
        "certificates/self_consistency.py",
        "fields = np.flip(np.asarray(answer.field), self.axis + 1)",
        "fields = np.asarray(answer.field)",
        HINTS,
    ),
    Mutant(
        "groups that share their scores",
        "certificates/groups.py",
        "own = scores[self.runs[name] == g]",
        "own = scores",
        GROUPS,
    ),
    Mutant(
        "groups of too few runs",
        "certificates/groups.py",
        "if not self.partial:\n                raise",
        "if False:\n                raise",
        GROUPS,
    ),
    Mutant(
        "whom to accept decided by the runs that calibrate",
        "certificates/conformal.py",
        "values = self.log_errors[name][self.choosing]",
        "values = np.roll(self.log_errors[name], len(self.log_errors[name]) // 2)[self.choosing]",
        GROUPS,
    ),
    Mutant(
        "weights that forget the query",
        "certificates/weighted.py",
        "needed = level * (reached[-1] + own)",
        "needed = level * (reached[-1] + 0 * own)",
        SHIFTS,
    ),
    Mutant(
        "a learned ratio that passes for the true one",
        "certificates/weighted.py",
        "return False",
        "return True",
        SHIFTS,
    ),
    Mutant(
        "a density that forgets the logarithmic scale",
        "certificates/weighted.py",
        "np.where(found > 0, value, 1.0) if log else found",
        "np.where(found > 0, value, 1.0) if False else found",
        SHIFTS,
    ),
    Mutant(
        "a level that the weighted runs cannot promise",
        "certificates/weighted.py",
        "if level > worth / (worth + 1) + 1e-9:",
        "if False:",
        SHIFTS,
    ),
    Mutant(
        "a band that holds on average over the field",
        "certificates/bands.py",
        "p.max(axis=1)",
        "p.mean(axis=1)",
        BANDS,
    ),
    Mutant(
        "a profile from the runs that calibrate",
        "certificates/conformal.py",
        "Profile.learned(flat[choosing], level)",
        "Profile.learned(flat, level)",
        BANDS,
    ),
    Mutant(
        "one limit from the errors at all times",
        "certificates/lead_time.py",
        "[quantile(column, level) for column in errors.T]",
        "[quantile(errors.ravel(), level)] * errors.shape[1]",
        LEAD,
    ),
    Mutant(
        "all times together from the mean over the profile",
        "certificates/lead_time.py",
        "np.max(errors[calibrating] / profile, axis=1)",
        "np.mean(errors[calibrating] / profile, axis=1)",
        LEAD,
    ),
    Mutant(
        "all times together from each on its own",
        "certificates/lead_time.py",
        "_joint(values, choosing, calibrating, level)",
        "_each(values[calibrating], level)",
        LEAD,
    ),
    Mutant(
        "parts without the price of the theorem",
        "certificates/cross_conformal.py",
        "alpha = (1 - level - penalty) / 2",
        "alpha = (1 - level) / 2",
        CROSS,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
