"""What counts violations sees each way in which a bound can be none: too small, zero, infinite, NaN, one of several."""

import json
import sys
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pytest

from nwidth.testing.equilibrated_references import random_mesh

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("total", [0.9, 0.0, NAN, INF, -1.0])
def test_total_error_from_above(beside, total):
    misses = beside("_certificate_total_rows").misses
    one = np.ones(1)
    assert misses(one, one, one, one) == 0
    assert misses(total * one, 0 * one, one, one) == 1
    assert misses(total * one, 0 * one, 0 * one, one) == (0 if total == 0.9 else 1), "an error of zero as well"


@pytest.mark.parametrize("lower", [1.1, NAN, -1.0])
def test_total_error_from_below(beside, lower):
    one = np.ones(1)
    assert beside("_certificate_total_rows").misses(one, lower * one, one, one) == 1


@pytest.mark.parametrize("value", [0.5, 0.0, NAN])
@pytest.mark.parametrize("name", ["bound", "in time", "energy"])
def test_each_upper_bound_of_a_trajectory(beside, name, value):
    missed, answer, error, energy = _trajectories(beside)
    assert not missed(answer, error, energy).any()
    assert missed(_with(answer, name, value), error, energy).tolist() == [False, True]


@pytest.mark.parametrize("value", [1.5, NAN])
@pytest.mark.parametrize("name", ["lower", "at least in time"])
def test_each_lower_bound_of_a_trajectory(beside, name, value):
    missed, answer, error, energy = _trajectories(beside)
    assert missed(_with(answer, name, value), error, energy).tolist() == [False, True]


@dataclass
class Answer:
    """What is counted of a prediction, without its own check that the bounds are in order."""

    bound: np.ndarray
    lower: np.ndarray
    stats: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.bound)


def _trajectories(beside):
    """Two trajectories of three levels with errors of at most 1."""
    stats = {"in time": np.full((2, 3), 1.1), "at least in time": np.full((2, 3), 0.2), "energy": np.full(2, 1.1)}
    answer = Answer(np.full(2, 1.1), np.full(2, 0.4), stats)
    error = np.array([[0.3, 1.0, 0.5]] * 2)
    return beside("_certificate_time_rows").missed, answer, error, np.ones(2)


def _with(answer, name, value):
    """The same, with the numbers of the second trajectory changed."""
    changed = deepcopy(answer)
    (vars(changed) | changed.stats)[name][1, ...] = value
    return changed


@pytest.mark.parametrize(("error", "bound"), [(1.2, 2.0), (0.9, 0.5), (NAN, 2.0), (0.9, NAN), (0.0, 0.0), (0.9, INF)])
def test_routed_answers(beside, error, bound):
    beyond = beside("_certificate_routing_rows").beyond
    one = np.ones(1)
    assert beyond(0.9 * one, one, one, 0 * one) == 0
    assert beyond(error * one, bound * one, one, 0 * one) >= 1


def test_a_probability_that_is_none_holds_no_target(beside):
    routing, row = beside("_certificate_routing_rows"), beside("_harness").Row
    assert routing.logarithm(0.0) == -300 and routing.logarithm(1e-5) == pytest.approx(-5)
    assert not row("p", routing.logarithm(NAN), "", -3.0, "<=").holds


@pytest.mark.parametrize(("lower", "upper"), [(0.5, 0.9), (1.1, 2.0), (NAN, 2.0), (0.5, NAN), (-1.0, 2.0)])
def test_refined_answers(beside, lower, upper):
    tally, one = beside("_refine_cases").Count(), np.ones(1)
    tally.add(one, 0.9 * one, 1.1 * one)
    assert tally.row("held").holds
    tally.add(one, lower * one, upper * one)
    assert not tally.row("broken").holds and tally.checks == 2


def test_known_failures_are_not_to_look_like_successes(beside):
    coverage = beside("_certificate_selection_rows")._coverage
    assert coverage("optimum", np.full(40, 0.4), 40, fails=True).holds
    assert not coverage("optimum", np.full(40, 0.9), 40, fails=True).holds
    assert coverage("optimum", np.full(40, 0.9), 40).holds


def test_coverage_keeps_to_its_law(beside):
    law, rng = beside("_coverage_law"), np.random.default_rng(0)
    right, wrong = law.Hits(0.9), law.Hits(0.9)
    for _ in range(200):
        limit = np.sort(rng.random(40))[36]
        right.add(rng.random(50) <= limit, 40)
        wrong.add(rng.random(50) <= limit - 0.03, 40)
    row = law.law_row("right", right)
    assert row.holds and row.unit == "sd" and row.detail["coverage"] == right.share
    assert 0.7 < right.scatter < 1.4 and not law.law_row("wrong", wrong).holds


def test_numpy_s_numbers_are_written_and_what_was_measured_stays(beside, tmp_path, monkeypatch):
    """A comparison of NumPy's numbers is none of Python's: the file was not written. A part that fails is the last."""
    harness = beside("_harness")

    def broken(quick, seed):
        raise ValueError("a part that fails")

    row = harness.Row("x", np.float64(1.0), "", np.float64(2.0), "<=", {"count": np.int64(3), "far": np.float64(INF)})
    assert row.holds is True
    target = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["x", "--json", str(target)])
    with pytest.raises(ValueError, match="a part that fails"):
        harness._main("x", {"one": lambda quick, seed: [row], "two": broken}, 0)
    (written,) = json.loads(target.read_text())["rows"]
    assert written["holds"] is True and written["detail"] == {"count": 3, "far": None}


def test_without_pypardiso_the_total_error_s_part_runs(beside, monkeypatch):
    total = beside("_certificate_total_rows")
    monkeypatch.setattr(total, "available", lambda name: False)
    rows = total._cost(True, 0)
    assert len(rows) == 4 and all(row.detail["reason"] == "no pypardiso" and not row.holds for row in rows)


def test_distances_to_finer_meshes_grow_from_nothing(beside):
    """A Galerkin solution is at no distance from itself, and farther from each finer one, less and less so."""
    distances, rng = beside("_total_references").mesh_distances, np.random.default_rng(0)
    mesh = random_mesh(rng, 12)
    count = len(mesh.triangles)
    mu = {"a": np.ones((1, count)), "f": np.ones((1, count)), "g": np.zeros((1, len(mesh.nodes)))}
    found = distances(mesh, mu, mesh.solved(mu), 5)
    assert found[0] < 1e-7 < found[1]
    rates = np.diff(found[1:] ** 2)
    assert (rates > 0).all() and (rates[1:] < 0.5 * rates[:-1]).all()
