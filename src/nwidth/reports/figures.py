"""The pictures of a report: one function per kind of chart, each with axes, units and a message."""

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colorizer import ColorizingArtist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.tri import Triangulation

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.reports.model import Chart, Closeup, CostChart, Curves, Designs, FieldPlot, LimitCheck, PartsChart
from nwidth.reports.palette import PAGE, Palette
from nwidth.reports.style import axes, styled, to_svg
from nwidth.reports.words import at_most, duration, exact, power_of_ten, significant
from nwidth.reports.worth import ROUNDING, CostPoint

#: Beyond this many marks a vector picture is larger than a bitmap.
VECTOR_LIMIT = 2000


def svg(chart: Chart, prefix: str) -> str:
    """The chart as inline SVG in the colours of the page."""
    with styled(PAGE):
        return to_svg(draw(chart, PAGE), prefix)


@singledispatch
def draw(chart: Chart, palette: Palette) -> Figure:
    """The chart as a matplotlib figure. Raises InputError for something that is not a chart."""
    raise InputError(f"cannot draw a {type(chart).__name__}; pass one of the charts in nwidth.reports.model")


@draw.register
def _limit_check(chart: LimitCheck, palette: Palette) -> Figure:
    figure, ax = axes()
    floor = 0.01 * float(np.min(chart.limits))
    errors = np.maximum(chart.errors, floor)
    outside = chart.errors > chart.limits
    low, high = 0.6 * float(errors.min()), 1.8 * float(max(chart.limits.max(), errors.max()))
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    ax.fill_between([low, high], [low, high], low, color=palette.bad, alpha=0.13, lw=0)
    ax.plot([low, high], [low, high], color=palette.muted, lw=1)
    many = len(errors) > VECTOR_LIMIT
    if chart.lower is not None:
        bottom = np.maximum(chart.lower, low)
        ax.vlines(errors, bottom, chart.limits, color=palette.first, alpha=0.35, lw=1.2, rasterized=many)
    ax.scatter(errors[~outside], chart.limits[~outside], s=16, color=palette.first, alpha=0.65, lw=0, rasterized=many)
    ax.scatter(errors[outside], chart.limits[outside], s=30, color=palette.bad, marker="x")
    ax.text(0.97, 0.05, "error would exceed its limit", transform=ax.transAxes, ha="right", color=palette.bad, size=9)
    label = "stated limit" if chart.lower is None else "interval that is stated"
    ax.set(xlabel=f"true error [{chart.unit}]", ylabel=f"{label} [{chart.unit}]")
    _plain_log(ax.xaxis)
    _plain_log(ax.yaxis)
    return figure


@draw.register
def _parts(chart: PartsChart, palette: Palette) -> Figure:
    figure, ax = axes()
    count = chart.high.shape[1]
    colors = (palette.ink, palette.first, palette.second)
    places = (np.arange(count) + 0.5) / count - 0.5
    for group, (low, high) in enumerate(zip(chart.low, chart.high, strict=True)):
        x, color = group + 0.8 * places, colors[group % len(colors)]
        ax.vlines(x, low, high, color=color, lw=min(3.0, 40.0 / count))
        for end in (low, high):
            ax.scatter(x, end, marker="_", s=min(80.0, 900.0 / count), color=color, lw=1.4)
    ax.set_xticks(range(len(chart.names)), chart.names)
    ax.set_ylim(bottom=0)
    ax.grid(visible=False, axis="x")
    ax.set(ylabel=f"at least, at most [{chart.unit}]")
    return figure


@draw.register
def _curves(chart: Curves, palette: Palette) -> Figure:
    figure, ax = axes()
    styles = zip((palette.first, palette.second, palette.third, palette.good), "os^D", strict=True)
    for (name, (x, y)), (color, marker) in zip(chart.lines.items(), styles, strict=False):
        ax.plot(x, y, color=color, marker=marker, ms=3.5 if len(x) < 60 else 0, lw=1.6, label=name)
    if chart.log:
        ax.set_yscale("log")
        _plain_log(ax.yaxis)
    if all(np.issubdtype(np.asarray(x).dtype, np.integer) for x, _ in chart.lines.values()):
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set(xlabel=chart.x_label, ylabel=chart.y_label)
    if len(chart.lines) > 1:
        ax.legend()
    return figure


_FAMILY = {"solver": ("s", "second"), "surrogate": ("o", "first"), "refined": ("^", "good")}


