"""Where does a fibre composite deform most? A neural operator against the cheapest solver that is as accurate.

    python examples/composite/run.py [--quick] [--cells FOLDER] [--out FOLDER]

Microstructure -> accumulated plastic strain after two cycles of shear, on a periodic cell. Everything is measured in
one run on one thread: the errors of all contestants on cells that none has seen, the limits that hold for 9 cells in
10, and the time of a full-order solver that is *just* as accurate as the network (coarser grids, larger load steps and
looser tolerances are tried), because a fine one would flatter the network. Tables go to --out as text, CSV and LaTeX.

Solved cells are kept in --cells: an interrupted run continues, and a second one starts with the training.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from cells import FULL, QUICK, Scale, generate, judge, numbers
from contestants import OURS, compete
from full_order import Rung, cheapest, ladder

import nwidth as nw
from nwidth.certificates.conformal import calibrate
from nwidth.reports.tables import Column, Table
from nwidth.study.contest import Entry, answer_times
from nwidth.study.measure import one_thread

ERRORS = (
    Column("field error", "%", best="low"),
    Column("peak error", "%", best="low"),
    Column("mean error", "%", best="low"),
    Column("peak found", "%", best="high"),
    Column("strain at the place named", "%", best="high"),
)
KEYS = ("field", "peak", "mean", "place", "there")
LEVEL = 0.9


def main(arguments: list[str] | None = None) -> dict[str, Table]:
    """Everything, printed as it is found."""
    parser = argparse.ArgumentParser(description="A neural operator against full-order solvers of a composite cell")
    parser.add_argument("--quick", action="store_true", help="a small version: its numbers are not the study's")
    parser.add_argument("--cells", type=Path, default=Path("composite_cells"), help="where solved cells are kept")
    parser.add_argument("--out", type=Path, default=Path("composite_results"), help="where the tables go")
    options = parser.parse_args(arguments)
    scale = QUICK if options.quick else FULL
    torch.set_num_threads(1)
    with one_thread():
        tables = study(scale, options.cells, options.out)
    for name, table in tables.items():
        table.write(options.out, name)
        print(table.text())
    print(f"tables in {options.out}")
    return tables


def study(scale: Scale, folder: Path, out: Path) -> dict[str, Table]:
    """Data, contestants, solvers, limits."""
    train, calibration, test = generate(scale, folder)
    rungs = ladder(scale.problem, test.take(np.arange(scale.judged)), coarser(scale.problem.resolution))
    entries, found = [], {}
    for e in compete(scale, train):
        entries.append(e)
        found[e.name] = judge(e.surrogate.predict(test.mu).field, np.asarray(test.fields))
        print(f"{e.name}: {describe(found[e.name])}; {e.wall:.0f} s of training at rate {e.rate}", flush=True)
    times = answer_times({e.name: e.surrogate for e in entries}, test.mu)
    guess = constant(train, test)
    return {
        "contestants": contest_table(scale, entries, found | {"constant": guess}, times),
        "solvers": solver_table(rungs),
        "verdict": verdict_table(entries, found, times, rungs, rungs[0].seconds * len(train)),
        "limits": limit_table(certified(entries[0], train, calibration, out), test),
    }


def coarser(n: int) -> tuple[int, ...]:
    """Two coarser grids, 25² and 33² for 49²."""
    return (n // 2 + n % 2, 2 * n // 3 + 1)


def constant(train: nw.Snapshots, test: nw.Snapshots) -> dict:
    """The mean plastic strain of all training matrices everywhere: what any answer has to beat."""
    p, phase = np.asarray(train.fields), np.asarray(train.mu["phase"])
    return judge(p.sum() / (1 - phase).sum() * (1 - np.asarray(test.mu["phase"])), np.asarray(test.fields))


def describe(errors: Mapping[str, np.ndarray]) -> str:
    """'field error 9.1 %, peak error 4.0 %, ...'"""
    return ", ".join(f"{name} {value:.2g} %" for name, value in percent(errors).items())


def percent(errors: Mapping[str, np.ndarray]) -> dict:
    """Means over the cells, in percent, under the names of the columns."""
    return {c.name: 100 * float(errors[key].mean()) for c, key in zip(ERRORS, KEYS, strict=True)}


def contest_table(scale: Scale, entries: list[Entry], found: Mapping, times: Mapping) -> Table:
    columns = (
        *ERRORS, Column("parameters", digits=0), Column("epochs", digits=0), Column("rate", digits=1),
        Column("training", "s"), Column("in a batch", "ms"), Column("alone", "ms"),
    )  # fmt: skip
    rows: dict[str, dict] = {}
    for e in entries:
        batch, alone = (1e3 * t for t in times[e.name])
        rows[e.name] = percent(found[e.name]) | {"training": e.seconds, "in a batch": batch, "alone": alone}
        rows[e.name] |= {"parameters": e.parameters, "epochs": e.epochs, "rate": e.rate}
    rows["one number for every matrix"] = percent(found["constant"])
    return Table(f"{scale.test} unseen cells of {scale.problem.resolution}² ({scale.train} train)", columns, rows)


def solver_table(rungs: list[Rung]) -> Table:
    columns = (*ERRORS, Column("time", "ms"))
    rows = {r.name: percent(r.errors) | {"time": 1e3 * r.seconds} for r in rungs}
    return Table("Cheaper full-order solvers, against the finest", columns, rows)


def verdict_table(entries: list[Entry], found: Mapping, times: Mapping, rungs: list[Rung], solving: float) -> Table:
    """Speed against the cheapest solver that is at least as accurate, in field and peak."""
    columns = (
        Column("field error", "%"), Column("its error", "%"), Column("solver", "ms"), Column("faster in a batch", "x"),
        Column("faster alone", "x"), Column("pays after", "cells"), Column("cheapest solver that is as accurate"),
    )  # fmt: skip
    rows: dict[str, dict] = {}
    for e in entries:
        errors, (batch, alone) = found[e.name], times[e.name]
        rung = cheapest(rungs, float(errors["field"].mean()), float(errors["peak"].mean()))
        rows[e.name] = {"field error": 100 * float(errors["field"].mean())}
        if rung is None:
            rows[e.name] |= {"cheapest solver that is as accurate": "none of those tried"}
            continue
        saved = rung.seconds - batch
        rows[e.name] |= {
            "its error": 100 * float(rung.errors["field"].mean()),
            "solver": 1e3 * rung.seconds,
            "faster in a batch": rung.seconds / batch,
            "faster alone": rung.seconds / alone,
            "pays after": (solving + e.seconds) / saved if saved > 0 else "never",
            "cheapest solver that is as accurate": rung.name,
        }
    return Table("Against the cheapest full-order solver with at most the same error of field and peak", columns, rows)


def certified(entry: Entry, train: nw.Snapshots, calibration: nw.Snapshots, out: Path) -> nw.Certified:
    """The network with limits that hold for 9 cells in 10, kept in a file: nw.load(path, kinds=[Plausible])."""
    certificate = calibrate(entry.surrogate, calibration, LEVEL, norm="rms", training=train.mu)
    answering = nw.Certified(entry.surrogate, certificate)
    out.mkdir(parents=True, exist_ok=True)
    nw.save(answering, out / "network.nwidth")
    return answering


def limit_table(network: nw.Certified, test: nw.Snapshots) -> Table:
    """Limits of the field (root mean square), of peak and mean, beside the errors."""
    answer = network.predict(test.mu)
    truth = np.asarray(test.fields)
    rms = np.sqrt(np.mean((answer.field - truth) ** 2, axis=(1, 2)))
    level = np.sqrt(np.mean(truth**2))
    rows = {"field, root mean square": _coverage(rms, answer.bound, level)}
    for name, values in numbers(truth).items():
        output = answer.outputs[name]
        rows[f"{name} plastic strain"] = _coverage(np.abs(output.values - values), output.limit, values.mean())
    print(f"{OURS}: {answer.guarantee}")
    columns = (Column("limit", "%"), Column("error", "%"), Column("held", "%"), Column("unseen cells", digits=0))
    return Table("Limits that 9 cells in 10 keep, relative to the mean over the cells", columns, rows)


def _coverage(errors: np.ndarray, limits: np.ndarray, size: float) -> dict:
    return {
        "limit": 100 * float(np.median(limits)) / size,
        "error": 100 * float(np.median(errors)) / size,
        "held": 100 * float(np.mean(errors <= limits)),
        "unseen cells": len(errors),
    }


if __name__ == "__main__":
    main()
