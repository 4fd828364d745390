"""Mutants of calibration, model files, readers and POD + regression: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

SPLIT = ("tests/certificates/test_conformal.py",)
CROSS = ("tests/certificates/test_cross_conformal.py",)
FILES = ("tests/io/test_model.py",)
READERS = ("tests/io/test_readers.py",)
REGRESSION = ("tests/rb/test_kernel.py", "tests/rb/test_pod.py", "tests/rb/test_pod_regression.py")

MUTANTS = [
    Mutant(
        "a rank that forgets the fresh run",
        "certificates/quantile.py",
        "math.ceil((count + 1) * level - 1e-9)",
        "math.ceil(count * level - 1e-9)",
        SPLIT,
    ),
    Mutant(
        "a scale chosen on the calibration runs",
        "certificates/conformal.py",
        "return order[:choosing], order[choosing:]",
        "return order, order",
        SPLIT,
    ),
    Mutant(
        "calibration on training data",
        "certificates/unseen.py",
        "if found.any():",
        "if False:",
        SPLIT,
    ),
    Mutant(
        "limits outside the range of the runs",
        "certificates/limits.py",
        "np.where(prediction.inside & finite[n] & np.isfinite(v), v, np.inf)",
        "np.where(finite[n] & np.isfinite(v), v, np.inf)",
        SPLIT,
    ),
    Mutant(
        "a certificate that fits any surrogate",
        "certificates/identity.py",
        "if not same:",
        "if False:",
        SPLIT,
    ),
    Mutant(
        "a leave-one-out limit that forgets how far the others' answers are",
        "certificates/cross_conformal.py",
        "name: own[:, None] + np.stack(",
        "name: own[:, None] + 0 * np.stack(",
        CROSS,
    ),
    Mutant(
        "a leave-one-out limit at 1 - 2 alpha",
        "certificates/cross_conformal.py",
        "alpha = (1 - level - penalty) / 2",
        "alpha = 1 - level - penalty",
        CROSS,
    ),
    Mutant(
        "members whose SHA-256 is not checked",
        "io/model.py",
        'if _sha(data) != expected["sha256"]:',
        "if False:",
        FILES,
    ),
    Mutant(
        "a manifest whose SHA-256 is not checked",
        "io/model.py",
        "if not sealed:",
        "if False:",
        FILES,
    ),
    Mutant(
        "a model written in place",
        "io/atomic.py",
        'temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")',
        "temporary = target; target.unlink(missing_ok=True)",
        FILES,
    ),
    Mutant(
        "torch files that may run code",
        "io/readers/torch_file.py",
        "weights_only=True)",
        "weights_only=False)",
        READERS,
    ),
    Mutant(
        "NumPy files that may run code",
        "io/readers/numpy_files.py",
        "with np.load(path, allow_pickle=False) as archive:",
        "with np.load(path, allow_pickle=True) as archive:",
        READERS,
    ),
    Mutant(
        "leave-one-out errors that are those of the fit",
        "rb/kernel.py",
        "value = float(np.sum((alpha / kappa[:, None]) ** 2)) / total + 1e-30",
        "value = float(np.sum((noise * alpha) ** 2)) / total + 1e-30",
        REGRESSION,
    ),
    Mutant(
        "a mean that is not added again",
        "rb/kernel.py",
        "return self.mean + (",
        "return 0 * self.mean + (",
        REGRESSION,
    ),
    Mutant(
        "coefficients in the wrong inner product",
        "rb/pod_basis.py",
        "applied(self.inner, dofs - self.offset) @",
        "(dofs - self.offset) @",
        REGRESSION,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
