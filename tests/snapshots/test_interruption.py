"""Interruptions of every kind at every moment: nothing is lost, repeated, or half there."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zarr.storage._local as zarr_local
from tests.snapshots.problems import KINDS, Waves
from tests.snapshots.test_generate import same

from nwidth.core.errors import InputError, WorkError
from nwidth.core.solution import Status
from nwidth.snapshots.generate import generate
from nwidth.snapshots.open import open_snapshots


class Killed(BaseException):
    """Stands for the end of the process: no handler of ordinary errors sees it."""


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException, leave: bool) -> list[Path]:
    """Lets the file that is written as `number`-th fail, with half of it left under a temporary name if asked."""
    original, written = zarr_local._put, []

    def put(path, value, exclusive=False):
        written.append(path)
        if len(written) == number:
            if leave:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.with_suffix(".0123.partial").write_bytes(bytes(value.as_buffer_like())[: len(value) // 2])
            raise error
        return original(path, value, exclusive)

    monkeypatch.setattr(zarr_local, "_put", put)
    return written


def check_complete_samples(path: Path, problem: Waves) -> int:
    """What counts as done is right, in every array; returns how many samples are."""
    snapshots = open_snapshots(path, KINDS)
    done = snapshots.take(np.flatnonzero(snapshots.status != Status.MISSING))
    if not len(done):
        return 0
    mu = problem.parameters.sample(done.index, 0)
    np.testing.assert_array_equal(done.fields, problem.exact(mu))
    np.testing.assert_array_equal(done.mu["a"], mu["a"])
    np.testing.assert_allclose(done.outputs["total"], done.fields.sum(axis=(1, 2)) + 1, rtol=1e-13)
    assert np.isfinite(done.stats["seconds"]).all()
    return len(done)


def count_writes(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> int:
    with monkeypatch.context() as patch:
        written = fail_at(patch, 0, Killed(), False)
        act()
    return len(written)


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("grown", [False, True], ids=["made", "grown"])
def test_a_kill_at_any_write_is_survived(grown, stride, tmp_path, monkeypatch):
    """Each file of a store of two chunks in turn, metadata and status included, is the last that is begun."""
    problem, path, start = Waves(), tmp_path / "a.zarr", tmp_path / "start.zarr"
    if grown:
        generate(problem, 3, chunk=4, path=start)

    def prepare() -> None:
        shutil.rmtree(path, ignore_errors=True)
        if grown:
            shutil.copytree(start, path)

    def work():
        return generate(problem, 7, chunk=4, path=path)

    prepare()
    reference = generate(problem, 7, chunk=4)
    total = count_writes(monkeypatch, work)
    assert total > 20
    states = Counter()
    for number in range(1, total + 1, stride):
        prepare()
        with monkeypatch.context() as patch, pytest.raises(Killed):
            fail_at(patch, number, Killed(), True)
            work()
        states[check_complete_samples(path, problem) if path.exists() else -1] += 1
        same(work(), reference)
        assert not list(path.rglob("*.partial"))
    # It was interrupted in every state that there is: during creation, before, between and after chunks (when only the
    # record of the run was missing, which the coarse stride may pass over).
    assert set(states) | {7} == ({0, 3, 4, 7} if grown else {-1, 0, 4, 7})


@pytest.mark.parametrize("number", [3, 25, 40, 55])
def test_a_full_disk_is_a_work_error_and_can_be_resumed(number, tmp_path, monkeypatch):
    problem, path = Waves(), tmp_path / "a.zarr"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as patch, pytest.raises(WorkError, match="no space left .*repeat the call"):
        fail_at(patch, number, full, False)
        generate(problem, 20, chunk=4, path=path)
    if path.exists():
        check_complete_samples(path, problem)
    same(generate(problem, 20, chunk=4, path=path), generate(problem, 20, chunk=4))


def test_a_full_disk_while_saving_leaves_nothing(tmp_path, monkeypatch):
    snapshots = generate(Waves(), 20)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as patch, pytest.raises(WorkError, match="no space left"):
        fail_at(patch, 30, full, False)
        snapshots.save(tmp_path / "a.zarr")
    assert [p.name for p in tmp_path.iterdir()] == [".a.zarr.lock"]
    same(snapshots.save(tmp_path / "a.zarr"), snapshots)


def test_other_errors_of_the_file_system_are_not_taken_for_a_full_disk(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        fail_at(patch, 40, PermissionError(errno.EACCES, "no"), False)
        generate(Waves(), 20, chunk=4, path=tmp_path / "a.zarr")


def test_what_a_killed_creation_left_is_removed(tmp_path):
    left = tmp_path / ".a.zarr.12ab34cd.building"
    (left / "fields").mkdir(parents=True)
    other = tmp_path / ".b.zarr.12ab34cd.building"
    other.mkdir()
    generate(Waves(), 3, path=tmp_path / "a.zarr")
    assert not left.exists()
    assert other.exists()  # another store's


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_a_disk_that_is_really_full(workers, tmp_path):
    """A file system of 300 kB, in a name space of its own; then a larger one with what was saved."""
    small = tmp_path / "small"
    small.mkdir()
    code = (
        "import sys\nfrom tests.snapshots.problems import Waves\nfrom nwidth.snapshots.generate import generate\n"
        "from nwidth.core.errors import WorkError\n"
        "try:\n    generate(Waves(), 400, chunk=4, path=sys.argv[1], workers=int(sys.argv[2]))\n"
        "except WorkError as error:\n    print('WorkError:', error)\n"
    )
    steps = f"mount -t tmpfs -o size=200k,nr_inodes=10k none {small}"
    steps += f' && {sys.executable} -c "$CODE" {small}/a.zarr {workers} && cp -r {small}/a.zarr {tmp_path}/saved.zarr'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", steps]
    environment = os.environ | {"CODE": code, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no small file system can be mounted: {done.stderr.strip()}")
    assert "WorkError: no space left" in done.stdout, done.stderr
    assert 0 < check_complete_samples(tmp_path / "saved.zarr", Waves()) < 400
    same(generate(Waves(), 400, path=tmp_path / "saved.zarr"), generate(Waves(), 400, chunk=4))


CHUNK = 5
CLASS = """
import sys, time
import numpy as np
from nwidth.problems.base import BlackBox
from nwidth.snapshots.generate import generate
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points

