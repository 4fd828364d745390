"""One spectral layer with identity weights on finer and odd grids, and on a GPU: context."""

import statistics

import numpy as np
import torch
from _harness import Row
from torch import Tensor

from nwidth.core.kinds import available
from nwidth.linmaps import TruncatedFourier
from nwidth.study.measure import alternate

if available("neuralop"):
    from neuralop.layers.spectral_convolution import SpectralConv
    from neuralop.models import FNO

    from nwidth.operators.peer import from_neuraloperator

_MODES, _WIDTH = 16, 32


def rows(quick: bool, seed: int) -> list[Row]:
    """Errors of both layers where both should be exact; the time of one layer; the model on a GPU."""
    if not available("neuralop"):
        return []
    return [*_errors(seed), _layer_time(quick, seed), _gpu(quick, seed)]


def _errors(seed: int) -> list[Row]:
    """A band-limited field: every frequency is kept with weight one, so that nothing should change."""
    theirs = SpectralConv(1, 1, n_modes=(_MODES, _MODES), bias=False)
    ours = TruncatedFourier((1, 1), (_MODES // 2 + 1,) * 2, (64, 64))
    with torch.no_grad():
        theirs.weight.tensor.fill_(1.0)
        ours.real.fill_(1.0)
        ours.imag.fill_(0.0)
        found = []
        for name, grid in (("the same grid", 64), ("a doubled grid", 128), ("an odd grid", 63)):
            exact = _field(grid, seed)
            given = exact if grid == 63 else _field(64, seed)
            answers = {"its": theirs(given, output_shape=(grid, grid)), "ours": _resampled(ours, given, grid)}
            for who, answer in answers.items():
                error = float((answer - exact).norm() / exact.norm())
                found.append(Row(f"identity weights on {name}: error of {who} layer", error))
    return found


def _resampled(layer: TruncatedFourier, given: Tensor, grid: int) -> Tensor:
    """Analysed on the given grid, synthesised on the other."""
    first = given.movedim((0, 1), (-2, -1)).contiguous()
    c = layer.transform(tuple(given.shape[2:])).analyse(first)
    return layer.transform((grid, grid)).synthesise(c).movedim((-2, -1), (0, 1))


def _field(n: int, seed: int) -> Tensor:
    """A trigonometric polynomial with frequencies below 8, `(1, 1, n, n)`."""
    rng, x = np.random.default_rng(seed), 2 * np.pi * np.arange(n) / n
    total = np.zeros((n, n))
    for k in range(-7, 8):
        for m in range(8):
            a, b = rng.standard_normal(2)
            phase = k * x[:, None] + m * x
            total += a * np.cos(phase) + b * np.sin(phase)
    return torch.from_numpy(total).float()[None, None]


def _layer_time(quick: bool, seed: int) -> Row:
    torch.manual_seed(seed)
    theirs = SpectralConv(_WIDTH, _WIDTH, n_modes=(_MODES, _MODES), bias=False)
    ours = TruncatedFourier((_WIDTH, _WIDTH), (_MODES // 2 + 1,) * 2, (64, 64))
    x = torch.randn(4, _WIDTH, 64, 64)
    first = x.movedim((0, 1), (-2, -1)).contiguous()
    prepared = ours.transform((64, 64))
    with torch.no_grad():
        calls = {"theirs": lambda: theirs(x), "ours": lambda: ours.convolve(first, prepared)}
        seconds = {name: timing.median for name, timing in alternate(calls, 5 if quick else 30).items()}
    return Row("one layer, forward, 64 x 64, 4 samples: its / ours", seconds["theirs"] / seconds["ours"], "x")


def _gpu(quick: bool, seed: int) -> Row:
    """Forward and backward on a GPU, where one is at hand."""
    name = "forward and backward, 64 x 64, on a GPU: its / ours"
    if not torch.cuda.is_available():
        return Row(name, float("nan"), "x", detail={"reason": "no GPU at hand"})
    torch.manual_seed(seed)
    theirs = FNO(n_modes=(_MODES, _MODES), in_channels=1, out_channels=1, hidden_channels=_WIDTH).cuda()
    networks = {"theirs": theirs, "ours": from_neuraloperator(theirs)}
    x = torch.randn(16, 1, 64, 64, device="cuda")

    def step(network: torch.nn.Module) -> None:
        network.zero_grad(set_to_none=True)
        network(x).square().mean().backward()
        torch.cuda.synchronize()

    calls = {who: lambda network=network: step(network) for who, network in networks.items()}
    times = alternate(calls, 5 if quick else 30, warm_up=3)
    with torch.autocast("cuda", torch.bfloat16):
        halved = alternate({"ours": lambda: step(networks["ours"])}, 5 if quick else 30, warm_up=3)["ours"].median
    ratio = times["theirs"].median / times["ours"].median
    seconds = {who: statistics.median(timing.seconds) for who, timing in times.items()}
    return Row(name, ratio, "x", 1.5, detail={"seconds": seconds, "bfloat16": halved})
