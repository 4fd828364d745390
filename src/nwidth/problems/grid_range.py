"""The range of a diffusion matrix relative to the energy inner product of its grid."""

import numpy as np

from nwidth.core.arrays import Real
from nwidth.core.errors import InputError
from nwidth.problems._diffusion import face_range
from nwidth.problems.grid_systems import on_axes
from nwidth.problems.grid_terms import GridTerms, three
from nwidth.spaces.grid import Side


def energy_range(terms: GridTerms) -> tuple[Real, Real]:
    """The smallest and largest ratio of the coefficients of A and X, over the faces and ends with a free value, `(B,)`.

    `vᵀ A v = Σ_faces (area / spacing) a_face (v_i - v_j)² + Σ_ends s v_i²`, and X is the same sum with a = 1 and
    κ = 1 / length at Robin ends: with every ratio in [low, high], `low X <= A <= high X`.

    Raises InputError where there is transport or reaction, which X does not have.
    """
    if terms.velocity is not None or terms.reaction is not None:
        raise InputError("the energy inner product has no transport and no reaction; a problem with them needs its own")
    axes, grid = three(terms.grid), terms.grid
    start = axes[0].free.start, axes[1].free.start, axes[2].free.start
    stop = axes[0].free.stop, axes[1].free.stop, axes[2].free.stop
    periodic = axes[0].periodic, axes[1].periodic, axes[2].periodic
    low, high = face_range(on_axes(terms.a, grid), start, stop, periodic, terms.face == "harmonic")
    for side in grid.sides:
        if _held(terms, side):
            ratios = _end(terms, side).reshape(len(terms.a), -1)
            low, high = np.minimum(low, ratios.min(axis=1)), np.maximum(high, ratios.max(axis=1))
    return low, high


def _held(terms: GridTerms, side: Side) -> bool:
    """Whether the end has a term of its own."""
    return side.word == "robin" or (side.word == "dirichlet" and terms.grid.centring == "cell")


def _end(terms: GridTerms, side: Side) -> Real:
    """The ratios of one end: of resistances in series, half a cell and the wall."""
    direction = terms.grid.directions[side.axis]
    if side.word == "robin" and terms.grid.centring == "node":
        return terms.kappa[side] * direction.length
    a, half = terms.a[side.layer()], direction.spacing / 2
    if side.word == "dirichlet":
        return a
    return (half + direction.length) / (half / a + 1.0 / terms.kappa[side])
