"""One surrogate at 2 and 4 times the grid it was trained on, against its own error there and against interpolation.

Two laws of the coefficient: two-valued (12 / 3: it jumps) and log-normal (it is smooth). The same draw exists on every
grid. On a finer grid the answer may be worse than on the grid of training by a tenth and by what the grids themselves
differ in; and it should not be worse than answering on the grid of training and interpolating.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from _harness import Row
from scipy.interpolate import make_interp_spline

from nwidth.core.arrays import Array, Real
from nwidth.operators import FNO, Training
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.problems.darcy import Darcy
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.generate import generate
from nwidth.spaces.grid import Grid, interpolate


@dataclass(frozen=True)
class Case:
    """A problem on the grid of training, what learns it, and how good the answer has to be beside interpolation."""

    name: str
    problem: Darcy
    fitter: FNO
    factor: float
    train: int = 1000
    test: int = 100
    finer: tuple[int, ...] = field(default=(2, 4))


#: Where the coefficient jumps, many modes in a narrow network; see the demo.
JUMPS = FNO(modes=24, width=16, training=Training(epochs=18, rate=0.015, augment="square"))
SMOOTH = FNO(modes=10, width=16, series="cosine", training=Training(epochs=20, rate=0.015, augment="square"))


def cases(quick: bool) -> tuple[Case, ...]:
    """The two laws."""
    sizes: dict[str, Any] = {"train": 100, "test": 20} if quick else {}
    cells = 32 if quick else 64
    short = Training(epochs=3, rate=0.015, augment="square")
    jumps, smooth = (FNO(8, 12, training=short), FNO(6, 12, training=short)) if quick else (JUMPS, SMOOTH)
    log_normal = Darcy(cells, law="log-normal", sigma=0.5, alpha=3.0)
    return (
        Case("Darcy, coefficient 12 / 3", Darcy(cells), jumps, 0.95, **sizes),
        Case("Darcy, smooth coefficient", log_normal, smooth, 1.02, **sizes),
    )


def rows(quick: bool, seed: int) -> list[Row]:
    """Two rows for each finer grid of each case; a quick run has no targets."""
    return [row for case in cases(quick) for row in _rows(case, seed, quick)]


def _rows(case: Case, seed: int, quick: bool) -> list[Row]:
    runs = generate(case.problem, case.train + case.test, seed)
    trained, unseen = runs.split(case.train, case.test)
    surrogate = case.fitter.fit(trained, case.problem, seed=seed)
    return compared(surrogate, case, unseen, seed, targets=not quick)


def compared(surrogate: NeuralSurrogate, case: Case, unseen: Snapshots, seed: int, *, targets: bool) -> list[Row]:
    """The rows of one trained surrogate."""
    grid = case.problem.space
    coarse = surrogate.predict(unseen.mu).field
    own = relative(coarse, np.asarray(unseen.fields))
    found = []
    for times in case.finer:
        finer = case.problem.at(case.problem.resolution * times)
        truth = generate(finer, case.test, seed, start=case.train)
        fields, fine = np.asarray(truth.fields), finer.space
        error = relative(surrogate.at(fine).predict(truth.mu).field, fields)
        gap = relative(lifted(np.asarray(unseen.fields), grid, fine)["cubic"], fields)
        between = {name: relative(v, fields).mean() for name, v in lifted(coarse, grid, fine).items()}
        best = min(between.values())
        label = f"{case.name}, {grid.cells[0]}² to {fine.cells[0]}²"
        detail = {
            "error": error.mean(),
            "error_on_the_training_grid": own.mean(),
            "gap_between_the_grids": gap.mean(),
            "interpolated": between,
            "samples": case.test,
        }
        limit = 1.1 * own.mean() + gap.mean()
        bounds = (1.0, case.factor) if targets else (None, None)
        found.append(Row(f"{label}: L² error over its limit", error.mean() / limit, "x", bounds[0], "<=", detail))
        found.append(Row(f"{label}: over interpolation", error.mean() / best, "x", bounds[1], "<=", detail))
    return found


def relative(found: Array, truth: Array) -> Real:
    """`‖v - u‖ / ‖u‖` of every sample."""
    difference = (found - truth).reshape(len(truth), -1)
    return np.asarray(np.linalg.norm(difference, axis=1) / np.linalg.norm(truth.reshape(len(truth), -1), axis=1))


def lifted(fields: Array, grid: Grid, fine: Grid) -> Mapping[str, Array]:
    """Fields on a finer grid, by multilinear interpolation and by cubic splines."""
    cubic = fields
    for axis, (old, new) in enumerate(zip(grid.axes(), fine.axes(), strict=True), start=1):
        cubic = make_interp_spline(old, cubic, k=3, axis=axis)(new)
    return {"linear": interpolate(fields, grid, fine), "cubic": cubic}
