"""What the best design promises where some answers are missing, or are promised less than others."""

from dataclasses import replace

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous, Statistical
from nwidth.core.prediction import Output, uncertified
from nwidth.online.minimize import minimize
from nwidth.problems.base import BlackBox, Outputs, Quantity
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points


class Slope(BlackBox, Outputs):
    """`u = x` on [0, 1]."""

    parameters = Box(("x",), low=0.0, high=1.0)
    space = Points((1,))

    def solve(self, mu):
        return np.asarray(mu["x"])[:, None]

    def quantities(self):
        return {"x": Quantity(np.array([1.0]))}


class Told(nw.Surrogate):
    """Exact answers with a guaranteed limit, spoilt below `edge` by `spoil`."""

    parameters, space = Slope.parameters, Slope.space

    def __init__(self, edge, spoil):
        self.edge, self.spoil = edge, spoil

    def predict(self, mu):
        x = np.asarray(mu["x"])
        known = {"x": Output(x.copy(), np.full(len(x), 0.01))}
        answer = uncertified(mu, x[:, None], self.space, np.ones(len(x), dtype=bool), known)
        return self.spoil(replace(answer, guarantee=Rigorous("outputs", ("reduction",))), x < self.edge)

    def to_parts(self):
        raise InputError("nowhere")

    @classmethod
    def from_parts(cls, config, arrays, children):
        raise InputError("nowhere")


def unknown(answer, where):
    values = np.where(where, np.nan, answer.outputs["x"].values)
    return replace(answer, outputs={"x": Output(values, answer.outputs["x"].limit)})


def outside(answer, where):
    return replace(answer, inside=~where)


def bottomless(answer, where):
    values = np.where(where, -np.inf, answer.outputs["x"].values)
    return replace(answer, outputs={"x": Output(values, answer.outputs["x"].limit)})


def untouched(answer, where):
    return answer


@pytest.mark.parametrize("spoil", [unknown, outside, bottomless])
def test_nothing_is_promised_about_designs_without_an_answer(spoil):
    """The best designs have none: the winner is the best of the others, and the sentence says so."""
    found = minimize(Told(0.3, spoil), Slope(), "x", samples=100, verify=1)
    assert 0.3 <= found.value < 0.32 and found.gap < 0.02
    drawn = Slope.parameters.sample(range(100), 0)["x"]
    assert (drawn < 0.3).sum() <= found.unanswered < found.searched
    text = str(found)
    assert f"None of the {found.searched - found.unanswered} designs searched that have an answer" in text
    assert f"About {found.unanswered} others nothing is known" in text


def test_with_all_answers_the_promise_is_about_all_of_them():
    found = minimize(Told(0.3, untouched), Slope(), "x", samples=100, verify=1)
    assert found.unanswered == 0 and f"None of the {found.searched} designs searched is better" in str(found)
    # what is not allowed is not better: an answer, not a missing one
    some = minimize(Told(0, untouched), Slope(), lambda v: np.where(v.mu["x"] < 0.5, np.inf, v.mu["x"]), samples=100)
    assert some.unanswered == 0 and some.value >= 0.5
    # a function of answers has no limit: nothing is known about the rest
    assert some.gap == np.inf and "Whether another design is better is not known" in str(some)


@pytest.mark.parametrize("weaker", [Estimate("outputs"), Statistical("outputs", 0.9)])
def test_the_guarantee_is_the_weakest_of_all_answers(weaker):
    """The first answers are guaranteed; those that the search ends in are not."""

    def less(answer, where):
        return replace(answer, guarantee=weaker) if where.any() else answer

    class First(Told):
        def predict(self, mu):
            answer = super().predict(mu)
            return answer if len(answer) == 1 else less(answer, np.asarray(mu["x"]) < self.edge)

    found = minimize(First(0.3, untouched), Slope(), "x", samples=100, verify=1)
    assert found.guarantee == weaker and found.gap is None and "Guaranteed" not in str(found)
