"""One look for every figure. In the page, colours are CSS variables, so a figure follows light and dark mode.

Matplotlib knows no CSS variables: figures are drawn in placeholder colours that are replaced in the SVG text.
Every series also has a marker of its own.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from nwidth.reports.palette import PAGE, Palette


@contextmanager
def styled(palette: Palette) -> Iterator[Palette]:
    """Matplotlib's settings for one figure; nothing global is left changed."""
    with mpl.rc_context(
        {
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 10,
            "text.color": palette.ink,
            "axes.edgecolor": palette.muted,
            "axes.labelcolor": palette.ink,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.facecolor": "none",
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": palette.rule,
            "grid.linewidth": 0.7,
            "xtick.color": palette.muted,
            "ytick.color": palette.muted,
            "xtick.labelcolor": palette.muted,
            "ytick.labelcolor": palette.muted,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "figure.facecolor": "none",
            "svg.fonttype": "none",
            "svg.hashsalt": "nwidth",
        }
    ):
        yield palette


def axes(width: float = 4.7, height: float = 3.3) -> tuple[Figure, Axes]:
    """A figure in inches with one set of axes, without pyplot's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def to_svg(figure: Figure, prefix: str) -> str:
    """The figure as inline SVG; `prefix` keeps its ids apart from those of other figures in the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, dpi=144, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for role in fields(Palette):
        text = text.replace(getattr(PAGE, role.name), f"var(--{role.name})")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    return text.replace("url(#", f"url(#{prefix}-").replace('href="#', f'href="#{prefix}-')


def to_png(figure: Figure, path: Path, background: str, dpi: int = 144, colors: int = 128) -> None:
    """The figure as a PNG file, in few colours so that it stays small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=background, pad_inches=0.1)
    Image.open(buffer).convert("RGB").quantize(colors).save(path, optimize=True)
