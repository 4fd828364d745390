"""The study of the public Darcy data: what is put around it, how it is judged, and the whole in small."""

import runpy
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "darcy_public.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(SCRIPT))


def test_without_the_data_it_says_where_to_get_it(example, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NWIDTH_DATA", str(tmp_path))
    assert example["main"](["--out", str(tmp_path / "out")]) == {}
    assert "neuraloperator" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_the_grid_has_both_ends_and_the_files_agree(example, nwidth_data):
    folder = nwidth_data / "darcy_burgers_pt"
    coarse, fine = (example["snapshots"](folder / f"darcy_test_{n}.pt") for n in (16, 32))
    assert coarse.fields.shape == (50, 17, 17) and fine.fields.shape == (50, 33, 33)
    np.testing.assert_array_equal(fine.fields[:, ::2, ::2], coarse.fields)
    # the last row of the coefficient is the row before: at 16² another one than at 32²
    np.testing.assert_array_equal(fine.mu["a"][:, :-1:2, :-1:2], coarse.mu["a"][:, :-1, :-1])
    assert set(np.unique(coarse.mu["a"])) == {1.0, 18.0} and coarse.parameters.contains(coarse.mu).all()
    edge = np.ones((17, 17), bool)
    edge[1:-1, 1:-1] = False
    assert not coarse.fields[:, edge].any() and (coarse.fields[:, ~edge] > -0.01).all()
    assert len(example["snapshots"](folder / "darcy_train_16.pt", leave_out=[767])) == 999


def test_interpolation_and_errors(example):
    x = np.linspace(0, 1, 9)
    fields = np.array([2 + 3 * x[:, None] - x[None], x[:, None] * x[None]])
    y = np.linspace(0, 1, 17)
    exact = np.array([2 + 3 * y[:, None] - y[None], y[:, None] * y[None]])
    np.testing.assert_allclose(example["doubled"](fields), exact, atol=1e-14)
    np.testing.assert_allclose(example["errors"](1.07 * fields, fields), [7, 7])


@pytest.mark.slow
def test_the_study_in_small(example, nwidth_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NWIDTH_DATA", str(nwidth_data))
    tables = example["main"](["--quick", "--out", str(tmp_path)])
    rows = tables["contestants"].rows
    ours = rows["nwidth FNO"]
    assert 10 < ours["error at 16²"] < 60 and abs(ours["error at 32²"] - ours["error at 16²"]) < 5
    theirs = rows["neuraloperator FNO, our size, turned, boundary exact, equal epochs"]
    assert theirs["epochs"] == ours["epochs"] and 0.7 < theirs["parameters"] / ours["parameters"] < 1.4
    assert {p.suffix for p in tmp_path.glob("limits.*")} == {".csv", ".tex", ".txt"}
    held = tables["limits"].rows["32², calibrated at 32²"]["held"]
    assert len(held) == 3 and np.mean(held) > 60
    assert "Holds for about 90%" in capsys.readouterr().out
