"""The dense matrix of diffusion on a grid, written with loops: slow, plain, and independent of the fast forms."""

from itertools import product
from typing import Literal

import numpy as np

from nwidth.core.arrays import Real
from nwidth.problems.stencils import Stencils


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
