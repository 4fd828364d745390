"""Accuracy in one protocol: nwidth's best operator and neuraloperator's FNO by its public recipe.

Both learn from the same samples with three seeds, at equal epochs and at equal time, each with a learning rate chosen
among three, the public 5e-3 among them, by short trainings on a part of the training samples (never on the test
samples). Time is CPU time of one thread: the seconds of an epoch of both are measured side by side, and the public
recipe, whose schedule counts epochs, is given as many as fit. POD with kernel regression takes part in every table.
Where our recipe asks for an input that the public one lacks (a forcing), a row beside gives it to both.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import process_time
from typing import Any

import numpy as np
import torch
from _harness import Row, absent
from _learning_data import PROBLEMS
from _neuraloperator import PublicFNO, PublicRecipe, best_split

from nwidth.core.arrays import Array
from nwidth.core.kinds import available
from nwidth.operators import FNO, OperatorFitter
from nwidth.problems.base import Problem
from nwidth.problems.darcy import Darcy
from nwidth.rb.pod_regression import PODRegression
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Fitter, Run
from nwidth.surrogates.training import Encoding, Training

#: Error of nwidth over error of neuraloperator: 40 % less.
TARGET = 0.6
RUN = Run(threads=1)


@dataclass(frozen=True)
class Task:
    """A learning problem with both contestants; `epochs` are those of nwidth, `trial` those of a tuning run."""

    name: str
    data: str
    resolution: int
    train: int
    test: int
    epochs: int
    trial: int
    ours: Callable[[float, int], OperatorFitter]
    rates: tuple[float, ...]
    public: PublicRecipe
    public_rates: tuple[float, ...]
    #: Samples with the input that the public recipe has, where nwidth's recipe asks for more.
    public_data: str | None = None
    seeds: int = 3
    pod: PODRegression = field(default_factory=lambda: PODRegression(modes=150))
    problem: Problem | None = None
    target: float | None = TARGET


@dataclass(frozen=True)
class Trained:
    """Mean relative L² error over the test samples, CPU seconds of training, real parameters, epochs."""

    error: float
    seconds: float
    parameters: int
    epochs: int


def rows(quick: bool, seed: int) -> list[Row]:
    """All tasks; the samples are kept in the folder NWIDTH_RUNS names, if it does."""
    folder = os.environ.get("NWIDTH_RUNS")
    return [row for task in (QUICK if quick else TASKS) for row in compare(task, seed, folder)]


def compare(task: Task, seed: int, folder: str | None = None) -> list[Row]:
    """All rows of a task."""
    title = f"{task.name}: error, nwidth / neuraloperator"
    if not available("neuralop"):
        return [absent(f"{title}, equal {what}", "neuraloperator", task.target, "<=") for what in ("time", "epochs")]
    torch.set_num_threads(1)
    arena = Arena(task, *_samples(task, task.data, seed, folder))
    public_arena = Arena(task, *_samples(task, task.public_data, seed, folder)) if task.public_data else arena
    rate, public = arena.rate(seed), public_arena.public(seed)
    seeds = range(seed, seed + task.seeds)
    # an epoch of theirs is timed between our trainings, so that both meet the same machine
    timed = [(arena.ours(task.ours(rate, task.epochs), s), public_arena.epoch_of(public)) for s in seeds]
    ours, fitting = [t for t, _ in timed], _fitting_epochs(timed)
    theirs = {
        "equal time": [public_arena.theirs(public, fitting, s) for s in seeds],
        "equal epochs": [public_arena.theirs(public, task.epochs, s) for s in seeds],
    }
    if task.public_data:
        same = arena.public(seed)
        theirs["equal epochs and inputs"] = [arena.theirs(same, task.epochs, s) for s in seeds]
    pod = arena.ours(task.pod, seed)
    return [
        *(_ratio(f"{title}, {what}", ours, theirs[what], task.target, rate) for what in ("equal time", "equal epochs")),
        *(_ratio(f"{title}, {what}", ours, theirs[what], None, rate) for what in list(theirs)[2:]),
        Row(f"{task.name}: error of nwidth's operator", 100 * mean(ours), "%", detail=summary(ours)),
        Row(f"{task.name}: error of POD + kernel regression", 100 * pod.error, "%", detail=pod.__dict__),
    ]


def _samples(task: Task, data: str, seed: int, folder: str | None) -> tuple[Snapshots, Snapshots]:
    """To learn from, and to test."""
    train, test = (
        PROBLEMS[data](n, task.resolution, s, folder=folder) for n, s in ((task.train, seed + 1), (task.test, seed + 2))
    )
    return train, test


def _fitting_epochs(timed: Sequence[tuple["Trained", float]]) -> int:
    """Epochs of the public recipe in the time of one of our trainings, at least one."""
    return max(1, round(np.median([t.seconds for t, _ in timed]) / np.median([epoch for _, epoch in timed])))


def _ratio(
    title: str, ours: Sequence["Trained"], theirs: Sequence["Trained"], target: float | None, rate: float
) -> Row:
    detail = {"nwidth": {**summary(ours), "rate": rate}, "neuraloperator": summary(theirs)}
    return Row(title, mean(ours) / mean(theirs), "x", target, "<=", detail)


class Arena:
    """The samples, and how a contestant is trained and judged on them."""

    def __init__(self, task: Task, train: Snapshots, test: Snapshots):
        self.task, self.train, self.test = task, train, test
        self.encoding = Encoding.of(train, layout="channels")
        self.tensors = {name: self.encoding.samples(part) for name, part in (("train", train), ("test", test))}

    def rate(self, seed: int) -> float:
        """Our learning rate with the least error on held-out training samples after a short training."""
        arena, task = self._held_out(), self.task
        tried = {rate: arena.ours(task.ours(rate, task.trial), seed).error for rate in task.rates}
        return min(tried, key=tried.__getitem__)

    def public(self, seed: int) -> PublicRecipe:
        """The public recipe at its best batch split, its learning rate chosen in the same way."""
        arena, task = self._held_out(), self.task
        recipe = replace(task.public, split=best_split(task.public, *self.tensors["train"]))
        tried = {rate: arena.theirs(replace(recipe, rate=rate), task.trial, seed).error for rate in task.public_rates}
        return replace(recipe, rate=min(tried, key=tried.__getitem__))

    def _held_out(self) -> "Arena":
        """A fifth of the training samples as test samples."""
        held, rows = max(2, len(self.train) // 5), np.arange(len(self.train))
        return Arena(self.task, self.train.take(rows[held:]), self.train.take(rows[:held]))

    def ours(self, fitter: Fitter, seed: int) -> Trained:
        """Train and test a fitter of nwidth."""
        begin = process_time()
        surrogate = fitter.fit(self.train, self.task.problem, seed=seed, run=RUN)
        seconds = process_time() - begin
        error = self.error(self.encoding.fields(np.asarray(surrogate.predict(self.test.mu).field)))
        if not isinstance(fitter, OperatorFitter):
            return Trained(error, seconds, 0, 0)
        count = sum(p.numel() for p in surrogate.module.parameters())  # type: ignore[attr-defined]
        return Trained(error, seconds, count, len(surrogate.history.train))  # type: ignore[attr-defined]

    def theirs(self, recipe: PublicRecipe, epochs: int, seed: int) -> Trained:
        """Train and test neuraloperator's FNO."""
        model = PublicFNO(recipe, *self.tensors["train"], seed)
        model.train(epochs)
        return Trained(self.error(model.predict(self.tensors["test"][0])), model.seconds, model.parameters, epochs)

    def epoch_of(self, recipe: PublicRecipe) -> float:
        """Seconds of an epoch of the public recipe."""
        return PublicFNO(recipe, *self.tensors["train"], 0).seconds_per_epoch(batches=12)

    def error(self, found: Array) -> float:
        """Mean over the test samples of `‖v - u‖ / ‖u‖`."""
        exact = self.tensors["test"][1]
        apart, size = ((f.reshape(len(f), -1) ** 2).sum(axis=1) for f in (found - exact, exact))
        return float(np.sqrt(apart / size).mean())


