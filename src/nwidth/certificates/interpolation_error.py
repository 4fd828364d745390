"""How far interpolated coefficients are from the true ones, as what a residual needs: three ways to know.

- everywhere: the difference at every quadrature point of the query, weighted by the solution there. A proof; its cost
  grows with the mesh.
- `rb.interpolation.taylor`: bounds prepared for a whole box of parameters. A proof; its cost does not.
- at the next point: the difference at the one point that the next term would take. An indication: the true maximum may
  be elsewhere. Barrault, Maday, Nguyen and Patera (2004), section 2.4.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nwidth.core.arrays import Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Reduced
from nwidth.problems.functions import Function, Smooth
from nwidth.problems.non_affine import stability_of
from nwidth.problems.point_forms import PointForms
from nwidth.rb.interpolation.interpolant import Interpolant
from nwidth.rb.interpolation.problem import Interpolated
from nwidth.rb.interpolation.taylor import EVALUATION, BoxBound
from nwidth.rb.rounding import EPS, gamma
from nwidth.spaces.mesh import Form

#: Values of a function that are looked at together: few enough to stay near, enough to share a mode.
_PIECE = 200_000


@dataclass(frozen=True)
class Query:
    """Parameters `(B, P)`, their interpolation coefficients, role -> `(B, M)`, and the reduced solutions."""

    table: Real
    coefficients: Mapping[str, Real]
    values: Reduced

    def take(self, rows: slice) -> "Query":
        """Some of the rows."""
        coefficients = {role: c[rows] for role, c in self.coefficients.items()}
        return Query(self.table[rows], coefficients, replace(self.values, coefficients=self.values.coefficients[rows]))


@dataclass(frozen=True)
class Errors:
    """Bounds for each query `(B,)`: of `|a - a_M|` and `|c - c_M|` at every point, of `(∫ (f - f_M)²)^½`, and a lower
    bound of the true operator against X. +inf where the query is outside of what is known.

    `weighted`: where the solution was looked at point by point too, a bound of what all three do to its residual.
    """

    diffusion: Real
    reaction: Real
    source: Real
    lower: Real
    weighted: Real | None = None


Rule = Callable[[Interpolated, Query], Errors]


def everywhere(problem: Interpolated, query: Query) -> Errors:
    """From the values at all quadrature points."""
    step = max(1, _PIECE // len(problem.truth.forms.points))
    rows = [slice(first, first + step) for first in range(0, len(query.table), step)]
    pieces = [_piece(problem, query.take(r)) for r in rows]
    return Errors(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in _NAMES))


_NAMES = ("diffusion", "reaction", "source", "lower", "weighted")


def _piece(problem: Interpolated, query: Query) -> Errors:
    forms, table = problem.truth.forms, query.table
    values = problem.truth.values({name: table[:, i] for i, name in enumerate(problem.parameters.names)})
    error = {role: _Difference(problem.parts[role], query.coefficients[role], exact) for role, exact in values.items()}
    none = np.zeros(len(table))
    return Errors(
        diffusion=error["diffusion"].largest,
        reaction=error["reaction"].largest if "reaction" in error else none,
        source=_mean(error["source"].size, forms),
        lower=stability_of(forms, values).lower,
        weighted=_weighted(error, forms, query.values),
    )


class _Difference:
    """`g - g_M` at all points, `(B, n)`, a bound of its rounding, `(B, 1)`, and of its size, `(B, n)`."""

    def __init__(self, part: Interpolant, coefficients: Real, exact: Real):
        self.value = exact - coefficients @ part.basis
        parts = np.abs(coefficients) @ part.peaks
        self.rounding = (gamma(part.terms + 4) * parts + EVALUATION * np.abs(exact).max(axis=1))[:, None]
        self.size = (np.abs(self.value) + self.rounding) * (1 + 4 * EPS)
        self.largest = self.size.max(axis=1)


def _mean(values: Real, forms: PointForms) -> Real:
    """A bound of `(Σ_k w_k v_k²)^½`."""
    return np.sqrt(values**2 @ forms.weights) * (1 + gamma(len(forms.weights) + 8))


def _weighted(error: Mapping[str, _Difference], forms: PointForms, values: Reduced) -> Real:
    """`‖(a - a_M) ∇u‖ + √C ‖(f - f_M) - (c - c_M) u‖` in L², u the reduced solution, with the rounding of u and ∇u."""
    fields = np.ascontiguousarray(values.reconstruct().T)
    lengths = np.linalg.norm(values.basis, axis=1)
    lift = 0.0 if values.offset is None else float(np.linalg.norm(values.offset))
    length = np.abs(values.coefficients) @ lengths + lift
    # an entry of u or ∇u is a sum over the dofs of an element, each of them a sum over the modes
    operations, corners = gamma(len(lengths) + forms.nodal.elements.shape[1] + 8), forms.nodal.elements.shape[1]
    slope = np.sqrt(sum((gradient @ fields) ** 2 for gradient in forms.gradients)).T
    total = _mean(error["diffusion"].size * slope, forms)
    total = total + error["diffusion"].largest * operations * length * _entry(forms.space.energy, corners)
    rest, rounding = error["source"].value, error["source"].rounding
    if "reaction" in error:
        u = (forms.evaluation @ fields).T
        rest = rest - error["reaction"].value * u
        rounding = rounding + error["reaction"].rounding * np.abs(u) + 4 * EPS * (np.abs(rest) + np.abs(u))
        noise = error["reaction"].largest * operations * length * _entry(forms.space.mass, corners)
        total = total + np.sqrt(forms.friedrichs) * noise
    return total + np.sqrt(forms.friedrichs) * _mean(np.abs(rest) + rounding, forms)


def _entry(form: Form, corners: int) -> float:
    """`(Σ_k w_k (Σ_i |φ_i(x_k)| |u_i|)²)^½ <= (corners · max X_ii)^½ |u|`, and so for gradients."""
    return float(np.sqrt(corners * np.abs(form.matrix.diagonal()).max()))


def at_next_point(problem: Interpolated, query: Query) -> Errors:
    """From one value more for each function."""
    functions, table = problem.truth.functions.named(), query.table
    error = {role: _at_next(problem, role, table, query.coefficients[role]) for role in problem.parts}
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

    def rule(problem: Interpolated, query: Query) -> Errors:
        forms, functions, table = problem.truth.forms, problem.truth.functions.named(), query.table
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
