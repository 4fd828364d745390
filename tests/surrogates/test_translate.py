"""Shifts on the torus: the same for input and output, all of them, and only where they are true."""

import numpy as np
import pytest
import torch
from torch import nn

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.spaces.box import Box
from nwidth.spaces.discs import Discs
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.spaces.torus import Torus
from nwidth.surrogates.training.translate import augmented, random_shift


def test_input_and_output_move_together_and_reach_every_place():
    n, m = 4, 3
    x, y = torch.arange(2.0 * n * m).reshape(2, 1, n, m), torch.zeros(2, 1, n, m)
    y[:] = 10 * x + 1
    rng, seen = np.random.default_rng(0), set()
    for _ in range(200):
        a, b = random_shift(x, y, rng)
        torch.testing.assert_close(b, 10 * a + 1)
        i, j = divmod(int(a[0, 0].argmin()), m)
        torch.testing.assert_close(a, torch.roll(x, (i, j), (2, 3)))
        seen.add((i, j))
    assert len(seen) == n * m


def test_names():
    x = torch.arange(25.0).reshape(1, 1, 5, 5)
    for kind, sums in (("none", 1), ("square", 8), ("translate", 25), ("square-translate", 200)):
        rng = np.random.default_rng(1)
        found = {tuple(augmented(kind, x, x, rng)[0].flatten().tolist()) for _ in range(3000)}
        assert len(found) == sums, kind


class Pixelwise(nn.Module):
    """A table of factors per place: the opposite of a network that knows shifts."""

    def __init__(self):
        super().__init__()
        self.factor, self.offset = nn.Parameter(torch.zeros(9, 9)), nn.Parameter(torch.zeros(9, 9))

    def forward(self, x):
        return self.factor * x + self.offset


def snapshots(space, mu, parameters):
    return nw.Snapshots(parameters, space, {"phase": mu}, 3.0 * mu + 1)


def test_a_network_that_knows_places_learns_that_they_are_alike():
    discs = Discs(resolution=9, count=2, radius=0.2)
    few = discs.sample(range(6), 0)["phase"]
    few[:, :, 4:] = few[:, :1, :1]  # the right half is constant in the data: without shifts nothing is learned there
    apart = {}
    for augment in ("none", "translate"):
        training = nw.Training(epochs=60, batch=4, rate=5e-2, loss="l2", augment=augment, validation=0.2)
        surrogate = nw.wrap(Pixelwise(), training).fit(snapshots(Torus((9, 9)), few, discs), seed=0)
        factor = surrogate.module.network.factor.detach()
        apart[augment] = float(factor.std() / factor.mean().abs())
    assert apart["translate"] < 0.05 < 0.2 < apart["none"], apart


def test_where_a_shift_leads_elsewhere_it_is_refused():
    training = nw.Training(epochs=1, augment="translate")
    discs = Discs(resolution=9, count=2, radius=0.2)
    few = discs.sample(range(6), 0)["phase"]
    with pytest.raises(InputError, match="Torus"):
        nw.wrap(Pixelwise(), training).fit(snapshots(Grid((8, 8)), few, discs))
    line = np.linspace(0, 1, 12)
    runs = nw.Snapshots(Box(("a",)), Points((7,)), {"a": line}, line[:, None] * np.arange(7.0))
    with pytest.raises(InputError, match="Torus"):
        nw.wrap(nn.Linear(1, 7), training).fit(runs)
    with pytest.raises(InputError, match="square-translate"):
        nw.Training(augment="turn")