@draw.register
def _cost(chart: CostChart, palette: Palette) -> Figure:
    figure, ax = axes(4.9, 3.7)
    ax.set(xscale="log", yscale="log")
    floor = _floor(chart.points)
    for number, point in enumerate(sorted(chart.points, key=lambda p: p.seconds), start=1):
        _mark(ax, point, number, floor, palette)
    ax.margins(x=0.16, y=0.14)
    ax.set(xlabel="time per case", ylabel=chart.error_label)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda t, _: duration(t, 1)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    _plain_log(ax.yaxis, percent=chart.percent)
    _family_legend(figure, chart.points, palette)
    return figure


def _floor(points: Sequence[CostPoint]) -> float:
    """Errors at rounding level are drawn here, with an arrow: they would squeeze everything else together."""
    shown = [p.error for p in points if p.error > ROUNDING]
    return min(shown, default=ROUNDING) / 5


def _mark(ax: Axes, point: CostPoint, number: int, floor: float, palette: Palette) -> None:
    """One way to answer, with the number that the table below the chart explains."""
    marker, role = _FAMILY[point.family]
    color, height = getattr(palette, role), max(point.error, floor)
    face = color if point.guaranteed else palette.surface
    ax.plot(point.seconds, height, marker, ms=7, mec=color, mfc=face, mew=1.6)
    if point.error < floor:
        arrow = {"arrowstyle": "<-", "color": color}
        ax.annotate("", (point.seconds, height), xytext=(0, -14), textcoords="offset points", arrowprops=arrow)
    ax.annotate(
        str(number), (point.seconds, height), xytext=(6, 5), textcoords="offset points", size=9, color=palette.ink
    )


def _family_legend(figure: Figure, points: Sequence[CostPoint], palette: Palette) -> None:
    names = {"solver": "plain solver", "surrogate": "surrogate", "refined": "surrogate, refined"}
    present = [f for f in names if any(p.family == f for p in points)]
    handles = [
        Line2D([], [], ls="", marker=_FAMILY[f][0], ms=7, color=getattr(palette, _FAMILY[f][1]), label=names[f])
        for f in present
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, handletextpad=0.2, columnspacing=1.2)


@draw.register
def _field(chart: FieldPlot, palette: Palette) -> Figure:
    width, height = np.ptp(chart.points, axis=0)
    figure, ax = axes(3.5, 1.2 + 2.6 * float(height / width))
    low, high = chart.span or (float(np.min(chart.values)), float(np.max(chart.values)))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    options: dict[str, Any] = {
        "cmap": "RdBu_r" if chart.diverging else "viridis",
        "vmin": low,
        "vmax": high,
        "rasterized": True,
    }
    image = _paint(ax, chart, options)
    ax.set_aspect("equal")
    ax.margins(0)
    ax.grid(visible=False)
    suffix = f" [{chart.axis_unit}]" if chart.axis_unit else ""
    ax.set(xlabel=f"x{suffix}", ylabel=f"y{suffix}")
    bar = figure.colorbar(image, ax=ax, location="bottom", aspect=28, pad=0.03)
    bar.set_label(chart.label)
    bar.locator = MaxNLocator(3 if chart.diverging else 5)  # small differences have long numbers
    bar.formatter = FuncFormatter(_plain_number)
    bar.update_ticks()
    bar.outline.set_visible(False)
    return figure


def _plain_number(value: float, _: int | None = None) -> str:
    """Ticks of a linear scale, zero included."""
    return "0" if value == 0 else significant(value, 2) if abs(value) < 1e-3 else f"{value:,.4g}"


def _paint(ax: Axes, chart: FieldPlot, options: dict[str, Any]) -> ColorizingArtist:
    """A tensor grid as coloured cells, anything else as triangles."""
    x, y = (np.unique(np.round(chart.points[:, k], 12)) for k in range(2))
    if chart.triangles is None and len(x) * len(y) == len(chart.points):
        order = np.lexsort((chart.points[:, 0], chart.points[:, 1]))
        return ax.pcolormesh(x, y, chart.values[order].reshape(len(y), len(x)), shading="gouraud", **options)
    mesh = Triangulation(chart.points[:, 0], chart.points[:, 1], chart.triangles)
    return ax.tripcolor(mesh, chart.values, shading="gouraud", **options)


@draw.register
def _designs(chart: Designs, palette: Palette) -> Figure:
    figure = axes(9.6, 4.2)[0]
    figure.clear()
    everything, closeup = figure.subplots(1, 2, width_ratios=(1.45, 1))
    _cloud(everything, chart, palette)
    near = Closeup("", chart.values, chart.limit, chart.verdict, chart.threshold, chart.unit)
    _closeup(closeup, near, palette)
    return figure


def _colors(palette: Palette) -> dict[str, tuple[str, str]]:
    return {"below": (palette.good, "o"), "above": (palette.bad, "o"), "undecided": (palette.unsure, "D")}


