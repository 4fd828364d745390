"""True errors: the distance between answers and full-order solutions."""

import numpy as np

from nwidth.bounds.residual import energy_bounds
from nwidth.core.arrays import Array, Mu, Real
from nwidth.problems.base import Coercive, Problem, is_coercive


def energy_errors(problem: Coercive, mu: Mu, truth: Array, fields: Array, piece: int = 64) -> tuple[Real, Real]:
    """`‖u - v‖_A` and `‖u‖_A` of each sample, `(B,)`; only free dofs differ."""
    space = problem.space
    error, size = np.empty(len(truth)), np.empty(len(truth))
    for first in range(0, len(truth), piece):
        rows = slice(first, first + piece)
        systems = problem.systems({name: values[rows] for name, values in mu.items()})
        u, v = space.flatten(truth[rows]), space.flatten(fields[rows])
        difference = np.where(systems.free, u - v, 0.0)
        error[rows] = np.sqrt(np.maximum(np.einsum("bn,bn->b", difference, systems.apply(difference)), 0.0))
        size[rows] = np.sqrt(np.maximum(systems.energy(u), 0.0))
    return error, size


def run_bounds(problem: Coercive, mu: Mu, truth: Array, piece: int = 64) -> Real:
    """A guaranteed bound of the energy distance between runs and the full-order solution itself, `(B,)`: an iteration
    ends at its tolerance, not at rounding."""
    space = problem.space
    inner, found = space.inner("energy"), np.empty(len(truth))
    for first in range(0, len(truth), piece):
        rows = slice(first, first + piece)
        part = {name: values[rows] for name, values in mu.items()}
        dofs = np.asarray(space.flatten(truth[rows]), dtype=np.float64)
        found[rows] = energy_bounds(problem.systems(part), dofs, inner, problem.constant(part)).upper
    return found


def relative_errors(problem: Problem, mu: Mu, truth: Array, fields: Array) -> Real:
    """Relative error of each sample `(B,)`: in the energy norm where the problem has one, else root mean square."""
    if is_coercive(problem):
        error, size = energy_errors(problem, mu, truth, fields)
    else:
        flat = truth.reshape(len(truth), -1)
        error, size = np.linalg.norm(fields.reshape(flat.shape) - flat, axis=1), np.linalg.norm(flat, axis=1)
    return np.where(error > 0, error / np.where(size > 0, size, 1.0), 0.0)
