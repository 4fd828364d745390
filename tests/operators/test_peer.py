"""neuraloperator's FNO and the network made from it: one function."""

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError
from nwidth.operators.peer import effective_weights, from_neuraloperator

neuralop = pytest.importorskip("neuralop")
pytestmark = pytest.mark.filterwarnings("ignore")


def theirs(modes, layers=2, width=6, **options):
    """An FNO with weights in which every part matters."""
    torch.manual_seed(0)
    fno = neuralop.models.FNO(
        n_modes=modes, in_channels=2, out_channels=3, hidden_channels=width, n_layers=layers, **options
    )
    with torch.no_grad():
        for parameter in fno.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return fno


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


CASES = [((16,), (64,)), ((16, 16), (32, 40)), ((7, 5), (18, 20)), ((6, 4, 6), (10, 12, 14)), ((8, 8), (64, 64))]


@pytest.mark.parametrize(("modes", "grid"), CASES)
def test_the_same_function(modes, grid):
    fno = theirs(modes)
    x = torch.randn(3, 2, *grid)
    with torch.no_grad():
        assert relative(from_neuraloperator(fno)(x), fno(x)) < 1e-6


SKIPS = [
    {"fno_skip": "soft-gating", "channel_mlp_skip": "linear"},
    {"fno_skip": "identity", "channel_mlp_skip": "identity"},
    {"fno_skip": None, "channel_mlp_skip": None},
    {"positional_embedding": None, "lifting_channel_ratio": 3, "channel_mlp_expansion": 1.5},
]


@pytest.mark.parametrize("options", SKIPS, ids=range(len(SKIPS)))
def test_every_structure(options):
    fno = theirs((6, 6), **options)
    x = torch.randn(2, 2, 16, 18)
    with torch.no_grad():
        assert relative(from_neuraloperator(fno)(x), fno(x)) < 1e-6


def test_in_double_precision_to_round_off(monkeypatch):
    monkeypatch.setattr(torch, "cfloat", torch.cdouble)  # neuraloperator computes spectra in single precision always
    fno = theirs((8, 6)).double()
    for convolution in fno.fno_blocks.convs:
        convolution.weight.tensor = torch.nn.Parameter(convolution.weight.tensor.to(torch.cdouble))
    x = torch.randn(2, 2, 32, 16, dtype=torch.float64)  # coordinates that single precision holds exactly
    with torch.no_grad():
        assert relative(from_neuraloperator(fno)(x), fno(x)) < 1e-13


def test_gradients_agree():
    fno = theirs((6, 6))
    slopes = []
    for network in (fno, from_neuraloperator(fno)):
        x = torch.linspace(-1, 1, 2 * 2 * 16 * 16).sin().reshape(2, 2, 16, 16).requires_grad_()
        network(x).square().sum().backward()
        slopes.append(x.grad)
    assert relative(slopes[1], slopes[0]) < 1e-5


def test_the_mirrored_half_counts_as_its_hermitian_part():
    """By the transform that neuraloperator takes: complex along the first axis, real along the second."""
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.standard_normal((1, 1, 4, 3)) + 1j * rng.standard_normal((1, 1, 4, 3)))
    real, imag = effective_weights(weight, (3, 3))
    v = rng.standard_normal((12, 10))
    full = np.fft.rfft2(v)
    kept = np.zeros_like(full)
    kept[[-2, -1, 0, 1], :3] = full[[-2, -1, 0, 1], :3] * weight[0, 0].numpy()
    expected = np.fft.irfft2(kept, s=v.shape)

    from nwidth.linmaps import TruncatedFourier

    linear_map = TruncatedFourier((1, 1), (3, 3), (12, 10), dtype=torch.float64)
    with torch.no_grad():
        linear_map.real.copy_(real)
        linear_map.imag.copy_(imag)
        found = linear_map(torch.from_numpy(v)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"norm": "group_norm"}, "norm"),
        ({"domain_padding": 0.1}, "domain_padding"),
        ({"factorization": "tucker", "rank": 0.5}, "factorization"),
        ({"stabilizer": "tanh"}, "stabilizer"),
        ({"use_channel_mlp": False}, "use_channel_mlp"),
        ({"non_linearity": torch.nn.functional.relu}, "non_linearity"),
        ({"preactivation": True}, "preactivation"),
    ],
)
def test_what_has_no_counterpart_is_named(options, named):
    with pytest.raises(InputError, match=named):
        from_neuraloperator(theirs((4, 4), **options))


def test_other_modules_are_refused():
    with pytest.raises(InputError, match="expected an FNO of neuraloperator"):
        from_neuraloperator(torch.nn.Linear(2, 2))
