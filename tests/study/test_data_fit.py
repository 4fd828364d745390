"""From runs to a saved model with a limit: every way of giving results, few runs and many, and the public data."""

import json

import meshio
import numpy as np
import pytest

from nwidth.core.errors import InputError, WorkError
from nwidth.core.guarantee import Statistical
from nwidth.io.inspect import inspect
from nwidth.io.model import load
from nwidth.io.public import public_data
from nwidth.study.answers import ask
from nwidth.study.data_fit import fit_runs, frequency

SIDE = np.linspace(0, 1, 7)
NODES = np.stack(np.meshgrid(SIDE, SIDE, indexing="ij"), axis=-1).reshape(-1, 2)
CELLS = np.array([[7 * i + j, 7 * i + j + 1, 7 * i + j + 8, 7 * i + j + 7] for i in range(6) for j in range(6)])
NAMES = ("conductivity", "power", "film")


def plate(mu):
    """A temperature: rational in the conductivity and the film coefficient, linear in the power."""
    k, p, h = (mu[n][:, None] for n in NAMES)
    x, y = NODES.T
    return 20 + p * (1 / h + (1 - x**2) / k) * (1 + 0.3 * np.sin(np.pi * y / k))


def designs(count, seed=0):
    rng = np.random.default_rng(seed)
    low, high = np.array([0.5, 5.0, 1.0]), np.array([3.0, 40.0, 8.0])
    return dict(zip(NAMES, (low + (high - low) * rng.random((count, 3))).T, strict=True))


def write_table(folder, mu, failed=(), extra=""):
    lines = [f"run,conductivity [W/mK],power [W],film,thickness{extra and ',' + extra},status"]
    fields = plate(mu)
    for i in range(len(fields)):
        bad = i in failed
        scalar = f",{'' if bad else repr(float(fields[i].max()))}" if extra else ""
        values = ",".join(repr(float(mu[n][i])) for n in NAMES)
        lines.append(f"run{i:03d},{values},2.5{scalar},{'failed' if bad else 'ok'}")
    path = folder / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_results(folder, mu, kind, failed=()):
    target = folder / "results"
    target.mkdir()
    for i, u in enumerate(plate(mu)):
        if i in failed:
            continue
        name = target / f"run{i:03d}"
        if kind == "npz":
            np.savez(name, T=u, coordinates=NODES, quads=CELLS)
        elif kind == "vtu":
            points = np.c_[NODES, np.zeros(49)]
            meshio.Mesh(points, [("quad", CELLS)], point_data={"T": u}).write(name.with_suffix(".vtu"))
        else:
            np.savetxt(name.with_suffix(".csv"), np.c_[NODES, u], "%.17g", ",", header="x,y,T", comments="")
    return target


def questions(folder, mu, thickness=2.5):
    path = folder / "new.csv"
    rows = [",".join(repr(float(mu[n][i])) for n in NAMES) + f",{thickness}" for i in range(len(mu["power"]))]
    path.write_text("\n".join(["conductivity,power,film,thickness", *rows]) + "\n")
    return path


@pytest.mark.parametrize("kind", ["npz", "vtu", "csv"])
def test_fields_from_files_give_the_same_model(kind, tmp_path):
    mu, failed = designs(44), (3, 17)
    report = fit_runs(
        write_table(tmp_path, mu, failed), write_results(tmp_path, mu, kind, failed), tmp_path / "m.nwidth"
    )
    assert report.method == "leave-one-out" and report.parts == {"train and calibrate": 34, "test": 8}
    assert set(report.failed) == {"run003", "run017"}
    assert "status: failed" in report.failed["run003"]
    assert report.relative_error < 0.02
    fresh = designs(50, seed=5)
    answers = ask(tmp_path / "m.nwidth", questions(tmp_path, fresh)).prediction
    error = np.abs(answers.field - plate(fresh)).max(axis=1)
    inside = np.isfinite(answers.bound)
    assert np.mean(error[inside] <= answers.bound[inside]) >= 0.85
    assert isinstance(answers.guarantee, Statistical) and answers.guarantee.calibrated_on == 34
    space = load(tmp_path / "m.nwidth").space
    np.testing.assert_allclose(space.points(), NODES, rtol=1e-14)


