"""Real parameters at equal error: nwidth's small operators against the smallest plain FNO of a sweep.

All learn from the same samples for the same epochs with the same loss. A small operator is compared with the smallest
plain FNO whose mean error over the seeds is not larger; the best ratio counts. The plain FNO is that of neuraloperator
without its perceptrons (complex numbers count two) with its AdamW and schedule, swept over modes and width. Two rows
stand beside it for context: nwidth's own plain FNO, which holds no redundant number and is trained like the small
operators, and the published size, which says little: those networks are far larger than the problem asks for.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from _harness import Row, absent
from _learning_data import PROBLEMS
from _neuraloperator import PublicFNO, PublicRecipe, best_split

from nwidth.core.arrays import Array
from nwidth.core.kinds import available
from nwidth.operators import FFNO, FNO, IFNO, OperatorFitter
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Run
from nwidth.surrogates.training import Encoding, Training

#: One layer for all steps; maps along the axes, shared by all layers.
KINDS: Mapping[str, Callable[[int, int, int, Any], OperatorFitter]] = {
    "IFNO": lambda m, w, depth, common: IFNO(modes=m, width=w, steps=depth, **common),
    "FFNO": lambda m, w, depth, common: FFNO(modes=m, width=w, layers=depth, shared=True, **common),
}


@dataclass(frozen=True)
class Sweep:
    """A problem and its networks.

    `theirs`: plain FNOs of neuraloperator (frequencies per axis in its count, width), `their_rate` their learning rate;
    `plain`: those of nwidth (modes, width); `small`: (kind, modes, width, depth); `published`: the parameters of the
    published FNO for this problem (Li et al. 2021: their program and table 1).
    """

    name: str
    data: str
    resolution: int
    train: int
    test: int
    theirs: tuple[tuple[int, int], ...]
    plain: tuple[tuple[int, int], ...]
    small: tuple[tuple[str, int, int, int], ...]
    published: int
    target: float | None
    coordinates: bool = True
    epochs: int = 10
    seeds: int = 1
    rate: float = 1e-2
    their_rate: float = 1e-2

    @property
    def training(self) -> Training:
        """The recipe of all."""
        return Training(epochs=self.epochs, rate=self.rate, loss="l2", optimiser="muon")

    def networks(self) -> tuple[dict[str, OperatorFitter], dict[str, OperatorFitter]]:
        """Plain and small operators by name."""
        common: dict[str, Any] = {"coordinates": self.coordinates, "training": self.training}
        plain = {f"FNO {m} modes, {w} wide": FNO(modes=m, width=w, **common) for m, w in self.plain}
        small = {
            f"{kind} {m} modes, {w} wide, {depth} deep": KINDS[kind](m, w, depth, common)
            for kind, m, w, depth in self.small
        }
        return dict(plain), small


@dataclass(frozen=True)
class Point:
    """Real parameters and mean relative L² error on the test samples."""

    parameters: int
    error: float


SWEEPS = (
    Sweep(
        "Burgers ν = 0.01", "burgers", 1024, 1000, 200,
        theirs=((8, 8), (12, 8), (16, 8), (12, 12), (16, 12), (12, 16), (16, 16), (24, 16)),
        plain=((4, 8), (6, 8), (6, 10), (8, 10), (6, 12), (8, 12), (6, 16), (8, 16)),
        small=(("IFNO", 6, 16, 8),), published=549_569, target=2.0, coordinates=False, epochs=20,
    ),
    Sweep(
        "Navier-Stokes ν = 1e-3", "navier_stokes", 64, 500, 100,
        theirs=((8, 8), (12, 8), (8, 12), (12, 12), (8, 16), (12, 16), (16, 16)),
        plain=((4, 8), (6, 8), (4, 12), (6, 12), (4, 16), (6, 16), (8, 16)),
        small=(("FFNO", 8, 16, 4), ("FFNO", 12, 16, 4), ("FFNO", 12, 24, 4)), published=414_517, target=3.0,
        their_rate=2e-2,
    ),
)  # fmt: skip
QUICK = (
    Sweep(
        "Burgers ν = 0.01", "burgers", 128, 60, 20, theirs=((4, 4), (8, 8)), plain=((4, 4), (4, 8)),
        small=(("IFNO", 4, 8, 2),), published=549_569, target=None, coordinates=False, epochs=2,
    ),
)  # fmt: skip


def rows(quick: bool, seed: int) -> list[Row]:
    """Three rows for each problem."""
    torch.set_num_threads(1)
    return [row for sweep in (QUICK if quick else SWEEPS) for row in compare(sweep, seed)]


def compare(sweep: Sweep, seed: int) -> list[Row]:
    """Train everything; the best ratios."""
    folder = os.environ.get("NWIDTH_RUNS")
    train, test = (
        PROBLEMS[sweep.data](n, sweep.resolution, s, folder=folder)
        for n, s in ((sweep.train, seed + 1), (sweep.test, seed + 2))
    )
    seeds = range(seed, seed + sweep.seeds)
    plain, small = (
        {name: measured(fitter, train, test, seeds) for name, fitter in networks.items()}
        for networks in sweep.networks()
    )
    title = f"{sweep.name}: parameters at equal error"
    theirs = _theirs(sweep, train, test, seeds) if available("neuralop") else {}
    first = f"{title}, plain FNO / nwidth"
    made = [_ratio_row(first, theirs, small, sweep.target) if theirs else absent(first, "neuraloperator", sweep.target)]
    made.append(_ratio_row(f"{title}, nwidth's own plain FNO / nwidth", plain, small, None))
    best = made[-1].detail["best"]
    published = sweep.published / small[best].parameters
    return [
        *made,
        Row(f"{sweep.name}: parameters, published FNO / nwidth", published, "x", detail={"published": sweep.published}),
    ]


def _ratio_row(title: str, plain: Mapping[str, "Point"], small: Mapping[str, "Point"], target: float | None) -> Row:
    ratio, best, found = best_ratio(plain, small)
    points = {name: point.__dict__ for name, point in (*plain.items(), *small.items())}
    return Row(title, ratio, "x", target, ">=", points | {"best": best, "plain": found})


def _theirs(sweep: Sweep, train: Snapshots, test: Snapshots, seeds: Sequence[int]) -> dict[str, "Point"]:
    """neuraloperator's plain FNO at every size of the sweep."""
    encoding = Encoding.of(train, layout="channels")
    (x, y), (asked, exact) = encoding.samples(train), encoding.samples(test)
    found = {}
    for modes, width in sweep.theirs:
        recipe = PublicRecipe(modes, width, rate=sweep.their_rate, periodic=True, sobolev=False, perceptrons=False)
        recipe = replace(recipe, split=best_split(recipe, x, y))
        errors = []
        for seed in seeds:
            model = PublicFNO(recipe, x, y, seed)
            model.train(sweep.epochs)
            errors.append(_error(model.predict(asked), exact))
        found[f"neuraloperator {modes} modes, {width} wide"] = Point(model.parameters, float(np.mean(errors)))
    return found


