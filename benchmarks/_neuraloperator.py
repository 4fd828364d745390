"""neuraloperator's FNO by its public recipe: the contestant of the accuracy rows.

Architecture and training as `config/darcy_config.py` and `scripts/train_darcy.py` of neuraloperator have them: its
small FNO (16 modes per axis, 24 channels, 4 layers, channel perceptrons), AdamW with weight decay 1e-4, batches of 8,
a learning rate of 5e-3 that is halved after each fifth of the epochs, its own H1 loss for functions of two variables
and its own L2 loss for one. Input and output are standardised by channel, as its data processor does. A batch goes
through in pieces where that is faster (measured, as `split`), which changes nothing but the time.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array
from nwidth.core.kinds import available

if available("neuralop"):
    from neuralop.losses import H1Loss, LpLoss
    from neuralop.models import FNO


@dataclass(frozen=True)
class PublicRecipe:
    """Sizes and settings of the public recipe; `periodic` says how its H1 loss takes differences at the ends.

    `sobolev`: the H1 loss for functions of two variables; `perceptrons`: those after its Fourier layers.
    """

    modes: int = 16
    width: int = 24
    layers: int = 4
    rate: float = 5e-3
    batch: int = 8
    decay: float = 1e-4
    periodic: bool = False
    split: int = 1
    sobolev: bool = True
    perceptrons: bool = True

    def build(self, channels: tuple[int, int], dim: int) -> Any:
        """The untrained network for channels (out, in)."""
        out, inp = channels
        return FNO(
            n_modes=(self.modes,) * dim,
            in_channels=inp,
            out_channels=out,
            hidden_channels=self.width,
            n_layers=self.layers,
            use_channel_mlp=self.perceptrons,
        )

    def loss(self, dim: int) -> Any:
        """The recipe's training loss, summed over a batch."""
        if dim == 1 or not self.sobolev:
            return LpLoss(d=dim, p=2)
        return H1Loss(d=dim, periodic_in_x=self.periodic, periodic_in_y=self.periodic, periodic_in_z=self.periodic)


class PublicFNO:
    """A network in training, and then in use."""

    def __init__(self, recipe: PublicRecipe, x: Array, y: Array, seed: int):
        torch.manual_seed(seed)
        self.recipe, self.dim = recipe, x.ndim - 2
        self.shift, self.scale = zip(*(_moments(part) for part in (x, y)), strict=True)
        self.network = recipe.build((y.shape[1], x.shape[1]), self.dim)
        self.x, self.y = (torch.from_numpy(part).float() for part in (x, y))
        self.loss, self.generator = recipe.loss(self.dim), torch.Generator().manual_seed(seed)
        self.seconds = 0.0

    @property
    def parameters(self) -> int:
        """Real numbers: a complex one counts two."""
        return sum(p.numel() * (2 if p.is_complex() else 1) for p in self.network.parameters())

    def train(self, epochs: int) -> None:
        """The whole training; `seconds` is its CPU time."""
        begin = process_time()
        optimiser = torch.optim.AdamW(self.network.parameters(), lr=self.recipe.rate, weight_decay=self.recipe.decay)
        # StepLR with a fifth of the epochs, which need not be a whole number here
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda epoch: 0.5 ** (5 * epoch // epochs))
        self.network.train()
        for _ in range(epochs):
            order = torch.randperm(len(self.x), generator=self.generator)
            for rows in order.split(self.recipe.batch):
                self._step(optimiser, rows)
            schedule.step()
        self.network.eval()
        self.seconds += process_time() - begin

    def seconds_per_epoch(self, batches: int = 6) -> float:
        """CPU seconds of an epoch, from a few batches; the network is left as it was."""
        before = deepcopy(self.network.state_dict())
        optimiser = torch.optim.AdamW(self.network.parameters(), lr=0.0, weight_decay=0.0)
        times = []
        for rows in torch.arange(batches * self.recipe.batch).remainder(len(self.x)).split(self.recipe.batch):
            begin = process_time()
            self._step(optimiser, rows)
            times.append(process_time() - begin)
        self.network.load_state_dict(before)
        return float(np.median(times[1:])) * -(-len(self.x) // self.recipe.batch)

    def predict(self, x: Array, piece: int = 8) -> Array:
        """Fields `(B, C_out, *grid)`."""
        with torch.inference_mode():
            parts = torch.from_numpy(x).float().split(piece)
            return torch.cat([self._decoded(self.network(self._encoded(part))) for part in parts]).double().numpy()

    def _step(self, optimiser: torch.optim.Optimizer, rows: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        for part in rows.chunk(self.recipe.split):
            found = self._decoded(self.network(self._encoded(self.x[part])))
            self.loss(found, self.y[part]).backward()
        optimiser.step()

    def _encoded(self, x: Tensor) -> Tensor:
        return (x - self.shift[0]) / self.scale[0]

    def _decoded(self, y: Tensor) -> Tensor:
        return y * self.scale[1] + self.shift[1]


def best_split(recipe: PublicRecipe, x: Array, y: Array, splits: Sequence[int] = (1, 2, 4, 8)) -> int:
    """Into how many pieces its batches go fastest."""
    times = {n: PublicFNO(_with_split(recipe, n), x, y, 0).seconds_per_epoch() for n in splits}
    return min(times, key=times.__getitem__)


def _with_split(recipe: PublicRecipe, split: int) -> PublicRecipe:
    return PublicRecipe(**{**recipe.__dict__, "split": split})


def _moments(values: Array) -> tuple[Tensor, Tensor]:
    axes = (0, *range(2, values.ndim))
    mean, deviation = values.mean(axis=axes, keepdims=True), values.std(axis=axes, keepdims=True)
    return torch.from_numpy(mean).float(), torch.from_numpy(np.where(deviation > 0, deviation, 1.0)).float()
