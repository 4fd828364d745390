"""Steps are done once, redone when an input changes, and continued after an interruption."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nwidth.core.errors import InputError, WorkError
from nwidth.snapshots.lock import sole_writer
from nwidth.study.steps import RECORD, State, Step, execute, keys


class Log:
    """Counts what was really done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def step(self, name: str, *needs: str, **inputs: object) -> Step:
        def work(folder: Path, upstream: dict[str, Path]) -> dict[str, object]:
            self.done.append(name)
            text = "+".join([name, str(inputs), *((upstream[n] / "out.txt").read_text() for n in needs)])
            (folder / "out.txt").write_text(text)
            return {"length": len(text)}

        return Step(name, inputs, work, needs, title=name.upper())

    def study(self, train: int = 10, test: int = 5, modes: int = 3) -> list[Step]:
        return [
            self.step("train", n=train),
            self.step("test", n=test),
            self.step("fit", "train", modes=modes),
            self.step("report", "fit", "test"),
        ]


@pytest.fixture
def log() -> Log:
    return Log()


def test_second_run_does_nothing(log, tmp_path):
    first = execute(log.study(), tmp_path)
    assert log.done == ["train", "test", "fit", "report"]
    again = execute(log.study(), tmp_path)
    assert len(log.done) == 4
    assert {e.state for e in again.values()} == {State.REUSED}
    assert again["report"].folder == first["report"].folder
    assert again["fit"].summary == first["fit"].summary


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"test": 6}, ["test", "report"]),
        ({"modes": 4}, ["fit", "report"]),
        ({"train": 11}, ["train", "fit", "report"]),
    ],
)
def test_only_what_changed_is_done_again(log, tmp_path, change, redone):
    execute(log.study(), tmp_path)
    log.done.clear()
    execute(log.study(**change), tmp_path)
    assert log.done == redone
    log.done.clear()
    execute(log.study(), tmp_path)  # and back: the old results are still there
    assert log.done == []


def test_version_is_part_of_the_key(log, monkeypatch):
    before = keys(log.study())
    monkeypatch.setattr("nwidth.study.steps.__version__", "99.0")
    after = keys(log.study())
    assert all(before[name] != after[name] for name in before)


def test_upto_does_what_is_needed_and_no_more(log, tmp_path):
    done = execute(log.study(), tmp_path, upto=["fit"])
    assert log.done == ["train", "fit"]
    assert list(done) == ["train", "fit"]


def test_unknown_step_is_refused_before_work(log, tmp_path):
    with pytest.raises(InputError, match=r"'fitt'.*train, test, fit, report"):
        execute(log.study(), tmp_path, upto=["fitt"])
    assert log.done == []


def test_step_that_needs_a_later_one_is_refused(log):
    with pytest.raises(InputError, match="must stand before"):
        keys([log.step("fit", "train"), log.step("train")])


def test_record_says_where_the_result_came_from(log, tmp_path):
    done = execute(log.study(), tmp_path)
    record = json.loads((done["fit"].folder / RECORD).read_text())
    assert record["inputs"] == {"modes": 3}
    assert record["from"] == {"train": done["train"].folder.name}


@pytest.mark.parametrize("text", [None, "", "{}", "[1]"])
def test_damaged_record_is_named(log, tmp_path, text):
    record = execute(log.study(), tmp_path)["fit"].folder / RECORD
    record.unlink() if text is None else record.write_text(text)
    with pytest.raises(InputError, match="delete the folder.*fit-"):
        execute(log.study(), tmp_path)


def test_failed_step_leaves_no_result_and_is_continued(tmp_path):
    """The second attempt finds what the first had finished."""
    seen = []

    def work(folder: Path, upstream: dict[str, Path]) -> dict[str, object]:
        seen.append(sorted(p.name for p in folder.iterdir()))
        (folder / f"part{len(seen)}").touch()
        if len(seen) == 1:
            raise WorkError("did not converge")
        return {}

    steps = [Step("solve", {}, work)]
    with pytest.raises(WorkError, match="did not converge"):
        execute(steps, tmp_path)
    assert [p.suffix for p in tmp_path.glob("solve-*")] == [".partial"]
    states = []
    execute(steps, tmp_path, listen=lambda event: states.append(event.state))
    assert states == [State.CONTINUED, State.DONE]
    assert seen == [[], ["part1"]]
    assert [p.suffix for p in tmp_path.glob("solve-*")] == [""]


def test_full_disk_is_a_work_error_that_says_how_to_go_on(tmp_path):
    def work(folder: Path, upstream: dict[str, Path]) -> dict[str, object]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WorkError, match="disk is full.*run the same command again"):
        execute([Step("solve", {}, work)], tmp_path)


def test_another_error_of_the_system_is_not_called_a_full_disk(tmp_path):
    def work(folder: Path, upstream: dict[str, Path]) -> dict[str, object]:
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        execute([Step("solve", {}, work)], tmp_path)


def test_second_run_in_the_same_folder_is_refused(log, tmp_path):
    with sole_writer(tmp_path), pytest.raises(WorkError, match="another process"):
        execute(log.study(), tmp_path)
    assert log.done == []
    execute(log.study(), tmp_path)
    assert len(log.done) == 4


def test_killed_step_is_continued(tmp_path):
    """`kill -9` in the middle of a step: no lock stays, and the next run finds the unfinished work."""
    code = (
        "import sys, time, pathlib; from nwidth.study.steps import Step, execute\n"
        "def work(folder, upstream):\n"
        "    (folder / 'half').touch(); print('working', flush=True); time.sleep(60)\n"
        "execute([Step('solve', {}, work)], pathlib.Path(sys.argv[1]))"
    )
    workdir = tmp_path / "work"
    killed = subprocess.Popen([sys.executable, "-c", code, str(workdir)], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "working\n"
    killed.kill()
    killed.wait()
    found = []
    execute([Step("solve", {}, lambda folder, upstream: found.extend(p.name for p in folder.iterdir()) or {})], workdir)
    assert found == ["half"]


def test_work_folder_under_a_file_is_refused(log, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        execute(log.study(), tmp_path / "file" / "work")
