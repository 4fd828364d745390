"""A few trainings as a script: `trainings.py OUT OPTIONS [WORK]` writes their losses to OUT/rank.json."""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.operators import Training, wrap
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.grid import Grid
from nwidth.spaces.random_field import TwoValuedField
from nwidth.surrogates.base import Run


class Net(nn.Module):
    """A kernel, a matrix and a stack of matrices (a spectral layer along one axis)."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.project = (nn.Conv2d(a, b, 3, padding=1) for a, b in ((1, 6), (6, 1)))
        self.mix = nn.Linear(6, 6)
        self.spectral = nn.Parameter(torch.randn(9, 6, 6, generator=torch.Generator().manual_seed(0)) / 10)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, 1, 9, 9)` to the same shape."""
        v = self.lift(x)
        v = v + torch.einsum("bcxy,xcd->bdxy", v, self.spectral)
        return self.project(torch.tanh(self.mix(v.movedim(1, -1))).movedim(-1, 1))


def runs(count: int = 27) -> Snapshots:
    """Smoothed two-valued fields."""
    parameters, grid = TwoValuedField(resolution=8), Grid((8, 8))
    mu = parameters.sample(range(count), 0)
    x = np.linspace(0, 1, 9)
    weight = np.exp(-20 * (x[:, None] - x) ** 2) / 8
    bubble = x * (1 - x)
    smooth = np.einsum("ij,bjk,kl->bil", weight, mu["a"], weight)
    return Snapshots(parameters, grid, mu, smooth * np.outer(bubble, bubble))


def fit(options: dict, work: Path | None = None, seed: int = 0) -> dict:
    """Losses of one training, and a hash of what it ends with."""
    torch.manual_seed(0)
    fitted = wrap(Net(), Training(**options)).fit(runs(), seed=seed, run=Run(workdir=work, threads=1))
    data = b"".join(value.numpy().tobytes() for value in fitted.module.state_dict().values())
    history = fitted.history
    sha = hashlib.sha256(data).hexdigest()
    return {"train": list(history.train), "validation": list(history.validation), "sha": sha}


def fit_all(options: dict[str, dict], work: Path | None = None) -> dict[str, dict]:
    """One training after the other, each with a work directory of its own."""
    return {name: fit(each, None if work is None else work / name) for name, each in options.items()}


if __name__ == "__main__":
    results = fit_all(json.loads(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
    (Path(sys.argv[1]) / f"{os.environ.get('RANK', '0')}.json").write_text(json.dumps(results))
