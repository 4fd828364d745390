"""How far the answers are from the exact solution of the equation, and whose part that is: for checks and reports."""

from collections.abc import Mapping

import numpy as np

from nwidth.core.arrays import Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Rigorous
from nwidth.core.prediction import Prediction
from nwidth.online.total_error import TotalErrorBound
from nwidth.problems.base import Problem
from nwidth.reports.model import PartsChart, Table
from nwidth.reports.words import at_most, percent

#: Samples that are bounded: each costs a few solves.
_BOUNDED = 16
#: What is kept of each sample, relative to the energy norm of the answer.
_KEPT = ("total", "lower", "surrogate", "surrogate_lower", "discretisation", "discretisation_lower")
#: Whether these bounds are proven: of the whole, and of its parts.
WHOLE, SPLIT = "whole proven", "parts proven"
_INDICATION = "an indication only"
#: Name of a part on the screen, and what it is kept under.
_PARTS = (("whole error", "total", "lower"), ("surrogate's part", "surrogate", "surrogate_lower"),
          ("mesh's part", "discretisation", "discretisation_lower"))  # fmt: skip


def exact_parts(problem: Problem, prediction: Prediction) -> dict[str, Real]:
    """Bounds of the whole error and its parts for the first samples, `(B,)`, and whether those of the parts are proven;
    empty where the equation has no bound: of another kind, or with values prescribed where the bound allows none."""
    if not TotalErrorBound.applies(problem):
        return {}
    try:
        found = TotalErrorBound(problem)(prediction.take(slice(0, _BOUNDED)))
    except InputError:
        return {}
    usable = np.isfinite(found.total) & (found.norm > 0)
    if not usable.any():
        return {}
    parts = {name: getattr(found, name)[usable] / found.norm[usable] for name in _KEPT}
    flags = {WHOLE: found.guarantee, SPLIT: found.split_guarantee}
    return parts | {name: np.full(usable.sum(), isinstance(g, Rigorous), dtype=float) for name, g in flags.items()}


def proven(parts: Mapping[str, Real], what: str) -> bool:
    """Whether the bounds of the whole error (`WHOLE`) or of its parts (`SPLIT`) are; not where that is not known."""
    return what in parts and bool(np.all(parts[what]))


def exact_sentence(parts: Mapping[str, Real]) -> str:
    """The parts of the typical case in words, and what would help."""
    typical = {name: float(np.median(values)) for name, values in parts.items()}
    whole = "guaranteed" if proven(parts, WHOLE) else _INDICATION
    split = "" if proven(parts, SPLIT) else f" ({_INDICATION}: a stability constant is not proven)"
    text = (
        f"Against the exact solution of the equation: at most {at_most(100 * typical['total'], '%')} off (energy norm, "
        f"median; largest {at_most(100 * float(parts['total'].max()), '%')}), {whole}. Of that the surrogate's part "
        f"is{split} at most {at_most(100 * typical['surrogate'], '%')}, and the mesh is itself "
        f"{percent(typical['discretisation_lower'])} to {at_most(100 * typical['discretisation'], '%')} off. "
    )
    if typical["surrogate"] <= 0.5 * typical["total"]:
        return text + "Only a finer mesh would halve the error."
    if typical["discretisation"] <= 0.5 * typical["total"]:
        return text + "Refining the answers would halve the error."
    return text + "It takes a finer mesh and refined answers to halve the error."


def exact_table(parts: Mapping[str, Real]) -> Table:
    """Between which numbers each part lies: the median of both ends, and the largest upper end."""
    rows = tuple(
        (name, percent(float(np.median(parts[low]))), at_most(100 * float(np.median(parts[high])), "%"),
         at_most(100 * float(parts[high].max()), "%"))
        for name, high, low in _PARTS
    )  # fmt: skip
    sure = "Guaranteed" if proven(parts, WHOLE) else _INDICATION.capitalize()
    if proven(parts, WHOLE) and not proven(parts, SPLIT):
        sure = "The whole error is guaranteed, its parts are an indication only (a stability constant is not proven)"
    note = f"{sure}, relative to the answer's energy. Refining removes the surrogate's part, a finer mesh the mesh's."
    header = ("distance to the exact solution", "at least (median)", "at most (median)", "at most (largest)")
    return Table("Whose error it is", header, rows, note)


def exact_chart(parts: Mapping[str, Real]) -> PartsChart:
    """Every bounded sample: from where to where each part lies."""
    return PartsChart(
        "Whose error it is: every bounded case",
        tuple(name for name, _, _ in _PARTS),
        np.stack([100 * parts[low] for _, _, low in _PARTS]),
        np.stack([100 * parts[high] for _, high, _ in _PARTS]),
        "% of the energy norm",
    )
