"""How far interpolated coefficients are from the true ones, as what a residual needs: three ways to know.

- everywhere: the difference at every quadrature point of the query. A proof; its cost grows with the mesh.
- `rb.interpolation.taylor`: bounds prepared for a whole box of parameters. A proof; its cost does not.
- at the next point: the difference at the one point that the next term would take. An indication: the true maximum may
  be elsewhere. Barrault, Maday, Nguyen and Patera (2004), section 2.4.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Real
from nwidth.core.errors import InputError
from nwidth.problems.functions import Function, Smooth
from nwidth.problems.non_affine import stability_of
from nwidth.rb.interpolation.interpolant import Interpolant
from nwidth.rb.interpolation.problem import Interpolated
from nwidth.rb.interpolation.taylor import EVALUATION, BoxBound
from nwidth.rb.rounding import EPS, gamma

#: Numbers of a batch of coefficients at all points that are held at a time.
_PIECE = 4_000_000


@dataclass(frozen=True)
class Errors:
    """Bounds for each query `(B,)`: of `|a - a_M|` and `|c - c_M|` at every point, of `(∫ (f - f_M)²)^½`, and a lower
    bound of the true operator against X. +inf where the query is outside of what is known."""

    diffusion: Real
    reaction: Real
    source: Real
    lower: Real


#: From the problem, parameters `(B, P)` and their interpolation coefficients, role -> `(B, M)`.
Rule = Callable[[Interpolated, Real, Mapping[str, Real]], Errors]


def everywhere(problem: Interpolated, table: Real, coefficients: Mapping[str, Real]) -> Errors:
    """From the values at all quadrature points."""
    step = max(1, _PIECE // len(problem.truth.forms.points))
    rows = [slice(first, first + step) for first in range(0, len(table), step)]
    pieces = [_piece(problem, table[r], {role: c[r] for role, c in coefficients.items()}) for r in rows]
    return Errors(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in _NAMES))


_NAMES = ("diffusion", "reaction", "source", "lower")


def _piece(problem: Interpolated, table: Real, coefficients: Mapping[str, Real]) -> Errors:
    forms = problem.truth.forms
    values = problem.truth.values({name: table[:, i] for i, name in enumerate(problem.parameters.names)})
    error = {role: _difference(problem.parts[role], coefficients[role], exact) for role, exact in values.items()}
    largest = {role: part.max(axis=1) for role, part in error.items()}
    return Errors(
        diffusion=largest["diffusion"],
        reaction=largest.get("reaction", np.zeros(len(table))),
        source=np.sqrt(error["source"] ** 2 @ forms.weights) * (1 + gamma(len(forms.weights) + 4)),
        lower=stability_of(forms, values).lower,
    )


def _difference(part: Interpolant, coefficients: Real, exact: Real) -> Real:
    """`|g - g_M|` at all points with the rounding of both, `(B, n)`."""
    rounding = gamma(part.terms + 2) * (np.abs(coefficients) @ np.abs(part.basis)) + EVALUATION * np.abs(exact)
    return np.abs(exact - coefficients @ part.basis) * (1 + 2 * EPS) + rounding


def at_next_point(problem: Interpolated, table: Real, coefficients: Mapping[str, Real]) -> Errors:
    """From one value more for each function."""
    functions = problem.truth.functions.named()
    error = {role: _at_next(problem, role, table, coefficients[role]) for role in problem.parts}
    none = np.zeros(len(table))
    lower = _seen(problem, "diffusion", table)
    if "reaction" in functions:
        lower = lower + np.minimum(_seen(problem, "reaction", table), 0.0) * problem.truth.forms.friedrichs
    area = np.sqrt(problem.truth.forms.weights.sum())
    return Errors(error["diffusion"], error.get("reaction", none), error["source"] * area, lower)


def _at_next(problem: Interpolated, role: str, table: Real, coefficients: Real) -> Real:
    part, function = problem.parts[role], problem.truth.functions.named()[role]
    if part.following < 0:  # the snapshots are represented to rounding: there is no next point
        return np.full(len(table), EPS * part.errors[0])
    point = problem.truth.forms.points[part.following : part.following + 1]
    return np.abs(function.values(point, table)[:, 0] - coefficients @ part.basis[:, part.following])


def _seen(problem: Interpolated, role: str, table: Real) -> Real:
    """The smallest value of a function: in closed form, or else at the points of its interpolation."""
    function, part = problem.truth.functions.named()[role], problem.parts[role]
    if isinstance(function, Smooth):
        return function.lower(table)
    return function.values(problem.truth.forms.points[part.points], table).min(axis=1)


def in_boxes(boxes: Mapping[str, BoxBound]) -> Rule:
    """From bounds prepared for the whole box of parameters."""

    def rule(problem: Interpolated, table: Real, coefficients: Mapping[str, Real]) -> Errors:
        forms, functions = problem.truth.forms, problem.truth.functions.named()
        error = {role: boxes[role].evaluate(table) for role in boxes}
        lower = _closed(functions["diffusion"], table)
        size = functions["diffusion"].derivative_bound(_none(table))  # type: ignore[attr-defined]
        if "reaction" in functions:
            lower = lower + np.minimum(_closed(functions["reaction"], table), 0.0) * forms.friedrichs
            size += functions["reaction"].derivative_bound(_none(table)) * forms.friedrichs  # type: ignore[attr-defined]
        area = np.sqrt(forms.weights.sum()) * (1 + 1e-9)
        reaction = error.get("reaction", np.zeros(len(table)))
        return Errors(error["diffusion"], reaction, error["source"] * area, lower - 2 * forms.slack * size)

    return rule


def _none(table: Real) -> list[int]:
    return [0] * table.shape[1]


def _closed(function: Function, table: Real) -> Real:
    return smooth(function).lower(table)


def smooth(function: Function) -> Smooth:
    """The function, if it knows its derivatives; InputError otherwise."""
    if isinstance(function, Smooth):
        return function
    raise InputError(
        f"{type(function).__name__} has no closed-form derivatives in the parameters, which a bound for a whole box "
        'needs: inherit Smooth (derivative, derivative_bound, lower), or use error="everywhere"'
    )


def prepare_boxes(problem: Interpolated, levels: int, order: int) -> dict[str, BoxBound]:
    """The bounds of every function on the problem's box of parameters."""
    points, functions = problem.truth.forms.points, problem.truth.functions.named()
    return {
        role: _prepared(problem, smooth(functions[role]), part, points, levels, order)
        for role, part in problem.parts.items()
    }


def _prepared(
    problem: Interpolated, function: Smooth, part: Interpolant, points: Real, levels: int, order: int
) -> BoxBound:
    return BoxBound.prepare(function, part, points, problem.parameters, levels, order)
