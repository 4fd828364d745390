"""The training loop: every epoch depends on (seed, epoch) and the state before it, so that it can be taken up again."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.errors import WorkError
from nwidth.core.seeding import generator
from nwidth.surrogates.base import Run
from nwidth.surrogates.training import checkpoint
from nwidth.surrogates.training.augment import random_turn
from nwidth.surrogates.training.checkpoint import Checkpoint
from nwidth.surrogates.training.config import Training
from nwidth.surrogates.training.history import History
from nwidth.surrogates.training.losses import Loss
from nwidth.surrogates.training.progress import Show, training_bar
from nwidth.surrogates.training.samples import Samples
from nwidth.surrogates.training.schedules import SCHEDULES


def train(
    module: nn.Module,
    samples: Samples,
    validation: Samples,
    loss: Loss,
    config: Training,
    *,
    seed: int = 0,
    run: Run = Run(),
    piece: int | None = None,
) -> History:
    """Train `module` in place; it ends in the state with the smallest validation loss.

    The samples of a batch go through the module in pieces of `piece` (so that a piece stays in cache; gradients add
    up to those of the batch). With `run.workdir` the state is written after every epoch, and a training that was
    killed continues from there with exactly the losses it would have had. With `run.budget` the learning rate follows
    the clock where that is ahead of the steps, so that the cycle is complete when the time is up.

    Raises WorkError for a loss that is not finite, naming epoch and step; InputError where the work directory holds
    the checkpoint of another training.
    """
    with _threads(run.threads), torch.random.fork_rng(devices=[]):
        return _Trainer(module, samples, validation, loss, config, seed, run, piece or config.batch).train()


@dataclass
class _Trainer:
    module: nn.Module
    samples: Samples
    validation: Samples
    loss: Loss
    config: Training
    seed: int
    run: Run
    piece: int

    def __post_init__(self) -> None:
        self.module.to(self.samples.device)
        self.optimiser = torch.optim.AdamW(
            self.module.parameters(), lr=self.config.rate, weight_decay=self.config.decay
        )
        self.history = History()
        self.best = self._state()
        self.steps = -(-len(self.samples) // self.config.batch)
        self.identity = self._identity() if self.run.workdir else ""
        self.started = time.perf_counter()

    def train(self) -> History:
        """Epoch after epoch, from the checkpoint if there is one."""
        self._take_up()
        with training_bar(self.run.progress, self._progress(0), self.config.epochs) as show:
            while not self.history.ended:
                self._epoch(show)
        self.module.load_state_dict(self.best)
        return self.history

    def _epoch(self, show: Show) -> None:
        epoch = len(self.history.train)
        if epoch >= self.config.epochs:
            self.history = replace(self.history, ended="epochs")
            return
        rng = generator(self.seed, epoch)
        torch.manual_seed(int(rng.integers(2**62)))  # dropout and its like
        self.module.train()
        order = rng.permutation(len(self.samples))
        losses = []
        for step in range(self.steps):
            progress = self._progress(step)
            rows = order[step * self.config.batch : (step + 1) * self.config.batch]
            losses.append(
                self._step(rows, rng, SCHEDULES[self.config.schedule](progress, self.config.rate), step) * len(rows)
            )
            show(progress, self.history)
            if progress >= 1:
                break
        seen = min(len(losses) * self.config.batch, len(self.samples))
        self._record(math.fsum(losses) / seen, self._validate())

    def _step(self, rows: np.ndarray, rng: np.random.Generator, rate: float, step: int) -> float:
        """One update; the mean loss of the batch before it."""
        x, y = self.samples.batch(rows)
        if self.config.augment == "square":
            x, y = random_turn(x, y, y.ndim - 2, rng)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for part_x, part_y in zip(x.split(self.piece), y.split(self.piece), strict=True):
            value = self.loss(self.module(part_x), part_y).sum() / len(rows)
            value.backward()
            total += float(value.detach())
        self._check_finite("training", total, f"step {step + 1} of {self.steps} (learning rate {rate:.2g})")
        self.optimiser.step()
        return total

    def _validate(self) -> float:
        self.module.eval()
        losses: list[Tensor] = []
        with torch.no_grad():
            for first in range(0, len(self.validation), self.piece):
                rows = np.arange(first, min(first + self.piece, len(self.validation)))
                x, y = self.validation.batch(rows)
                losses.append(self.loss(self.module(x), y))
        mean = float(torch.cat(losses).double().mean())
        self._check_finite("validation", mean, "its end")
        return mean

    def _check_finite(self, which: str, value: float, where: str) -> None:
        if not math.isfinite(value):
            raise WorkError(
                f"the {which} loss is {value} at epoch {len(self.history.train) + 1}, {where}; try a smaller "
                f"learning rate, e.g. training=Training(rate={self.config.rate / 4:.1g}), and look for extreme values "
                "in the data"
            )

    def _record(self, train: float, validation: float) -> None:
        """An epoch is over: history, best state, whether to go on, checkpoint."""
        epoch = len(self.history.train)
        better = validation < self.history.best
        if better:
            self.best = self._state()
        self.history = replace(
            self.history,
            train=(*self.history.train, train),
            validation=(*self.history.validation, validation),
            best_epoch=epoch if better else self.history.best_epoch,
            seconds=self._elapsed(),
        )
        if self.run.budget is not None and self._elapsed() >= self.run.budget:
            self.history = replace(self.history, ended="budget")
        elif self.config.patience is not None and epoch - self.history.best_epoch >= self.config.patience:
            self.history = replace(self.history, ended="patience")
        elif epoch + 1 == self.config.epochs:
            self.history = replace(self.history, ended="epochs")
        if self.run.workdir is not None:
            moments = checkpoint.moments_of(self.optimiser, self.module)
            state = Checkpoint(self.module.state_dict(), self.best, moments, self.history)
            checkpoint.write(self.run.workdir, state, self.identity)

    def _take_up(self) -> None:
        """Continue where an interrupted training was."""
        found = checkpoint.read(self.run.workdir, self.identity) if self.run.workdir else None
        if found is None:
            return
        self.module.load_state_dict(dict(found.module))
        checkpoint.restore_moments(self.optimiser, self.module, found.moments)
        self.best, self.history = dict(found.best), found.history
        self.started -= found.history.seconds

    def _progress(self, step: int) -> float:
        """Where in its cycle training is: by steps, or by the clock where that is further."""
        done = (len(self.history.train) * self.steps + step) / max(self.config.epochs * self.steps - 1, 1)
        return done if self.run.budget is None else max(done, self._elapsed() / self.run.budget)

    def _elapsed(self) -> float:
        return time.perf_counter() - self.started

    def _state(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def _identity(self) -> str:
        """What this training is: settings, seed, initial module, and data."""
        x, y = self.samples.batch(np.arange(min(len(self.samples), 64)))
        sizes = len(self.samples), len(self.validation)
        return checkpoint.digest(self.config, self.seed, sizes, self.piece, x, y, *self.module.state_dict().values())


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """`count` threads inside, as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
