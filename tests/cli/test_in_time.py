"""Outputs in time on the screen, in tables and in arrays: no number is lost, and every one says when it was."""

import csv

import numpy as np
import pytest

import nwidth as nw
from nwidth.cli.files import answer
from nwidth.cli.screen import Screen
from nwidth.core.prediction import Output, uncertified
from nwidth.spaces.trajectories import Trajectories
from nwidth.study.answers import Answers

VALUES = np.array([[20.0, 25.5, 31.25], [20.0, 90.0, 40.0], [20.0, 58.0, 30.0]])
LIMITS = np.array([[0.125, 0.25, 0.5], [0.125, 0.25, 0.5], [0.125, 5.0, 0.5]])


def answers(thresholds=None, times=(0.0, 0.5, 2.0)):
    problem = nw.problems.get("darcy", resolution=4)
    mu = problem.parameters.sample(range(3), 0)
    space = problem.space if times is None else Trajectories(problem.space, np.array(times))
    fields = np.zeros((3, *space.shape))
    outputs = {"T": Output(VALUES, LIMITS, "°C")}
    return Answers(uncertified(mu, fields, space, np.ones(3, dtype=bool), outputs), thresholds or {})


def test_a_table_has_a_column_for_each_time(tmp_path):
    with answers().save(tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    for k, time in enumerate(("0", "0.5", "2")):
        assert [float(row[f"T at t = {time} [°C]"]) for row in rows] == VALUES[:, k].tolist()
        assert [float(row[f"T at t = {time} at most off by [K]"]) for row in rows] == LIMITS[:, k].tolist()
    assert "T at step 3 [°C]" in answers(times=None).columns


def test_arrays_hold_every_time(tmp_path):
    with np.load(answers().save(tmp_path / "a.npz")) as arrays:
        np.testing.assert_array_equal(arrays["outputs/T"], VALUES)
        np.testing.assert_array_equal(arrays["limits/T"], LIMITS)


def test_the_screen_shows_the_last_time_and_says_so(capsys):
    answer(answers({"T": 60.0}), None, Screen())
    said = capsys.readouterr().out
    assert "T at t = 2 [°C]" in said and "31.25" in said and "25.5" not in said
    assert "the last of 3 times" in said


@pytest.mark.parametrize(
    ("threshold", "verdicts"),
    [(60.0, ["below", "above", "undecided"]), (100.0, ["below"] * 3), (10.0, ["above"] * 3)],
)
def test_a_threshold_counts_at_every_time(threshold, verdicts):
    found = answers({"T": threshold})
    assert found.verdicts["T"].tolist() == verdicts
    assert [row["outputs"]["T"]["verdict"] for row in found.to_dict()["rows"]] == verdicts
