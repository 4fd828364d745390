"""Evolution problems stored as their configuration: a few of their own numbers, checked when they are loaded."""

from typing import TypeVar

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import select
from nwidth.problems.base import Evolution
from nwidth.problems.evolution import LinearEvolution, Semilinear

P = TypeVar("P", bound=Evolution)

_TOLERANCE = 1e-7


def check_numbers(problem: Semilinear | LinearEvolution) -> Real:
    """Numbers that change with the draws, the initial state, the equation or the stored times, to eight digits."""
    mu = problem.parameters.sample(range(2), 0)
    equation = _semilinear(problem) if isinstance(problem, Semilinear) else _linear(problem, select(mu, slice(0, 1)))
    numbers = [_projection(problem.initial(mu)), _projection(np.asarray(problem.times)), *equation]
    return np.array([float(f"{v:.8g}") for v in numbers])


def verify_numbers(problem: P, stored: Array) -> P:
    """The problem, if it still gives the numbers that were stored with it. Raises InputError otherwise."""
    found = check_numbers(problem) if isinstance(problem, Semilinear | LinearEvolution) else np.empty(0)
    if stored.shape == found.shape and np.allclose(found, stored, rtol=_TOLERANCE, atol=1e-10):
        return problem
    raise InputError(
        f"the stored problem {getattr(problem, 'kind', type(problem).__name__)!r} had the check numbers "
        f"{stored.tolist()}, this version gives {found.tolist()}: it is not the same problem any more; generate and "
        "fit again with this version, or load the file with the version that wrote it"
    )


def _semilinear(problem: Semilinear) -> list[float]:
    terms = problem.terms(problem.grid.wave_numbers())
    fields = [np.cos(1.0 + 0.7 * j + np.arange(7.0)) for j in range(len(terms.inputs))]
    parts = [terms.symbol, *terms.inputs, *terms.outputs, terms.forcing]
    return [_projection(p) for p in parts if p is not None] + [_projection(p) for p in terms.product(*fields)]


def _linear(problem: LinearEvolution, mu: dict[str, Array]) -> list[float]:
    system, t = problem.marching(mu), 0.37
    w = _weights(system.mass.shape[0])
    load = 0.0 if system.load is None else float(w @ system.load(t))
    lift = 0.0 if system.lift is None else float(w @ system.lift(t))
    return [float(w @ (system.mass @ w)), float(w @ (system.operator @ w)), load, lift, float(system.free.sum())]


def _projection(values: Array) -> float:
    """One number that changes when values change, or change places."""
    flat = np.asarray(values).ravel()
    flat = np.concatenate([flat.real, flat.imag]) if np.iscomplexobj(flat) else flat
    return float(_weights(flat.size) @ flat) / max(flat.size, 1)


def _weights(size: int) -> Real:
    return np.cos(1.0 + 0.7 * np.arange(size) ** 1.1)