def _cloud(ax: Axes, chart: Designs, palette: Palette) -> None:
    """All designs; drawn as a bitmap because there are so many."""
    order = np.random.default_rng(0).permutation(len(chart.values))
    for word, (color, _) in _colors(palette).items():
        rows = order[chart.verdict[order] == word]
        ax.scatter(
            chart.across[rows], chart.values[rows], s=1.2, color=_solid(color), alpha=0.35, lw=0, rasterized=True
        )
    ax.axhline(chart.threshold, color=palette.ink, lw=1.2)
    ax.text(
        0.01, chart.threshold, f" {exact(chart.threshold)} {chart.unit}",
        transform=ax.get_yaxis_transform(), va="bottom", color=palette.ink, size=10, weight="bold",
    )  # fmt: skip
    ax.set(xlabel=chart.across_label, ylabel=f"{chart.value_label} [{chart.unit}]")
    ax.set_title(chart.heading or f"{len(chart.values):,} designs", loc="left", size=11)
    _verdict_legend(ax, chart, palette)


def _verdict_legend(ax: Axes, chart: Designs, palette: Palette) -> None:
    handles = [
        Line2D([], [], ls="", marker=m, ms=6, color=c, label=f"{word}: {int((chart.verdict == word).sum()):,}")
        for word, (c, m) in _colors(palette).items()
    ]
    ax.legend(handles=handles, loc="upper left", handletextpad=0.1)


@draw.register
def _single_closeup(chart: Closeup, palette: Palette) -> Figure:
    figure, ax = axes()
    _closeup(ax, chart, palette)
    return figure


def _closeup(ax: Axes, chart: Closeup, palette: Palette) -> None:
    """The designs next to the threshold with their limits, as the distance from it."""
    nearest = np.argsort(np.abs(chart.values - chart.threshold))[: chart.shown]
    rows = nearest[np.argsort(chart.values[nearest])]
    distance = chart.values[rows] - chart.threshold
    scale, unit = _small_unit(chart.unit, float(np.max(np.abs(distance) + chart.limit[rows])))
    for word, (color, marker) in _colors(palette).items():
        at = np.flatnonzero(chart.verdict[rows] == word)
        if len(at) == 0:
            continue
        ax.errorbar(
            at, distance[at] * scale, yerr=chart.limit[rows[at]] * scale,
            fmt=marker, ms=4, color=color, elinewidth=1.4, capsize=2,
        )  # fmt: skip
    ax.axhline(0.0, color=palette.ink, lw=1.2)
    threshold = f"{exact(chart.threshold)} {chart.unit}"
    ax.set(xticks=[], xlabel=f"the {len(rows)} designs closest to {threshold}")
    ax.set_ylabel(f"distance from {threshold} [{unit}]")
    ax.set_title(_bars(chart, distance, chart.limit[rows]), loc="left", size=11)


def _bars(chart: Closeup, distance: Real, limit: Real) -> str:
    """How large the bars are; said in words where they cannot be seen."""
    largest = at_most(float(limit.max()), chart.unit.replace("°C", "K"))
    hidden = limit.max() < 0.02 * np.ptp(distance)
    return f"limit up to {largest}, within the marks" if hidden else f"bars: the limit, up to {largest}"


def _small_unit(unit: str, largest: float) -> tuple[float, str]:
    """Temperature differences are in kelvin, small ones in millikelvin."""
    if unit in ("°C", "K"):
        return (1e3, "mK") if largest < 0.5 else (1.0, "K")
    return 1.0, unit


def _solid(color: str) -> str:
    """A bitmap cannot follow the page: use a tone that reads on light and dark."""
    return {PAGE.good: "#1aa37c", PAGE.bad: "#d9622b", PAGE.unsure: "#8a93a0"}.get(color, color)


def _plain_log(axis: Axis, *, percent: bool = False) -> None:
    """Labels such as 0.1 %, 1 % or 10⁻⁶ on a logarithmic axis."""
    low, high = sorted(axis.get_view_interval())
    short = high < 30 * low  # fewer than one and a half decades: label 1, 2, 5
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if short else LogLocator(numticks=8))
    axis.set_minor_formatter(NullFormatter())
    formatter: Callable[[float, int | None], str]
    formatter = _percent_tick if percent else _plain_tick
    axis.set_major_formatter(FuncFormatter(formatter))


def _plain_tick(value: float, _: int | None = None) -> str:
    if 1e-3 <= value < 1e5:
        return significant(value, 1)
    return power_of_ten(round(np.log10(value)))


def _percent_tick(value: float, _: int | None = None) -> str:
    return f"{_plain_tick(100 * value)} %"


def spans(*fields: Array | Real) -> tuple[float, float]:
    """A colour scale that fields share, so that they can be compared by eye."""
    return min(float(np.min(f)) for f in fields), max(float(np.max(f)) for f in fields)
