"""Makes docs/img/darcy_public.png from a run of the example:

python examples/darcy_public.py --out OUT && python docs/darcy_public_picture.py OUT
"""

import csv
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nwidth.reports.palette import LIGHT, Palette
from nwidth.reports.style import axes, styled, to_png

TARGET = Path(__file__).parent / "img" / "darcy_public.png"


def rows(path: Path) -> dict[str, dict[str, str]]:
    """A table that the example wrote, row name -> column -> text."""
    with path.open(newline="") as stream:
        return {row.pop("row"): row for row in csv.DictReader(stream)}


def draw(out: Path, palette: Palette) -> Figure:
    """Errors at both resolutions, and how often limits held."""
    figure, first = axes(10.4, 3.4)
    first.remove()
    left, right = (figure.add_subplot(place) for place in figure.add_gridspec(1, 2, width_ratios=[1.6, 1]))
    contestants = rows(out / "contestants.csv")
    place = np.arange(len(contestants))[::-1]
    for shift, n, color in ((0.2, 16, palette.first), (-0.2, 32, palette.second)):
        errors = [float(r[f"error at {n}² [%]"]) for r in contestants.values()]
        left.barh(place + shift, errors, 0.36, color=color, label=f"at {n}²")
        for y, error in zip(place + shift, errors, strict=True):
            left.text(error, y, f" {error:.1f}", va="center", fontsize=8, color=palette.ink)
    left.set_yticks(place, [name.replace(", turned", "\nturned") for name in contestants], fontsize=8)
    left.set(xlabel="relative error [%], trained at 16²")
    left.legend(loc="upper right")
    coverage(right, rows(out / "limits.csv"), palette)
    return figure


def coverage(ax: Axes, limits: dict[str, dict[str, str]], palette: Palette) -> None:
    """Share of the samples within their limit, beside the promised one."""
    place = np.arange(len(limits))[::-1]
    colors = [palette.good, palette.good, palette.bad]
    held = [float(r["held [%]"]) for r in limits.values()]
    deviation = [float(r["held deviation"] or 0) for r in limits.values()]
    ax.barh(place, held, 0.5, color=colors, xerr=deviation, error_kw={"ecolor": palette.ink, "lw": 1})
    ax.axvline(90, color=palette.ink, lw=1, ls="--")
    ax.set_yticks(place, [name.replace(" (", "\n(").replace(", ", "\n") for name in limits], fontsize=8)
    ax.set(xlim=(0, 105), xlabel="within their limit [%], promised 90")


def main(out: Path) -> None:
    """Read the run, draw, write."""
    with styled(LIGHT):
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        to_png(draw(out, LIGHT), TARGET, LIGHT.surface)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