class Slow(BlackBox):
    parameters = Box("k", 1.0, 2.0)
    space = Points((50,), np.linspace(0, 1, 50)[:, None])
    def __init__(self, log, seconds):
        self._log, self._seconds = log, seconds
    def solve(self, mu):
        with open(self._log, "a") as file:
            file.write("".join(f"{k!r}\\n" for k in mu["k"].tolist()))
        time.sleep(self._seconds * len(mu["k"]))
        return np.sin(np.outer(mu["k"], np.arange(50)))
"""
SCRIPT = (
    CLASS
    + """
path, log, count, chunk, workers = sys.argv[1:]
problem = Slow(log, 0.004 * int(workers))
generate(problem, int(count), seed=9, chunk=int(chunk), path=path, workers=int(workers))
print("finished")
"""
)


class Victim:
    """Runs the script above, kills it, and runs it again."""

    def __init__(self, folder: Path, count: int, workers: int):
        self.folder, self.path, self.log = folder, folder / "a.zarr", folder / "log"
        self.log.write_text("")
        (folder / "script.py").write_text(SCRIPT)
        arguments = (folder / "script.py", self.path, self.log, count, CHUNK, workers)
        self.command = [sys.executable, *map(str, arguments)]

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "errors").open("ab") as errors:
            return subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)

    def kill_after(self, seconds: float, whole_group: bool) -> None:
        """Kills it so long after it began to solve; its workers are spared if not the whole group."""
        size, process = self.log.stat().st_size, self.start()
        while self.log.stat().st_size == size and process.poll() is None:
            time.sleep(0.002)
        time.sleep(seconds)
        assert process.poll() is None, f"it ended by itself: {(self.folder / 'errors').read_text()}"
        process.kill()
        process.wait()
        if whole_group:
            end_group(process.pid)

    def finish(self) -> None:
        process = self.start()
        assert process.communicate(timeout=120)[0] == b"finished\n", (self.folder / "errors").read_text()

    def done(self) -> int:
        return int((open_snapshots(self.path).status != Status.MISSING).sum()) if self.path.exists() else 0


def end_group(group: int) -> None:
    """Ends a process and its workers, which share its session, and removes what only they could have."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    for folder in Path(tempfile.gettempdir()).glob(f"nwidth-{group}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def killed_and_resumed(folder: Path, workers: int, kills: int, seed: int) -> None:
    """Kills at random moments while samples appear; then the store is compared with one that was never interrupted."""
    rng, count, progress = random.Random(seed), 60 * kills, [0]
    victim = Victim(folder, count, workers)
    for i in range(kills):
        victim.kill_after(rng.uniform(0.0, 0.3), whole_group=workers == 1 or i % 2 == 0)
        progress.append(victim.done())
    assert progress == sorted(progress), "complete samples were lost"
    assert 0 < progress[-1] < count
    victim.finish()
    namespace: dict = {"__name__": "reference"}
    exec(CLASS, namespace)
    reference = namespace["generate"](namespace["Slow"](folder / "log2", 0.0), count, seed=9, chunk=CHUNK)
    same(open_snapshots(victim.path), reference)
    assert not list(victim.path.rglob("*.partial"))
    solved = Counter(victim.log.read_text().split())
    assert set(solved) == {repr(k) for k in reference.mu["k"].tolist()}, "samples that nobody asked for"
    # Only chunks that were being worked on are solved again.
    assert sum(solved.values()) <= count + kills * CHUNK * (1 if workers == 1 else 2 * workers)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 and sessions are POSIX")
