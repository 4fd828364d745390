"""Makes docs/img/estimator_floor.png from a run of the benchmark:

python benchmarks/estimator_floor.py --json floor.json && python docs/estimator_picture.py floor.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nwidth.reports.palette import LIGHT, Palette
from nwidth.reports.style import axes, styled, to_png

TARGET = Path(__file__).parent / "img" / "estimator_floor.png"
#: What each formula looks like: colour role, marker, what stands beside it.
LOOK = {
    "orthonormal, published": ("third", "D", "orthonormal basis, as published"),
    "interpolated": ("first", "o", "interpolated"),
    "orthonormal": ("second", "^", "orthonormal basis of nwidth"),
    "assembled": ("unsure", "s", "assembled in float64"),
    "gram": ("bad", "x", "Gram form"),
}
_BOUNDED = {"orthonormal": "orthonormal of nwidth", "interpolated": "interpolated"}
#: Where zeros are drawn.
_ZERO = 2e-15


def curves(path: Path) -> dict[str, Any]:
    """The curves that the benchmark kept with its first row."""
    rows = json.loads(path.read_text())["rows"]
    return next(row["detail"]["curves"] for row in rows if "curves" in row["detail"])


def draw(found: dict[str, Any], palette: Palette) -> Figure:
    """The largest residual over the test parameters against the number of modes: true, by each formula, and bounded."""
    figure, ax = axes(6.6, 4.2)
    modes = found["modes"]
    ax.plot(modes, found["true"], color=palette.ink, lw=5, alpha=0.18, label="true (extended precision)")
    for name, (role, marker, label) in LOOK.items():
        shown = [max(value, _ZERO) for value in found["value"][name]]
        size = 8.0 if name == "orthonormal, published" else 4.5
        ax.plot(modes, shown, color=getattr(palette, role), marker=marker, ms=size, lw=1.4, label=label)
    for name in _BOUNDED:
        noise, value = found["noise"][name], found["value"][name]
        bound = [a + b for a, b in zip(noise, value, strict=True)]
        ax.plot(
            modes, bound, color=getattr(palette, LOOK[name][0]), lw=1.2, ls=":", label=f"{LOOK[name][2]}: proven bound"
        )
    _finish(ax)
    blind = next(n for n, value in zip(modes, found["value"]["gram"], strict=True) if value <= _ZERO)
    ax.annotate("reports 0", (blind + 0.3, 1.5 * _ZERO), color=palette.bad, size=9)
    return figure


def _finish(ax: Axes) -> None:
    ax.set(yscale="log", ylim=(1e-15, 3), xlabel="modes", ylabel="largest residual, of the load")
    ax.legend(loc="lower left", fontsize=8, bbox_to_anchor=(0.0, 0.08))


def main(path: Path) -> None:
    """Read the run, draw, write."""
    with styled(LIGHT):
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        to_png(draw(curves(path), LIGHT), TARGET, LIGHT.surface)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