def test_many_runs_are_split_five_ways_and_the_numbers_are_those_of_the_test_part(tmp_path):
    mu = designs(160, seed=1)
    table = write_table(tmp_path, mu, failed=(5,), extra="T_max [°C]")
    report = fit_runs(table, write_results(tmp_path, mu, "npz", (5,)), tmp_path / "m.nwidth", outputs=["T_max"], seed=3)
    assert report.method == "split"
    assert report.parts["train"] == 95 and report.parts["test"] == 24 and sum(report.parts.values()) == 159
    by_name = {m.name: m for m in report.measured}
    assert set(by_name) == {"field", "T_max"} and by_name["T_max"].unit == "K", "a difference of °C is in K"
    assert all(m.coverage.total == 24 and m.coverage.held >= 18 for m in report.measured)
    assert by_name["field"].typical_error < by_name["field"].typical_limit < 50 * by_name["field"].typical_error
    assert by_name["T_max"].typical_error < 0.02 * by_name["T_max"].spread
    text = "\n".join(report.lines)
    assert f"held on {by_name['field'].coverage.held} of 24 unseen runs" in text
    assert "Expect 9 in 10 for runs drawn the same way; not for optimised designs or feedback." in text
    assert "1 failed run left out (run005: status: failed)." in text
    assert json.loads(json.dumps(report.to_dict()))["measured"][0]["coverage"]["total"] == 24
    assert "held on" in "\n".join(inspect(tmp_path / "m.nwidth").lines)


def test_the_limit_holds_for_fresh_runs_about_as_often_as_it_says(tmp_path):
    """Five fits; the pooled coverage of 5 x 200 fresh runs lies within what five calibrations of 20 runs allow."""
    shares = []
    for seed in range(5):
        mu = designs(100, seed=[seed, 1])
        folder = tmp_path / str(seed)
        folder.mkdir()
        report = fit_runs(
            write_table(folder, mu, extra="T_max"), None, folder / "m.nwidth", outputs=["T_max"], seed=seed
        )
        fresh = designs(200, seed=[seed, 2])
        answers = report.certified.predict({**fresh, "thickness": np.full(200, 2.5)})
        output, inside = answers.outputs["T_max"], answers.inside
        assert inside.mean() > 0.85
        shares.append(np.mean(np.abs(output.values - plate(fresh).max(axis=1))[inside] <= output.limit[inside]))
    # Beta(k, n + 1 - k) of about 17 runs: standard deviation 0.07 each, 0.031 for the mean of five.
    assert 0.9 - 3 * 0.031 < np.mean(shares) <= 1.0


def test_scalar_columns_alone_from_twenty_runs_on(tmp_path):
    table = write_table(tmp_path, designs(20), extra="T_max [°C]")
    report = fit_runs(table, output=tmp_path / "m.nwidth", outputs=["T_max"])
    assert report.parts == {"train and calibrate": 20, "test": 0}
    assert "not measured: no runs were left over" in "\n".join(report.lines)
    fresh = designs(60, seed=8)
    answers = ask(tmp_path / "m.nwidth", questions(tmp_path, fresh)).prediction
    inside = answers.inside
    error = np.abs(answers.outputs["T_max"].values - plate(fresh).max(axis=1))
    assert np.mean(error[inside] <= answers.outputs["T_max"].limit[inside]) > 0.8
    assert answers.outputs["T_max"].limit[inside].max() < 20


def test_outside_of_the_runs_there_is_no_limit_and_the_reason_names_the_parameter(tmp_path):
    fit_runs(write_table(tmp_path, designs(30), extra="T_max"), output=tmp_path / "m.nwidth", outputs=["T_max"])
    mu = {n: np.array([v, v]) for n, v in zip(NAMES, (1.0, 20.0, 4.0), strict=True)}
    mu["power"][1] = 400.0
    answers = ask(tmp_path / "m.nwidth", questions(tmp_path, mu))
    limit = answers.prediction.outputs["T_max"].limit
    assert np.isfinite(limit[0]) and np.isinf(limit[1])
    assert answers.notes[0] == "" and "power = 400 is above your range" in answers.notes[1]
    other = ask(tmp_path / "m.nwidth", questions(tmp_path, mu, thickness=3))
    assert "thickness = 3 is above your range 2.5-2.5" in other.notes[0]


def test_a_user_s_own_norm_level_and_fitter(tmp_path):
    from nwidth.rb.pod_regression import PODRegression

    mu = designs(60)
    table, results = write_table(tmp_path, mu), write_results(tmp_path, mu, "npz")
    report = fit_runs(
        table, results, tmp_path / "m.nwidth", level=0.8, norm="rms", fitter=PODRegression(modes=2), seed=1
    )
    assert report.modes == 2 and report.level == 0.8
    assert "root-mean-square" in str(report.certified.guarantee) and "80%" in str(report.certified.guarantee)
    assert "Expect 4 in 5" in "\n".join(report.lines)


def test_what_cannot_be_done_is_said_before_anything_is_written(tmp_path):
    mu = designs(30)
    table = write_table(tmp_path, mu, extra="T_max")
    model = tmp_path / "m.nwidth"
    with pytest.raises(InputError, match="which columns are results"):
        fit_runs(table, output=model)
    with pytest.raises(InputError, match=r"level 0\.975 needs at least 39 calibration runs, got 30"):
        fit_runs(table, output=model, outputs=["T_max"], level=0.95)
    with pytest.raises(InputError, match="level is 1.5"):
        fit_runs(table, output=model, outputs=["T_max"], level=1.5)
    with pytest.raises(InputError, match="norm is 'L3'"):
        fit_runs(table, output=model, outputs=["T_max"], norm="L3")
    with pytest.raises(InputError, match="cannot be written"):
        fit_runs(table, output=tmp_path / "none" / "m.nwidth", outputs=["T_max"])
    with pytest.raises(InputError, match="there is no file"):
        fit_runs(table, tmp_path / "nowhere", model)
    few = write_table(tmp_path, designs(25), failed=range(8), extra="T_max")
    with pytest.raises(InputError, match="17 usable runs of 25; at least 20"):
        fit_runs(few, output=model, outputs=["T_max"])
    assert not model.exists()


