"""Fused operations against ordinary ones: values, gradients, second derivatives, memory, export, autocast."""

import pytest
import torch
from torch import nn

from nwidth.operators import block, pointwise
from nwidth.operators.block import FourierBlock
from nwidth.operators.block_network import BlockNetwork
from nwidth.operators.network import FourierNetwork


def networks():
    torch.manual_seed(0)
    options = {"lifting": 5, "projection": 3, "hidden": 3}
    return {
        "linear and gate": BlockNetwork((1, 1), (3, 2), 4, 2, **options),
        "identity and linear": BlockNetwork((1, 1), (3, 2), 4, 2, skip="identity", gate="linear", **options),
        "none": BlockNetwork((1, 1), (3, 2), 4, 2, skip="none", gate="none", bias=False, coordinates=False, **options),
        "Fourier network": FourierNetwork((1, 1), (3, 2), 4, 2, 0.25),
    }


@pytest.fixture(params=networks())
def network(request):
    net = networks()[request.param].double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    return net


def as_function(net, x):
    names = [name for name, _ in net.named_parameters()]

    def call(x, *values):
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), (x,))

    return call, (x, *net.parameters())


def ordinary(monkeypatch):
    for module in (pointwise, block):
        monkeypatch.setattr(module, "fusible", lambda x: False)


def test_first_and_second_derivatives(network):
    x = torch.randn(2, 1, 6, 5, dtype=torch.float64, requires_grad=True)
    call, arguments = as_function(network, x)
    assert torch.autograd.gradcheck(call, arguments, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, arguments, fast_mode=True)


def test_the_same_as_ordinary_operations(network, monkeypatch):
    monkeypatch.setattr(pointwise, "_BLOCK", 64)  # several blocks of rows, the last one short
    x = torch.randn(3, 1, 7, 5, dtype=torch.float64, requires_grad=True)
    results = []
    for _ in range(2):
        y = network(x)
        slopes = torch.autograd.grad(y.square().sum(), (x, *network.parameters()))
        results.append((y.detach(), *slopes))
        ordinary(monkeypatch)
    for fused, plain in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-11, atol=1e-11)


def test_frozen_parts_get_no_gradient(network):
    parameters = list(network.parameters())
    for parameter in parameters[::2]:
        parameter.requires_grad_(False)
    network(torch.randn(2, 1, 6, 5, dtype=torch.float64)).sum().backward()
    assert all((p.grad is None) == (not p.requires_grad) for p in parameters)


def test_an_input_is_never_written_over(network):
    x = torch.randn(2, 1, 6, 5, dtype=torch.float64)
    before = x.clone()
    with torch.no_grad():
        network(x)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    v = torch.randn(6, 5, 2, 4, dtype=torch.float64)
    kept, layer = v.clone(), (network.blocks if isinstance(network, BlockNetwork) else network.layers)[1]
    layer(v, layer.spectral.transform((6, 5)), activated=True)
    torch.testing.assert_close(v, kept, rtol=0, atol=0)


def test_little_is_kept_for_the_backward_pass(monkeypatch):
    """Per layer the values before each of its two activations, 2 C numbers a node; ordinary operations keep 5.5 C."""
    net = BlockNetwork((1, 1), (5, 5), 32, 4)
    x = torch.randn(2, 1, 32, 32)
    nodes, kept = 2 * 32 * 32, []
    for _ in range(2):
        storages = {}

        def remember(t, storages=storages):
            storages[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        parameters = {p.untyped_storage().data_ptr() for p in net.parameters()}
        with torch.autograd.graph.saved_tensors_hooks(remember, lambda t: t):
            y = net(x)
        kept.append(sum(size for place, size in storages.items() if place not in parameters) / (4 * nodes * 32 * 4))
        del y
        ordinary(monkeypatch)
    assert kept[0] < 2.6
    assert kept[0] < 0.45 * kept[1]


def test_a_block_takes_any_spectral_map():
    class Twice(nn.Module):
        def convolve(self, v, prepared, *, onto=None):
            return 2 * v if onto is None else onto.add_(v, alpha=2)

    layer = FourierBlock(Twice(), 4, 3).double()
    v = torch.randn(5, 2, 4, dtype=torch.float64, requires_grad=True)
    a = v @ layer.skip.T + layer.bias + 2 * v
    expected = layer.perceptron(nn.functional.gelu(a)) + v * layer.gate
    torch.testing.assert_close(layer(v, None), expected)
    assert torch.autograd.gradcheck(lambda v: layer(v, None), (v,))


def test_autocast_runs_in_half_precision():
    net, x = BlockNetwork((1, 1), (3, 3), 8, 2), torch.randn(2, 1, 12, 12)
    exact = net(x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        y = net(x)
    assert y.dtype == torch.bfloat16
    assert float((y.detach() - exact).norm() / exact.norm()) < 0.05
    y.float().square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_it_is_exported():
    net, x = BlockNetwork((1, 1), (3, 3), 4, 2).eval(), torch.randn(2, 1, 9, 8)
    program = torch.export.export(net, (x,))
    torch.testing.assert_close(program.module()(x), net(x))
    assert not any("_Split" in str(node.target) for node in program.graph.nodes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["blocks", "Fourier network"])
def test_it_runs_in_onnxruntime(kind, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    net = BlockNetwork((1, 1), (3, 3), 4, 2) if kind == "blocks" else FourierNetwork((1, 1), (3, 3), 4, 2, 0.25)
    x, path = torch.randn(2, 1, 9, 8), str(tmp_path / "net.onnx")
    torch.onnx.export(net.eval(), (x,), path, dynamo=True)
    session = runtime.InferenceSession(path)
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), net(x).detach(), rtol=1e-5, atol=1e-5)


def test_empty_batches_pass():
    assert BlockNetwork((2, 1), (3, 3), 4, 2)(torch.randn(0, 1, 8, 8)).shape == (0, 2, 8, 8)
