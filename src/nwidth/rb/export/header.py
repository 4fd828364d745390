"""The comment on top of an exported file: what is promised, in the words of the people who sign for it."""

from collections.abc import Iterator

from nwidth._version import __version__
from nwidth.core.expressions import Expression
from nwidth.rb.export.cost import Cost
from nwidth.rb.export.reading import Exported

_PROMISE = (
    "Promise: every output is at most its limit away from the result of your finite-element model of "
    "{size:,} unknowns, and the whole field at most `bound` (energy norm). Guaranteed.",
    "Counted: reduction, rounding (of this computation too). Not counted: mesh, material data, measurement of the "
    "parameters. Error-bounded; not a safety certification.",
)
_INDICATION = (
    "Indication only: the limits are estimates. Missing: a proven stability constant.",
    "Counted: reduction, rounding. Not counted: the stability constant's own error, mesh, material data.",
)
_CONDITIONS = (
    "The limit is the answer to `how far can this be off here`: it is computed for every query, and it also holds "
    "outside the ranges, where it is usually larger. Status 0 means: inside the ranges, with finite limits.",
    "Conditions: double is IEEE 754 with rounding to nearest; no -ffast-math (checked). The formulas of the "
    "coefficients are evaluated with this machine's <math.h>: the limit refers to the model with these coefficients.",
    "For the declarations alone: #define {upper}_INTERFACE_ONLY before including this file.",
)


def header(parts: Exported, name: str, cost: Cost) -> Iterator[str]:
    """The lines of the comment."""
    yield f"{name}: a reduced model with limits, written by nwidth {__version__}"
    yield f"Model SHA-256: {parts.fingerprint}"
    yield ""
    for text in _PROMISE if parts.proven else _INDICATION:
        yield text.format(size=parts.size)
    yield ""
    for text in _CONDITIONS:
        yield text.format(upper=name.upper())
    yield ""
    yield "Parameters mu[], with the ranges that the model was fitted for:"
    box = parts.box
    for i, (p, low, high, unit) in enumerate(zip(box.names, box.low, box.high, box.units, strict=True)):  # type: ignore[arg-type]
        yield f"  mu[{i}]  {p}: {low:g} to {high:g} {unit}".rstrip()
    yield "Outputs outputs[], each with limits[] in the same unit:"
    for i, (output, unit) in enumerate(parts.outputs):
        yield f"  outputs[{i}]  {output} {unit}".rstrip()
    if not parts.outputs:
        yield "  none: the model has no quantities of interest, the bound is for the field"
    yield ""
    yield from _equation(parts)
    yield ""
    yield from _cost(parts, cost)


def _equation(parts: Exported) -> Iterator[str]:
    modes, theta, phi = parts.model.modes, parts.formulas.theta, parts.formulas.phi
    yield f"Equation: sum_q theta_q A_q u = sum_q phi_q f_q, {modes} modes instead of {parts.size:,} unknowns"
    yield f"  theta ({len(theta)}): {_listed(theta)}"
    yield f"  phi ({len(phi)}): {_listed(phi)}"


def _listed(formulas: tuple[Expression, ...]) -> str:
    shown = ", ".join(formula.text for formula in formulas[:16])
    return shown + (", ..." if len(formulas) > 16 else "")


def _cost(parts: Exported, cost: Cost) -> Iterator[str]:
    calls = ", ".join(f"{count} {name}" for name, count in sorted(cost.calls.items()))
    yield (
        f"One query: {cost.flops:,} additions and multiplications, {cost.divisions:,} divisions, calls: {calls}; "
        "always the same. The stability constant comes on top: its loops are bounded by constants."
    )
    yield f"Memory: {cost.constants:,} bytes of constants, about {cost.stack:,} bytes of stack; nothing is allocated."
