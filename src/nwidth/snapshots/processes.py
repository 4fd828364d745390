"""Chunks are handed to worker processes."""

import logging
import os
import pickle
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.backend.reduction import dumps
from joblib.externals.loky.process_executor import BrokenProcessPool

from nwidth.core.errors import WorkError
from nwidth.snapshots.store import full_disk_is_work_error
from nwidth.snapshots.work import Done, Job, Worker

_LOG = logging.getLogger("nwidth")
_WATCH = "nwidth-watch"
_UNPICKLABLE = (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError, OSError)


def packed(job: Job, path: Path | None, workers: int) -> bytes | None:
    """What worker processes need, or None, with a warning, where it cannot be sent to them."""
    try:
        return bytes(dumps((job, path, os.getpid())))
    except _UNPICKLABLE as error:
        _LOG.warning("one process instead of %d: the problem cannot be sent to others (%s)", workers, error)
        return None


def in_processes(payload: bytes, chunks: list[int], workers: int) -> Iterator[Done]:
    """Each chunk when it is finished, in any order.

    The processes are started afresh (nothing is forked) and get the problem by value, so that it works in a plain
    script and with classes defined there. Raises WorkError where one of them dies.
    """
    with parallel_config(backend="loky", n_jobs=min(workers, len(chunks)), inner_max_num_threads=1):
        pool = Parallel(return_as="generator_unordered", batch_size=1)
    with tempfile.TemporaryDirectory(prefix=_prefix(os.getpid())) as folder:
        file = Path(folder) / "job"
        with full_disk_is_work_error(file):
            file.write_bytes(payload)
        tasks = (delayed(_run)(str(file), k) for k in chunks)
        try:
            yield from pool(tasks)
        except BrokenProcessPool as error:
            raise WorkError(
                f"a worker process ended unexpectedly, probably for lack of memory ({error}); repeat the call with "
                "fewer workers: what is complete is kept"
            ) from error


def _run(file: str, k: int) -> Done:
    return _worker(file).run(k)


@lru_cache(maxsize=1)
def _worker(file: str) -> Worker:
    """One per process and job: a job's file has a name that no other job has."""
    job, path, parent = pickle.loads(Path(file).read_bytes())  # noqa: S301  written by the parent process, for this run
    if os.getpid() != parent and _WATCH not in (thread.name for thread in threading.enumerate()):
        threading.Thread(target=_end_with, args=(parent,), name=_WATCH, daemon=True).start()
    return Worker(job, path)


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone: whoever continues the work should not find another at it."""
    while os.getppid() == parent:
        time.sleep(0.25)
    for folder in Path(tempfile.gettempdir()).glob(_prefix(parent) + "*"):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _prefix(parent: int) -> str:
    """How the names of a process's temporary folders begin."""
    return f"nwidth-{parent}-"
