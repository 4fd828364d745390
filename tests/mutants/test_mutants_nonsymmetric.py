"""Bounds without symmetry, one line broken at a time: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

FACES = ("tests/bounds/test_nonsymmetric.py",)
INF_SUP = ("tests/bounds/test_inf_sup.py",)
GMRES = ("tests/solvers/test_gmres.py",)
CERTIFICATE = ("tests/certificates/test_linear_residual.py",)
REFINE = ("tests/online/test_refine_nonsymmetric.py",)

MUTANTS = [
    Mutant(
        "a bound without the stability constant",
        "bounds/dual_residual.py",
        "upper = np.where(known, above * (high + noise) * (1 + 8 * EPS), np.inf)",
        "upper = np.where(known, (high + noise) * (1 + 8 * EPS), np.inf)",
        CERTIFICATE,
    ),
    Mutant(
        "no rounding in the bound",
        "bounds/dual_residual.py",
        "above * (high + noise)",
        "above * (high + 0 * noise)",
        CERTIFICATE,
    ),
    Mutant(
        "a lower bound above the error",
        "bounds/nonsymmetric.py",
        "most = np.sqrt(np.maximum(self.upper, 0.0)) + self.skew / np.sqrt(alpha)",
        "most = np.sqrt(np.maximum(self.upper, 0.0)) + 0 * self.skew",
        CERTIFICATE,
    ),
    Mutant(
        "the square of the coercivity constant in an energy bound",
        "bounds/nonsymmetric.py",
        "above=np.where(known, 1 / np.sqrt(alpha) * (1 + 4 * EPS), np.inf)",
        "above=np.where(known, np.sqrt(alpha) * (1 + 4 * EPS), np.inf)",
        CERTIFICATE,
    ),
    Mutant(
        "divergence that nobody pays for",
        "bounds/nonsymmetric.py",
        "candidates.append(alpha - deficit / lambda_min",
        "candidates.append(alpha - 0 * deficit / lambda_min",
        FACES,
    ),
    Mutant(
        "one direction of a flow only",
        "bounds/nonsymmetric.py",
        "s, skew, weight = -(up + down) / 2, (up - down) / 2, -x.plus[axis]",
        "s, skew, weight = -np.minimum(up, down), (up - down) / 2, -x.plus[axis]",
        FACES,
    ),
    Mutant(
        "half the skewness",
        "bounds/nonsymmetric.py",
        "k = 2 * np.sqrt(",
        "k = 0.2 * np.sqrt(",
        FACES,
    ),
    Mutant(
        "counts that are not compared",
        "bounds/inf_sup.py",
        "same, shift, count = above.negative == below.negative,",
        "same, shift, count = True,",
        INF_SUP,
    ),
    Mutant(
        "a mirrored spectrum that is not counted",
        "bounds/inf_sup.py",
        "same, shift, count = above.negative == self.t.shape[0] // 2,",
        "same, shift, count = True,",
        INF_SUP,
    ),
    Mutant(
        "signs forgotten in the distance of a factor",
        "bounds/factor_residual.py",
        "g = signs[k] * values[p]",
        "g = values[p]",
        INF_SUP,
    ),
    Mutant(
        "intervals across a resonance",
        "bounds/resonances.py",
        "if low[0] == high[0] and start < stop:",
        "if start < stop:",
        INF_SUP,
    ),
    Mutant(
        "the lowest frequency of a tube left out",
        "bounds/resonances.py",
        "return np.minimum(under, over).max(axis=1) - 4 * EPS",
        "return over.max(axis=1, where=over < 1, initial=0.0) - 4 * EPS",
        INF_SUP,
    ),
    Mutant(
        "a basis in the wrong inner product",
        "solvers/arnoldi.py",
        "image = self._inner.apply(z)\n",
        "image = z\n",
        GMRES,
    ),
    Mutant(
        "GMRES that trusts its recurrence",
        "solvers/gmres.py",
        "bound = residual_bounds(systems, v, metric, dual).upper\n",
        "bound = 1e-3 * residual_bounds(systems, v, metric, dual).upper\n",
        GMRES,
    ),
    Mutant(
        "a complex basis without conjugation",
        "solvers/arnoldi.py",
        "np.matmul(np.conj(basis), image",
        "np.matmul(basis, image",
        GMRES,
    ),
    Mutant(
        "prescribed values that are not imposed",
        "certificates/linear_residual.py",
        "v[rows] = systems.impose(v[rows])",
        "v[rows] = v[rows] + 0",
        CERTIFICATE,
    ),
    Mutant(
        "an estimate that is called rigorous",
        "certificates/linear_residual.py",
        "    if constants.missing:\n",
        "    if False:\n",
        CERTIFICATE,
    ),
    Mutant(
        "answers that miss the tolerance are returned",
        "online/refine_nonsymmetric.py",
        "    if not len(missed):\n        return\n    reasons",
        "    return\n    reasons",
        REFINE,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
