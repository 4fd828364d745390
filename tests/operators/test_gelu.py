"""The fused activation against the error function in double precision, and against torch."""

import numpy as np
import pytest
import torch
from scipy.special import erf

from nwidth.operators.block_network import BlockNetwork
from nwidth.operators.gelu import gelu_and_slope


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 6e-7), (torch.float64, 1e-14)])
def test_value_and_slope(dtype, tolerance):
    x = torch.cat([torch.linspace(-14, 14, 40001, dtype=dtype), torch.tensor([0.0, -0.0, 1e-30, -1e-30, 60.0, -60.0])])
    x = x.to(dtype)
    value, slope = gelu_and_slope(x)
    a = x.double().numpy()
    phi, density = (1 + erf(a / np.sqrt(2))) / 2, np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(value.double(), a * phi, atol=tolerance, rtol=tolerance)
    np.testing.assert_allclose(slope.double(), phi + a * density, atol=tolerance, rtol=tolerance)


def test_what_is_not_a_number_stays_visible():
    value, slope = gelu_and_slope(torch.tensor([float("nan"), float("inf"), 1.0]))
    assert torch.isnan(value[0]) and torch.isnan(slope[0]) and torch.isinf(value[1])
    assert torch.isfinite(value[2])


def test_any_shape():
    value, slope = gelu_and_slope(torch.zeros(0, 3))
    assert value.shape == slope.shape == (0, 3)
    assert gelu_and_slope(torch.ones(2, 3, 4))[0].shape == (2, 3, 4)


def test_gradients_in_single_precision():
    torch.manual_seed(0)
    net = BlockNetwork((1, 1), (4, 4), 8, 3)
    x = torch.randn(2, 1, 16, 16)
    net(x).square().sum().backward()
    single = [p.grad.double() for p in net.parameters()]
    net.zero_grad()
    net.double()(x.double()).square().sum().backward()
    for found, parameter in zip(single, net.parameters(), strict=True):
        assert float((found - parameter.grad).norm() / parameter.grad.norm()) < 5e-6