def test_kill_9_and_resume(tmp_path):
    killed_and_resumed(tmp_path, workers=1, kills=2, seed=0)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 and sessions are POSIX")
@pytest.mark.slow
@pytest.mark.parametrize(("workers", "seed"), [(1, 1), (2, 2), (2, 3)])
def test_kill_9_many_times_and_resume(workers, seed, tmp_path):
    """With two workers, every other kill ends only the parent: its workers are left behind with their chunk."""
    killed_and_resumed(tmp_path, workers=workers, kills=10, seed=seed)


def test_a_worker_that_dies_is_a_work_error_and_can_be_resumed(tmp_path):
    problem, path = Waves(), tmp_path / "a.zarr"

    class Deadly(Waves):
        def solve(self, mu):
            if (mu["k"] == self.parameters.sample([9], 0)["k"]).any():
                os.kill(os.getpid(), signal.SIGKILL)
            return super().solve(mu)

    Deadly.__qualname__ = "Waves"
    with pytest.raises(WorkError, match="a worker process ended unexpectedly"):
        generate(Deadly(), 20, chunk=4, path=path, workers=2)
    check_complete_samples(path, problem)
    same(generate(problem, 20, path=path, workers=2), generate(problem, 20, chunk=4))


def test_a_keyboard_interrupt_can_be_resumed(tmp_path):
    class Interrupted(Waves):
        def solve(self, mu):
            if (mu["k"] == self.parameters.sample([9], 0)["k"]).any():
                raise KeyboardInterrupt
            return super().solve(mu)

    Interrupted.__qualname__ = "Waves"
    with pytest.raises(KeyboardInterrupt):
        generate(Interrupted(), 20, chunk=4, path=tmp_path / "a.zarr")
    assert check_complete_samples(tmp_path / "a.zarr", Waves()) == 8
    same(generate(Waves(), 20, path=tmp_path / "a.zarr"), generate(Waves(), 20, chunk=4))


def test_a_wrong_answer_late_keeps_what_was_solved(tmp_path):
    class Late(Waves):
        def solve(self, mu):
            wrong = (mu["k"] == self.parameters.sample([9], 0)["k"]).any()
            return super().solve(mu)[:, :2] if wrong else super().solve(mu)

    with pytest.raises(InputError, match="has shape"):
        generate(Late(), 20, chunk=4, path=tmp_path / "a.zarr")
    assert check_complete_samples(tmp_path / "a.zarr", Waves()) == 8
