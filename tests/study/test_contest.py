"""Contests on equal terms: the sweep looks at validation data alone, epochs and time are what was agreed."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import nn

import nwidth as nw
from nwidth.core.errors import InputError, WorkError
from nwidth.rb.pod_regression import PODRegression
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points
from nwidth.study.contest import (
    Entry,
    TensorState,
    Terms,
    answer_times,
    closest,
    enter,
    parameters_of,
    tuned,
)
from nwidth.surrogates.base import Fitter, Run


class Line(nn.Module):
    """Straight lines; its state carries something that is no tensor, as networks of other packages do."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 5)

    def forward(self, x):
        return self.linear(x)

    def state_dict(self, *args, **kwargs):
        state = super().state_dict(*args, **kwargs)
        state["_metadata"] = {"made of": "lines"}
        return state


def runs(count=40):
    t = np.linspace(-1, 1, count)
    return nw.Snapshots(Box(("t",), -1.0, 1.0), Points((5,)), {"t": t}, t[:, None] * np.arange(1.0, 6) + 0.5)


def line(**training):
    torch.manual_seed(0)
    return nw.wrap(TensorState(Line()), nw.Training(loss="l2", **{"epochs": 3, "batch": 4, "rate": 1e-3} | training))


def test_the_best_rate_is_the_one_with_the_smallest_validation_loss():
    fitter, losses = tuned(line(), runs(), None, Terms((1e-6, 3e-2), 3))
    assert losses[3e-2] < losses[1e-6] and fitter.training.rate == 3e-2
    assert fitter.training.epochs == 3, "the trial's epochs are not the fit's"
    same, none = tuned(PODRegression(), runs(), None, Terms())
    assert same == PODRegression() and none == {}


@dataclass(frozen=True)
class Counting(Fitter):
    """Notes on how many samples each fit was made."""

    training: nw.Training
    seen: list = field(default_factory=list)

    def fit(self, snapshots=None, problem=None, *, seed=0, run=Run()):
        self.seen.append((len(snapshots), self.training.epochs))
        return replace(line(), training=self.training).fit(snapshots, problem, seed=seed, run=run)


def test_trials_may_use_a_part_of_the_samples():
    fitter = Counting(nw.Training(epochs=3, batch=4, loss="l2"))
    enter("line", fitter, runs(), None, Terms((1e-3, 1e-2), 2, trial_samples=8))
    assert fitter.seen == [(8, 2), (8, 2), (40, 3)]


def test_a_rate_that_diverges_is_not_chosen():
    terms = Terms((1e-3, 1e30), 2)
    fitter, losses = tuned(line(), runs(), None, terms)
    assert losses[1e30] == np.inf and fitter.training.rate == 1e-3
    with pytest.raises(WorkError, match="diverged at every rate"):
        tuned(line(), runs(), None, Terms((1e30,), 2))


def test_equal_epochs_and_equal_time():
    terms = Terms((1e-2,), 1)
    entry = enter("line", line(epochs=7), runs(), None, terms)
    assert entry.epochs == 7 and entry.rate == 1e-2 and entry.parameters == 10 and list(entry.trials) == [1e-2]
    timed = enter("line", line(epochs=7), runs(), None, terms, seconds=0.4, trials={1e-2: 0.1, 1e-3: 0.5})
    assert timed.epochs > 7 and timed.rate == 1e-2, "the clock decides, not the epochs"
    assert 0.35 < timed.wall < 5
    assert timed.surrogate.history.ended == "budget"


def test_what_is_not_trained_by_gradients_takes_part():
    entry = enter("POD", PODRegression(), runs(), None, Terms(), seconds=1.0)
    assert entry.rate is None and entry.parameters is None and entry.epochs is None and entry.seconds > 0
    assert isinstance(entry, Entry) and parameters_of(entry.surrogate) is None


def test_answer_times_are_of_the_contestants():
    fast = enter("line", line(epochs=1), runs(), None, Terms((1e-2,), 1)).surrogate

    class Ten(nw.Surrogate):
        """Ten times the work."""

        parameters, space, kind = fast.parameters, fast.space, "ten"

        def predict(self, mu):
            return [fast.predict(mu) for _ in range(10)][-1]

        def to_parts(self):
            raise NotImplementedError

        @classmethod
        def from_parts(cls, config, arrays, children):
            raise NotImplementedError

    times = answer_times({"fast": fast, "slow": Ten()}, runs().mu, rounds=7)
    for place in (0, 1):
        assert 4 < times["slow"][place] / times["fast"][place] < 25
    assert times["fast"][0] < times["fast"][1], "a batch costs less per query"


def test_the_closest_size_is_closest_as_a_ratio():
    assert closest((4, 8, 16), (100, 400, 1600), 180) == 4
    assert closest((4, 8, 16), (100, 400, 1600), 220) == 8


def test_complex_parameters_count_two():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5, dtype=torch.complex64))

        def forward(self, x):
            return x * self.weight.real

    surrogate = nw.wrap(Complex(), nw.Training(epochs=1, loss="l2")).fit(runs())
    assert parameters_of(surrogate) == 10


def test_what_is_refused():
    for wrong in ({"rates": ()}, {"rates": (0.0,)}, {"trial_epochs": 0}, {"trial_samples": 1}):
        with pytest.raises(InputError):
            Terms(**wrong)