def test_a_constant_result_and_a_full_disk(tmp_path, monkeypatch):
    mu = designs(30)
    path = write_table(tmp_path, mu, extra="T_max")
    lines = [",".join([*line.split(",")[:5], "90.0", "ok"]) for line in path.read_text().splitlines()[1:]]
    path.write_text("\n".join(["run,conductivity,power,film,thickness,T_max,status", *lines]) + "\n")
    with pytest.raises(InputError, match="output 'T_max' is 90 in every run"):
        fit_runs(path, output=tmp_path / "m.nwidth", outputs=["T_max"])
    table = write_table(tmp_path, mu, extra="T_max")
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(WorkError, match="No space left on device"):
        fit_runs(table, output=tmp_path / "m.nwidth", outputs=["T_max"])
    assert [p.name for p in tmp_path.iterdir()] == ["runs.csv"]


def test_frequencies_in_words():
    assert [frequency(x) for x in (0.5, 0.8, 0.9, 0.95, 0.99, 0.925)] == [
        "1 in 2", "4 in 5", "9 in 10", "19 in 20", "99 in 100", "185 in 200",
    ]  # fmt: skip


# --- the public elastic block --------------------------------------------------------------------------------------


def elastic_block(folder, source, count):
    """runs.csv and one NPZ per run, as an engineer would have them; every 25th run failed."""
    params = np.load(source / "params.npy")[:count]
    fields = np.load(source / "snapshots.npy")[:count].reshape(count, 2, -1)
    points, cells = np.load(source / "coords.npy").T, np.load(source / "triangles.npy").astype(np.int64)
    results = folder / "results"
    results.mkdir()
    names = [f"E{i + 1}" for i in range(8)] + [f"load{i + 1}" for i in range(3)]
    lines = [",".join(["run", *names, "status"])]
    for i in range(count):
        failed = i % 25 == 24
        lines.append(",".join([f"case_{i:03d}", *map(repr, map(float, params[i])), "failed" if failed else "ok"]))
        if not failed:
            np.savez(results / f"case_{i:03d}", displacement=fields[i].T, coordinates=points, triangles=cells)
    table = folder / "runs.csv"
    table.write_text("\n".join(lines) + "\n")
    return table, results


def test_the_elastic_block_with_few_runs(nwidth_data, tmp_path):
    table, results = elastic_block(tmp_path, nwidth_data / "elastic_block", 120)
    report = fit_runs(table, results, tmp_path / "block.nwidth")
    assert len(report.failed) == 4 and report.method == "split"
    (field,) = report.measured
    assert report.relative_error < 0.25
    low, high = field.coverage.interval()
    assert low < 0.9 < high or field.coverage.share > 0.9
    assert load(tmp_path / "block.nwidth").space.components.keys() == {"displacement_x", "displacement_y"}


@pytest.mark.slow
def test_the_elastic_block(nwidth_data, tmp_path):
    """All 500 runs, three splits: the error, and a pooled coverage whose binomial interval contains the level."""
    table, results = elastic_block(tmp_path, nwidth_data / "elastic_block", 500)
    held, total, errors = 0, 0, []
    for seed in range(3):
        report = fit_runs(table, results, tmp_path / "block.nwidth", seed=seed)
        (field,) = report.measured
        held, total = held + field.coverage.held, total + field.coverage.total
        errors.append(report.relative_error)
    assert total == 3 * 72
    assert np.median(errors) < 0.06
    # Coverage given 80 calibration runs varies by 0.033 in itself; with 72 tests each, by 0.048 per split.
    assert abs(held / total - 0.9) < 3 * 0.048 / np.sqrt(3)
    assert (tmp_path / "block.nwidth").stat().st_size < 5e6


def test_where_the_public_data_is_absent_the_error_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("NWIDTH_DATA", str(tmp_path))
    with pytest.raises(InputError, match="get it from the Python package smithers of mathLab.*NWIDTH_DATA"):
        public_data("elastic_block")
    with pytest.raises(InputError, match="repository of neuraloperator"):
        public_data("darcy_burgers_pt")
    with pytest.raises(InputError, match="choose one of elastic_block"):
        public_data("no such set")
    (tmp_path / "elastic_block").mkdir()
    assert public_data("elastic_block") == tmp_path / "elastic_block"
