"""Whether limits belong to the equation that a router is asked to meet a tolerance for."""

import numpy as np

from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.problems.base import Linear, Problem

#: Residuals of one equation by two ways of assembly agree to this part of their size.
_SAME = 1e-8


def check_same_equation(known: Problem | None, problem: Linear) -> None:
    """InputError where `problem` is another equation than the one that limits were proven for.

    Residuals of one random field at one random parameter are compared: that tells other loads, coefficients, boundary
    values and spaces apart, whatever class they come from.
    """
    if known is None or known is problem or not isinstance(known, Linear):
        return
    if known.space.shape != problem.space.shape or set(known.parameters.names) != set(problem.parameters.names):
        raise InputError(_another(known, problem, "their unknowns or parameters differ"))
    mu = known.parameters.sample(range(1), 0)
    v = generator(0, 0).standard_normal((1, problem.space.size))
    first, second = (systems.residual(systems.impose(v)) for systems in (known.systems(mu), problem.systems(mu)))
    size = float(np.linalg.norm(first))
    if not np.linalg.norm(first - second) <= _SAME * size:
        raise InputError(_another(known, problem, "their residuals differ"))


def _another(known: Problem, problem: Problem, why: str) -> str:
    return (
        f"the limits were proven for {type(known).__name__}, not for this {type(problem).__name__}: {why}. Certify the "
        "surrogate for the problem at hand: nw.Refining(nw.certify(surrogate, problem), problem, ...)"
    )
