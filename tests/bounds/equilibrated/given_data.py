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
