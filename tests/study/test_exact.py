"""The distance to the exact solution in checks and reports: numbers, words, table and picture."""

from dataclasses import replace

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.prediction import uncertified
from nwidth.online.total_error import TotalErrorBound
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.reports import figures
from nwidth.reports.model import LimitCheck, PartsChart
from nwidth.reports.palette import LIGHT
from nwidth.solvers.direct import Direct
from nwidth.study.exact import SPLIT, WHOLE, exact_chart, exact_parts, exact_sentence, exact_table, proven


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


def test_what_is_not_proven_is_not_called_guaranteed():
    parts = parts_of(0.15)
    assert proven(parts, WHOLE) and proven(parts, SPLIT)
    assert "guaranteed" in exact_sentence(parts) and exact_table(parts).note.startswith("Guaranteed,")
    assert "indication" not in exact_sentence(parts) + exact_table(parts).note
    half = parts | {SPLIT: np.zeros(3)}
    for text in (exact_sentence(half), exact_table(half).note):
        assert "an indication only" in text and "guaranteed" in text and "stability constant is not proven" in text
    none = {name: values for name, values in parts.items() if name not in (WHOLE, SPLIT)}
    assert "guaranteed" not in (exact_sentence(none) + exact_table(none).note).lower()


def test_constants_that_are_not_proven_make_the_parts_an_indication():
    class Unproven(type(nw.problems.get("darcy", resolution=8))):
        def constant(self, mu, field=None):
            return replace(super().constant(mu), proven=False)

    problem = Unproven(resolution=8)
    mu = problem.parameters.sample(range(2), 0)
    answer = uncertified(mu, nw.solve(problem, mu, Direct()).field, problem.space, np.ones(2, dtype=bool))
    parts = exact_parts(problem, answer)
    assert proven(parts, WHOLE) and not proven(parts, SPLIT)


def test_what_the_bound_refuses_has_none():
    """The bound knows this kind of problem, but not with a value prescribed at a single node inside."""
    whole = ThermalBlock(2, 8).space
    fixed = whole.free.copy()
    fixed[np.flatnonzero(fixed)[40]] = False

    class Pinned(ThermalBlock):
        space = replace(whole, free=fixed)

    found = Pinned(2, 8)
    mu = found.parameters.sample(range(1), 0)
    answer = uncertified(mu, np.ones((1, *whole.shape)), found.space, np.ones(1, dtype=bool))
    assert TotalErrorBound.applies(found)
    assert exact_parts(found, answer) == {}


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
