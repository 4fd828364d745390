"""The composite study: its judgement, its cheaper solvers, and the whole in small."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.prediction import uncertified

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "composite"
MODULES = ("cells", "full_order", "contestants", "run")


@pytest.fixture
def example(monkeypatch):
    """The example's modules, as a script next to them sees them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    yield lambda name: __import__(name)
    for name in MODULES:
        sys.modules.pop(name, None)
        if before[name] is not None:
            sys.modules[name] = before[name]


def bumps(places, n=15, height=1.0):
    x = np.arange(n)
    apart = [np.minimum((x - i) % n, (i - x) % n) for i in range(n)]
    return np.stack([height * np.exp(-0.5 * (apart[i][:, None] ** 2 + apart[j][None] ** 2)) for i, j in places])


def test_judgement(example):
    judge = example("cells").judge
    truth = bumps([(0, 0), (7, 7), (3, 3)])
    found = np.concatenate([bumps([(14, 14)]), bumps([(7, 7)], height=1.1), bumps([(3, 9)])])
    errors = judge(found, truth)
    np.testing.assert_array_equal(errors["place"], [1, 1, 0])  # one pixel around the corner is near
    np.testing.assert_allclose(errors["field"][1], 0.1, rtol=1e-12)
    np.testing.assert_allclose(errors["peak"], [0, 0.1, 0], atol=1e-12)
    np.testing.assert_allclose(errors["mean"][1], 0.1, rtol=1e-12)
    np.testing.assert_allclose(errors["there"], [np.exp(-1), 1, np.exp(-18)], rtol=1e-6)


def test_other_grids_are_linear_in_between_and_go_around(example):
    on_grid = example("full_order").on_grid
    x = (np.arange(20) + 0.5) / 20
    wave = np.cos(2 * np.pi * x)[None, :, None] * np.sin(2 * np.pi * x)[None, None, :]
    y = (np.arange(49) + 0.5) / 49
    exact = np.cos(2 * np.pi * y)[:, None] * np.sin(2 * np.pi * y)
    assert np.abs(on_grid(wave, 49)[0] - exact).max() < 2 * (np.pi / 20) ** 2
    np.testing.assert_array_equal(on_grid(wave, 20), wave)
    np.testing.assert_allclose(on_grid(wave + 3, 49).mean(), 3, rtol=1e-3)


def test_the_cheapest_solver_must_be_as_accurate_in_both(example):
    full_order = example("full_order")

    def rung(name, field, peak, seconds):
        return full_order.Rung(name, {"field": np.array([field]), "peak": np.array([peak])}, seconds)

    rungs = [rung("fine", 0, 0, 1.0), rung("medium", 0.04, 0.02, 0.1), rung("no peak", 0.04, 0.2, 0.01)]
    assert full_order.cheapest(rungs, 0.05, 0.03).name == "medium"
    assert full_order.cheapest(rungs, 0.03, 0.03).name == "fine"
    assert full_order.cheapest(rungs[1:], 0.01, 0.01) is None


def test_what_is_known_beforehand_is_in_every_answer(example):
    cells = example("cells")
    problem = replace(cells.QUICK.problem, resolution=25)
    mu = problem.parameters.sample(range(3), 0)

    class Noise:
        parameters, space = problem.parameters, problem.space

        def predict(self, mu):
            values = np.random.default_rng(0).standard_normal((3, 25, 25))
            return uncertified(mu, values, self.space, np.ones(3, bool))

    answer = cells.Plausible(Noise()).predict(mu)
    assert (answer.field >= 0).all() and not answer.field[mu["phase"] == 1].any() and answer.field.any()
    np.testing.assert_array_equal(answer.outputs["peak"].values, answer.field.max(axis=(1, 2)))


@pytest.mark.slow
def test_the_study_in_small(example, tmp_path, capsys):
    tables = example("run").main(["--quick", "--cells", str(tmp_path / "cells"), "--out", str(tmp_path / "out")])
    contest, solvers = tables["contestants"].rows, tables["solvers"].rows
    names = ["nwidth FNO", "neuraloperator FNO, our size, equal epochs"]
    assert list(contest)[:2] == names and "POD + kernel regression" in contest
    assert all(0 < row["field error"] < 200 for row in contest.values())
    assert contest["nwidth FNO"]["epochs"] == contest["U-Net, equal epochs"]["epochs"] == 4
    finest = next(iter(solvers.values()))
    assert finest["field error"] < 5 and finest["time"] > list(solvers.values())[10]["time"]
    verdict = tables["verdict"].rows["nwidth FNO"]
    assert verdict["its error"] <= verdict["field error"] and verdict["faster in a batch"] > verdict["faster alone"]
    limits = tables["limits"].rows
    assert all(0 <= row["held"] <= 100 and row["limit"] > 0 for row in limits.values()) and len(limits) == 3
    for name in tables:
        assert {p.suffix for p in (tmp_path / "out").glob(f"{name}.*")} == {".csv", ".tex", ".txt"}
    again = nw.load(tmp_path / "out" / "network.nwidth", kinds=[example("cells").Plausible])
    mu = again.parameters.sample(range(2), 99)
    answer = again.predict(mu)
    assert np.isfinite(answer.bound).all() and np.isfinite(answer.outputs["peak"].limit).all()
    assert "Holds for about 90%" in capsys.readouterr().out
