"""Inside or outside, and routing, one line broken at a time: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

DENSITY = ("tests/spaces/test_field_density.py",)
TYPICAL = ("tests/spaces/test_typical.py",)
ROUTE = ("tests/online/test_route.py",)
CALIBRATED = ("tests/online/test_route_calibrated.py",)

MUTANTS = [
    Mutant(
        "a limit from the fields that the measures were scaled by",
        "spaces/field_density.py",
        "return _limited(scaled, measured[last], level)",
        "return _limited(scaled, measured[first], level)",
        DENSITY,
    ),
    Mutant(
        "a limit one rank too low",
        "spaces/field_density.py",
        "limit = (1 + _ROOM / np.sqrt(count)) * float(scores[ceil((count + 1) * level - 1e-9) - 1])",
        "limit = float(scores[int(count * level) - 3])",
        DENSITY,
    ),
    Mutant(
        "what lies outside of the components left out",
        "spaces/field_density.py",
        'left = np.einsum("bn,bn->b", rest, rest)',
        "left = np.ones(len(x))",
        DENSITY,
    ),
    Mutant(
        "a field that is not finite is typical",
        "spaces/field_density.py",
        "return np.where(np.isfinite(found), found, np.inf)",
        "return np.nan_to_num(found, nan=0.0, posinf=0.0)",
        DENSITY,
    ),
    Mutant(
        "a batch that is compared with itself",
        "spaces/field_density.py",
        "zip(measured.T, self.held_out.T, strict=True)]",
        "zip(measured.T, measured.T, strict=True)]",
        DENSITY,
    ),
    Mutant(
        "a finer grid judged at its first nodes",
        "spaces/typical.py",
        "slice(None, None, step) for step in steps",
        "slice(0, m) for m in ours",
        TYPICAL,
    ),
    Mutant(
        "a ring with two ends",
        "spaces/typical.py",
        "last = 0 if isinstance(self.base, PeriodicField) else 1",
        "last = 1",
        TYPICAL,
    ),
    Mutant(
        "typical fields whose values are beyond the range",
        "spaces/typical.py",
        "inside[inside] = self.density.typical(values[inside])",
        "inside[:] = self.density.typical(values)",
        TYPICAL,
    ),
    Mutant(
        "answers accepted at ten times the tolerance",
        "online/route.py",
        "good, missed = np.flatnonzero(excess <= 1), np.flatnonzero(~(excess <= 1))",
        "good, missed = np.flatnonzero(excess <= 10), np.flatnonzero(~(excess <= 10))",
        ROUTE,
    ),
    Mutant(
        "the batch in the order of the ways",
        "online/join.py",
        'np.argsort(order, kind="stable")',
        "np.arange(len(order))",
        ROUTE,
    ),
    Mutant(
        "a probe that nobody looks at",
        "online/route.py",
        "self._planned(self.costs.plan(size - probed, excess), rest)",
        "self._planned(plan, rest)",
        ROUTE,
    ),
    Mutant(
        "costs without what is fixed",
        "online/costs.py",
        "return self.fixed + self.each * count if count > 0 else 0.0",
        "return self.each * count if count > 0 else 0.0",
        ROUTE,
    ),
    Mutant(
        "a failed sample that is handed out",
        "online/route.py",
        "if not solution.converged.all():",
        "if not solution.converged.any():",
        ROUTE,
    ),
    Mutant(
        "a relative limit that is divided by the answer alone",
        "online/route_calibrated.py",
        "rest = self._sizes(answer) - answer.bound",
        "rest = self._sizes(answer)",
        CALIBRATED,
    ),
    Mutant(
        "coverage of everything in place of the accepted",
        "online/route_calibrated.py",
        "return coverage(errors[kept], answer.bound[kept])",
        "return coverage(errors, answer.bound)",
        CALIBRATED,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
