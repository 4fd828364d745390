"""Tensorised Fourier operators: the formula, limits that agree with the FNO, ranks, sizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.operators.conftest import averaged_runs
from tests.operators.test_conformance import Checked

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.linmaps.spectral_ranks import ranks_for, weights_of
from nwidth.operators.boundaries.axes import AxisSeries
from nwidth.operators.network import FourierNetwork
from nwidth.operators.tensor_network import TensorNetwork, parameter_parts
from nwidth.operators.tfno import TensorArchitecture
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.torus import Torus


class TestTFNO(Checked):
    def fitter(self, training):
        return nw.operators.TFNO(modes=4, width=8, layers=2, rank=0.2, training=training)


class TestTensorTrainJoint(Checked):
    def fitter(self, training):
        return nw.operators.TFNO(
            modes=4, width=6, layers=3, rank=0.2, factorization="tt", joint=2, bypass="factors", training=training
        )


class TestCPJoint(Checked):
    def fitter(self, training):
        return nw.operators.TFNO(
            modes=4, width=6, layers=2, rank=(5,), factorization="cp", joint=1, hidden=6, training=training
        )


def padded(dim=2, padding=0.125):
    return (AxisSeries("padded", "node", padding),) * dim


def test_full_rank_is_the_fourier_network():
    """The same weights, one with identities as channel factors."""
    torch.manual_seed(0)
    plain = FourierNetwork((1, 2), (3, 4), 5, 2, 0.125).double()
    low = TensorNetwork((1, 2), (3, 4), 5, 2, "tucker", (5, 5), padded()).double()
    with torch.no_grad():
        low.lift.load_state_dict(plain.lift.state_dict())
        low.hidden.load_state_dict(plain.hidden.state_dict())
        low.project.load_state_dict(plain.project.state_dict())
        for weights, layer, mine in zip(low.weights, plain.layers, low.layers, strict=True):
            weights.inward.copy_(torch.eye(5))
            weights.outward.copy_(torch.eye(5))
            weights.core[0].copy_(torch.cat([layer.spectral.real, layer.spectral.imag]))
            mine.weight.copy_(layer.pointwise.weight)
            mine.bias.copy_(layer.pointwise.bias)
    for grid in ((12, 11), (25, 9)):
        x = torch.randn(3, 2, *grid, dtype=torch.float64)
        torch.testing.assert_close(low(x), plain(x), rtol=1e-11, atol=1e-11)


def test_without_coordinates_it_commutes_with_translations():
    torch.manual_seed(0)
    axes = (AxisSeries("periodic", "periodic"),) * 2
    net = TensorNetwork((1, 1), (3, 3), 4, 2, "cp", (6,), axes, joint=1, coordinates=False).double()
    x = torch.randn(2, 1, 9, 8, dtype=torch.float64)
    torch.testing.assert_close(net(x.roll((2, 5), (2, 3))), net(x).roll((2, 5), (2, 3)), rtol=1e-11, atol=1e-11)


def test_a_torus_is_periodic_by_itself():
    rng = np.random.default_rng(0)
    fields = rng.standard_normal((12, 16))
    mu = {"a": np.roll(fields, 3, axis=1)}
    runs = Snapshots(Box({"a": (np.full(16, -9.0), np.full(16, 9.0))}), Torus((16,)), mu, fields)
    fitter = nw.operators.TFNO(modes=4, width=4, layers=1, rank=(2, 2), training=nw.operators.Training(epochs=1))
    surrogate = fitter.fit(runs, seed=0)
    assert surrogate.architecture.axes == (("periodic", "periodic", 0.0),)
    assert isinstance(surrogate.architecture, TensorArchitecture)


@pytest.mark.parametrize("factorization", ["tucker", "tt", "cp"])
@pytest.mark.parametrize("modes", [(24,), (16, 16), (5, 6, 4)])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02, 0.004])
def test_a_share_is_met_from_below(factorization, modes, share):
    width = 24
    dense = width**2 * int(np.prod([2 * m - 1 for m in modes]))
    try:
        ranks = ranks_for(factorization, (width, width), modes, share)
    except InputError:
        assert share * dense < 3 * width + sum(2 * m for m in modes) * 2
        return
    size = sum(p.numel() for p in weights_of(factorization, (width, width), modes, ranks).parameters())
    assert size <= share * dense
    if share >= 0.1 and (factorization != "tt" or len(modes) == 1):
        assert size >= 0.6 * share * dense


def test_networks_of_a_few_thousand_parameters():
    """What the page promises: layers that share one tensor, narrow perceptrons."""
    made = {
        "cp": TensorNetwork((1, 1), (24,), 16, 4, "cp", (24,), padded(1), joint=1, bypass="factors", hidden=8),
        "tucker": TensorNetwork((1, 1), (24,), 16, 4, "tucker", (6, 6, 12), padded(1), joint=2, hidden=8),
    }
    for net in made.values():
        parts = parameter_parts(net)
        assert sum(parts.values()) == sum(p.numel() for p in net.parameters()) < 4_000
        assert set(parts) == {"lift", "weights", "layers", "hidden", "project"}
        net(torch.randn(2, 1, 50)).square().sum().backward()
        assert all(p.grad is not None and bool((p.grad != 0).any()) for p in net.parameters())


def test_it_learns():
    """Smoothing of a field, learned in seconds."""
    runs = averaged_runs(12, 64)
    test = averaged_runs(12, 16, seed=1)
    training = nw.operators.Training(epochs=30, batch=8)
    fitter = nw.operators.TFNO(modes=5, width=10, layers=2, rank=0.15, training=training)
    surrogate = fitter.fit(runs, seed=0)
    error = surrogate.predict(test.mu).values - test.fields
    varying = test.fields - runs.fields.mean(axis=0)
    assert np.linalg.norm(error) < 0.25 * np.linalg.norm(varying)
    with_fewer = replace(fitter, rank=(2, 2, 3, 5)).fit(runs, seed=0)
    assert np.isfinite(with_fewer.predict(test.mu).values).all()


def test_bad_configurations_are_refused():
    for bad in (
        {"modes": 0},
        {"rank": 0.0},
        {"rank": 1.5},
        {"factorization": "svd"},
        {"joint": -1},
        {"bypass": "none"},
        {"hidden": 0},
        {"series": "sine"},
    ):
        with pytest.raises(InputError, match=next(iter(bad))):
            nw.operators.TFNO(**bad)
    runs = averaged_runs(12, 4)
    with pytest.raises(InputError, match="ranks"):
        nw.operators.TFNO(modes=4, width=4, rank=(2, 2, 2)).fit(runs)
    with pytest.raises(InputError, match="larger share"):
        nw.operators.TFNO(modes=4, width=4, rank=0.001).fit(runs)
