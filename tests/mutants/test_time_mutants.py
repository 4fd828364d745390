"""Mutants of time stepping and of the laws of periodic fields: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

ETDRK4 = ("tests/solvers/test_etdrk4.py",)
PHI = ("tests/solvers/test_phi.py",)
IMPLICIT = ("tests/solvers/test_implicit.py",)
FIELDS = ("tests/spaces/test_periodic_field.py",)
VORTICITY = ("tests/problems/test_navier_stokes.py",)
BURGERS = ("tests/problems/test_burgers.py",)
HEAT = ("tests/problems/test_heat.py",)

MUTANTS = [
    Mutant(
        "a last stage with too little", "solvers/etdrk4_torch.py", "n1, alpha=0.5), value=2", "n1, alpha=0.6)", ETDRK4
    ),
    Mutant(
        "modes beyond the 2/3 rule", "solvers/etdrk4_torch.py", "(n - 1) // (degree + 1)", "(n - 1) // degree", ETDRK4
    ),
    Mutant(
        "norms that forget the mirrored half",
        "solvers/etdrk4_torch.py",
        "(self._width,), 2.0",
        "(self._width,), 0.0",
        ETDRK4,
    ),
    Mutant("a quotient where it cancels", "solvers/phi.py", "_NEAR = 1.0", "_NEAR = 1e-6", PHI),
    Mutant("an indicator of the wrong order", "solvers/_step_control.py", "else 1 / 15", "else 1 / 1500", ETDRK4),
    Mutant(
        "a failure that comes one stored time early",
        "solvers/_step_control.py",
        "now + (done.finite[died] + 1) * h",
        "0 * now + h",
        ETDRK4,
    ),
    Mutant(
        "steps that are too long by one",
        "solvers/_step_control.py",
        "np.ceil(length / self._h",
        "np.floor(length / self._h",
        ETDRK4,
    ),
    Mutant(
        "a load taken at the end of the step",
        "solvers/_implicit_steps.py",
        "0.5 * h * (load + after)",
        "h * after",
        IMPLICIT,
    ),
    Mutant(
        "prescribed values that do not reach the neighbours",
        "solvers/_implicit_steps.py",
        "right = right - _times(self.matrix, change)",
        "right = right + 0.0",
        IMPLICIT,
    ),
    Mutant(
        "a smooth start that never happens",
        "solvers/_implicit_steps.py",
        "self._left = smooth\n",
        "self._left = 0\n",
        IMPLICIT,
    ),
    Mutant(
        "the factorisation of another matrix",
        "solvers/_implicit_steps.py",
        "held is not None and np.array_equal(held[1], values)",
        "held is not None",
        IMPLICIT,
    ),
    Mutant("the variance of the paper's formula", "problems/navier_stokes.py", "2**0.5 * 7**1.5", "7**0.75", FIELDS),
    Mutant("a force on the wrong wave", "problems/navier_stokes.py", "(1 - 1j)", "(1 + 1j)", VORTICITY),
    Mutant("a stress of the wrong sign", "problems/navier_stokes.py", "-k[0] * k[1])", "k[0] * k[1])", VORTICITY),
    Mutant(
        "fields that depend on their neighbours",
        "spaces/periodic_field.py",
        "generator(seed, int(i))",
        "generator(seed, 0)",
        FIELDS,
    ),
    Mutant("half of the square", "problems/burgers.py", "0.5 * u * u", "u * u", BURGERS),
    Mutant("heat that flows without its drift", "problems/heat.py", "(1 - t / 2) * drift", "0.0 * drift", HEAT),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