def mean(results: Sequence[Trained]) -> float:
    """Mean error over the seeds."""
    return float(np.mean([r.error for r in results]))


def summary(results: Sequence[Trained]) -> dict[str, Any]:
    """Errors with their spread, seconds, epochs, parameters."""
    errors = [r.error for r in results]
    return {
        "errors": errors,
        "mean": float(np.mean(errors)),
        "deviation": float(np.std(errors)),
        "seconds": float(np.median([r.seconds for r in results])),
        "epochs": results[0].epochs,
        "parameters": results[0].parameters,
    }


def _darcy(rate: float, epochs: int) -> FNO:
    """Many modes in a narrow network for coefficients that jump; the equation has the symmetries of the square."""
    return FNO(modes=24, width=16, training=Training(epochs=epochs, rate=rate, augment="square"))


def _burgers(rate: float, epochs: int) -> FNO:
    """The equation commutes with translations, and so does a network that does not see the place."""
    training = Training(epochs=epochs, rate=rate, loss="l2", optimiser="muon")
    return FNO(modes=24, width=32, coordinates=False, training=training)


def _navier_stokes(rate: float, epochs: int) -> FNO:
    """The forcing, which depends on the place, is an input: no coordinates."""
    training = Training(epochs=epochs, rate=rate, loss="l2", optimiser="muon")
    return FNO(modes=10, width=40, coordinates=False, training=training)


_RATES, _PUBLIC_RATES = (5e-3, 1e-2, 2e-2), (5e-3, 1e-2, 2e-2)
TASKS = (
    Task("Darcy 64²", "darcy", 64, 1000, 200, 8, 3, _darcy, _RATES, PublicRecipe(), _PUBLIC_RATES, problem=Darcy(64)),
    Task(
        "Burgers ν = 0.01", "burgers", 1024, 1000, 200, 10, 3, _burgers, _RATES, PublicRecipe(periodic=True),
        _PUBLIC_RATES,
    ),
    Task(
        "Navier-Stokes ν = 1e-3", "navier_stokes_forced", 64, 500, 100, 10, 3, _navier_stokes, _RATES,
        PublicRecipe(periodic=True), _PUBLIC_RATES, public_data="navier_stokes",
    ),
)  # fmt: skip
QUICK = (
    Task(
        "Burgers ν = 0.01", "burgers", 128, 60, 20, 2, 1, _burgers, (1e-2,), PublicRecipe(periodic=True), (5e-3,),
        seeds=1, pod=PODRegression(modes=20), target=None,
    ),
)  # fmt: skip
