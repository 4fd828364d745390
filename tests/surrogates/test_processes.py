"""Training in several processes, and training that is killed: the losses are those of one undisturbed process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.surrogates import trainings

from nwidth.surrogates.training.checkpoint import NAME
from nwidth.surrogates.training.processes import Processes, own_device

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
OPTIMISERS = ("adamw", "soap", "muon")


def command(out: Path, options: dict[str, dict], work: Path | None = None, processes: int = 1) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    last = [] if work is None else [str(work)]
    return [sys.executable, *launcher, trainings.__file__, str(out), json.dumps(options), *last]


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(tmp_path):
    """25 samples to learn from: the last batch holds one (batch=8), of which the second process has none."""
    common = {"epochs": 4, "batch": 8, "ema": 0.9, "clip": 1.0, "augment": "square"}
    options = {name: {**common, "optimiser": name} for name in OPTIMISERS}
    options["double"] = {**common, "precision": "float64"}
    options["many watched"] = {"epochs": 2, "batch": 5, "validation": 0.2, "loss": "l2"}
    for out in ("first", "again"):  # the second time, everything is taken up from the work directory
        (tmp_path / out).mkdir()
        started = command(tmp_path / out, options, tmp_path / "work", processes=2)
        done = subprocess.run(started, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
        assert done.returncode == 0, done.stderr
    (first, second), (again, _) = (
        [json.loads((tmp_path / out / f"{rank}.json").read_text()) for rank in (0, 1)] for out in ("first", "again")
    )
    assert first == second == again
    one = trainings.fit_all(options)
    for name in options:
        tolerance = 1e-10 if name == "double" else 1e-4
        for part in ("train", "validation"):
            np.testing.assert_allclose(first[name][part], one[name][part], rtol=tolerance, err_msg=name)


@pytest.mark.slow
def test_a_killed_training_continues_to_the_same_losses(tmp_path):
    """kill -9 at random moments, once or more for each optimiser: the losses are those of an undisturbed training."""
    options = {name: {"epochs": 25, "batch": 4, "optimiser": name, "ema": 0.9, "clip": 1.0} for name in OPTIMISERS}
    work, rng, killed = tmp_path / "work", np.random.default_rng(0), set()
    while not (tmp_path / "0.json").exists():
        process = subprocess.Popen(command(tmp_path, options, work), env=ENVIRONMENT)
        seen, deadline = stamps(work), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            fresh = {name for name, stamp in stamps(work).items() if stamp != seen.get(name)} - killed
            if fresh:
                time.sleep(float(rng.uniform(0, 0.1)))
                os.kill(process.pid, signal.SIGKILL)
                killed |= fresh
                break
            time.sleep(0.001)
        process.wait()
    assert killed == {*OPTIMISERS}
    assert json.loads((tmp_path / "0.json").read_text()) == trainings.fit_all(options)


def stamps(work: Path) -> dict[str, int]:
    """When the checkpoint of each training was written."""
    found = {name: work / name / NAME for name in OPTIMISERS}
    return {name: path.stat().st_mtime_ns for name, path in found.items() if path.exists()}


def test_one_process_needs_no_group():
    with Processes.joined(torch.device("cpu")) as processes:
        assert (processes.rank, processes.count, processes.leads) == (0, 1, True)
        assert (
            processes.total([1.5], torch.device("cpu")) == [1.5] and processes.agreed(2.0, torch.device("cpu")) == 2.0
        )
        np.testing.assert_array_equal(processes.share(np.arange(5)), np.arange(5))


def test_shares_are_a_partition():
    rows = np.arange(7)
    shares = [Processes(rank, 3).share(rows) for rank in range(3)]
    assert sorted(np.concatenate(shares)) == list(rows)
    assert [len(share) for share in shares] == [3, 2, 2] and len(Processes(2, 3).share(rows[:1])) == 0


def test_every_process_has_a_gpu_of_its_own(monkeypatch):
    assert own_device("cuda") == torch.device("cuda") and own_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device("cuda") == torch.device("cuda:3")
    assert own_device("cuda:1") == torch.device("cuda:1") and own_device("cpu") == torch.device("cpu")


def test_sums_keep_every_type_of_number(monkeypatch):
    """Two processes with equal gradients, played by doubling: one message for each type."""
    messages = []

    def doubled(flat):
        messages.append((flat.dtype, flat.numel()))
        flat.mul_(2)

    monkeypatch.setattr("nwidth.surrogates.training.processes.dist.all_reduce", doubled)
    parts = [torch.ones(2, 3), torch.ones(4, dtype=torch.float64), torch.ones(3, 2).T]
    Processes(0, 2).add_up(parts)
    assert all(bool((part == 2).all()) for part in parts)
    assert messages == [(torch.float32, 12), (torch.float64, 4)]


def test_no_thread_holds_a_tensor_when_training_ends(monkeypatch):
    """A message whose thread lets go late: what comes after the training finds no thread that needs the interpreter."""
    held, free = [], threading.Event()

    def late(tensor):
        held.append(tensor)
        threading.Thread(target=lambda: (free.wait(), time.sleep(0.05), held.clear())).start()

    group = {"is_initialized": lambda: True, "get_rank": lambda: 0, "get_world_size": lambda: 2, "all_reduce": late}
    for name, played in group.items():
        monkeypatch.setattr(f"nwidth.surrogates.training.processes.dist.{name}", played)
    with Processes.joined(torch.device("cpu")) as processes:
        assert processes.total([1.5], torch.device("cpu")) == [1.5]
        processes.wait_for_threads(limit=0.01)
        assert held  # nobody waits for ever
        free.set()
    assert not held
