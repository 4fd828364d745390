"""Dense matrices of grid discretisations, written with loops: slow, plain, and independent of the fast forms."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal

import numpy as np

from nwidth.core.arrays import Real
from nwidth.problems.stencils import Stencils
from nwidth.spaces.grid import Grid


def dense_diffusion(
    a: Real, lengths: float | tuple[float, ...] = 1.0, face: Literal["arithmetic", "harmonic"] = "arithmetic"
) -> Real:
    """Matrix `(N, N)` over all nodes of `Σ_edges share (area / spacing) a_face (v_i - v_j)²`, a `(n_1 + 1, ...)`.

    An edge that lies in k boundary planes has the share 2^-k: the part of its cross-section inside the domain.
    """
    nodes = a.shape
    sides = np.broadcast_to(np.asarray(lengths, dtype=float), (a.ndim,))
    spacing = [length / (n - 1) for length, n in zip(sides, nodes, strict=True)]
    index = {node: i for i, node in enumerate(product(*(range(n) for n in nodes)))}
    matrix = np.zeros((a.size, a.size))
    for node, i in index.items():
        for axis in range(a.ndim):
            other = tuple(p + (d == axis) for d, p in enumerate(node))
            if other not in index:
                continue
            weight = 1.0 / spacing[axis]
            for d in range(a.ndim):
                if d != axis:
                    weight *= spacing[d] * (0.5 if node[d] in (0, nodes[d] - 1) else 1.0)
            two = a[node], a[other]
            mean = 2 / (1 / two[0] + 1 / two[1]) if face == "harmonic" else (two[0] + two[1]) / 2
            j = index[other]
            matrix[i, i] += weight * mean
            matrix[j, j] += weight * mean
            matrix[i, j] -= weight * mean
            matrix[j, i] -= weight * mean
    return matrix


def dense_stencils(stencils: Stencils) -> Real:
    """The matrices `(B, n, n)` over all unknowns in their order in memory, entry by entry from their definition."""
    shape, batch = stencils.shape, len(stencils)
    size = int(np.prod(shape))
    index = np.arange(size).reshape(shape)
    centre = stencils.centre.reshape(batch, size)
    plus = [p.reshape(batch, -1) for p in stencils.plus]
    minus = None if stencils.minus is None else [m.reshape(batch, -1) for m in stencils.minus]
    matrices = np.zeros((batch, size, size))
    for node in product(*(range(n) for n in shape)):
        i = index[node]
        matrices[:, i, i] += centre[:, i]
        for axis in range(3):
            leaves = node[axis] + 1 == shape[axis]
            if plus[axis].size == 0 or (leaves and not stencils.periodic[axis]):
                continue
            j = index[tuple((p + (d == axis)) % n for d, (p, n) in enumerate(zip(node, shape, strict=True)))]
            matrices[:, i, j] += plus[axis][:, i]
            # symmetric: what the upper node has below is what the lower one has above
            matrices[:, j, i] += plus[axis][:, i] if minus is None else minus[axis][:, j]
    return matrices


#: Values on one side of a box by (axis, end), each of the side's shape.
OnSides = Mapping[tuple[int, int], Real]


def dense_transport(
    grid: Grid,
    a: Real,
    *,
    face: Literal["arithmetic", "harmonic"] = "arithmetic",
    scheme: Literal["upwind", "central"] = "upwind",
    velocity: Sequence[Real] | None = None,
    reaction: Real | None = None,
    kappa: OnSides | None = None,
    data: OnSides | None = None,
    source: Real | None = None,
) -> tuple[Real, Real]:
    """Matrix `(N, N)` and right-hand side `(N,)` over all stored values: what leaves every control volume.

    Of one sample: a, reaction and source `grid.shape`; velocity along d at the faces, `shape` with one more along d;
    kappa and data on the sides (g, the flux, or q). Rows of prescribed nodes are flux balances too, nothing is cleared.
    """
    index = np.arange(a.size).reshape(a.shape)
    matrix, rhs = np.zeros((a.size, a.size)), np.zeros(a.size)
    for node in product(*(range(n) for n in a.shape)):
        i = int(index[node])
        volume = float(np.prod([d.widths[p] for d, p in zip(grid.directions, node, strict=True)]))
        matrix[i, i] += volume * float(0 if reaction is None else reaction[node])
        rhs[i] += volume * float(0 if source is None else source[node])
        for axis, direction in enumerate(grid.directions):
            area = volume / direction.widths[node[axis]]
            beside = tuple(p for d, p in enumerate(node) if d != axis)
            for end in (0, 1):
                place = tuple(p + (end if d == axis else 0) for d, p in enumerate(node))
                out = (2 * end - 1) * area * float(0 if velocity is None else velocity[axis][place])
                other = [p + (2 * end - 1 if d == axis else 0) for d, p in enumerate(node)]
                if direction.periodic or 0 <= other[axis] < direction.size:
                    other[axis] %= direction.size
                    neighbour = tuple(other)
                    two = a[node], a[neighbour]
                    mean = 2 / (1 / two[0] + 1 / two[1]) if face == "harmonic" else (two[0] + two[1]) / 2
                    flow = mean * area / direction.spacing
                    here, there = (out / 2, out / 2) if scheme == "central" else (max(out, 0), min(out, 0))
                    matrix[i, i] += flow + here
                    matrix[i, index[neighbour]] += there - flow
                    continue
                word = (direction.low, direction.high)[end]
                value = float((data or {}).get((axis, end), np.zeros(a.shape)[place_on(axis, a.ndim)])[beside])
                robin = float((kappa or {})[axis, end][beside]) if word == "robin" else 0.0
                if grid.centring == "node":
                    if word != "dirichlet":  # a du/dn = value - robin u, at the node itself
                        matrix[i, i] += area * robin + out
                        rhs[i] += area * value
                    continue
                half = 2 * a[node] / direction.spacing
                # the value on the face: fixed + slope u_i
                fixed, slope = (value, 0.0) if word == "dirichlet" else (value / (half + robin), half / (half + robin))
                matrix[i, i] += area * half * (1 - slope)
                rhs[i] += area * half * fixed
                if scheme == "upwind" and out > 0:
                    matrix[i, i] += out
                else:
                    matrix[i, i] += out * slope
                    rhs[i] -= out * fixed
    return matrix, rhs


def place_on(axis: int, dim: int) -> tuple[slice | int, ...]:
    """The first layer across an axis."""
    return tuple(0 if d == axis else slice(None) for d in range(dim))
