"""Commands on single files say what Python says, and refuse what they cannot answer."""

import csv
from pathlib import Path

import numpy as np
import pytest

import nwidth as nw

HEADER = "mu_1,mu_2,mu_3,mu_4"


@pytest.fixture
def model(done) -> Path:
    return done / "block-results" / "block.nwidth"


@pytest.fixture
def cases(tmp_path) -> Path:
    path = tmp_path / "new.csv"
    path.write_text(f"{HEADER}\n0.2,0.4,0.6,0.8\n1.0,0.1,0.1,1.0\n0.5,0.5,0.5,2.0\n")
    return path


def expected(model: Path) -> nw.Prediction:
    rows = np.array([[0.2, 0.4, 0.6, 0.8], [1.0, 0.1, 0.1, 1.0], [0.5, 0.5, 0.5, 2.0]])
    return nw.load(model).predict({f"mu_{i + 1}": rows[:, i] for i in range(4)})


def test_predict_says_what_python_says(model, cases, nwidth):
    answer = expected(model)
    said = nwidth("predict", model, cases, "--json")
    assert said.code == 0
    rows = said.json["rows"]
    (name,) = answer.outputs
    assert [row["outputs"][name]["value"] for row in rows] == answer.outputs[name].values.tolist()
    assert [row["outputs"][name]["limit"] for row in rows] == answer.outputs[name].limit.tolist()
    assert [row["bound"] for row in rows] == answer.bound.tolist()
    assert [row["inside"] for row in rows] == [True, True, False]
    assert said.json["guarantee"]["kind"] == "rigorous"


def test_predict_says_on_the_screen_what_is_outside_and_what_is_promised(model, cases, nwidth):
    said = nwidth("predict", model, cases)
    assert "Case 3: mu_4 = 2 is above your range 0.1-1" in said.out
    assert "from your full-order result. Guaranteed." in said.out and "Counted: reduction, rounding." in said.out


def test_answers_as_csv_keep_every_digit(model, cases, nwidth, tmp_path):
    out = tmp_path / "answers.csv"
    assert nwidth("predict", model, cases, "-o", out, "--quiet").code == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    (name,) = expected(model).outputs
    assert [float(row[name]) for row in rows] == expected(model).outputs[name].values.tolist()
    assert [row["inside the range"] for row in rows] == ["yes", "yes", "no"]


def test_answers_as_npz_hold_the_fields(model, cases, nwidth, tmp_path):
    out = tmp_path / "answers.npz"
    assert nwidth("predict", model, cases, "-o", out, "--quiet").code == 0
    with np.load(out) as arrays:
        np.testing.assert_array_equal(arrays["field"], expected(model).field)
        np.testing.assert_array_equal(arrays["bound"], expected(model).bound)


def test_threshold_is_decided_only_where_the_limit_allows_it(model, cases, nwidth):
    ((name, output),) = expected(model).outputs.items()
    between = float(output.values[0])
    said = nwidth("predict", model, cases, "--threshold", f"{name}={between!r}", "--json")
    verdicts = [row["outputs"][name]["verdict"] for row in said.json["rows"]]
    assert verdicts[0] == "undecided"
    assert verdicts[1:] == ["below" if v < between else "above" for v in output.values[1:]]


def test_refine_meets_its_tolerance(model, cases, nwidth):
    said = nwidth("refine", model, cases, "--rtol", "1e-7", "--json")
    assert said.code == 0
    problem = nw.problems.get("thermal_block", resolution=8)
    answer = nw.refine(expected(model), problem, rtol=1e-7)
    assert [row["bound"] for row in said.json["rows"]] == pytest.approx(answer.bound, rel=1e-6)
    assert {row["source"] for row in said.json["rows"]} == {"refined"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mu_1,mu_2,mu_3\n1,1,1\n", ["no column 'mu_4'", "mu_1, mu_2, mu_3"]),
        ("mu_1,mu_2,mu_3,mu4\n1,1,1,1\n", ["is it 'mu4'?"]),
        (f"{HEADER}\n1,1,1,1\n1,,1,1\n", ["line 3", "mu_2 is not a number"]),
        (f"{HEADER}\n1,1,1,-1\n", ["mu_4"]),
        ("", ["empty"]),
    ],
)
def test_wrong_cases_are_named(model, nwidth, tmp_path, text, words):
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    said = nwidth("predict", model, path)
    assert said.code == 2
    assert [word for word in words if word not in said.err] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", "mean"], "form NAME=VALUE"),
        (["--threshold", "maen=1"], "did you mean"),
        (["-o", "answers.xlsx"], ".csv"),
        (["-o", "no/such/folder/answers.csv"], "does not exist"),
    ],
)
def test_wrong_options_are_named(model, cases, nwidth, arguments, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = nwidth("predict", model, cases, *arguments)
    assert said.code == 2
    assert words in said.err
    assert [p.name for p in tmp_path.iterdir()] == ["new.csv"]


def test_model_that_is_none(cases, nwidth):
    said = nwidth("predict", cases, cases)
    assert said.code == 2
    assert "not an nwidth model" in said.err


def test_refine_without_cases_says_what_to_give(model, nwidth):
    said = nwidth("refine", model)
    assert said.code == 2
    assert "NEW.csv" in said.err


def test_inspect_in_words_and_as_json(model, nwidth):
    said = nwidth("inspect", model)
    assert said.code == 0
    assert "an nwidth model" in said.out
    assert nwidth("inspect", model, "--json").json["kind"] == "model"


def test_inspect_lists_the_samples_that_break_an_invariant(nwidth_data, nwidth):
    file = nwidth_data / "darcy_burgers_pt" / "darcy_train_16.pt"
    said = nwidth("inspect", file, "--nonnegative")
    assert said.code == 0
    assert "sample 767" in said.out
    assert nwidth("inspect", file, "--nonnegative", "--json").json["violations"][0]["sample"] == 767


@pytest.fixture
def runs(tmp_path) -> Path:
    """Thirty runs of a small model, one of which failed: T_max = 20 + P / h."""
    rng = np.random.default_rng(0)
    power, h = rng.uniform(10, 100, 30), rng.uniform(2, 8, 30)
    results = [f"{20 + p / k!r}" for p, k in zip(power.tolist(), h.tolist(), strict=True)]
    results[7] = "failed"
    rows = [f"{p!r},{k!r},{t}" for p, k, t in zip(power.tolist(), h.tolist(), results, strict=True)]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["P [W],h,T_max [°C]", *rows]))
    return path


