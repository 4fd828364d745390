"""Elimination tree, structure of the factor, and tables of positions: loops over integers, compiled."""

import numba
import numpy as np

from nwidth.core.arrays import Array


@numba.njit(cache=True, nogil=True)
def elimination_tree(starts: Array, indices: Array) -> Array:
    """Parent of each column of L, `(n,)`, -1 at roots, from the lower triangle in compressed rows (Liu 1986)."""
    size = len(starts) - 1
    parents, ancestors = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    for row in range(size):
        for entry in range(starts[row], starts[row + 1]):
            column = indices[entry]
            while column != -1 and column < row:
                above = ancestors[column]
                ancestors[column] = row
                if above == -1:
                    parents[column] = row
                column = above
    return parents


@numba.njit(cache=True, nogil=True)
def postorder(parents: Array) -> Array:
    """The nodes of the tree with every subtree in one run, `(n,)`: position -> node."""
    size = len(parents)
    child, sibling = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    for node in range(size - 1, -1, -1):
        if parents[node] >= 0:
            sibling[node] = child[parents[node]]
            child[parents[node]] = node
    out, stack, count = np.empty(size, np.int64), np.empty(size, np.int64), 0
    for root in range(size):
        if parents[root] >= 0:
            continue
        stack[0], depth = root, 0
        while depth >= 0:
            node = stack[depth]
            if child[node] >= 0:
                depth += 1
                stack[depth] = child[node]
                child[node] = sibling[child[node]]
            else:
                out[count] = node
                count += 1
                depth -= 1
    return out


@numba.njit(cache=True, nogil=True)
def column_structure(starts: Array, indices: Array, parents: Array) -> tuple[Array, Array]:
    """Compressed columns of L below the diagonal, rows sorted: each row's subtree of the elimination tree."""
    size = len(starts) - 1
    counts, mark = np.zeros(size + 1, np.int64), np.full(size, -1, np.int64)
    for row in range(size):
        mark[row] = row
        for entry in range(starts[row], starts[row + 1]):
            column = indices[entry]
            while mark[column] != row:
                mark[column] = row
                counts[column + 1] += 1
                column = parents[column]
    l_starts = np.cumsum(counts)
    ends, rows = l_starts.copy(), np.empty(l_starts[size], np.int64)
    mark[:] = -1
    for row in range(size):
        mark[row] = row
        for entry in range(starts[row], starts[row + 1]):
            column = indices[entry]
            while mark[column] != row:
                mark[column] = row
                rows[ends[column]] = row
                ends[column] += 1
                column = parents[column]
    return l_starts, rows


@numba.njit(cache=True, nogil=True)
def positions(
    panels: Array, below: Array, counts: Array, owner: Array, rows: Array, columns: Array, pairs: int
) -> tuple[Array, Array]:
    """Where products of rows below each panel go, `(pairs,)`, and where the entries of A go `(m,)`.

    `slot[row]` is the stored row of the panel at hand; products beyond the triangle or of padding go to entry 0.
    """
    size, many = len(owner), len(panels)
    # panels that update another, listed by the one that is updated
    places, target, slot = np.zeros(pairs, np.int32), np.empty(len(rows), np.int32), np.empty(size, np.int64)
    users, starts = _users(panels, below, counts, owner)
    entry = 0
    for panel in range(many):
        begin, _, first, width, _, under, _ = panels[panel]
        offset = 4 * ((width + 3) // 4)
        for k in range(width):
            slot[first + k] = k
        for k in range(counts[panel]):
            slot[below[under + k]] = offset + k
        while entry < len(rows) and owner[columns[entry]] == panel:
            s = slot[rows[entry]]
            target[entry] = begin + (s // 4) * 4 * width + (columns[entry] - first) * 4 + s % 4
            entry += 1
        for u in range(starts[panel], starts[panel + 1]):
            _, _, _, _, tiles, there, table = panels[users[u]]
            for q in range(counts[users[u]]):
                column = below[there + q]
                if owner[column] != panel:
                    continue
                j = q // 4
                base = table + 16 * (j * tiles - j * (j - 1) // 2)
                for r in range(q, counts[users[u]]):
                    s = slot[below[there + r]]
                    place = begin + (s // 4) * 4 * width + (column - first) * 4 + s % 4
                    places[base + 16 * (r // 4 - j) + 4 * (q % 4) + r % 4] = place
    return places, target


@numba.njit(cache=True, nogil=True)
def _users(panels: Array, below: Array, counts: Array, owner: Array) -> tuple[Array, Array]:
    many = len(panels)
    number = np.zeros(many + 1, np.int64)
    for fill in range(2):
        if fill:
            starts = np.cumsum(number)
            ends, users = starts.copy(), np.empty(starts[many], np.int64)
        for panel in range(many):
            last = -1
            for k in range(counts[panel]):
                above = owner[below[panels[panel, 5] + k]]
                if above != last:
                    if fill:
                        users[ends[above]] = panel
                        ends[above] += 1
                    else:
                        number[above + 1] += 1
                    last = above
    return users, starts


@numba.njit(cache=True, nogil=True)
def first_descendants(panels: Array, below: Array, counts: Array, owner: Array) -> Array:
    """The first panel, in the order of elimination, that touches each panel `(s,)`."""
    first = np.arange(len(panels))
    for panel in range(len(panels)):
        for k in range(counts[panel]):
            above = owner[below[panels[panel, 5] + k]]
            first[above] = min(first[above], panel)
    return first
