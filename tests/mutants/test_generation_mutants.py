"""Mutants of generation, streams and exported files: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

WORKERS = ("tests/snapshots/test_workers.py",)
EXPORT = ("tests/snapshots/test_export.py",)
STREAM = ("tests/snapshots/test_stream.py",)

MUTANTS = [
    Mutant(
        "limits of the linear algebra are never lifted",
        "snapshots/threads.py",
        "limit.restore_original_limits()",
        "limit",
        WORKERS,
    ),
    Mutant(
        "a library loaded by a thread runs on as many as it likes",
        "snapshots/work.py",
        "if not _libraries(self._threads) <= self._held:",
        "if not self._held:",
        WORKERS,
    ),
    Mutant(
        "chunks out of order", "snapshots/stream.py", "key=lambda done: done.chunk", "key=lambda d: -d.chunk", STREAM
    ),
    Mutant("a mask the wrong way round", "io/writers/neuraloperator.py", "values == high", "values == low", EXPORT),
    Mutant(
        "every block is the first",
        "io/writers/pdebench.py",
        "single(data.fields[rows], dtype)\n        nu",
        "single(data.fields[: rows.stop - rows.start], dtype)\n        nu",
        EXPORT,
    ),
    Mutant(
        "steps in space taken for steps in time",
        "io/writers/the_well.py",
        "np.diff(values.astype(np.float64), axis=1)",
        "np.diff(values.astype(np.float64), axis=-1)",
        EXPORT,
    ),
    Mutant(
        "nodes thinned out as if they were periodic",
        "snapshots/export.py",
        "spare = [0 if wraps else 1 for wraps in periodic]",
        "spare = [0 for wraps in periodic]",
        EXPORT,
    ),
    Mutant(
        "half a file is left behind", "io/atomic.py", "shutil.rmtree(temporary, ignore_errors=True)", "pass", EXPORT
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
