"""Quadratic parts on the edges of triangles: for a field that is closer, and (turned round) for a flux that is.

The quadratic parts of the hierarchical basis are as well conditioned as the triangles are shaped, on any mesh: a few
steps of conjugate gradients with the diagonal are local work. `curl 4 λ_i λ_j` has no divergence, and what crosses an
edge in all stays: with it a flux of lowest order is linear on each triangle (Brezzi, Douglas and Marini 1985), which
approximates one order better.
"""

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.equilibrated.conjugate import conjugate_gradients
from nwidth.bounds.equilibrated.triangles import EdgeFlux, Triangles
from nwidth.core.arrays import Real
from nwidth.problems.cell_data import CellData


def edge_bubbles(v: Real, data: CellData, mesh: Triangles, steps: int) -> Real:
    """`c (B, E)`, zero where values are prescribed, such that `v + Σ_e c_e 4 λ_i λ_j` is closer to the solution than
    v."""
    inner = np.flatnonzero(~mesh.outer | mesh.natural)
    part, weights = mesh.bubble[:, inner], np.repeat(data.a, 6, axis=1)
    # ∫ f 4 λ_i λ_j = |T| / 3 · mean of f, exactly where f is constant
    source = np.broadcast_to(mesh.sources(data)[:, :, None] / 3, (*data.a.shape, 3))
    load = mesh.joined(source * mesh.signs, halves=False)[:, inner]
    given = (mesh.slopes(v, None) * np.sqrt(mesh.areas / 3)[:, None, None]).reshape(len(v), -1)
    bubbles = np.zeros((len(v), len(mesh.edges)))
    bubbles[:, inner] = _fitted(part, weights, load - (part.T @ (weights * given).T).T, steps)
    return bubbles


def turned(v: Real, through: Real, data: CellData, mesh: Triangles, steps: int) -> EdgeFlux:
    """The flux with the turning parts that bring it closer to `-a ∇v`, but for edges that nothing crosses."""
    both = mesh.densities(EdgeFlux(through)) / data.a[:, :, None, None] + mesh.slopes(v, None)
    both *= np.sqrt(mesh.areas / 3)[:, None, None]
    # curl ψ·τ = ∇ψ·(-τ_y, τ_x)
    quarter = np.stack([-both[..., 1], both[..., 0]], axis=3).reshape(len(v), -1)
    turning, some = np.zeros((len(v), len(mesh.edges))), np.flatnonzero(~mesh.natural)
    part = mesh.bubble[:, some]
    rest = -np.ascontiguousarray((part.T @ quarter.T).T)
    turning[:, some] = _fitted(part, np.repeat(1.0 / data.a, 6, axis=1), rest, steps)
    return EdgeFlux(through, turning)


def _fitted(part: sp.csr_array, weights: Real, rest: Real, steps: int) -> Real:
    """A few steps towards the minimiser of `|weights^{1/2} part c|² / 2 - rest·c`."""
    diagonal = np.ascontiguousarray((part.power(2).T @ weights.T).T)

    def apply(c: Real) -> Real:
        return np.ascontiguousarray((part.T @ (weights.T * (part @ c.T))).T)

    rest = np.ascontiguousarray(rest)
    return conjugate_gradients(apply, lambda r: r / diagonal, rest, np.zeros(len(rest)), steps).x


def bubble_energy(v: Real, bubbles: Real, data: CellData, mesh: Triangles) -> Real:
    """`‖v + Σ_e c_e 4 λ_i λ_j‖_a`, `(B,)`."""
    slope = mesh.slopes(v, bubbles)
    return np.asarray(np.sqrt(np.einsum("bt,btmd,btmd->b", data.a * mesh.areas / 3, slope, slope)))
