"""The unit of work: one chunk of samples is drawn, solved and checked as one batch.

The last bits of a batched product depend on the size of the batch and the number of threads; both are fixed here, so
that a sample is the same in whichever process, order or session its chunk is solved.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError, WorkError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.problems.base import Evolution, Linear, Outputs, Problem, Quantity
from nwidth.snapshots.store import Block, Store
from nwidth.solvers.base import Solver


@dataclass(frozen=True)
class Job:
    """What is to be solved: samples `start ... start + count` of a problem, `chunk` at a time."""

    problem: Problem
    solver: Solver
    stop: Tolerance | None
    seed: int
    start: int
    count: int
    chunk: int

    def rows(self, k: int) -> range:
        """Rows of chunk k."""
        return range(k * self.chunk, min((k + 1) * self.chunk, self.count))

    def sample(self, rows: range) -> dict[str, Array]:
        """Parameters of these rows, checked."""
        parameters = self.problem.parameters
        indices = range(self.start + rows.start, self.start + rows.stop)
        mu = as_mu(parameters.sample(indices, self.seed), parameters.names)
        if batch_size(mu) != len(rows):
            raise InputError(
                f"{type(parameters).__name__}.sample returned {batch_size(mu)} samples for {len(rows)} indices; "
                "return one row for each index"
            )
        words = {name: str(values.dtype) for name, values in mu.items() if values.dtype.kind not in "biufc"}
        if words:
            raise InputError(f"parameters have values of type {words}; only numbers can be stored: encode them")
        return mu

    def quantities(self) -> Mapping[str, Quantity]:
        """The problem's quantities of interest, if it has any."""
        return self.problem.quantities() if isinstance(self.problem, Outputs) else {}


def times_of(problem: Problem) -> Array | None:
    """The stored time levels of a problem's trajectories `(T,)`, or None."""
    return np.asarray(problem.times, dtype=float) if isinstance(problem, Evolution) else None


def field_shape(problem: Problem) -> tuple[int, ...]:
    """Shape of one sample's field or trajectory."""
    shape, times = tuple(problem.space.shape), times_of(problem)
    return shape if times is None else (len(times), *shape)


@dataclass(frozen=True)
class Done:
    """A chunk that is finished: what the solver said, why samples failed, and the samples where there is no store."""

    chunk: int
    samples: int
    note: str
    failure: str
    block: Block | None = None


class Worker:
    """Holds what the chunks of a job share: the solver's state, and the store if there is one.

    Linear algebra libraries are held to one thread while a chunk is solved; `hold` takes over the limits where several
    workers share a process, so that none lifts them while another one solves.
    """

    def __init__(self, job: Job, path: Path | None, hold: Callable[[Any], None] | None = None):
        self._job, self._quantities = job, job.quantities()
        self._hold, self._held = hold, set[str]()
        self._store = None if path is None else Store(path, writable=True)
        self._threads = ThreadpoolController()
        with self._one_thread():
            self._state = job.solver.prepare(job.problem)

    def run(self, k: int) -> Done:
        """Solves chunk k and stores it, or hands it back where there is no store."""
        rows = self._job.rows(k)
        try:
            block, note, failure = self._solve_on_one_thread(rows)
        except (InputError, WorkError):
            raise
        except Exception as error:
            error.add_note(f"while solving samples {self._job.start + rows.start} to {self._job.start + rows.stop - 1}")
            raise
        if self._store is None:
            return Done(k, len(rows), note, failure, block)
        self._store.write(block, rows.start)
        return Done(k, len(rows), note, failure)

    def _solve_on_one_thread(self, rows: range) -> tuple[Block, str, str]:
        """Solves again where the solver loaded a library on the way, which then ran on as many threads as it liked."""
        while True:
            limited = self._threads
            with self._one_thread():
                answer = solve_block(self._job, self._state, self._quantities, rows)
            self._threads = ThreadpoolController()
            if _libraries(self._threads) <= _libraries(limited):
                return answer

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        if self._hold is None:
            with self._threads.limit(limits=1):
                yield
            return
        if not _libraries(self._threads) <= self._held:
            self._hold(self._threads.limit(limits=1))
            self._held |= _libraries(self._threads)
        yield


def _libraries(threads: ThreadpoolController) -> set[str]:
    return {library.filepath for library in threads.lib_controllers}


