"""How many chunks are solved side by side, and by what: threads where the solver's kernels leave Python's lock alone,
processes where they do not. The data are the same either way.

Two threads may share one core, and then the second may bring nothing: `workers=None` measures it, on chunks that have
to be solved anyway.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

import joblib

from nwidth.snapshots.processes import in_processes, packed
from nwidth.snapshots.threads import Threads
from nwidth.snapshots.work import Done, Job, Worker
from nwidth.solvers.choose import OwnSolver

#: What all threads must gain over one to be used: two hardware threads of one core bring 0.9 to 1.3 times one.
_GAIN = 1.1
#: Processes take a few seconds to start: they must be expected to save more.
_WORTH_SECONDS = 20.0
#: Chunks for each process after which it is seen whether they pay.
_TRIAL = 4


@dataclass
class Crew:
    """Who worked and why: filled in while the chunks are worked off."""

    workers: int = 1
    kind: str = "one thread"
    why: str = "asked for"

    def decide(self, workers: int, kind: str, why: str) -> None:
        """Writes the decision down."""
        self.workers, self.kind, self.why = workers, kind, why


def map_chunks(job: Job, path: Path | None, chunks: list[int], workers: int | None, crew: Crew) -> Iterator[Done]:
    """Solves the chunks, in any order, and yields each when it is finished (and stored, where there is a path).

    With `workers` None their number and kind are found here. A problem that cannot be sent to other processes is
    solved in this one.
    """
    if not chunks:
        crew.decide(0, "none", "nothing was left to solve")
    elif workers is None:
        yield from _automatic(job, path, chunks, crew)
    elif min(workers, len(chunks)) == 1:
        yield from _alone(job, path, chunks)
    elif job.solver.releases_gil:
        crew.decide(workers, "threads", "asked for; the solver's kernels release Python's lock")
        with Threads(job, path, workers) as threads:
            yield from threads.map(iter(chunks))
    else:
        yield from _processes(job, path, chunks, workers, crew, "asked for")


def processors() -> int:
    """Hardware threads that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _alone(job: Job, path: Path | None, chunks: list[int]) -> Iterator[Done]:
    worker = Worker(job, path)
    yield from map(worker.run, chunks)


def _processes(job: Job, path: Path | None, chunks: list[int], workers: int, crew: Crew, why: str) -> Iterator[Done]:
    payload = packed(job, path, workers)
    if payload is None:
        crew.decide(1, "one thread", "the problem cannot be sent to other processes")
        yield from _alone(job, path, chunks)
    else:
        crew.decide(workers, "processes", why)
        yield from in_processes(payload, chunks, workers)


def _automatic(job: Job, path: Path | None, chunks: list[int], crew: Crew) -> Iterator[Done]:
    threads = min(processors(), len(chunks))
    if threads == 1:
        crew.decide(1, "one thread", "one processor" if processors() == 1 else "one chunk")
        yield from _alone(job, path, chunks)
    elif isinstance(job.solver, OwnSolver):
        crew.decide(1, "one thread", "the problem's own code may not allow two runs at once: ask with workers=N")
        yield from _alone(job, path, chunks)
    elif job.solver.releases_gil:
        yield from _measured(job, path, chunks, threads, crew)
    else:
        yield from _processes_if_worth_it(job, path, chunks, crew)


def _measured(job: Job, path: Path | None, chunks: list[int], count: int, crew: Crew) -> Iterator[Done]:
    """One thread for one chunk, all for the next round, and then whichever was faster. The first chunks of each are not
    counted: kernels are compiled and states prepared in them."""
    left = iter(chunks)
    crew.decide(1, "one thread", "too few chunks to measure whether more threads pay")
    with Threads(job, path, 1) as one:
        yield from one.map(islice(left, 1))
        begin = perf_counter()
        finished = list(one.map(islice(left, 1)))
        alone = perf_counter() - begin
        yield from finished
        with Threads(job, path, count) as many:
            yield from many.map(islice(left, count))
            begin = perf_counter()
            finished = list(many.map(islice(left, count)))
            gain = len(finished) * alone / (perf_counter() - begin)
            yield from finished
            if len(finished) == count:
                why = f"measured: {count} threads are {gain:.2f} times as fast as one"
                crew.decide(*((count, "threads", why) if gain >= _GAIN else (1, "one thread", why)))
            if crew.workers > 1:
                yield from many.map(left)
        yield from one.map(left)


def _processes_if_worth_it(job: Job, path: Path | None, chunks: list[int], crew: Crew) -> Iterator[Done]:
    """One process, unless the first chunk shows that several would save more than they cost; and then only where some
    chunks of each show that they do."""
    cores = min(joblib.cpu_count(only_physical_cores=True), len(chunks) - 1)
    begin, worker = perf_counter(), Worker(job, path)
    yield worker.run(chunks[0])
    alone, rest = perf_counter() - begin, chunks[1:]
    saved = alone * len(rest) * (1 - 1 / max(cores, 1))
    payload = packed(job, path, cores) if cores > 1 and saved >= _WORTH_SECONDS else None
    if payload is None:
        crew.decide(1, "one thread", f"more processes would save about {saved:.1f} s, less than their start is worth")
        yield from map(worker.run, rest)
        return
    crew.decide(cores, "processes", f"expected to save {saved:.0f} s; the solver holds Python's lock")
    ends = []
    for done in in_processes(payload, rest[: _TRIAL * cores], cores):
        ends.append(perf_counter())
        yield done
    left = rest[_TRIAL * cores :]
    if not left:
        return
    # the first chunk of each process is not counted: it was started and prepared in it
    gain = alone * (len(ends) - cores) / (ends[-1] - ends[cores - 1])
    measured = f"measured: {cores} processes are {gain:.2f} times as fast as one"
    if gain >= _GAIN:
        crew.decide(cores, "processes", measured)
        yield from in_processes(payload, left, cores)
    else:
        crew.decide(1, "one thread", measured)
        yield from map(worker.run, left)
