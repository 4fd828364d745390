"""Limits from files: certify, predict --tol, refine and evidence without a line of code."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.cli.conftest import STUDY

import nwidth as nw
from nwidth.problems.thermal_block import ThermalBlock


@pytest.fixture
def model(done):
    return done / "block-results" / "block.nwidth"


@pytest.fixture
def bare(model, tmp_path):
    """A surrogate without limits: the study's reduced basis."""
    return nw.save(nw.load(model).surrogate, tmp_path / "bare.nwidth")


@pytest.fixture
def cases(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("mu_1,mu_2,mu_3,mu_4\n0.2,0.4,0.6,0.8\n1.0,0.1,0.1,1.0\n0.3,0.3,0.3,0.3\n")
    return path


def write_runs(path, count, seed):
    """Runs of T_max = 20 + P / h in a table."""
    rng = np.random.default_rng(seed)
    power, h = rng.uniform(10, 100, count), rng.uniform(2, 8, count)
    rows = [f"{p!r},{k!r},{20 + p / k!r}" for p, k in zip(power.tolist(), h.tolist(), strict=True)]
    path.write_text("\n".join(["P [W],h,T_max [°C]", *rows]))
    return path


@pytest.fixture(scope="module")
def plate(nwidth, tmp_path_factory):
    """A surrogate of 40 runs in a table, and the table."""
    folder = tmp_path_factory.mktemp("plate")
    runs = write_runs(folder / "runs.csv", 40, 0)
    said = nwidth("fit", runs, "--outputs", "T_max", "--level", "0.8", "-o", folder / "plate.nwidth", "--quiet")
    assert said.code == 0
    return folder / "plate.nwidth", runs


def test_certify_by_an_equation_in_a_study(bare, done, nwidth, tmp_path):
    out = tmp_path / "certified.nwidth"
    said = nwidth("certify", bare, "--problem", done / "block.yaml", "-o", out, "--json")
    assert said.code == 0 and said.json["guarantee"] == "rigorous" and said.json["replaced"] == ""
    mu = nw.load(bare).parameters.sample(range(3), 1)
    again, study = nw.load(out).predict(mu), nw.load(done / "block-results" / "block.nwidth").predict(mu)
    np.testing.assert_array_equal(again.bound, study.bound)


def test_certify_on_unseen_runs_in_a_table(plate, nwidth, tmp_path):
    model, runs = plate
    fresh, out = write_runs(tmp_path / "fresh.csv", 60, 1), tmp_path / "again.nwidth"
    said = nwidth("certify", model, "--holdout", fresh, "--training", runs, "--level", "0.95", "-o", out)
    assert said.code == 0
    assert "Replaces the limit that was there" in said.out and "95%" in said.out
    certified = nw.load(out)
    assert certified.guarantee.level == 0.95
    test = write_runs(tmp_path / "test.csv", 400, 2)
    p, h, t = np.loadtxt(test, delimiter=",", skiprows=1, unpack=True)
    answer = certified.predict({"P": p, "h": h})
    inside = answer.inside
    held = np.abs(answer.outputs["T_max"].values - t)[inside] <= answer.outputs["T_max"].limit[inside]
    assert np.mean(held) > 0.87  # 57 runs calibrate: three standard deviations below


def test_certify_refuses_training_runs_and_writes_nothing(plate, nwidth, tmp_path):
    model, runs = plate
    said = nwidth("certify", model, "--holdout", runs, "--training", runs, "-o", tmp_path / "bad.nwidth")
    assert said.code == 2 and "training runs" in said.err
    assert not (tmp_path / "bad.nwidth").exists()


def test_certify_on_a_snapshot_store(bare, nwidth, tmp_path):
    problem = nw.problems.get("thermal_block", resolution=8)
    nw.generate(problem, 30, seed=7, path=tmp_path / "runs.zarr")
    out = tmp_path / "calibrated.nwidth"
    said = nwidth("certify", bare, "--holdout", tmp_path / "runs.zarr", "--norm", "rms", "-o", out, "--json")
    assert said.code == 0 and said.json["guarantee"] == "statistical" and said.json["runs"] == 30
    assert nw.load(out).guarantee.norm.startswith("root-mean-square")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--problem STUDY.yaml"),
        (["fit.width=3"], "KEY=VALUE changes a study"),
        (["--holdout", "nowhere.csv"], "nowhere.csv"),
        (["--holdout", "other.csv"], "'T_max'"),
        (["--holdout", "less.csv"], "'h'"),
        (["--holdout", "runs.csv", "--level", "0.99"], "0.99"),
        (["--holdout", "runs.csv", "--level", "0"], "level"),
        (["--holdout", "runs.csv", "--norm", "sup"], "sup"),
        (["--problem", "runs.csv"], "runs.csv"),
        (["-o", "no/such/place.nwidth"], "folder that exists"),
    ],
)
def test_what_certify_cannot_do_is_said(plate, nwidth, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    for file in plate:
        shutil.copy(file, tmp_path)
    (tmp_path / "other.csv").write_text("P,h,T_min\n10,2,3\n20,3,4\n")
    (tmp_path / "less.csv").write_text("P,T_max\n10,2\n20,3\n")
    before = sorted(p.name for p in tmp_path.iterdir())
    said = nwidth("certify", "plate.nwidth", *arguments)
    assert said.code == 2 and words in said.err
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("option", [("--level", "0.9"), ("--norm", "max"), ("--training", "runs.csv")])
def test_options_of_calibration_are_refused_for_a_guaranteed_limit(bare, nwidth, tmp_path, option):
    said = nwidth("certify", bare, *option, "-o", tmp_path / "out.nwidth")
    assert said.code == 2 and "calibrated on runs" in said.err


def test_a_deadline_says_who_missed_and_never_makes_a_limit_worse(model, cases, nwidth):
    before = nwidth("predict", model, cases, "--json").json["rows"]
    after = nwidth("refine", model, cases, "--rtol", "1e-11", "--deadline", "1e-9", "--json").json["rows"]
    for old, new in zip(before, after, strict=True):
        assert "deadline" in new["note"]
        assert new["outputs"]["mean"]["limit"] <= old["outputs"]["mean"]["limit"]


@pytest.mark.parametrize("verb", ["certify", "refine"])
def test_options_for_a_model_are_refused_for_a_study(done, nwidth, verb):
    said = nwidth(verb, done / "block.yaml", "--problem", done / "block.yaml")
    assert said.code == 2 and "--problem is for a model file" in said.err


def test_predict_sends_only_what_misses_the_tolerance_to_the_solver(model, cases, nwidth):
    problem = nw.problems.get("thermal_block", resolution=8)
    answer = nw.load(model).predict(nw.study.ask(model, cases).prediction.mu)
    size = np.sqrt(problem.systems(answer.mu).energy(problem.space.flatten(answer.field)))
    relative = answer.bound / (size - answer.bound)
    worst, tol = int(np.argmax(relative)), float(np.median(relative)) * 1.01
    said = nwidth("predict", model, cases, "--tol", tol, "--json")
    assert said.code == 0
    alone = [row["source"] == "surrogate" for row in said.json["rows"]]
    assert alone == [i != worst for i in range(3)]
    assert [row["bound"] <= tol * size[i] for i, row in enumerate(said.json["rows"])] == [True] * 3
    assert "2 by the surrogate alone, 1 refined" in nwidth("predict", model, cases, "--tol", tol).out


def test_predict_within_a_tolerance_needs_an_equation(plate, nwidth, tmp_path):
    (tmp_path / "new.csv").write_text("P,h\n50,5\n")
    said = nwidth("predict", plate[0], tmp_path / "new.csv", "--tol", "1e-3")
    assert said.code == 2 and "--problem" in said.err
    said = nwidth("predict", plate[0], tmp_path / "new.csv", "--problem", plate[0])
    assert said.code == 2


def test_a_tolerance_for_another_equation_is_met_for_that_one(model, bare, cases, nwidth, tmp_path):
    """Limits that were proven for the model's own equation must not accept answers to another one."""

    class Hot(ThermalBlock):
        """Three times the load."""

        def terms(self):
            found = super().terms()
            return replace(found, loads=3 * found.loads)

    hot = Hot(2, 8)
    for source in (model, bare):
        for told in ({"tol": 0.2}, {"rtol": 0.2}):
            answer = nw.study.ask(source, cases, problem=hot, **told).prediction
            truth = nw.solve(hot, answer.mu).field
            systems, flatten = hot.systems(answer.mu), hot.space.flatten
            error = np.sqrt(systems.energy(flatten(answer.field) - flatten(truth)))
            assert (error <= 0.2 * np.sqrt(systems.energy(flatten(truth)))).all(), told
            assert (error <= answer.bound * (1 + 1e-9)).all()
            (name,) = answer.outputs
            true = hot.quantities()[name].functional @ flatten(truth).T
            assert (np.abs(answer.outputs[name].values - true) <= answer.outputs[name].limit).all()


def test_refine_with_the_equation_of_a_study(bare, cases, done, nwidth):
    said = nwidth("refine", bare, cases, "--rtol", "1e-6", "--problem", done / "block.yaml", "--json")
    assert said.code == 0 and {row["source"] for row in said.json["rows"]} == {"refined"}
    assert nwidth("refine", bare, cases).code == 0  # a reduced basis carries its equation


def test_evidence_of_a_study_twice(done, nwidth, tmp_path):
    pages = []
    for name in ("one", "two"):
        said = nwidth("evidence", done / "block.yaml", "-o", tmp_path / name, "--use", "A plate", "--json")
        assert said.code == 0 and "0 fail" in said.json["verdict"]
        pages.append([(tmp_path / name / f).read_bytes() for f in ("evidence.html", "evidence.md")])
    assert pages[0] == pages[1]


def test_evidence_of_a_model_says_what_is_missing(plate, nwidth, tmp_path):
    fresh = write_runs(tmp_path / "fresh.csv", 50, 3)
    said = nwidth("evidence", plate[0], "--holdout", fresh, "-o", tmp_path / "page")
    assert said.code == 0
    assert "0 fail" in said.out and "intended use is not stated" in said.out


def test_evidence_ends_with_one_where_something_fails(done, nwidth, tmp_path):
    (tmp_path / "tests.xml").write_text("<a><testcase><failure/></testcase></a>")
    said = nwidth("evidence", done / "block.yaml", "-o", tmp_path, "--tests", tmp_path / "tests.xml")
    assert said.code == 1 and "own tests pass: 0 of 1" in said.out
    assert "0 of 1" in (tmp_path / "evidence.md").read_text()


def test_equation_in_a_file(done, model, tmp_path):
    for path in (done / "block.yaml", model):
        assert type(nw.study.problem_in(path)).__name__ == "ThermalBlock"
    (tmp_path / "none.yaml").write_text(STUDY.replace("problem:", "probelm:"))
    with pytest.raises(nw.InputError, match="problem: missing"):
        nw.study.problem_in(tmp_path / "none.yaml")
