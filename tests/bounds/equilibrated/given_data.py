"""Data of any size and sign for the problems of `nwidth.testing.equilibrated_references`."""

import numpy as np

from nwidth.core.prediction import uncertified
from nwidth.testing.equilibrated_references import (
    GivenGrid,
    GivenMesh,
    extrapolated,
    line_error,
    on_halves,
    plane_errors,
    random_mesh,
    solved,
)

__all__ = [
    "GivenGrid",
    "GivenMesh",
    "answer",
    "errors_on_finer_meshes",
    "extrapolated",
    "line_error",
    "on_halves",
    "plane_errors",
    "random_data",
    "random_mesh",
    "solved",
]


def random_data(rng, grid, batch, contrast, jumps=True):
    """Coefficients of a contrast, sources of any sign, boundary values."""
    shape = (batch, *grid.shape)
    share = rng.random(shape)
    a = contrast ** (np.round(share) if jumps else share) * 10.0 ** rng.integers(-3, 4)
    return {"a": a, "f": rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4), "g": rng.standard_normal(shape)}


def answer(problem, mu, v):
    """Fields as a prediction."""
    return uncertified(mu, v, problem.space, np.ones(len(v), dtype=bool))


def errors_on_finer_meshes(problem, mu, v, solution):
    """Energy errors of the first field against the solutions on three meshes, each with edges half as long."""
    v, errors = np.where(problem.free, v, mu["g"]), []
    for _ in range(3):
        finer, more = problem.finer(mu)
        _, (lifted,) = problem.halved(v)
        problem, mu, v = finer, more, lifted
        errors.append(problem.norm(solution(problem, mu) - v, mu)[0])
    return errors
