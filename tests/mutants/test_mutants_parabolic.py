"""Mutants of reduced parabolic problems and their bounds: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

FULL = ("tests/problems/test_parabolic.py",)
REDUCED = ("tests/rb/test_parabolic.py",)
BOUNDS = ("tests/certificates/test_parabolic.py",)

MUTANTS = [
    Mutant(
        "an energy sum without the step",
        "certificates/parabolic.py",
        "energy[:, None] + stepping.dt * np.cumsum(",
        "energy[:, None] + np.minimum(stepping.dt, 1e-3) * np.cumsum(",
        BOUNDS,
    ),
    Mutant(
        "coefficients one step late",
        "problems/parabolic.py",
        "np.arange(first, last, dtype=np.float64) + self.weight",
        "np.arange(first, last, dtype=np.float64) + self.weight - 1",
        FULL,
    ),
    Mutant(
        "a pulse one step late in the dual problem",
        "certificates/parabolic_dual.py",
        "loads[rows, 0, self.model.loads",
        "loads[rows, min(1, shape[1] - 1), self.model.loads",
        BOUNDS,
    ),
    Mutant(
        "a residual with a coercivity a part in a thousand too large",
        "certificates/parabolic.py",
        "norm / np.sqrt(np.where(known, alpha, 1.0))",
        "norm / np.sqrt(np.where(known, 1.001 * alpha, 1.0))",
        (*BOUNDS, "-k", "dense_one"),
    ),
    Mutant(
        "an initial error that is dropped",
        "certificates/parabolic.py",
        "return (psi @ model.start_defects + rounding",
        "return (0 * psi @ model.start_defects + rounding",
        BOUNDS,
    ),
    Mutant(
        "a residual without the change in time",
        "rb/parabolic_kernels.py",
        "z[place + terms] = -(after[j] - before[j]) / dt",
        "z[place + terms] = 0.0",
        BOUNDS,
    ),
    Mutant(
        "a contraction that is twice as fast",
        "rb/parabolic_kernels.py",
        "new = (e + dt * root * p) / (1.0 + dt * coercive[b, t])",
        "new = (e + dt * root * p) / (1.0 + 2 * dt * coercive[b, t])",
        BOUNDS,
    ),
    Mutant(
        "Crank-Nicolson that damps fast modes",
        "rb/parabolic_kernels.py",
        "kappa = 1.0 / root + 0.5 * dt * np.sqrt(other[b, t])",
        "kappa = 1.0 / root",
        BOUNDS,
    ),
    Mutant(
        "a window that forgets what came before",
        "certificates/parabolic_dual.py",
        "past = (self._size() + self.error) * before",
        "past = 0 * before",
        BOUNDS,
    ),
    Mutant(
        "residuals that are never in step with each other",
        "certificates/parabolic_dual.py",
        "roots = np.sqrt(self.primal_sum) * np.sqrt(self.dual_sum)",
        "roots = 0 * self.primal_sum",
        BOUNDS,
    ),
    Mutant(
        "a dual problem that runs forwards",
        "certificates/parabolic_dual.py",
        "np.ascontiguousarray(a[:, first:last][:, ::-1])",
        "np.ascontiguousarray(a[:, first:last])",
        BOUNDS,
    ),
    Mutant(
        "a trajectory of which only the last block is compressed",
        "rb/pod_greedy.py",
        "held, block = _pod(np.concatenate([held, _rest(",
        "held, block = _pod(np.concatenate([held[:0], _rest(",
        REDUCED,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