def solve_block(job: Job, state: Any, quantities: Mapping[str, Quantity], rows: range) -> tuple[Block, str, str]:
    """Draws, solves and checks the samples of some rows; with the solver's note and the reason of a failure, if any."""
    mu = job.sample(rows)
    begin = perf_counter()
    solution, failure = _solve(job, state, mu)
    seconds = (perf_counter() - begin) / len(rows)
    fields = _checked_fields(job, solution.field, len(rows))
    status = _checked_status(job, solution.status, len(rows))
    finite = np.isfinite(fields).reshape(len(fields), -1).all(axis=1)
    status[~finite & (status == Status.CONVERGED)] = Status.FAILED
    outputs = {name: output_values(q, fields, job.problem.space.shape) for name, q in quantities.items()}
    index = np.arange(job.start + rows.start, job.start + rows.stop)
    statistics = _statistics({"seconds": np.full(len(rows), seconds), **solution.stats}, len(rows))
    if "residual" not in solution.stats and isinstance(job.problem, Linear):
        statistics["residual"] = _residuals(job.problem, mu, fields)
    block = Block(index, mu, fields, status, statistics, outputs)
    if (status == Status.CONVERGED).all():
        return block, solution.note, failure
    # what the solver says of a batch with failures is about these: how their residuals went, say
    said = f"samples {index[0]} to {index[-1]}: {solution.note}" if solution.note else ""
    return block, "", failure or said


def output_values(quantity: Quantity, fields: Array, shape: tuple[int, ...]) -> Array:
    """`functional · u + offset` of fields `(B, *shape)` as `(B,)`, or of trajectories `(B, T, *shape)` as `(B, T)`."""
    size = int(np.prod(shape))
    dofs = fields.reshape(len(fields), int(np.prod(fields.shape[1:])) // size, size)
    # One product per sample: its bits do not depend on how many samples stand beside it.
    values = np.empty(dofs.shape[:2], dtype=np.result_type(fields, quantity.functional))
    for i, u in enumerate(dofs):
        values[i] = u @ quantity.functional + quantity.offset
    return values[:, 0] if fields.ndim == len(shape) + 1 else values


def _solve(job: Job, state: Any, mu: Mu) -> tuple[Solution, str]:
    """The solver's answer; where it raises WorkError each sample is tried alone: one does not spoil the others."""
    size = batch_size(mu)
    try:
        return job.solver.solve(state, mu, stop=job.stop), ""
    except WorkError as error:
        if size == 1:
            return _failed(job), str(error)
    alone = [_solve(job, state, select(mu, slice(i, i + 1))) for i in range(size)]
    parts = [solution for solution, _ in alone]
    names = set.union(*(set(part.stats) for part in parts))
    stats = {name: np.concatenate([part.stats.get(name, [np.nan]) for part in parts]) for name in sorted(names)}
    fields, status = (np.concatenate([getattr(part, name) for part in parts]) for name in ("field", "status"))
    failures = [reason for _, reason in alone if reason]
    return Solution(fields, status, stats, parts[0].note), failures[0] if failures else ""


def _failed(job: Job) -> Solution:
    fields = np.full((1, *field_shape(job.problem)), np.nan, dtype=job.problem.space.dtype)
    return Solution(fields, np.array([Status.FAILED]))


def _checked_fields(job: Job, fields: Array, count: int) -> Array:
    expected, dtype = (count, *field_shape(job.problem)), np.dtype(job.problem.space.dtype)
    fields = np.asarray(fields)
    if fields.shape != expected:
        raise InputError(f"{type(job.solver).__name__} returned fields of shape {fields.shape}, expected {expected}")
    if fields.dtype.kind == "c" and dtype.kind != "c":
        raise InputError(
            f"{type(job.solver).__name__} returned complex fields, the space holds {dtype}; give the space the dtype "
            "complex128"
        )
    return np.ascontiguousarray(fields, dtype=dtype)


def _checked_status(job: Job, status: Array, count: int) -> Array:
    codes = np.asarray(status)
    allowed = [int(s) for s in Status if s != Status.MISSING]
    if codes.shape != (count,) or not np.isin(codes, allowed).all():
        raise InputError(
            f"{type(job.solver).__name__} returned the status {codes!r} for {count} samples; expected one of "
            f"{allowed} for each (nwidth.core.solution.Status)"
        )
    return codes.astype(np.uint8)


def _residuals(problem: Linear, mu: Mu, fields: Array) -> Array:
    """`‖f - A u‖ / ‖f‖` of each sample `(B,)`, for solvers that report none."""
    systems = problem.systems(mu)
    r = systems.residual(fields.reshape(len(fields), -1))
    scale = np.linalg.norm(systems.load, axis=1)
    return np.linalg.norm(r, axis=1) / np.where(scale > 0, scale, 1.0)


def _statistics(stats: Mapping[str, Array], count: int) -> dict[str, Array]:
    """The solver's numbers per sample, and what stands for `residual` and `iterations` where it gives none."""
    none = {"residual": np.full(count, np.nan), "iterations": np.full(count, -1)}
    given = {name: np.asarray(values) for name, values in {**none, **stats}.items()}
    wrong = {name: values.shape for name, values in given.items() if values.shape != (count,)}
    if wrong:
        raise InputError(f"statistics have the shapes {wrong}, expected one number for each of {count} samples")
    given["iterations"] = np.where(np.isfinite(given["iterations"]), given["iterations"], -1).astype(np.int32)
    return {name: v if name == "iterations" else v.astype(float) for name, v in given.items()}
