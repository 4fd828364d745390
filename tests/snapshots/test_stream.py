"""Streams: the samples of `generate`, without keeping them."""

import threading
import time
import tracemalloc
from itertools import islice

import numpy as np
import pytest
from tests.snapshots.problems import Decay, Waves
from tests.snapshots.test_workers import Free, Watched

from nwidth.core.errors import InputError, WorkError
from nwidth.core.solution import Status
from nwidth.problems.darcy import Darcy
from nwidth.snapshots.generate import generate
from nwidth.snapshots.stream import stream
from nwidth.solvers.riesz_cg import RieszCG


@pytest.mark.parametrize(("solver", "workers"), [
    (RieszCG(), 1), (RieszCG(), 2), (Free(), 1), (Free(), 3),
], ids=["here", "processes", "a thread", "threads"])  # fmt: skip
def test_a_stream_has_the_samples_of_generate_in_order(solver, workers):
    problem = Darcy(9, modes=8)
    whole = generate(problem, 22, seed=3, start=5, chunk=4, solver=solver, workers=1)
    for _ in range(2):  # and again
        parts = list(stream(problem, 22, seed=3, start=5, chunk=4, solver=solver, workers=workers))
        assert [len(part) for part in parts] == [4, 4, 4, 4, 4, 2]
        np.testing.assert_array_equal(np.concatenate([p.fields for p in parts]), whole.fields)
        np.testing.assert_array_equal(np.concatenate([p.mu["a"] for p in parts]), whole.mu["a"])
        np.testing.assert_array_equal(np.concatenate([p.index for p in parts]), whole.index)
        np.testing.assert_array_equal(np.concatenate([p.stats["residual"] for p in parts]), whole.stats["residual"])


def test_trajectories_and_outputs_come_along():
    (part,) = stream(Decay(), 3)
    assert part.fields.shape[:2] == (3, 4)
    np.testing.assert_array_equal(part.times, Decay.times)
    np.testing.assert_array_equal(part.outputs["mean"], generate(Decay(), 3).outputs["mean"])


def test_a_stream_without_end_solves_only_a_little_ahead_and_stops_when_it_is_left():
    parts = iter(stream(Waves(), chunk=4, solver=Watched(), workers=2))
    first = list(islice(parts, 3))
    assert [part.index[0] for part in first] == [0, 4, 8]
    time.sleep(0.1)
    solved = sum(state["calls"] for state in Watched.states)
    assert solved <= 3 + 2 * 2 + 1
    parts.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nwidth_")]


def test_the_next_chunks_are_solved_while_the_caller_is_busy():
    """The next chunk is ready without being asked for, however long the caller takes over this one."""
    parts = iter(stream(Waves(), 40, chunk=4, solver=Watched(seconds=0.005)))
    next(parts)
    deadline = time.monotonic() + 20
    while sum(state["calls"] for state in Watched.states) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert sum(state["calls"] for state in Watched.states) >= 2
    assert next(parts).index[0] == 4
    parts.close()


def test_memory_does_not_grow_with_the_number_of_samples():
    peaks = []
    for count in (40, 400):
        tracemalloc.start()
        for part in stream(Waves(), count, chunk=4, solver=Watched()):
            assert len(part) == 4
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 50_000


def test_samples_that_did_not_converge(caplog):
    problem = Waves(limit=0.8)
    whole = generate(problem, 40, chunk=8)
    parts = list(stream(problem, 40, chunk=8))
    np.testing.assert_array_equal(np.concatenate([p.index for p in parts]), whole.good)
    np.testing.assert_array_equal(np.concatenate([p.fields for p in parts]), np.asarray(whole.fields)[whole.good])
    assert "samples did not converge: sample" in caplog.text
    assert "k is too large" in caplog.text
    kept = list(stream(problem, 40, chunk=8, unconverged="keep"))
    np.testing.assert_array_equal(np.concatenate([p.status for p in kept]), whole.status)
    with pytest.raises(WorkError, match=f"sample {np.flatnonzero(whole.status == Status.FAILED)[0]} is the first"):
        list(stream(problem, 40, chunk=8, unconverged="refuse"))
    with pytest.raises(WorkError, match="did not converge"):
        list(stream(Waves(limit=0.0), 8))


@pytest.mark.parametrize(("request_", "words"), [
    ({"count": 0}, "count is 0"),
    ({"workers": 0}, "workers is 0"),
    ({"unconverged": "hide"}, "unconverged is 'hide'; choose one of drop, refuse, keep"),
])  # fmt: skip
def test_requests_that_make_no_sense(request_, words):
    with pytest.raises(InputError, match=words):
        stream(Waves(), **request_)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_the_loader_gives_every_sample_once_in_batches_of_one_size(batch_size):
    torch = pytest.importorskip("torch")
    problem = Darcy(9, modes=8)
    whole = generate(problem, 23)
    batches = list(stream(problem, 23, chunk=4).loader(batch_size=batch_size))
    assert [len(x) for x, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    reference = list(whole.loader(batch_size=23))
    assert torch.equal(inputs, reference[0][0])
    assert torch.equal(targets, reference[0][1])
    with pytest.raises(InputError, match="batch_size is 0"):
        stream(problem, 4).loader(batch_size=0)
