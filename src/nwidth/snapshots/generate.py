"""`generate`: full-order solutions of sampled parameters, in memory or in a store that survives interruptions."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nwidth.core.errors import InputError, WorkError
from nwidth.core.solution import Status, Tolerance
from nwidth.problems.base import BlackBox, Problem
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.identity import check_numbers, describe, differences, versions
from nwidth.snapshots.layout import Layout
from nwidth.snapshots.lock import sole_writer
from nwidth.snapshots.memory import Memory
from nwidth.snapshots.open import stored_snapshots
from nwidth.snapshots.progress import samples_bar
from nwidth.snapshots.store import LARGEST_CHUNK, Store, chunk_of, create_store, is_taken
from nwidth.snapshots.work import Done, Job, field_shape, output_values, times_of
from nwidth.snapshots.workers import Crew, map_chunks
from nwidth.solvers.base import Solver
from nwidth.solvers.choose import default_solver, explain

_LOG = logging.getLogger("nwidth")
#: A black box may take minutes for each sample: what an interruption can lose is kept small.
_LARGEST_BLACK_BOX_CHUNK = 8
#: Different notes of the solver, and reasons of failed solves, that are kept in words; every sample keeps its status.
_KEPT = 20


def generate(
    problem: Problem,
    count: int,
    seed: int = 0,
    *,
    path: str | Path | None = None,
    solver: Solver | None = None,
    tolerance: Tolerance | None = None,
    workers: int | None = None,
    start: int = 0,
    chunk: int | None = None,
    progress: bool = False,
) -> Snapshots:
    """Solutions of the samples `start ... start + count` of the problem's parameters under `seed`.

    With a `path` they go to a store on disk and are read lazily from there. Repeating the call after an interruption,
    of whatever kind, continues; with a larger `count` it adds samples; for anything else that differs it is refused.
    The unit of work is a `chunk` of samples, solved as one batch on one thread: the values are the same, bit for
    bit, for any number of `workers`. These are threads where the solver's kernels leave Python's lock alone, else
    processes; None finds out how many pay (`provenance["parallel"]` says what was found, `provenance["why"]` why this
    solver was chosen, as does the log). A problem's own code (BlackBox) runs once at a time unless asked otherwise.

    A sample that did not converge keeps its row and says so in `status`; `provenance["samples"]` counts how the
    solves ended, and a warning is logged. Raises InputError for a request that makes no sense or does not match the
    store, WorkError where the disk is full, a worker dies or no sample converges: what is complete is kept.
    """
    job, why = new_job(problem, count, seed, solver, tolerance, workers, start, chunk)
    run = _Run(job, _provenance(job, why), workers, progress)
    snapshots = run.in_memory() if path is None else run.in_store(Path(path).absolute(), chunk)
    _report(snapshots, run.failures)
    return replace(snapshots, provenance={**snapshots.provenance, **run.record()})


def new_job(
    problem: Problem,
    count: int,
    seed: int,
    solver: Solver | None,
    tolerance: Tolerance | None,
    workers: int | None,
    start: int,
    chunk: int | None,
) -> tuple[Job, str]:
    """The checked request, and why its solver was chosen (which is logged). Raises InputError for nonsense."""
    counts = {"count": (count, 1), "seed": (seed, 0), "start": (start, 0)}
    optional = {name: (value, 1) for name, value in (("workers", workers), ("chunk", chunk)) if value is not None}
    _check_request(problem, solver, tolerance, counts | optional)
    chosen, why = (solver, "chosen by the caller") if solver else (default_solver(problem), explain(problem))
    _LOG.info("solving with %s: %s", type(chosen).__name__, why)
    return Job(problem, chosen, tolerance, int(seed), int(start), int(count), chunk or default_chunk(problem)), why


def default_chunk(problem: Problem) -> int:
    """Samples solved and stored together: about 4 MiB of fields. Depends on the problem alone."""
    most = _LARGEST_BLACK_BOX_CHUNK if isinstance(problem, BlackBox) else LARGEST_CHUNK
    return min(most, chunk_of(field_shape(problem), problem.space.dtype))


@dataclass(frozen=True)
class _Run:
    """One call of `generate`: the job, where it comes from, and how it is worked off."""

    job: Job
    provenance: Mapping[str, Any]
    workers: int | None
    shown: bool
    crew: Crew = field(default_factory=Crew)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    begin: float = field(default_factory=perf_counter)

    def record(self) -> dict[str, Any]:
        """How the work was done, as far as it does not change the result."""
        return {
            "workers": self.crew.workers,
            "parallel": f"{self.crew.kind}: {self.crew.why}",
            "wall_seconds": perf_counter() - self.begin,
            "notes": list(self.notes),
        }

    def in_memory(self) -> Snapshots:
        """All samples as arrays."""
        memory = Memory(self.job.count, self.job.chunk)
        chunks = list(range(-(-self.job.count // self.job.chunk)))
        for done in self._work(self.job, None, chunks):
            if done.block is not None:
                memory.put(done.chunk, done.block)
        problem = self.job.problem
        return memory.snapshots(problem.parameters, problem.space, times_of(problem), self.provenance)

    def in_store(self, path: Path, chunk: int | None) -> Snapshots:
        """All samples in the store at `path`, which is made, or continued where it is this job's own."""
        with sole_writer(path):
            job = self._resume(path, chunk) if is_taken(path) else self._create(path)
            todo = Store(path).todo()
            try:
                for _ in self._work(job, path, todo):
                    pass
            except InputError:
                _remove_if_empty(path)
                raise
            if todo:
                Store(path, writable=True).add_run({**self.record(), "failures": self.failures})
        return stored_snapshots(Store(path), job.problem.parameters, job.problem.space)

    def _work(self, job: Job, path: Path | None, chunks: list[int]) -> Iterator[Done]:
        left = sum(len(job.rows(k)) for k in chunks)
        solver = type(job.solver).__name__
        with samples_bar(f"{solver}, {self.provenance['why']}", job.count, job.count - left, self.shown) as advance:
            for done in map_chunks(job, path, chunks, self.workers, self.crew):
                for said, new in ((self.notes, done.note), (self.failures, done.failure)):
                    if new and new not in said and len(said) < _KEPT:
                        said.append(new)
                yield done
                advance(done.samples)

    def _create(self, path: Path) -> Job:
        job, problem = self.job, self.job.problem
        mu, units = job.sample(range(1)), self.provenance["units"]
        fields = np.empty((0, *field_shape(problem)), dtype=problem.space.dtype)
        outputs = {name: output_values(q, fields, problem.space.shape) for name, q in job.quantities().items()}
        layout = Layout.of(problem.parameters, problem.space, times_of(problem), mu, fields, outputs, units)
        create_store(path, layout, job.count, job.chunk, {"generated": True, "provenance": self.provenance})
        return job

    def _resume(self, path: Path, chunk: int | None) -> Job:
        store = Store(path, writable=True, sweep=True)
        _check_same(store, self.job, self.provenance, chunk)
        store.grow(self.job.count)
        _note_versions(store, self.provenance["versions"])
        return replace(self.job, chunk=store.chunk)


