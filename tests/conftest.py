"""What all tests share: one thread per process, repeatable random tests, the place of published data."""

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Before NumPy, numba or torch are imported: they read these once.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
# Rich would otherwise wrap at, and colour for, whatever terminal runs the tests.
os.environ.setdefault("COLUMNS", "120")
os.environ.setdefault("NO_COLOR", "1")


def _kernel_sources() -> str:
    """Hash of every file that numba compiles: its own cache does not see an edit in a file that a kernel calls."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        source = path.read_bytes()
        if b"numba" in source:
            digest.update(path.name.encode() + source)
    return digest.hexdigest()[:16]


os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "numba" / _kernel_sources()))

import pytest  # noqa: E402
from hypothesis import HealthCheck, Phase, settings  # noqa: E402

settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# For tests that must fail and need not say why: a smaller example is not looked for.
settings.register_profile("first-failure", settings.get_profile("repeatable"), phases=[Phase.explicit, Phase.generate])
settings.load_profile(os.environ.get("NWIDTH_HYPOTHESIS", "repeatable"))


@pytest.fixture(scope="session")
def nwidth_data() -> Path:
    """The folder of published data sets; the test is skipped where it is absent."""
    folder = Path(os.environ.get("NWIDTH_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"published data is not at {folder}: set NWIDTH_DATA to its folder")
    return folder
