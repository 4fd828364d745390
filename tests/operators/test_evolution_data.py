"""Training samples of steps: windows, targets, noise, and what is read when."""

import numpy as np
import pytest
import torch
from tests.operators.evolution_cases import TAU, Exact, heat_runs

from nwidth.operators import evolution_data
from nwidth.operators.evolution_data import Past, Runs, Windows, consecutive, from_the_start
from nwidth.operators.evolution_start import Start
from nwidth.operators.evolution_step import Stencil, Unrolled
from nwidth.operators.module import OperatorModule
from nwidth.surrogates.training import Encoding


def runs_of(snapshots):
    names = tuple(name for name in snapshots.mu if name != "u0")
    encoding = Encoding(names, "channels", 1, False, 0, ())
    return Runs(snapshots, Past(Start("u0"), encoding, None, snapshots.space))


def windows(snapshots, stencil, steps, **options):
    return Windows(runs_of(snapshots), stencil, steps, np.arange(len(snapshots)), precision="float64", **options)


def exact_operator(stencil, nu):
    network = Exact(stencil.window, stencil.residual, nu, stencil.lead, stencil.clock)
    inputs = stencil.past + int(nu) + stencil.constants
    return OperatorModule(network, (1, inputs))


@pytest.mark.parametrize("unroll", [1, 3])
@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("residual", [True, False])
def test_unrolled_steps_meet_their_targets(unroll, window, residual):
    """The exact step, unrolled from every window of the data, must give exactly the frames that the data hold."""
    snapshots = heat_runs(3, nu=(0.01, 0.05), forced=True)
    stencil = Stencil(window, 1, residual, TAU, lead=False, clock=True)
    steps = consecutive(runs_of(snapshots).times, 0, unroll)
    assert len(steps) == 6 - unroll
    for pushforward, ahead in ((False, tuple(range(unroll))), (True, (unroll - 1,))):
        samples = windows(snapshots, stencil, steps, ahead=ahead)
        x, y = samples.batch(np.arange(len(samples)))
        assert x.shape == (3 * len(steps), window + 2, 24) and y.shape == (len(x), len(ahead), 24)
        found = Unrolled(exact_operator(stencil, nu=True), stencil, unroll, pushforward)(x)
        torch.testing.assert_close(found, y, rtol=0, atol=1e-13)


def test_the_oldest_frame_leaves_the_window():
    stencil = Stencil(3, 2, True, 0.5, lead=False, clock=True)
    x = torch.arange(8.0).view(1, 8, 1)  # three frames of two channels, a parameter, the clock
    found = stencil.shifted(x, torch.tensor([[[20.0], [21.0]]]))
    assert found.flatten().tolist() == [2, 3, 4, 5, 20, 21, 6, 7.5]
    assert stencil.last(x).flatten().tolist() == [4, 5]


def test_rates_are_what_the_network_should_answer():
    snapshots = heat_runs(3, times=TAU * np.array([1.0, 2.0, 4.0]))
    stencil = Stencil(1, 1, True, TAU, lead=True, clock=False)
    samples = windows(snapshots, stencil, consecutive(runs_of(snapshots).times, 0, 1), target="rate")
    x, y = samples.batch(np.arange(9))
    torch.testing.assert_close(exact_operator(stencil, nu=False)(x), y, rtol=0, atol=1e-13)
    frames = samples.aiming_at("frames", (0,)).batch(np.arange(9))[1]
    torch.testing.assert_close(Unrolled(exact_operator(stencil, nu=False), stencil)(x), frames, rtol=0, atol=1e-13)


def test_lead_times_begin_at_the_start():
    snapshots = heat_runs(2)
    stencil = Stencil(1, 1, False, TAU, lead=True, clock=False)
    samples = windows(snapshots, stencil, from_the_start(runs_of(snapshots).times, 0))
    x, y = samples.batch(np.arange(10))
    np.testing.assert_array_equal(x[:, 0], np.repeat(snapshots.mu["u0"], 5, axis=0))
    np.testing.assert_allclose(x[:, 1, 0], np.tile(snapshots.times, 2))
    np.testing.assert_array_equal(y[:, 0], np.asarray(snapshots.fields).reshape(10, 24))


def test_what_does_not_fit_into_memory_is_read_by_batch(monkeypatch, tmp_path):
    snapshots = heat_runs(5, nu=(0.01, 0.05))
    stencil = Stencil(2, 1, True, TAU, lead=False, clock=False)
    steps, index = consecutive(runs_of(snapshots).times, 0, 2), np.array([17, 3, 4, 3, 11])
    held = windows(snapshots, stencil, steps, ahead=(0, 1)).batch(index)
    monkeypatch.setattr(evolution_data, "RESIDENT", 0)
    read = windows(snapshots.save(tmp_path / "runs"), stencil, steps, ahead=(0, 1)).batch(index)
    for a, b in zip(held, read, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_noise_disturbs_the_past_in_training_only():
    stencil = Stencil(2, 1, False, TAU, lead=False, clock=False)

    class Seen(torch.nn.Module):
        def forward(self, x):
            self.x = x
            return x[:, :1]

    operator = OperatorModule(Seen(), (1, 3))
    operator.standardise.deviation.copy_(torch.tensor([1.0, 2.0, 5.0]))
    unrolled, x = Unrolled(operator, stencil, noise=0.1), torch.zeros(400, 3, 50)
    torch.manual_seed(0)
    unrolled.train()(x)
    disturbed = operator.network.x * operator.standardise.deviation.view(-1, 1)  # as it was before standardisation
    np.testing.assert_allclose(disturbed.std(dim=(0, 2)), [0.1, 0.2, 0.0], rtol=0.02)
    unrolled.eval()(x)
    assert (operator.network.x == 0).all()


def test_the_pushforward_differentiates_the_last_step_only():
    stencil = Stencil(1, 1, False, TAU, lead=False, clock=False)

    class Gain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, x):
            return self.gain * x

    for pushforward, expected in ((False, 1 + 4 + 12), (True, 4)):  # d/dg of g + g² + g³, or of 4 g, at g = 2
        operator = OperatorModule(Gain(), (1, 1))
        Unrolled(operator, stencil, 3, pushforward)(torch.ones(1, 1, 4)).sum().div(4).backward()
        assert operator.network.gain.grad == pytest.approx(expected)
