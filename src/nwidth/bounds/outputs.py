"""Limits of linear quantities of interest from the energy bound of the field.

For `s(u) = l·u` and `‖u - v‖_A <= Δ`: `|s(u) - s(v)| <= ‖l‖_{A⁻¹} Δ <= ‖l‖_{X⁻¹} Δ / √α`. Linear in the field's error;
where the functional is a load, the reduced basis does better (see `nwidth.certificates.reduced`).

Where no end of a grid fixes the level of a solution, X does not see constants: only a functional that does not either
has a limit. Any other has no value there to be near to, and its limit is +inf.
"""

import numpy as np

from nwidth.bounds.residual import EPS, dual_norm_upper
from nwidth.core.arrays import Mask, Mu, Real
from nwidth.core.prediction import Output
from nwidth.core.validation import select
from nwidth.problems.base import Outputs, Problem, Quantity, is_coercive
from nwidth.spaces.base import FunctionSpace, InnerProduct
from nwidth.spaces.grid import Grid


def bounded_output(quantity: Quantity, v: Real, bound: Real, lower: Real, inner: InnerProduct, free: Mask) -> Output:
    """The quantity of dofs v `(B, N)` and its limit; `lower (B,)` is the coercivity constant."""
    values = v @ quantity.functional + quantity.offset
    dual = dual_norm_upper(inner, np.where(free, quantity.functional, 0.0)[None])[0]
    noise = v.shape[1] * EPS * (np.abs(v) @ np.abs(quantity.functional) + abs(quantity.offset))
    known = (lower > 0) & (bound < np.inf)
    limit = dual / np.sqrt(np.where(known, lower, 1.0)) * np.where(known, bound, 0.0) + noise
    return Output(values, np.where(known & ~np.isnan(limit), limit, np.inf), quantity.unit)


def fixed(quantity: Quantity, space: FunctionSpace) -> bool:
    """Whether the quantity has a value: not where it sees the level of a field that nothing fixes."""
    if not isinstance(space, Grid) or not space.floating:
        return True
    size = float(np.abs(quantity.functional).sum())
    return abs(float(quantity.functional.sum())) <= (len(quantity.functional) + 8) * EPS * size


def problem_outputs(
    problem: Problem, mu: Mu, fields: Real, bound: Real, inner: InnerProduct | None = None
) -> dict[str, Output]:
    """Every quantity of the problem for fields `(B, *shape)` with energy bounds `(B,)`; empty without Outputs.

    Without a stability constant the limits are +inf, and so are those of quantities that see an open level. `inner` is
    the energy product where the caller holds it already.
    """
    if not isinstance(problem, Outputs):
        return {}
    quantities = problem.quantities()
    v = problem.space.flatten(fields)
    if not is_coercive(problem):
        unknown = np.full(len(v), np.inf)
        return {name: Output(v @ q.functional + q.offset, unknown, q.unit) for name, q in quantities.items()}
    lower, free = problem.constant(mu).lower, problem.systems(select(mu, slice(0, 1))).free
    inner = inner or problem.space.inner("energy")
    found, unknown = {}, np.full(len(v), np.inf)
    for name, q in quantities.items():
        found[name] = bounded_output(q, v, bound if fixed(q, problem.space) else unknown, lower, inner, free)
    return found
