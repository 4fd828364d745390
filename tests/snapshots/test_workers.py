"""Threads, processes and the automatic choice: who works never shows in the data."""

import json
import threading
import time
import tracemalloc
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.snapshots.problems import KINDS, Waves
from tests.snapshots.test_generate import same
from threadpoolctl import threadpool_info, threadpool_limits

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.problems.base import Problem
from nwidth.problems.darcy import Darcy
from nwidth.snapshots import workers as crews
from nwidth.snapshots.generate import generate
from nwidth.snapshots.open import open_snapshots
from nwidth.snapshots.threads import Threads
from nwidth.snapshots.work import Job
from nwidth.solvers.base import Solver
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.testing.dense import DenseProblem


class Free(RieszCG):
    """Conjugate gradients whose kernels leave Python's lock alone."""

    releases_gil: ClassVar[bool] = True


@dataclass(frozen=True)
class Watched(Solver):
    """Sleeps for a while outside Python's lock; the state counts how often, and by how many at once, it is used."""

    releases_gil: ClassVar[bool] = True
    states: ClassVar[list[dict[str, Any]]] = []
    seconds: float = 0.0
    bad: float = 2.0

    def prepare(self, problem: Problem) -> dict[str, Any]:
        self.states.append({"problem": problem, "thread": threading.get_ident(), "calls": 0})
        return self.states[-1]

    def solve(self, state: Any, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        assert state["thread"] == threading.get_ident(), "a state is shared by threads"
        pools = [p for p in threadpool_info() if p["user_api"] == "blas"]
        assert all(pool["num_threads"] == 1 for pool in pools)
        state["calls"] += 1
        time.sleep(self.seconds * len(mu["k"]))
        if (mu["k"] == Waves().parameters.sample([9], 0)["k"]).any() and self.bad < 1:
            raise ZeroDivisionError
        status = np.full(len(mu["k"]), Status.CONVERGED)
        return Solution(state["problem"].exact(mu), status, {"residual": 0 * mu["k"]})


@pytest.fixture(autouse=True)
def no_states():
    Watched.states.clear()


def test_threads_and_processes_give_the_bits_of_one_thread(tmp_path):
    problem = Darcy(17, modes=24)
    reference = generate(problem, 23, chunk=4, solver=RieszCG(), workers=1)
    assert reference.provenance["parallel"] == "one thread: asked for"
    for workers in (2, 3):
        threads = generate(problem, 23, chunk=4, solver=Free(), workers=workers, path=tmp_path / f"{workers}.zarr")
        assert threads.provenance["parallel"].startswith("threads")
        same(threads, reference)
    same(generate(problem, 23, chunk=4, solver=Free(), workers=2), reference)
    processes = generate(problem, 23, chunk=4, solver=RieszCG(), workers=2)
    assert processes.provenance["parallel"].startswith("processes")
    same(processes, reference)


def test_every_thread_has_a_state_of_its_own_and_all_work():
    snapshots = generate(Waves(), 64, chunk=4, solver=Watched(seconds=0.002), workers=3)
    assert snapshots.provenance["workers"] == 3
    assert len(Watched.states) == 3
    assert sum(state["calls"] for state in Watched.states) == 16
    assert min(state["calls"] for state in Watched.states) >= 2


def test_limits_of_the_linear_algebra_are_given_back():
    with threadpool_limits(limits=2):
        before = [pool["num_threads"] for pool in threadpool_info()]
        generate(Waves(), 20, chunk=4, solver=Watched(), workers=2)
        assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_a_library_that_a_thread_loads_is_held_to_one_thread_too(monkeypatch):
    """The chunk during which it appeared is solved again, and its limit is lifted only at the end."""
    loaded, limited, lifted = [SimpleNamespace(filepath="first")], [], []

    class Libraries:
        def __init__(self):
            self.lib_controllers = list(loaded)

        def limit(self, limits):
            names = [library.filepath for library in self.lib_controllers]
            limited.append(names)
            return SimpleNamespace(restore_original_limits=lambda: lifted.append(names))

    class Loading(Watched):
        def solve(self, state, mu, x0=None, stop=None):
            state["seen"] = [*state.get("seen", []), len(mu["k"])]
            if len(loaded) == 1 and state["calls"] == 1:
                loaded.append(SimpleNamespace(filepath="second"))
                assert not lifted
            return super().solve(state, mu, x0, stop)

    monkeypatch.setattr("nwidth.snapshots.work.ThreadpoolController", Libraries)
    with Threads(Job(Waves(), Loading(), None, 0, 0, 16, 4), None, 1) as threads:
        assert len(list(threads.map(iter(range(4))))) == 4
    assert Watched.states[0]["seen"] == [4, 4, 4, 4, 4]
    assert limited == [["first"], ["first", "second"]]
    assert lifted == limited[::-1]


def test_an_error_in_a_thread_is_the_callers_and_keeps_what_was_solved(tmp_path):
    with pytest.raises(ZeroDivisionError) as caught:
        generate(Waves(), 20, chunk=4, solver=Watched(bad=0.5), workers=2, path=tmp_path / "a.zarr")
    assert "samples 8 to 11" in caught.value.__notes__[0]
    assert open_snapshots(tmp_path / "a.zarr", KINDS).provenance["samples"]["converged"] >= 8
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nwidth_")]


@pytest.mark.parametrize(("processors", "expected"), [
    (1, "one thread: one processor"),
    (2, "threads: measured: 2 threads are"),
    (4, "threads: measured: 4 threads are"),
])  # fmt: skip
def test_threads_are_used_where_they_are_measured_to_pay(processors, expected, monkeypatch):
    """Sleeping goes on side by side however few cores there are."""
    monkeypatch.setattr(crews, "processors", lambda: processors)
    snapshots = generate(Waves(), 100, chunk=4, solver=Watched(seconds=0.003))
    assert snapshots.provenance["parallel"].startswith(expected)
    assert snapshots.provenance["workers"] == processors
    np.testing.assert_array_equal(snapshots.fields, Waves().exact(Waves().parameters.sample(range(100), 0)))


def test_threads_that_bring_nothing_are_not_used(monkeypatch):
    """One lock for all: the second thread waits for the first."""
    lock = threading.Lock()

    class Queue(Watched):
        def solve(self, state, mu, x0=None, stop=None):
            with lock:
                return super().solve(state, mu, x0, stop)

    monkeypatch.setattr(crews, "processors", lambda: 2)
    snapshots = generate(Waves(), 60, chunk=4, solver=Queue(seconds=0.03))  # long beside the noise
    parallel = snapshots.provenance["parallel"]
    assert parallel.startswith("one thread: measured: 2 threads are"), parallel
    assert snapshots.provenance["workers"] == 1


def test_a_users_own_code_runs_once_at_a_time_unless_asked(monkeypatch):
    monkeypatch.setattr(crews, "processors", lambda: 2)
    assert generate(Waves(), 12, chunk=4).provenance["parallel"].startswith("one thread: the problem's own code")
    assert generate(Waves(), 12, chunk=4, workers=2).provenance["parallel"] == "processes: asked for"


def test_processes_are_started_only_where_they_save_more_than_they_cost(monkeypatch):
    monkeypatch.setattr(crews, "processors", lambda: 2)
    problem = DenseProblem(size=20)
    reference = generate(problem, 20, chunk=4)
    assert "more processes would save about" in reference.provenance["parallel"]
    monkeypatch.setattr(crews, "_WORTH_SECONDS", 0.0)
    monkeypatch.setattr(crews.joblib, "cpu_count", lambda only_physical_cores: 2)
    snapshots = generate(problem, 20, chunk=4)
    assert snapshots.provenance["parallel"].startswith("processes: expected to save")
    same(snapshots, reference)
    for gain, kind in ((0.0, "processes"), (np.inf, "one thread")):
        monkeypatch.setattr(crews, "_GAIN", gain)
        snapshots = generate(problem, 44, chunk=2)
        assert snapshots.provenance["parallel"].startswith(f"{kind}: measured: 2 processes are")
        np.testing.assert_array_equal(snapshots.fields[:20], np.asarray(generate(problem, 20, chunk=2).fields))


def test_the_store_keeps_how_each_part_was_made(tmp_path):
    path = tmp_path / "a.zarr"
    generate(Waves(limit=0.8), 8, chunk=4, path=path)
    generate(Waves(limit=0.8), 20, chunk=4, path=path, workers=2)
    generate(Waves(limit=0.8), 20, chunk=4, path=path)  # nothing was left to do
    first, second = open_snapshots(path, KINDS).provenance["runs"]
    assert (first["workers"], second["workers"]) == (1, 2)
    assert second["parallel"] == "processes: asked for"
    assert second["failures"] == ["k is too large"]
    assert json.loads((path / "zarr.json").read_text())["attributes"]["nwidth"]["runs"] == [first, second]


def test_every_sample_has_a_residual_and_a_time_whatever_the_solver_reports():
    class Silent(RieszCG):
        def solve(self, state, mu, x0=None, stop=None):
            solution = super().solve(state, mu, x0, stop)
            return Solution(solution.field, solution.status, {})

    problem = DenseProblem(size=20)
    spoken, silent = (generate(problem, 9, chunk=4, solver=solver) for solver in (RieszCG(), Silent()))
    np.testing.assert_allclose(silent.stats["residual"], spoken.stats["residual"], rtol=1e-6)
    assert (silent.stats["seconds"] > 0).all()
    assert (silent.stats["iterations"] == -1).all()


def test_what_a_solver_says_of_a_failure_is_kept_with_its_samples(caplog):
    class Telling(Watched):
        def solve(self, state, mu, x0=None, stop=None):
            answer = super().solve(state, mu, x0, stop)
            status = np.where(mu["k"] > 0.8, Status.MAX_ITERATIONS, Status.CONVERGED)
            bad = np.flatnonzero(status != Status.CONVERGED)
            note = f"sample {bad[0]}: residuals 1e-1, 1e-2" if len(bad) else "all well"
            return Solution(answer.field, status, answer.stats, note)

    snapshots = generate(Waves(), 24, chunk=8, solver=Telling(), workers=1)
    bad = np.flatnonzero(snapshots.status != Status.CONVERGED)
    assert 0 < len(bad) < 24
    first = bad[0] // 8 * 8
    assert f"samples {first} to {first + 7}: sample {bad[0] - first}: residuals 1e-1, 1e-2" in caplog.text
    assert snapshots.provenance["notes"] in ([], ["all well"])


@pytest.mark.parametrize("workers", [1, 2])
def test_memory_does_not_grow_with_the_samples_on_disk(workers, tmp_path):
    """The least of three peaks: what is loaded or compiled once, in whichever run needs it first, is no growth."""

    def peak(count: int, turn: int) -> int:
        tracemalloc.start()
        store = tmp_path / f"{count}-{turn}.zarr"
        generate(Darcy(16, modes=8), count, chunk=15, workers=workers, solver=Free(), path=store)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = (min(peak(count, turn) for turn in range(3)) for count in (60, 540))
    assert many < few + 1_100_000  # the 480 more samples are 2.2 MB


def test_wrong_numbers_of_workers():
    with pytest.raises(InputError, match="workers is 0, expected a whole number from 1 on"):
        generate(Waves(), 4, workers=0)
