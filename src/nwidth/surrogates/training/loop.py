"""The training loop: every epoch depends on (seed, epoch) and the state before it, so that it can be taken up again."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.errors import WorkError
from nwidth.core.seeding import generator
from nwidth.surrogates.base import Run
from nwidth.surrogates.training import checkpoint
from nwidth.surrogates.training.average import Average
from nwidth.surrogates.training.checkpoint import Checkpoint
from nwidth.surrogates.training.config import Training
from nwidth.surrogates.training.history import History
from nwidth.surrogates.training.losses import Loss
from nwidth.surrogates.training.memory import kept_memory
from nwidth.surrogates.training.optimisers import optimisers_for
from nwidth.surrogates.training.processes import Processes
from nwidth.surrogates.training.progress import Show, training_bar
from nwidth.surrogates.training.samples import Samples
from nwidth.surrogates.training.schedules import SCHEDULES
from nwidth.surrogates.training.translate import augmented


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

    Under torchrun every process calls this with the same arguments and works on its share of each batch: the losses
    are those of one process up to round-off, every process ends with the same parameters, and only the first writes.
    (Layers that draw random numbers or look at a whole batch see their share of it.)

    Raises WorkError for a loss that is not finite, naming epoch and step; InputError where the work directory holds
    the checkpoint of another training.
    """
    gpus = [samples.device] if samples.device.type == "cuda" else []
    with (
        kept_memory(),
        _threads(run.threads),
        torch.random.fork_rng(devices=gpus),
        Processes.joined(samples.device) as processes,
    ):
        return _Trainer(module, samples, validation, loss, config, seed, run, piece or config.batch, processes).train()


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
    processes: Processes

    def __post_init__(self) -> None:
        self.device = self.samples.device
        self.module.to(self.device)
        self.processes.level(self.module)
        self.optimisers = optimisers_for(self.config, self.module)
        self.average = None if self.config.ema is None else Average(self.module, self.config.ema)
        self.history = History()
        self.best = self._state()
        self.steps = -(-len(self.samples) // self.config.batch)
        self.done = 0
        self.identity = self._identity() if self.run.workdir else ""
        self.started = time.perf_counter()

    def train(self) -> History:
        """Epoch after epoch, from the checkpoint if there is one."""
        self._take_up()
        shown = self.run.progress and self.processes.leads
        with training_bar(shown, self._progress(0), self.config.epochs) as show:
            while not self.history.ended:
                self._epoch(show)
        self.module.load_state_dict(self.best)
        self.processes.level(self.module)
        return self.history

    def _epoch(self, show: Show) -> None:
        epoch = len(self.history.train)
        if epoch >= self.config.epochs:
            self.history = replace(self.history, ended="epochs")
            return
        rng = generator(self.seed, epoch)
        torch.manual_seed(int(rng.integers(2**62)) + self.processes.rank)  # dropout and its like
        self.module.train()
        order = rng.permutation(len(self.samples))
        losses = []
        for step in range(self.steps):
            progress = self._progress(step)
            rows = order[step * self.config.batch : (step + 1) * self.config.batch]
            rate = SCHEDULES[self.config.schedule](progress, self.config.rate)
            losses.append(self._step(rows, rng, rate, step) * len(rows))
            show(progress, self.history)
            if progress >= 1:
                break
        self.processes.level(self.module)
        seen = min(len(losses) * self.config.batch, len(self.samples))
        with self._averaged():
            validation = self._validate()
            better = validation < self.history.best
            if better:
                self.best = self._state()
        self._record(math.fsum(losses) / seen, validation, better)

    def _step(self, rows: np.ndarray, rng: np.random.Generator, rate: float, step: int) -> float:
        """One update; the mean loss of the batch before it."""
        mine = self.processes.share(rows)
        weight = 1.0 if len(mine) else 0.0  # without a share: the gradients of a sample that counts nothing
        x, y = self.samples.batch(mine if len(mine) else rows[:1])
        x, y = augmented(self.config.augment, x, y, rng)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = rate
        total = 0.0
        for part_x, part_y in zip(x.split(self.piece), y.split(self.piece), strict=True):
            value = weight * self._errors(part_x, part_y).sum() / len(rows)
            value.backward()
            total += float(value.detach())
        return self._update(total, f"step {step + 1} of {self.steps} (learning rate {rate:.2g})")

    def _update(self, loss: float, where: str) -> float:
        """The gradients and losses of all processes together, then the step."""
        (total,) = self.processes.total([loss], self.device)
        self._check_finite("training", total, where)
        self.processes.add_up(p.grad for p in self.module.parameters() if p.grad is not None)
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.config.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        if self.average is not None:
            self.average.update(self.module, self.done)
        self.done += 1
        return total

    def _errors(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of every sample, `(B,)`; the network alone runs in half precision."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            prediction = self.module(x)
        return self.loss(prediction.to(y.dtype), y)

    def _validate(self) -> float:
        self.module.eval()
        total = 0.0
        mine = self.processes.share(np.arange(len(self.validation)))
        with torch.no_grad():
            for first in range(0, len(mine), self.piece):
                x, y = self.validation.batch(mine[first : first + self.piece])
                total += float(self._errors(x, y).double().sum())
        (total,) = self.processes.total([total], self.device)
        mean = total / len(self.validation)
        self._check_finite("validation", mean, "its end")
        return mean

    def _check_finite(self, which: str, value: float, where: str) -> None:
        if not math.isfinite(value):
            raise WorkError(
                f"the {which} loss is {value} at epoch {len(self.history.train) + 1}, {where}; try a smaller "
                f"learning rate, e.g. training=Training(rate={self.config.rate / 4:.1g}), and look for extreme values "
                "in the data"
            )

    def _record(self, train: float, validation: float, better: bool) -> None:
        """An epoch is over: history, whether to go on, checkpoint."""
        epoch, elapsed = len(self.history.train), self._elapsed()
        self.history = replace(
            self.history,
            train=(*self.history.train, train),
            validation=(*self.history.validation, validation),
            best_epoch=epoch if better else self.history.best_epoch,
            seconds=elapsed,
        )
        if self.run.budget is not None and elapsed >= self.run.budget:
            self.history = replace(self.history, ended="budget")
        elif self.config.patience is not None and epoch - self.history.best_epoch >= self.config.patience:
            self.history = replace(self.history, ended="patience")
        elif epoch + 1 == self.config.epochs:
            self.history = replace(self.history, ended="epochs")
        if self.run.workdir is not None and self.processes.leads:
            checkpoint.write(self.run.workdir, self._checkpoint(), self.identity)

    def _checkpoint(self) -> Checkpoint:
        average = {} if self.average is None else self.average.values
        states = [optimiser.state_dict() for optimiser in self.optimisers]
        return Checkpoint(self.module.state_dict(), self.best, average, states, self.done, self.history)

    def _take_up(self) -> None:
        """Continue where an interrupted training was."""
        found = checkpoint.read(self.run.workdir, self.identity) if self.run.workdir else None
        epochs = len(found.history.train) if found else 0
        if self.processes.agreed(epochs, self.device) != epochs:
            raise WorkError(
                f"process {self.processes.rank} finds {epochs} epochs in {self.run.workdir}, the first process another "
                "number; give a work directory that all processes see"
            )
        if found is None:
            return
        self.module.load_state_dict(dict(found.module))
        for optimiser, state in zip(self.optimisers, found.optimisers, strict=True):
            optimiser.load_state_dict(state)
        if self.average is not None:
            self.average.load(found.average)
        self.best, self.history, self.done = dict(found.best), found.history, found.steps
        self.started -= found.history.seconds

    def _averaged(self) -> AbstractContextManager[None]:
        """The module with the running mean of its parameters, where one is kept."""
        return nullcontext() if self.average is None else self.average.inside(self.module)

    def _progress(self, step: int) -> float:
        """Where in its cycle training is: by steps, or by the clock where that is further."""
        done = (len(self.history.train) * self.steps + step) / max(self.config.epochs * self.steps - 1, 1)
        return done if self.run.budget is None else max(done, self._elapsed() / self.run.budget)

    def _elapsed(self) -> float:
        """Seconds so far; where they decide something, those of the leading process."""
        seconds = time.perf_counter() - self.started
        return seconds if self.run.budget is None else self.processes.agreed(seconds, self.device)

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
