"""A Friedrichs constant where values are prescribed on a part of the boundary: from triangle to triangle.

For w = 0 on some edges of the boundary, with `m_T` and `m_e` its means on triangles and edges and p the corner opposite
e, `m_e - m_T = ∫_T (x - p)·∇w / (2 |T|)` (the divergence theorem for (x - p) w), so that

    |m_e - m_T| <= c_T ‖∇w‖_T,    c_T = h_T / (2 √|T|).

m_e = 0 where w is; along a path of triangles T_0, ..., T_k from there `|m_T| <= Σ_j d_j ‖∇w‖_{T_j}` with d_j the sum of
c_T over the edges of the path that T_j has (two, or one at the end), hence with Payne and Weinberger's constant

    ‖w‖² = Σ_T |T| m_T² + ‖w - m_T‖²_T <= ( Σ_T |T| Σ_j d_j² + max h_T² / π² ) ‖∇w‖².

It holds for all functions of the domain, not only for those of a mesh. It is far from sharp (about √(paths) instead of
1), and multiplies nothing but what is left of a balance.
"""

import numpy as np

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError


def tree_constant(areas: Real, diameters: Real, edge_of: Array, outer: Mask, natural: Mask) -> float:
    """C_F from shortest paths, for triangles with edges `edge_of (T, 3)`; w = 0 on the edges `outer & ~natural`.

    Raises InputError where a triangle is not connected to such an edge.
    """
    step = diameters / (2 * np.sqrt(areas))
    neighbours = _neighbours(edge_of, outer)
    paid = np.full(len(areas), np.inf)  # Σ d_j² of all triangles of the path, the last counted with one edge
    front = np.flatnonzero((outer & ~natural)[edge_of].any(axis=1))
    paid[front] = step[front] ** 2
    while len(front):
        # the triangle before has two edges of a longer path: (2 c)² instead of c²
        through = paid[front] + 3 * step[front] ** 2
        to, cost = neighbours[front].ravel(), np.repeat(through, 3)
        new = (to >= 0) & np.isinf(paid[to])
        to, cost = to[new], cost[new]
        np.minimum.at(paid, to, cost + step[to] ** 2)
        front = np.unique(to)
    if np.isinf(paid).any():
        raise InputError(
            f"{int(np.isinf(paid).sum())} triangles are not connected to a side with prescribed values, so that the "
            "solution is not determined there; prescribe values on an edge of every connected part"
        )
    return float(np.sqrt((areas * paid).sum() + (diameters.max() / np.pi) ** 2) * (1 + 1e-9))


def _neighbours(edge_of: Array, outer: Mask) -> Array:
    """The triangle on the other side of each edge, `(T, 3)`; -1 on the boundary."""
    order = np.argsort(edge_of.ravel(), kind="stable")
    triangle, edge = order // 3, edge_of.ravel()[order]
    pair = np.flatnonzero(edge[1:] == edge[:-1])
    other = np.full(edge_of.size, -1, dtype=np.int64)
    other[order[pair]], other[order[pair + 1]] = triangle[pair + 1], triangle[pair]
    return other.reshape(-1, 3)
