"""The distance to the exact solution in checks and reports: numbers, words, table and picture."""

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.prediction import uncertified
from nwidth.reports import figures
from nwidth.reports.model import LimitCheck, PartsChart
from nwidth.reports.palette import LIGHT
from nwidth.solvers.direct import Direct
from nwidth.study.exact import exact_chart, exact_parts, exact_sentence, exact_table


def parts_of(size, resolution=12):
    problem = nw.problems.get("darcy", resolution=resolution)
    mu = problem.parameters.sample(range(3), 0)
    u = nw.solve(problem, mu, Direct()).field
    x = problem.space.points()[:, 0].reshape(problem.space.shape)
    return exact_parts(problem, uncertified(mu, u * (1 + size * np.sin(9 * x)), problem.space, np.ones(3, dtype=bool)))


@pytest.mark.parametrize(
    ("size", "words"),
    [(0.0, "Only a finer mesh"), (0.15, "a finer mesh and refined answers"), (2.0, "Refining the answers")],
)
def test_words_follow_the_numbers(size, words):
    parts = parts_of(size)
    text = exact_sentence(parts)
    assert words in text and "guaranteed" in text
    table = exact_table(parts)
    assert [row[0] for row in table.rows] == ["whole error", "surrogate's part", "mesh's part"]
    assert (parts["lower"] <= parts["total"]).all() and len(parts["total"]) == 3
    chart = exact_chart(parts)
    assert chart.low.shape == chart.high.shape == (3, 3) and (chart.low <= chart.high).all()


def test_equations_without_a_bound_say_nothing():
    problem = nw.problems.get("helmholtz", resolution=8)
    mu = problem.parameters.sample(range(2), 0)
    fields = np.zeros((2, *problem.space.shape), dtype=problem.space.dtype)
    assert exact_parts(problem, uncertified(mu, fields, problem.space, np.ones(2, dtype=bool))) == {}
    darcy = nw.problems.get("darcy", resolution=8)
    lost = np.full((1, 9, 9), np.nan)
    mu = darcy.parameters.sample([0], 0)
    assert exact_parts(darcy, uncertified(mu, lost, darcy.space, np.ones(1, dtype=bool))) == {}


def test_pictures():
    low, high = np.array([[1.0, 2.0], [0.5, 0.5], [0.2, 0.1]]), np.array([[2.0, 3.0], [1.0, 1.0], [0.4, 0.3]])
    ax = figures.draw(PartsChart("", ("whole", "one", "other"), low, high, "%"), LIGHT).axes[0]
    bars = [np.array(c.get_segments()) for c in ax.collections if hasattr(c, "get_segments")]
    np.testing.assert_allclose([b[:, :, 1] for b in bars], np.stack([low, high], axis=2))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["whole", "one", "other"]
    errors, limits = np.array([1.0, 2.0]), np.array([1.5, 4.0])
    checked = LimitCheck("", errors, limits, "K", np.array([0.9, 0.0]))
    ax = figures.draw(checked, LIGHT).axes[0]
    lines = next(c for c in ax.collections if type(c).__name__ == "LineCollection").get_segments()
    np.testing.assert_allclose([line[1, 1] for line in lines], limits)
    assert lines[0][0, 1] == pytest.approx(0.9) and 0 < lines[1][0, 1] < 1
    assert "interval" in ax.get_ylabel()
