"""Chunks are worked off by threads of this process, for solvers whose kernels release Python's lock."""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from threadpoolctl import ThreadpoolController

from nwidth.snapshots.work import Done, Job, Worker


class Threads:
    """`count` threads, each with a solver state of its own; a context, at whose end they have stopped.

    While it lasts, the linear algebra libraries of the whole process work on one thread each.
    """

    def __init__(self, job: Job, path: Path | None, count: int):
        self.count = count
        self._job, self._path, self._own = job, path, threading.local()
        self._limits: list[Any] = []
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="nwidth", initializer=self._limit)

    def __enter__(self) -> Self:
        self._limit()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for limit in reversed(self._limits):
            limit.restore_original_limits()

    def map(self, chunks: Iterator[int]) -> Iterator[Done]:
        """The chunks solved, in their order; only a few more than there are threads are begun ahead of the reader."""
        ahead: deque[Future[Done]] = deque(self._pool.submit(self._run, k) for k in islice(chunks, 2 * self.count))
        while ahead:
            done = ahead.popleft().result()
            ahead.extend(self._pool.submit(self._run, k) for k in islice(chunks, 1))
            yield done

    def _run(self, k: int) -> Done:
        worker: Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            worker = self._own.worker = Worker(self._job, self._path, self._limits.append)
        return worker.run(k)

    def _limit(self) -> None:
        # the count of OpenMP belongs to the thread that sets it, that of other libraries to the process
        self._limits.append(ThreadpoolController().limit(limits=1))