def best_ratio(plain: Mapping[str, Point], small: Mapping[str, Point]) -> tuple[float, str, str | None]:
    """The largest ratio to the smallest plain network that is as accurate, and both names.

    Where no plain network is as accurate as any small one, the largest of the sweep stands for it: a lower bound.
    """
    found = []
    for name, point in small.items():
        good = [other for other in plain if plain[other].error <= point.error]
        other = min(good, key=lambda n: plain[n].parameters) if good else None
        size = plain[other].parameters if other else max(p.parameters for p in plain.values())
        found.append((size / point.parameters, name, other))
    return max([entry for entry in found if entry[2] is not None] or found, key=lambda entry: entry[0])


def measured(fitter: OperatorFitter, train: Snapshots, test: Snapshots, seeds: Sequence[int]) -> Point:
    """Train with every seed."""
    errors, count = [], 0
    for seed in seeds:
        surrogate = fitter.fit(train, seed=seed, run=Run(threads=1))
        errors.append(_error(np.asarray(surrogate.predict(test.mu).field), np.asarray(test.fields)))
        count = sum(p.numel() for p in surrogate.module.parameters())
    return Point(count, float(np.mean(errors)))


def _error(found: Array, exact: Array) -> float:
    apart, size = ((f.reshape(len(f), -1) ** 2).sum(axis=1) for f in (found - exact, exact))
    return float(np.sqrt(apart / size).mean())
