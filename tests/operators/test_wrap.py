"""Torch modules of a user's own in place of a built-in method."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.operators.conftest import averaged_runs, poisson_runs
from torch import nn

from nwidth.core.errors import InputError
from nwidth.io.model import load, save
from nwidth.operators import StorableModule, Training, wrap
from nwidth.problems.poisson import Poisson
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points


class ConvNet(StorableModule):
    kind = "test-conv-net"

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 5, padding=2), nn.GELU(), nn.Conv2d(width, width, 5, padding=2), nn.GELU(),
            nn.Conv2d(width, 1, 1),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)

    def config(self):
        return {"width": self.width}


def sines(count, seed=0, dtype="float64"):
    """u(t, s) at 12 points without a grid."""
    box = Box(("t", "s"), low=(0.5, 0.0), high=(2.0, 1.0))
    mu = box.sample(range(count), seed)
    x = np.linspace(0.2, 1.0, 12)
    fields = np.sin(mu["t"][:, None] * x) + mu["s"][:, None] * x**2
    if dtype == "complex128":
        fields = fields * np.exp(1j * mu["s"][:, None])
    return Snapshots(box, Points((12,), type=dtype), mu, fields)


def error(surrogate, runs):
    return np.linalg.norm(surrogate.predict(runs.mu).field - runs.fields) / np.linalg.norm(runs.fields)


def test_a_convolutional_network_on_fields(averaged):
    torch.manual_seed(0)
    surrogate = wrap(ConvNet(8), Training(epochs=20)).fit(averaged, seed=0)
    unseen = averaged_runs(12, 8, seed=1)
    assert surrogate.history.best < 0.5 * surrogate.history.validation[0]
    assert error(surrogate, unseen) < 0.003
    on_boundary = ~unseen.space.free.reshape(unseen.space.shape)
    assert (surrogate.predict(unseen.mu).field[:, on_boundary] == 2.1).all()


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_a_perceptron_on_scalars_without_a_grid(dtype):
    torch.manual_seed(0)
    channels = 2 if dtype == "complex128" else 1
    net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 12 * channels), nn.Unflatten(1, (channels, 12)))
    surrogate = wrap(net, Training(epochs=80)).fit(sines(64, dtype=dtype), seed=0)
    unseen = sines(16, seed=1, dtype=dtype)
    assert surrogate.predict(unseen.mu).field.dtype == np.dtype(dtype)
    assert error(surrogate, unseen) < 0.03


def test_flat_output_is_accepted_without_a_grid():
    net = nn.Linear(2, 12)
    assert wrap(net, Training(epochs=1)).fit(sines(8)).predict(sines(3).mu).field.shape == (3, 12)


def test_the_given_module_is_not_changed():
    net = nn.Linear(2, 12)
    before = [p.detach().clone() for p in net.parameters()]
    fitter = wrap(net, Training(epochs=3))
    first, second = fitter.fit(sines(16), seed=0), fitter.fit(sines(16), seed=0)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))
    np.testing.assert_array_equal(first.predict(sines(3).mu).field, second.predict(sines(3).mu).field)


def test_a_module_trained_elsewhere_is_taken_as_it_is():
    """A loop of the user's own on `snapshots.loader`, then nwidth around the result."""
    runs = sines(64)
    net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 12))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        for x, y in runs.loader("cpu", 16):
            optimiser.zero_grad()
            ((net(x) - y[:, 0]) ** 2).mean().backward()
            optimiser.step()
    surrogate = wrap(net, trained=True).fit(runs)
    unseen = sines(5, seed=1)
    x = torch.tensor(np.stack([unseen.mu["t"], unseen.mu["s"]], axis=1), dtype=torch.float32)
    np.testing.assert_allclose(surrogate.predict(unseen.mu).field, net(x).detach().numpy(), rtol=1e-6)
    assert error(surrogate, unseen) < 0.1


def test_a_model_file_holds_no_code_and_needs_the_class(averaged, tmp_path):
    surrogate = wrap(ConvNet(3), Training(epochs=1)).fit(averaged)
    save(surrogate, tmp_path / "model.nwidth")
    with pytest.raises(InputError, match=r"kinds=\[MyClass\]"):
        load(tmp_path / "model.nwidth")
    again = load(tmp_path / "model.nwidth", kinds=[ConvNet])
    runs = averaged_runs(12, 3, seed=5)
    np.testing.assert_array_equal(again.predict(runs.mu).field, surrogate.predict(runs.mu).field)


def test_a_module_that_cannot_be_stored_says_what_to_do(tmp_path):
    surrogate = wrap(nn.Linear(2, 12), Training(epochs=1)).fit(sines(8))
    with pytest.raises(InputError, match="StorableModule"):
        save(surrogate, tmp_path / "model.nwidth")
    assert not list(tmp_path.iterdir())


def test_boundary_values_of_the_problem_are_exact_around_any_module():
    """A perceptron that knows the parameters only: scalars in, a field on the grid out."""
    problem, runs = Poisson(12), poisson_runs(Poisson(12), 48)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 169), nn.Unflatten(1, (1, 13, 13)))
    surrogate = wrap(net, Training(epochs=60)).fit(runs, problem)
    unseen = poisson_runs(problem, 8, seed=1)
    on_boundary = ~problem.space.free.reshape(problem.space.shape)
    np.testing.assert_array_equal(
        surrogate.predict(unseen.mu).field[:, on_boundary], problem.boundary(unseen.mu)[:, on_boundary]
    )
    assert error(surrogate, unseen) < 0.02
    free = wrap(net, Training(epochs=1), boundary="free").fit(runs, problem)
    assert (free.predict(unseen.mu).field != problem.boundary(unseen.mu)).all()


def test_wrong_output_and_wrong_input_are_refused(averaged):
    with pytest.raises(
        InputError, match=r"returned a tensor of shape \(1, 1, 5\) for one sample, expected \(1, 1, 13, 13\)"
    ):
        wrap(nn.Sequential(nn.Flatten(), nn.Linear(169, 5)), Training(epochs=1)).fit(averaged)
    with pytest.raises(InputError, match="no parameters to train; use trained=True"):
        wrap(nn.Flatten()).fit(averaged)
    with pytest.raises(InputError, match="takes a torch.nn.Module, got str"):
        wrap("module")
    with pytest.raises(InputError, match="learns from snapshots"):
        wrap(nn.Linear(1, 1)).fit()
    with pytest.raises(InputError, match="loss='h1' needs fields on a grid"):
        wrap(nn.Linear(2, 12), Training(loss="h1")).fit(sines(8))
    assert replace(wrap(nn.Linear(1, 1)), trained=True).trained