def _provenance(job: Job, why: str) -> dict[str, Any]:
    """Where the samples come from; a store keeps it, and may be continued only by the same."""
    problem, mu = job.problem, job.sample(range(1))
    return {
        "problem": describe(problem),
        "parameters": describe(problem.parameters),
        "space": describe(problem.space),
        "seed": job.seed,
        "start": job.start,
        "solver": describe(job.solver),
        "why": why,
        "tolerance": describe(job.stop),
        "check": check_numbers(problem, mu),
        "units": {name: quantity.unit for name, quantity in job.quantities().items()},
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _check_same(store: Store, job: Job, provenance: Mapping[str, Any], chunk: int | None) -> None:
    """Raises InputError where the store is not this job's, naming what differs."""
    if not store.header.get("generated"):
        raise InputError(
            f"{store.path} holds snapshots that were saved, not generated, and cannot be continued; choose another path"
        )
    found = differences(store.header["provenance"], provenance)
    if chunk not in (None, store.chunk):
        found.append(f"chunk is {store.chunk} there, {chunk} here")
    if job.count < store.count:
        found.append(f"count is {store.count} there, {job.count} here (open_snapshots(path).take(...) gives a part)")
    if found:
        raise InputError(
            f"{store.path} was made by another request: {'; '.join(found)}. Ask for the same again, or choose "
            "another path"
        )


def _note_versions(store: Store, now: Mapping[str, str]) -> None:
    then = store.header["provenance"]["versions"]
    changed = [f"{name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]]
    if changed and store.todo():
        _LOG.warning("%s is continued with other versions (%s): last digits may differ", store.path, ", ".join(changed))


def _remove_if_empty(path: Path) -> None:
    """A request that turned out to be wrong leaves nothing behind, unless samples were solved."""
    if not Store(path).status().any():
        shutil.rmtree(path)


def _report(snapshots: Snapshots, failures: list[str]) -> None:
    """Says how many samples did not converge, and which. Raises WorkError where none did."""
    counts, size = snapshots.provenance["samples"], len(snapshots)
    bad = {name: n for name, n in counts.items() if name != Status.CONVERGED.name.lower()}
    because = f" ({'; '.join(failures[:3])})" if failures else ""
    if not bad:
        return
    text = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in bad.items())
    if sum(bad.values()) == size:
        raise WorkError(
            f"none of the {size} samples converged: {text}{because}; loosen the tolerance, choose another solver, or "
            "look at one sample with nw.solve"
        )
    rows = np.flatnonzero(np.asarray(snapshots.status) != Status.CONVERGED)
    first = ", ".join(map(str, rows[:5].tolist())) + (", ..." if len(rows) > 5 else "")
    _LOG.warning("%d of %d samples did not converge: %s; rows %s%s", len(rows), size, text, first, because)


def _check_request(problem: Any, solver: Any, tolerance: Any, at_least: Mapping[str, tuple[Any, int]]) -> None:
    _check_type("problem", problem, Problem, "an object of a class that inherits Problem")
    _check_type("solver", solver, Solver | None, "a Solver, or None for the one that suits the problem")
    _check_type("tolerance", tolerance, Tolerance | None, "what it refers to, such as Tolerance('residual', 1e-8)")
    for name, (value, least) in at_least.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} is {value!r}, expected a whole number from {least} on")


def _check_type(name: str, value: Any, types: Any, expected: str) -> None:
    if not isinstance(value, types):
        raise InputError(f"{name} is {value!r}, expected {expected}")
