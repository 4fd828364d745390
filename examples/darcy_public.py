"""Public Darcy data at 16²: learned there, asked there and at 32², with limits calibrated for each resolution.

    python examples/darcy_public.py [--quick] [--out FOLDER]

The file (neuraloperator's packaged example; `$NWIDTH_DATA` says where, default ../shared/data) holds a two-valued
coefficient as a mask, and the solution. nwidth's FNO, neuraloperator's FNO by the recipe of its own example for this
file, and POD with a kernel regression compete at equal epochs, equal numbers of parameters and equal wall time, with
the same sweep of learning rates. Tables go to --out as text, CSV and LaTeX.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import nwidth as nw
from nwidth.certificates.conformal import calibrate
from nwidth.core.kinds import available
from nwidth.io.public import public_data
from nwidth.io.readers.base import read_arrays
from nwidth.operators.fno import FNO
from nwidth.rb.pod_regression import PODRegression
from nwidth.reports.tables import Column, Table
from nwidth.spaces.grid import Grid
from nwidth.spaces.random_field import TwoValuedField
from nwidth.study.contest import Entry, TensorState, Terms, closest, enter, tuned
from nwidth.study.measure import one_thread

if available("neuralop"):
    from neuralop import models

LEVEL, SEED = 0.9, 0
#: Its smallest value is -0.43: the maximum principle says at least zero.
CORRUPT = [767]
OURS = "nwidth FNO"


@dataclass(frozen=True)
class Scale:
    """Samples to train on, to calibrate on at 16²; epochs, rates to try; splits of the 50 samples at 32²."""

    train: int
    calibrate: int
    epochs: int
    trial_epochs: int
    rates: tuple[float, ...]
    splits: int
    modes: int = 8
    width: int = 24


FULL = Scale(849, 150, 20, 3, (5e-3, 1e-2, 2e-2), 20)
QUICK = Scale(100, 40, 4, 1, (5e-3, 1e-2), 3, 4, 8)


def main(arguments: list[str] | None = None) -> dict[str, Table]:
    """All tables; none, with a message, where the data is absent."""
    parser = argparse.ArgumentParser(description="Operators on public Darcy data at two resolutions")
    parser.add_argument("--quick", action="store_true", help="a small version: its numbers are not the study's")
    parser.add_argument("--out", type=Path, default=Path("darcy_public_results"), help="where the tables go")
    options = parser.parse_args(arguments)
    try:
        folder = public_data("darcy_burgers_pt")
    except nw.InputError as error:
        print(f"nothing done: {error}")
        return {}
    torch.set_num_threads(1)
    with one_thread():
        tables = study(QUICK if options.quick else FULL, folder)
    for name, table in tables.items():
        table.write(options.out, name)
        print(table.text())
    print(f"tables in {options.out}")
    return tables


def study(scale: Scale, folder: Path) -> dict[str, Table]:
    """Contestants at both resolutions, and limits for each."""
    known = snapshots(folder / "darcy_train_16.pt", leave_out=CORRUPT)
    train, calibration = known.split(scale.train, scale.calibrate, seed=SEED)
    tests = {n: snapshots(folder / f"darcy_test_{n}.pt") for n in (16, 32)}
    entries = compete(scale, train)
    return {"contestants": contest_table(entries, tests), "limits": limit_table(scale, entries[0], calibration, tests)}


def snapshots(path: Path, leave_out: list[int] | None = None) -> nw.Snapshots:
    """A public file on a grid with both ends.

    Its n points are i / n: the last row, at 1, is not stored. There u = 0 is put in (and on the first row, where the
    file is zero to within 0.03), and the coefficient of the row before. Values 1 and 18 of the coefficient, which the
    file does not tell, fit its solutions; networks see them standardised.
    """
    arrays = read_arrays(path).arrays
    rows = np.setdiff1d(np.arange(len(arrays["x"])), leave_out or [])
    n = arrays["x"].shape[1]
    coefficient = np.where(np.pad(arrays["x"][rows], ((0, 0), (0, 1), (0, 1)), mode="edge"), 18.0, 1.0)
    fields = np.zeros(coefficient.shape)
    fields[:, 1:-1, 1:-1] = arrays["y"][rows, 1:, 1:]
    return nw.Snapshots(TwoValuedField("a", n, low=1.0, high=18.0), Grid((n, n)), {"a": coefficient}, fields)


def compete(scale: Scale, train: nw.Snapshots) -> list[Entry]:
    """Equal epochs for all, equal parameters where the name says so, then the wall time that ours took."""
    terms = Terms(scale.rates, scale.trial_epochs, 300, SEED)
    training = nw.Training(epochs=scale.epochs, batch=16, loss="h1", augment="square")
    entries = [enter(OURS, FNO(scale.modes, scale.width, training=training), train, None, terms)]
    seconds, size = entries[0].wall, entries[0].parameters
    if available("neuralop"):
        theirs = replace(training, schedule="cosine", augment="none")
        # as its example for this file: 8 modes, 24 channels; values on the boundary are learned
        as_shown = nw.wrap(public(8, 24), theirs, boundary="free")
        entries += twice("neuraloperator FNO, its example", as_shown, train, terms, seconds)
        widths = range(4, 64, 2)
        counts = [sum(p.numel() * (2 if p.is_complex() else 1) for p in public(8, w).parameters()) for w in widths]
        equal = public(8, closest(widths, counts, size or 1))
        with_ours = nw.wrap(equal, replace(training, schedule="cosine"))
        entries += twice("neuraloperator FNO, our size, turned, boundary exact", with_ours, train, terms, seconds)
    entries.append(enter("POD + kernel regression", PODRegression(), train, None, terms))
    return entries


def twice(name: str, fitter: nw.Fitter, train: nw.Snapshots, terms: Terms, seconds: float) -> list[Entry]:
    """With one sweep of rates: for equal epochs, and for equal wall time."""
    best, trials = tuned(fitter, train, None, terms)
    return [
        enter(f"{name}, equal epochs", best, train, None, terms, trials=trials),
        enter(f"{name}, equal time", best, train, None, terms, trials=trials, seconds=seconds),
    ]


def public(modes: int, width: int) -> TensorState:
    """neuraloperator's FNO; its `n_modes` counts negative frequencies, too."""
    torch.manual_seed(SEED)
    return TensorState(models.FNO((modes, modes), in_channels=1, out_channels=1, hidden_channels=width))


