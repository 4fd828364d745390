"""The training of `network`: the one module of the regressors that needs torch."""

import math

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array, Real
from nwidth.core.seeding import generator

_RATE, _DECAY = 1e-2, 1e-4
#: Steps between two looks at the rows that are left out.
_LOOK = 25


def train(X: Real, Y: Real, held: Array, *, width: int, steps: int, seed: int) -> dict[str, Real]:
    """Weights of all members, trained side by side on all rows but those `held (E, n)` out; AdamW, a cosine for the
    rate; of each member the state with the smallest error on its own rows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small products: threads only wait for each other, and change the last bits
    try:
        return _train(X, Y, held, width, steps, seed)
    finally:
        torch.set_num_threads(threads)


def _train(X: Real, Y: Real, held: Array, width: int, steps: int, seed: int) -> dict[str, Real]:
    x, y = torch.from_numpy(np.ascontiguousarray(X)), torch.from_numpy(np.ascontiguousarray(Y))
    out = torch.from_numpy(held)
    layers = _initial(len(held), X.shape[1], Y.shape[1], width, seed)
    optimiser = torch.optim.AdamW(layers.values(), lr=_RATE, weight_decay=_DECAY)
    best = {name: value.detach().clone() for name, value in layers.items()}
    smallest = torch.full((len(held),), torch.inf, dtype=torch.float64)
    for step in range(steps + 1):
        squares = ((_answers(layers, x) - y) ** 2).sum(dim=2)
        if step % _LOOK == 0:
            unseen = (squares.detach() * out).sum(dim=1)
            better = unseen < smallest
            smallest = torch.where(better, unseen, smallest)
            for name, value in layers.items():
                best[name][better] = value.detach()[better]
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (1 + math.cos(math.pi * step / steps)) / 2
        optimiser.zero_grad()
        ((squares * ~out).sum(dim=1) / (~out).sum(dim=1)).sum().backward()
        optimiser.step()
    return {name: value.numpy().copy() for name, value in best.items()}


def _initial(members: int, features: int, columns: int, width: int, seed: int) -> dict[str, Tensor]:
    rng = generator(seed, 2)

    def weights(*shape: int, scale: float) -> Tensor:
        return torch.from_numpy(scale * rng.standard_normal((members, *shape))).requires_grad_()

    return {
        "straight": weights(features, columns, scale=0.0),
        "w1": weights(features, width, scale=features**-0.5),
        "b1": weights(1, width, scale=0.5),
        "w2": weights(width, width, scale=width**-0.5),
        "b2": weights(1, width, scale=0.1),
        "w3": weights(width, columns, scale=0.3 * width**-0.5),
        "b3": weights(1, columns, scale=0.0),
    }


def _answers(layers: dict[str, Tensor], x: Tensor) -> Tensor:
    hidden = torch.tanh(x @ layers["w1"] + layers["b1"])
    hidden = torch.tanh(hidden @ layers["w2"] + layers["b2"])
    return x @ layers["straight"] + hidden @ layers["w3"] + layers["b3"]
