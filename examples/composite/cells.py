"""The cells: how many, which of them train, calibrate and test, and how an answer is judged."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

import nwidth as nw
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.prediction import Prediction, uncertified
from nwidth.problems.composite import Composite
from nwidth.surrogates.around import Around


@dataclass(frozen=True)
class Scale:
    """Sizes of the study: cells to train, calibrate and test on, the networks, and how long they train."""

    problem: Composite
    train: int
    calibrate: int
    test: int
    modes: int
    width: int
    unet: tuple[int, int]  # width and levels: about as much time per sample as the FNO
    epochs: int
    trial_epochs: int
    trial_cells: int
    rates: tuple[float, ...]
    judged: int  # test cells on which cheaper full-order solvers are judged: one cell costs them up to half a second

    @property
    def cells(self) -> int:
        return self.train + self.calibrate + self.test


FULL = Scale(Composite(), 400, 100, 100, 24, 24, (16, 3), 12, 4, 120, (5e-3, 1e-2, 2e-2), 24)
QUICK = Scale(Composite(resolution=25, steps=1, tol=1e-4), 40, 20, 12, 8, 8, (8, 2), 4, 2, 20, (5e-3, 1e-2), 4)
SEED = 0


def generate(scale: Scale, folder: Path) -> tuple[nw.Snapshots, nw.Snapshots, nw.Snapshots]:
    """Cells to train on, to calibrate on, to test on; what a folder holds already is not solved again."""
    name = f"cells_{scale.problem.resolution}"
    every = nw.generate(scale.problem, scale.cells, SEED, path=folder / name, workers=1, progress=True)
    train, calibrate, test = every.split(scale.train, scale.calibrate, scale.test)
    return train.take(slice(None)), with_outputs(calibrate), with_outputs(test)


def with_outputs(cells: nw.Snapshots) -> nw.Snapshots:
    """With the two numbers that a designer asks for."""
    cells = cells.take(slice(None))
    return replace(cells, outputs=numbers(cells.fields))


def numbers(fields: Array) -> dict[str, Real]:
    """Largest and mean accumulated plastic strain."""
    return {"peak": fields.max(axis=(1, 2)), "mean": fields.mean(axis=(1, 2))}


def places(fields: Array) -> Array:
    """Pixel of the largest value, `(B, 2)`."""
    return np.stack(np.unravel_index(fields.reshape(len(fields), -1).argmax(axis=1), fields.shape[1:]), axis=1)


def judge(found: Array, truth: Array, reach: float = 2.0) -> dict[str, Real]:
    """Errors of every cell: of the field (relative, Euclidean), of peak and mean (relative); whether the peak is where
    it is said to be (within `reach` pixels), and how much of the true peak stands at the place that is named."""
    cells, n = np.arange(len(truth)), truth.shape[1]
    size = np.linalg.norm(truth.reshape(len(truth), -1), axis=1)
    here, there = places(found), places(truth)
    apart = np.abs((here - there + n // 2) % n - n // 2)
    ours, theirs = numbers(found), numbers(truth)
    return {
        "field": np.linalg.norm((found - truth).reshape(len(truth), -1), axis=1) / size,
        "peak": np.abs(ours["peak"] / theirs["peak"] - 1),
        "mean": np.abs(ours["mean"] / theirs["mean"] - 1),
        "place": (np.hypot(*apart.T) <= reach).astype(float),
        "there": truth[cells, here[:, 0], here[:, 1]] / theirs["peak"],
    }


@dataclass(frozen=True)
class Plausible(Around):
    """A surrogate's answer with what everybody knows beforehand: p is zero in the discs and nowhere negative.

    All contestants get it. Peak and mean are outputs, so that each can have a limit of its own.
    """

    kind: ClassVar[str] = "plausible-plastic-strain"

    def predict(self, mu: Mu | Array) -> Prediction:
        answer = self.surrogate.predict(mu)
        fields = np.maximum(answer.field, 0.0) * (1.0 - np.asarray(answer.mu["phase"]))
        unknown = np.full(len(fields), np.inf)
        outputs = {name: nw.Output(values, unknown) for name, values in numbers(fields).items()}
        return uncertified(answer.mu, fields, self.space, answer.inside, outputs)