def test_fit_runs_and_predict_without_a_study(runs, nwidth, tmp_path):
    model = tmp_path / "plate.nwidth"
    said = nwidth("fit", runs, "--outputs", "T_max", "--level", "0.8", "-o", model)
    assert said.code == 0
    assert "1 failed run left out" in said.out
    assert "Expect 4 in 5 for runs drawn the same way" in said.out
    (tmp_path / "new.csv").write_text("P [W],h\n50,5\n5000,5\n")
    answer = nwidth("predict", model, tmp_path / "new.csv", "--threshold", "T_max=60", "--json").json
    near, far = answer["rows"]
    assert answer["guarantee"]["kind"] == "statistical"
    assert near["outputs"]["T_max"]["value"] == pytest.approx(30.0, abs=1.0)
    assert abs(near["outputs"]["T_max"]["value"] - 30.0) <= near["outputs"]["T_max"]["limit"]
    assert near["outputs"]["T_max"]["verdict"] == "below"
    assert far["inside"] is False
    assert far["outputs"]["T_max"]["limit"] is None  # +inf is no JSON number
    assert far["outputs"]["T_max"]["verdict"] == "undecided"
    assert "above your range" in far["note"]


def test_fit_names_the_model_after_the_table(runs, nwidth, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert nwidth("fit", runs, "--outputs", "T_max", "--level", "0.8", "--quiet").code == 0
    assert isinstance(nw.load(tmp_path / "runs.nwidth"), nw.Certified)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--outputs"),
        (["--outputs", "T_min"], "T_min"),
        (["nowhere"], "nowhere"),
        (["one", "two"], "give one"),
        (["--outputs", "T_max", "--level", "0.999"], "0.999"),
    ],
)
def test_fit_refuses_what_it_cannot_do_and_writes_nothing(runs, nwidth, arguments, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = nwidth("fit", runs, *arguments)
    assert said.code == 2
    assert words in said.err
    assert [p.name for p in tmp_path.iterdir()] == ["runs.csv"]


def test_options_for_tables_are_refused_for_a_study(done, nwidth):
    said = nwidth("fit", done / "block.yaml", "--level", "0.9")
    assert said.code == 2
    assert "--level is for a table of runs" in said.err


@pytest.mark.parametrize(
    ("verb", "arguments", "words"),
    [
        ("predict", ["-o", "answers.xlsx"], ".csv"),
        ("predict", ["-o", "no/such/folder/answers.csv"], "does not exist"),
        ("predict", ["--threshold", "maen=1"], "did you mean"),
        ("refine", ["-o", "answers.xlsx"], ".csv"),
        ("refine", ["-o", "taken.csv"], "is a folder"),
    ],
)
def test_a_typing_error_costs_no_work(model, cases, nwidth, monkeypatch, tmp_path, verb, arguments, words):
    """No query is answered, and none is solved, before places and names are known to be right."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.csv").mkdir()

    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr("nwidth.study.answers.refine", work)
    monkeypatch.setattr("nwidth.online.wrappers.Refining.predict", work)
    option = ["--tol", "1e-9"] if verb == "predict" else ["--rtol", "1e-9"]
    said = nwidth(verb, model, cases, *option, *arguments)
    assert said.code == 2 and words in said.err
