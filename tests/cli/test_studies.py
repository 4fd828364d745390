"""Commands on a study: what is wrong is said before work begins, and work is done once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import STUDY

import nwidth as nw
from nwidth.study.pipeline import UPTO

NWIDTH = [sys.executable, "-m", "nwidth"]
VERBS = ("demo", "run", "generate", "fit", "certify", "refine", "report", "predict", "inspect")
STOPS = [("generate", "test"), ("fit", "fit"), ("certify", "certify"), ("refine", "check")]


@pytest.fixture
def study(tmp_path) -> Path:
    path = tmp_path / "block.yaml"
    path.write_text(STUDY)
    return path


def test_run_leaves_a_model_and_a_report(done):
    results = done / "block-results"
    assert isinstance(nw.load(results / "block.nwidth"), nw.Certified)
    page = (results / "report" / "index.html").read_text()
    assert "unseen run" in page
    assert "Guaranteed" in page


def test_second_run_does_nothing_again(done, nwidth):
    said = nwidth("run", done / "block.yaml", "--json")
    assert said.code == 0
    assert {step["state"] for step in said.json["steps"].values()} == {"reused"}


def test_change_on_the_command_line_redoes_only_what_depends_on_it(done, nwidth):
    said = nwidth("run", done / "block.yaml", "refine.rtol=1e-5", "--json")
    states = {name: step["state"] for name, step in said.json["steps"].items()}
    assert states == {"test": "reused", "fit": "reused", "certify": "reused", "check": "done", "report": "done"}
    assert said.json["steps"]["check"]["summary"]["refined"]["limit"]["max"] <= 1e-5


def test_seed_changes_the_runs(study, nwidth):
    one, two = (nwidth("generate", study, "--seed", s, "--json").json["steps"]["test"]["folder"] for s in (0, 1))
    assert one != two


def test_more_runs_are_added_to_those_that_are_there(study, nwidth):
    few = nwidth("generate", study, "--json").json
    store = study.parent / "block-results" / few["steps"]["test"]["summary"]["store"]
    first = store.joinpath("status/c.0").stat().st_mtime_ns
    many = nwidth("generate", study, "snapshots.test=40", "--json").json
    assert many["steps"]["test"]["summary"] == {
        "runs": 40,
        "failed": 0,
        "store": few["steps"]["test"]["summary"]["store"],
    }
    fewer = nwidth("generate", study, "snapshots.test=5", "--json").json
    assert fewer["steps"]["test"]["summary"]["runs"] == 5
    assert first <= store.joinpath("status/c.0").stat().st_mtime_ns


@pytest.mark.parametrize(
    ("verb", "last"), [("generate", "test"), ("fit", "fit"), ("certify", "certify"), ("refine", "check")]
)
def test_verb_stops_at_its_step(study, nwidth, verb, last):
    said = nwidth(verb, study, "--json")
    assert said.code == 0
    assert list(said.json["steps"])[-1] == last
    assert said.json["report"] is None
    assert UPTO[verb][-1] == last


@pytest.mark.parametrize("verb", list(UPTO))
def test_wrong_study_is_refused_before_any_work(study, nwidth, verb):
    said = nwidth(verb, study, "fit.toll=3", "snapshots.test=-1")
    assert said.code == 2
    assert said.out == ""
    assert "'toll' is not known here" in said.err
    assert "did you mean 'tol'" in said.err
    assert "snapshots.test = -1" in said.err
    assert list(study.parent.iterdir()) == [study]


def test_impossible_value_is_named_by_its_class_before_any_work(study, nwidth):
    said = nwidth("run", study, "problem.blocks=50")
    assert said.code == 2
    assert "50 x 50 blocks on 8 cells" in said.err
    assert list(study.parent.iterdir()) == [study]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["certify.limit=calibrated"], "set snapshots.calibrate"),
        (["certify.limit=calibrated", "snapshots.calibrate=5"], "0.9"),
        (["fit={kind: pod-regression}"], "set snapshots.train"),
        (["fit={kind: fno}", "snapshots.train=9"], "needs a grid"),
        (["problem={kind: darcy}"], "choose 'fno' or 'pod-regression'"),
    ],
)
def test_combination_that_cannot_work_is_refused_before_any_work(study, nwidth, changes, words):
    said = nwidth("run", study, *changes)
    assert said.code == 2
    assert words in said.err
    assert list(study.parent.iterdir()) == [study]


def test_missed_tolerance_is_exit_code_1_and_what_is_complete_stays(done, nwidth):
    said = nwidth("refine", done / "block.yaml", "--rtol", "1e-15")
    assert said.code == 1
    assert "missed rtol" in said.err
    assert "Traceback" not in said.err
    again = nwidth("refine", done / "block.yaml", "--json")
    assert again.json["steps"]["check"]["state"] == "reused"


def test_interruption_says_that_it_can_be_continued(done, nwidth, monkeypatch):
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nwidth.study.pipeline.check", interrupt)
    said = nwidth("run", done / "block.yaml", "refine.rtol=3e-5")
    assert said.code == 130
    assert "goes on from there" in said.err
    monkeypatch.undo()
    assert nwidth("run", done / "block.yaml", "refine.rtol=3e-5", "--json").json["steps"]["check"]["state"] == "done"


def test_words_on_the_screen(done, nwidth):
    said = nwidth("run", done / "block.yaml")
    assert "Guaranteed distance" in said.out
    assert "The limit held on all 4 unseen runs." in said.out
    assert "times the true error (1 is ideal)" in said.out
    assert "done before" in said.err


def test_quiet_says_nothing(done, nwidth):
    said = nwidth("run", done / "block.yaml", "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_as_a_program_json_stands_alone_on_standard_output(done):
    command = [*NWIDTH, "run", str(done / "block.yaml"), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["study"] == "block"


def test_as_a_program_an_error_has_no_traceback(tmp_path):
    result = subprocess.run([*NWIDTH, "run", str(tmp_path / "no.yaml")], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: the study")
    assert "Traceback" not in result.stderr


def test_version_and_help_are_there():
    assert subprocess.check_output([*NWIDTH, "--version"], text=True) == f"nwidth {nw.__version__}\n"
    text = subprocess.check_output([*NWIDTH, "--help"], text=True)
    assert [
        verb
        for verb in ("demo", "run", "generate", "fit", "certify", "refine", "report", "predict", "inspect")
        if verb not in text
    ] == []


@pytest.mark.slow
def test_small_demo_writes_its_report_and_its_numbers(nwidth, tmp_path):
    said = nwidth("demo", "--quick", "-o", tmp_path / "report", "--json")
    assert said.code == 0
    assert set(said.json) == {"report", "power_module", "thermal_block", "darcy"}
    assert Path(said.json["report"]) == tmp_path / "report" / "index.html"
    assert "The verdict" in Path(said.json["report"]).read_text()
