"""True error against stated limit as a small SVG, drawn without matplotlib: the same bytes for the same numbers."""

import math
from html import escape

import numpy as np

from nwidth.core.arrays import Real
from nwidth.reports.document import Scatter
from nwidth.reports.words import power_of_ten

_SIDE, _LEFT, _BOTTOM, _GAP = 300.0, 52.0, 40.0, 16.0


def scatter_svg(scatter: Scatter) -> str:
    """Both axes are logarithmic and alike; a case below the diagonal broke its limit and is drawn as a cross."""
    shown = np.isfinite(scatter.errors) & np.isfinite(scatter.limits) & (scatter.limits > 0)
    errors, limits = scatter.errors[shown], scatter.limits[shown]
    if not len(errors):
        return ""
    low, high = _decades(errors, limits)
    parts = [_ticks(low, high), _line((low, low), (high, high), low, high, "muted", dashed=True)]
    for error, limit in zip(np.maximum(errors, 10.0**low).tolist(), limits.tolist(), strict=True):
        parts.append(_mark(_place(error, low, high), _place(limit, low, high), broken=limit < error))
    unit = f" [{scatter.unit}]" if scatter.unit else ""
    width, height = _LEFT + _SIDE + _GAP, _SIDE + _BOTTOM + _GAP
    return (
        f"<svg role='img' aria-label='{escape(scatter.title, quote=True)}' viewBox='0 0 {width:.0f} {height:.0f}' "
        f"font-size='11' fill='var(--muted)'>{''.join(parts)}"
        f"<text x='{_LEFT + _SIDE / 2:.0f}' y='{height - 4:.0f}' text-anchor='middle'>true error{escape(unit)}</text>"
        f"<text transform='translate(12 {_GAP + _SIDE / 2:.0f}) rotate(-90)' text-anchor='middle'>stated limit"
        f"{escape(unit)}</text></svg>"
    )


def _decades(errors: Real, limits: Real) -> tuple[int, int]:
    """Whole powers of ten around the numbers; errors far below every limit are drawn at the edge."""
    smallest = min(float(errors[errors > 0].min(initial=np.inf)), float(limits.min()))
    low = math.floor(math.log10(max(smallest, 1e-3 * float(limits.min()))))
    high = math.ceil(math.log10(max(float(errors.max()), float(limits.max()))) + 1e-12)
    return low, max(high, low + 1)


def _place(value: float, low: int, high: int) -> float:
    return (math.log10(value) - low) / (high - low)


def _ticks(low: int, high: int) -> str:
    step = max(1, (high - low + 4) // 5)
    parts = []
    for exponent in range(low, high + 1, step):
        parts.append(_line((exponent, low), (exponent, high), low, high, "rule"))
        parts.append(_line((low, exponent), (high, exponent), low, high, "rule"))
        at, text = (exponent - low) / (high - low), power_of_ten(exponent)
        parts.append(
            f"<text x='{_x(at)}' y='{_GAP + _SIDE + 15:.0f}' text-anchor='middle'>{text}</text>"
            f"<text x='{_LEFT - 6:.0f}' y='{_y(at)}' dy='4' text-anchor='end'>{text}</text>"
        )
    return "".join(parts)


def _line(a: tuple[int, int], b: tuple[int, int], low: int, high: int, role: str, dashed: bool = False) -> str:
    (x1, y1), (x2, y2) = (((u - low) / (high - low), (v - low) / (high - low)) for u, v in (a, b))
    dash = " stroke-dasharray='4 3'" if dashed else ""
    return f"<line x1='{_x(x1)}' y1='{_y(y1)}' x2='{_x(x2)}' y2='{_y(y2)}' stroke='var(--{role})'{dash}/>"


def _mark(x: float, y: float, broken: bool) -> str:
    if broken:
        return f"<text x='{_x(x)}' y='{_y(y)}' dy='5' text-anchor='middle' font-size='16' fill='var(--bad)'>✕</text>"
    return f"<circle cx='{_x(x)}' cy='{_y(y)}' r='2.6' fill='var(--first)' fill-opacity='0.6'/>"


def _x(part: float) -> str:
    return f"{_LEFT + _SIDE * min(1.0, max(0.0, part)):.1f}"


def _y(part: float) -> str:
    return f"{_GAP + _SIDE * (1 - min(1.0, max(0.0, part))):.1f}"
