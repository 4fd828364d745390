"""Rows on spectral layers with low-rank weights: fewer parameters, and less time than the dense layer."""

from collections.abc import Callable, Sequence
from statistics import median
from time import process_time

import torch
from _harness import Row
from torch import Tensor

from nwidth.linmaps.spectral_ranks import ranks_for
from nwidth.linmaps.spectral_weights import SpectralWeights, TensorTrainWeights, TuckerWeights
from nwidth.linmaps.tensor_fourier import TensorFourier, convolve
from nwidth.linmaps.transform import Transform
from nwidth.surrogates.training.memory import kept_memory

_MODES, _WIDTH, _BATCH = (16, 16), 32, 16
#: A contestant's own best way to cut the batch counts.
_PIECES = (16, 8, 4, 2)
_TARGET = 1.5

#: `(*grid, B, C)` to `(*grid, B, C)`.
Layer = Callable[[Tensor], Tensor]


def rows(quick: bool, seed: int) -> list[Row]:
    """Tucker and tensor train at 10 % of the parameters against the dense layer, one thread, alternating.

    Freed memory is kept, as in training: else all contestants spend their time on fetching pages.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with kept_memory():
            return [row for n in ((32,) if quick else (64, 128)) for row in _on_grid(n, quick, seed)]
    finally:
        torch.set_num_threads(threads)


def _on_grid(n: int, quick: bool, seed: int) -> list[Row]:
    torch.manual_seed(seed)
    channels, out = (_WIDTH, _WIDTH), []
    tucker = ranks_for("tucker", channels, _MODES, 0.1)
    found: dict[str, SpectralWeights] = {
        "Tucker": TuckerWeights(channels, _MODES, (tucker[0], tucker[1])),
        "tensor train": TensorTrainWeights(channels, _MODES, ranks_for("tt", channels, _MODES, 0.1)),
    }
    for name, weights in found.items():
        out += _against_dense(name, TensorFourier(weights, (n, n)), quick, target=name == "Tucker" and not quick)
    return out


def _against_dense(name: str, low: TensorFourier, quick: bool, *, target: bool) -> list[Row]:
    grid, dense = low.grid, low.dense()
    prepared: Transform = low.transform(grid)
    layers: dict[str, Layer] = {
        "dense": lambda v: dense.convolve(v, prepared),
        name: lambda v: convolve(v, prepared, low.weights.factors()),
    }
    v = torch.randn(*grid, _BATCH, _WIDTH)
    with torch.no_grad():
        one, other = (layer(v) for layer in layers.values())
    apart = float((one - other).abs().max() / one.abs().max())
    share = sum(p.numel() for p in low.weights.parameters()) / low.weights.dense_size
    title = f"{name}, {100 * share:.1f} % of the parameters, {grid[0]}²"
    made = [Row(f"{title}: deviation from the dense weight", apart, "", 1e-5, "<=")]
    for what, backward in (("forward", False), ("forward + backward", True)):
        parameters = {"dense": list(dense.parameters()), name: list(low.weights.parameters())}
        times = _race(layers, parameters, v, backward=backward, rounds=3 if quick else 9)
        ratio = median(a / b for a, b in zip(times["dense"]["ms"], times[name]["ms"], strict=True))
        detail = {
            who: {"piece": t["piece"], "ms": median(t["ms"]), "fastest_ms": min(t["ms"])} for who, t in times.items()
        }
        made.append(Row(f"{title}: {what}, dense / {name}", ratio, "x", _TARGET if target else None, detail=detail))
    return made


def _race(
    layers: dict[str, Layer], parameters: dict[str, list[Tensor]], v: Tensor, *, backward: bool, rounds: int
) -> dict[str, dict]:
    """Processor time of a batch by contestant, in turn, each with its own best pieces."""
    best = {}
    for who, layer in layers.items():
        tried = {
            piece: min(_time(layer, parameters[who], v, piece, backward) for _ in range(3))
            for piece in _PIECES
            if piece <= v.shape[-2]
        }
        best[who] = min(tried, key=lambda piece, tried=tried: tried[piece])
    times: dict[str, dict] = {who: {"piece": best[who], "ms": []} for who in layers}
    for _ in range(rounds):
        for who, layer in layers.items():
            times[who]["ms"].append(1e3 * _time(layer, parameters[who], v, best[who], backward))
    return times


def _time(layer: Layer, parameters: Sequence[Tensor], v: Tensor, piece: int, backward: bool) -> float:
    """Seconds for the whole batch, cut into pieces that are contiguous as a network's are."""
    parts = [part.contiguous().requires_grad_(backward) for part in v.split(piece, dim=-2)]
    slopes = [torch.ones_like(part) for part in parts] if backward else []
    for parameter in parameters:
        parameter.grad = None
    begin = process_time()
    with torch.set_grad_enabled(backward):
        for number, part in enumerate(parts):
            y = layer(part)
            if backward:
                y.backward(slopes[number])
    return process_time() - begin