def answers(surrogate: nw.Surrogate, cells: nw.Snapshots) -> np.ndarray:
    """Fields on the samples' own grid: by the same network there, or interpolated where it knows one grid only."""
    if cells.space.shape == surrogate.space.shape:
        return surrogate.predict(cells.mu).field
    if isinstance(surrogate, nw.operators.NeuralSurrogate):
        return surrogate.at(cells.space).predict(cells.mu).field
    return doubled(surrogate.predict({"a": cells.mu["a"][:, ::2, ::2]}).field)


def doubled(fields: np.ndarray) -> np.ndarray:
    """Nodes in the middle, linear in between."""
    for axis in (1, 2):
        n = fields.shape[axis]
        low, high = fields.take(range(n - 1), axis), fields.take(range(1, n), axis)
        both = np.stack([low, (low + high) / 2], axis=axis + 1)
        shape = (*fields.shape[:axis], 2 * (n - 1), *fields.shape[axis + 1 :])
        fields = np.concatenate([both.reshape(shape), fields.take([n - 1], axis)], axis=axis)
    return fields


def errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Relative, Euclidean, over the points of the file, percent `(B,)`."""
    flat = [a[:, :-1, :-1].reshape(len(a), -1) for a in (found - truth, truth)]
    return 100 * np.linalg.norm(flat[0], axis=1) / np.linalg.norm(flat[1], axis=1)


def contest_table(entries: list[Entry], tests: Mapping[int, nw.Snapshots]) -> Table:
    """Mean errors over the 50 test samples of each resolution."""
    at = {n: f"error at {n}²" for n in tests}
    columns = (
        *(Column(name, "%", best="low") for name in at.values()), Column("from 16² interpolated to 32²", "%"),
        Column("parameters", digits=0), Column("epochs", digits=0), Column("rate", digits=1), Column("training", "s"),
    )  # fmt: skip
    rows: dict[str, dict] = {}
    for e in entries:
        found = {n: answers(e.surrogate, test) for n, test in tests.items()}
        rows[e.name] = {at[n]: float(errors(found[n], np.asarray(tests[n].fields)).mean()) for n in tests}
        up = errors(doubled(found[16]), np.asarray(tests[32].fields))
        rows[e.name] |= {"from 16² interpolated to 32²": float(up.mean()), "parameters": e.parameters}
        rows[e.name] |= {"epochs": e.epochs, "rate": e.rate, "training": e.seconds}
    return Table("Relative error on the public test files, trained at 16²", columns, rows)


def limit_table(scale: Scale, entry: Entry, calibration: nw.Snapshots, tests: Mapping[int, nw.Snapshots]) -> Table:
    """Limits of the root-mean-square error for 9 samples in 10: from samples at 16², and from samples at 32².

    At 32² there are 50 samples: half calibrates, half is tested, in several splits.
    """
    coarse, fine = entry.surrogate, at(entry.surrogate, tests[32])
    certificate = calibrate(coarse, calibration, LEVEL, norm="rms")
    print(f"{OURS}: {certificate.guarantee}")
    held = {16: covered(nw.Certified(coarse, certificate), tests[16])}
    moved = nw.Certified(coarse, certificate).predict(tests[16].mu).bound
    wrong = rms(fine.predict(tests[32].mu).field, tests[32]) <= moved
    own, size = [], len(tests[32])
    for seed in range(scale.splits):
        one, other = tests[32].split(size // 2, size - size // 2, seed=seed)
        own.append(covered(nw.Certified(fine, calibrate(fine, one, LEVEL, seed, norm="rms")), other))
    columns = (Column("held", "%"), Column("limit, median", digits=2), Column("error, median", digits=2))
    rows: dict[str, dict] = {
        "16², calibrated at 16²": dict(zip([c.name for c in columns], held[16], strict=True)),
        "32², calibrated at 32²": {c.name: [o[i] for o in own] for i, c in enumerate(columns)},
        "32², with the limit for 16² (refused by nwidth)": {"held": 100 * float(wrong.mean())},
    }
    return Table("Limits that 9 samples in 10 keep (root mean square of u)", columns, rows)


def at(surrogate: nw.Surrogate, test: nw.Snapshots) -> nw.Surrogate:
    """The same network on the test's grid."""
    if not isinstance(surrogate, nw.operators.NeuralSurrogate):
        raise nw.InputError(f"{type(surrogate).__name__} answers on one grid only")
    return surrogate.at(test.space)


def covered(certified: nw.Certified, test: nw.Snapshots) -> tuple[float, float, float]:
    """Percent of the samples within their limit, the median limit, the median error."""
    answer = certified.predict(test.mu)
    wrong = rms(answer.field, test)
    return 100 * float(np.mean(wrong <= answer.bound)), float(np.median(answer.bound)), float(np.median(wrong))


def rms(found: np.ndarray, test: nw.Snapshots) -> np.ndarray:
    """Root mean square over the nodes, `(B,)`."""
    return np.sqrt(np.mean((found - np.asarray(test.fields)) ** 2, axis=(1, 2)))


if __name__ == "__main__":
    main()
