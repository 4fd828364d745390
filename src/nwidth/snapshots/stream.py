"""`stream`: samples solved while they are used, a chunk at a time; nothing is written and nothing is kept."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias

import numpy as np

from nwidth.core.errors import WorkError
from nwidth.core.kinds import load_attribute
from nwidth.core.solution import Status, Tolerance
from nwidth.core.validation import check_choice
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots, count_samples
from nwidth.snapshots.generate import new_job
from nwidth.snapshots.memory import Memory
from nwidth.snapshots.processes import in_processes, packed
from nwidth.snapshots.threads import Threads
from nwidth.snapshots.work import Done, Job, Worker, times_of
from nwidth.solvers.base import Solver

_LOG = logging.getLogger("nwidth")
#: What happens to samples that did not converge.
Unconverged: TypeAlias = Literal["drop", "refuse", "keep"]
#: Stands for "without end".
_ENDLESS = 2**62


@dataclass(frozen=True)
class Stream:
    """An iterable of Snapshots, one per chunk, in order; each iteration begins anew with the same samples.

    The samples and their values are those of `generate` with the same arguments, bit for bit. Memory does not grow
    with their number: a few chunks are held at a time.
    """

    job: Job
    why: str
    workers: int
    unconverged: Unconverged

    def __iter__(self) -> Iterator[Snapshots]:
        for done in self._solved():
            part = self._snapshots(done)
            if len(part):
                yield part

    def loader(self, device: str = "cpu", batch_size: int = 16) -> Any:
        """Batches of torch tensors (inputs, targets) for a training loop of one's own; needs the extra `neural`.

        Samples come in the order of their random stream, which is as good as shuffled; the last batch may be smaller.
        """
        return load_attribute("nwidth.surrogates.training.streaming:StreamLoader")(self, device, batch_size)

    def _solved(self) -> Iterator[Done]:
        chunks = iter(range(-(-self.job.count // self.job.chunk)))
        if self.job.solver.releases_gil:
            with Threads(self.job, None, self.workers) as threads:  # solves ahead while the caller is busy
                yield from threads.map(chunks)
        elif self.workers > 1:
            yield from self._in_processes(chunks)
        else:
            yield from map(Worker(self.job, None).run, chunks)

    def _in_processes(self, chunks: Iterator[int]) -> Iterator[Done]:
        """Some chunks for each process at a time, put in order: what is ahead of the caller stays bounded."""
        payload = packed(self.job, None, self.workers)
        if payload is None:
            yield from map(Worker(self.job, None).run, chunks)
            return
        while window := list(islice(chunks, 4 * self.workers)):
            yield from sorted(in_processes(payload, window, self.workers), key=lambda done: done.chunk)

    def _snapshots(self, done: Done) -> Snapshots:
        """One chunk; says which samples did not converge, and leaves them out where asked."""
        problem, rows = self.job.problem, self.job.rows(done.chunk)
        if done.block is None:
            raise WorkError(f"chunk {done.chunk} came back without its samples")
        memory = Memory(len(rows), len(rows))
        memory.put(0, done.block)
        origin = {"why": self.why, "seed": self.job.seed, "notes": [done.note] if done.note else []}
        part = memory.snapshots(problem.parameters, problem.space, times_of(problem), origin)
        bad = np.flatnonzero(np.asarray(part.status) != Status.CONVERGED)
        if not len(bad):
            return part
        counts = count_samples(np.asarray(part.status)[bad])
        text = (
            f"sample {done.block.index[bad[0]]} is the first of {counts}{f' ({done.failure})' if done.failure else ''}"
        )
        if self.unconverged == "refuse" or len(bad) == len(part):
            raise WorkError(f"samples did not converge: {text}; loosen the tolerance or choose another solver")
        _LOG.warning("%d of %d samples did not converge: %s", len(bad), len(part), text)
        return part if self.unconverged == "keep" else part.take(part.good)


def stream(
    problem: Problem,
    count: int | None = None,
    seed: int = 0,
    *,
    solver: Solver | None = None,
    tolerance: Tolerance | None = None,
    workers: int = 1,
    start: int = 0,
    chunk: int | None = None,
    unconverged: Unconverged = "drop",
) -> Stream:
    """The samples `start ... start + count` (None: without end) of the problem's parameters under `seed`, solved while
    they are used: `for part in stream(problem): ...` gives Snapshots of `chunk` samples each.

    A solver whose kernels leave Python's lock alone works ahead in `workers` threads while the caller trains on the
    last chunk; others work in `workers` processes, or in between. Samples that did not converge are left out with a
    warning ("drop"), are an error ("refuse"), or stay with their status ("keep"); a chunk in which none converged is a
    WorkError in any case. Raises InputError for a request that makes no sense.
    """
    check_choice("unconverged", unconverged, ("drop", "refuse", "keep"))
    number = _ENDLESS if count is None else count
    job, why = new_job(problem, number, seed, solver, tolerance, workers, start, chunk)
    return Stream(job, why, workers, unconverged)
