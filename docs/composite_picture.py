"""Makes docs/img/composite.png from a run of the example:

python examples/composite/run.py --cells CELLS --out OUT && python docs/composite_picture.py CELLS OUT
"""

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import nwidth as nw
from nwidth.reports.palette import LIGHT, Palette
from nwidth.reports.style import axes, styled, to_png

TARGET = Path(__file__).parent / "img" / "composite.png"
sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "composite"))

from cells import FULL, Plausible, places  # noqa: E402


def rows(path: Path) -> dict[str, dict[str, str]]:
    """A table that the example wrote, row name -> column -> text."""
    with path.open(newline="") as stream:
        return {row.pop("row"): row for row in csv.DictReader(stream)}


def draw(cells: Path, out: Path, palette: Palette) -> Figure:
    """A cell that the network has not seen, its answer, and error against time of everyone."""
    figure, first = axes(10.4, 3.4)
    first.remove()
    grid = figure.add_gridspec(1, 3, width_ratios=[1, 1, 1.5])
    stored = nw.open_snapshots(cells / f"cells_{FULL.problem.resolution}")
    network = nw.load(out / "network.nwidth", kinds=[Plausible])
    test = stored.take(np.arange(FULL.train + FULL.calibrate, FULL.cells))
    answer, truth = network.predict(test.mu), np.asarray(test.fields)
    wrong = np.linalg.norm((answer.field - truth).reshape(len(truth), -1), axis=1)
    k = int(np.argsort(wrong / np.linalg.norm(truth.reshape(len(truth), -1), axis=1))[len(truth) // 2])
    peak, limit = answer.outputs["peak"].values[k], answer.outputs["peak"].limit[k]
    shown = (
        ("solver", truth[k], f"peak {truth[k].max():.3f}"),
        ("network", answer.field[k], f"peak {peak:.3f} ± {limit:.3f}, 9 in 10"),
    )
    for place, (title, field, below) in zip(grid, shown, strict=False):
        image(figure.add_subplot(place), field, np.asarray(test.mu["phase"])[k], truth[k].max(), title, below, palette)
    times(figure.add_subplot(grid[2]), out, palette)
    return figure


def image(ax: Axes, field: Any, phase: Any, top: float, title: str, below: str, palette: Palette) -> None:
    """Accumulated plastic strain; discs grey, the place of the peak in a ring."""
    shown = np.where(phase == 1, np.nan, field)
    ax.set_facecolor(palette.rule)
    ax.imshow(shown.T, origin="lower", cmap="magma", vmin=0, vmax=top)
    i, j = places(field[None])[0]
    ax.plot(i, j, "o", ms=13, mfc="none", mec=palette.first, mew=2)
    ax.set(xticks=[], yticks=[], xlabel=f"{title}: {below}")
    ax.grid(False)


def times(ax: Axes, out: Path, palette: Palette) -> None:
    """Error of the field against time per cell, both logarithmic."""
    solvers, networks = rows(out / "solvers.csv"), rows(out / "contestants.csv")
    groups = (
        (lambda name: name.startswith("49²"), "o", palette.muted, "full order, 49², fewer and looser steps"),
        (lambda name: not name.startswith("49²"), "s", palette.bad, "full order, 25² and 33²"),
    )
    for chosen, marker, color, label in groups:
        points = [(float(r["time [ms]"]), float(r["field error [%]"])) for name, r in solvers.items() if chosen(name)]
        ax.plot(*zip(*[p for p in points if p[1] > 1e-3], strict=True), marker, color=color, label=label)
    for name, marker, color in (
        ("nwidth FNO", "D", palette.good),
        ("U-Net, equal epochs", "^", palette.first),
        ("neuraloperator FNO, our size, equal epochs", "v", palette.third),
    ):
        if name not in networks:
            continue
        row = networks[name]
        error = float(row["field error [%]"])
        short = name.replace(", equal epochs", "")
        ax.plot(float(row["in a batch [ms]"]), error, marker, color=color, ms=8, label=f"{short}, in a batch")
        ax.plot(float(row["alone [ms]"]), error, marker, color=color, ms=8, mfc="none")
    ax.set(xscale="log", yscale="log", xlabel="time per cell, one thread [ms] (open: alone)", ylabel="field error [%]")
    ax.legend(fontsize=7.5, loc="lower left")


def main(cells: Path, out: Path) -> None:
    """Read the run, draw, write."""
    with styled(LIGHT):
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        to_png(draw(cells, out, LIGHT), TARGET, LIGHT.surface)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
