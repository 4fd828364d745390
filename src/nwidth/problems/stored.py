"""A problem that is stored as its configuration carries a few of its own numbers, checked when it is loaded."""

from typing import TypeVar

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.problems.base import Linear

P = TypeVar("P", bound=Linear)

#: Agreement of the check vectors: above their rounding, far below a changed formula.
_TOLERANCE = 1e-7


def check_vector(problem: Linear) -> Real:
    """Eight numbers that change with the parameters drawn, the matrix, the load or the boundary data.

    For draws 0 and 1 of seed 0: (w, A w), (w, f), (w, lift) and the mean of the first parameter, with w a fixed
    vector that is neither smooth nor symmetric. Rounded to eight digits: the same on every machine.
    Of complex problems, the real parts and then the imaginary parts.
    """
    mu = problem.parameters.sample(range(2), 0)
    systems = problem.systems(mu)
    w = np.cos(1.0 + 0.7 * np.arange(systems.lift.shape[1]) ** 1.1)
    applied = systems.apply(np.tile(w, (2, 1)))
    first = np.asarray(mu[problem.parameters.names[0]], dtype=np.float64).reshape(2, -1)
    numbers = np.concatenate([applied @ w, systems.load @ w, systems.lift @ w, first.mean(axis=1)])
    parts = np.concatenate([numbers.real, numbers.imag]) if np.iscomplexobj(numbers) else numbers
    return np.array([float(f"{v:.8g}") for v in parts])


def verify(problem: P, stored: Array) -> P:
    """The problem, if it still gives the numbers that were stored with it; InputError otherwise."""
    found = check_vector(problem)
    if stored.shape == found.shape and np.allclose(found, stored, rtol=_TOLERANCE, atol=1e-12):
        return problem
    raise InputError(
        f"the stored problem {getattr(problem, 'kind', type(problem).__name__)!r} had the check numbers "
        f"{stored.tolist()}, this version gives {found.tolist()}: it is not the same problem any more; generate and "
        "fit again with this version, or load the file with the version that wrote it"
    )
