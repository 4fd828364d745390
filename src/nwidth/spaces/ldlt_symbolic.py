"""Symbolic analysis of A = L D Lᵀ: everything that depends on where a symmetric matrix has entries, found once.

An ordering that keeps the factor sparse (minimum degree on A + Aᵀ), the elimination tree, the structure of L, and
supernodes: runs of columns with one set of rows, stored as dense panels. The numerical kernels then follow tables and
make no decision. Reference: Davis, Rajamanickam, Sid-Lakhdar, "A survey of direct methods for sparse linear systems",
Acta Numerica 25 (2016), sections 4, 7 and 9.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.spaces.factor import Pattern, minimum_degree
from nwidth.spaces.ldlt_structure import column_structure, elimination_tree, first_descendants, positions, postorder
from nwidth.spaces.ldlt_vectors import VECTOR_BYTES

#: Rows that one tile of a panel holds; the columns of a panel are eliminated in groups of as many.
TILE = 4
#: Columns of the widest panel: its scaled tile stays in the first-level cache.
WIDEST = 32
#: A supernode joins its parent while the zeros that this stores stay below the share for its width (columns, share).
_RELAXED = ((4, 0.5), (8, 0.35), (16, 0.25), (32, 0.1), (1 << 30, 0.05))
#: Entries of the position tables are 32-bit.
_LIMIT = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Analysis:
    """Tables for the numerical factorisation of all matrices with one symmetric pattern.

    `order (n,)`: row k of the permuted matrix is row `order[k]` of A, `number` the inverse. Its lower triangle has the
    entries `rows`, `columns (m,)`, grouped by panel (`starts (panels + 1,)`), with their places in the stored factor,
    `target (m,)`. Entry `slot[k]` of these is the pattern's value `source[k]`, in rising order.

    A panel of w columns and b rows below them is stored as tiles of four rows, `w` columns each, rows innermost: the
    triangle first (rounded up to whole tiles), then the rows below (too). Entry 0 of the storage is a bin for what
    padding computes. `panels (s, 7)`: begin and end in the storage, first column, w, tiles below, begin in `below`,
    begin in `places`. `below`: the row of each stored row below the triangle (n for padding). `places`: where each
    product of two such rows is subtracted, 16 per pair of tiles. `fresh[fresh_starts[i]:fresh_starts[i + 1]]`: panels
    that nothing has touched before panel i, to be filled with the values of A just in time.
    """

    pattern: Pattern
    order: Array
    number: Array
    rows: Array
    columns: Array
    starts: Array
    target: Array
    source: Array
    slot: Array
    panels: Array
    below: Array
    places: Array
    fresh: Array
    fresh_starts: Array
    storage: int
    entries: int

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return len(self.order)

    @property
    def widest(self) -> int:
        """Columns of the widest panel."""
        return int(self.panels[:, 3].max(initial=0))


class TooLargeError(WorkError):
    """A factor would need more memory than it may have."""


def analyse(pattern: Pattern, order: Array | None = None, most: float = np.inf) -> Analysis:
    """The analysis of a symmetric pattern; `order (n,)` replaces the minimum-degree ordering (position -> row).

    Raises InputError where entry (i, j) is there and (j, i) is not, and for an order that is not a permutation;
    TooLargeError where the factor (one vector of real numbers an entry) and the tables would take more than `most`
    bytes, or have more entries than 32-bit tables can name.
    """
    if pattern.mirror is None:
        raise InputError("the pattern is not symmetric: entry (i, j) is there and (j, i) is not; use solvers.Direct")
    size = pattern.size
    order = minimum_degree(pattern) if order is None else np.asarray(order, dtype=np.int64)
    if not np.array_equal(np.sort(order), np.arange(size)):
        raise InputError(f"the order is not a permutation of the {size} unknowns; give every row number once")
    starts, indices, _ = _permuted(pattern, order)
    order = order[postorder(elimination_tree(starts, indices))]
    starts, indices, source = _permuted(pattern, order)
    parents = elimination_tree(starts, indices)
    l_starts, l_rows = column_structure(starts, indices, parents)
    firsts, lasts, rows_of = _supernodes(parents, np.diff(l_starts))
    below = [l_rows[l_starts[c] : l_starts[c + 1]] for c in rows_of]
    return _tables(pattern, order, _Lower(starts, indices, source), *_split(firsts, lasts, below), most)


@dataclass(frozen=True, eq=False)
class _Lower:
    """The lower triangle of the permuted matrix in compressed rows, and where its values come from."""

    starts: Array
    indices: Array
    source: Array

    @property
    def rows(self) -> Array:
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def _permuted(pattern: Pattern, order: Array) -> tuple[Array, Array, Array]:
    """Compressed rows of the lower triangle of the permuted matrix, and the position of each entry's value."""
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    i, j = number[pattern.rows], number[pattern.indices]
    source = np.flatnonzero(i >= j)
    source = source[np.lexsort((j[source], i[source]))]
    starts = np.concatenate([[0], np.cumsum(np.bincount(i[source], minlength=len(order)))])
    return starts.astype(np.int64), j[source], source


def _supernodes(parents: Array, counts: Array) -> tuple[list[int], list[int], list[int]]:
    """First column, end, and the column whose rows count, of each supernode; children join parents where it pays."""
    stack: list[tuple[int, int, int]] = []  # first, end, zeros stored so far
    for column, rows in enumerate(counts.tolist()):
        first, zeros = column, 0
        while stack and first > 0 and first <= parents[first - 1] <= column:
            begin, end, stored = stack[-1]
            merged = _stored(column + 1 - begin, rows)
            own = _stored(end - begin, int(counts[end - 1])) + _stored(column + 1 - first, rows)
            extra = merged - own + stored + zeros
            if extra > 0 and extra > _share(column + 1 - begin) * merged:
                break
            first, zeros = begin, extra
            stack.pop()
        stack.append((first, column + 1, zeros))
    return [s[0] for s in stack], [s[1] for s in stack], [s[1] - 1 for s in stack]


def _stored(width: int, rows: int) -> int:
    return width * (width + 1) // 2 + width * rows


def _share(width: int) -> float:
    return next(share for columns, share in _RELAXED if width <= columns)


def _split(firsts: list[int], lasts: list[int], below: list[Array]) -> tuple[Array, Array, list[Array]]:
    """Supernodes as panels of at most `WIDEST` columns, in equal parts of whole tiles."""
    begins, ends, rows = [], [], []
    for first, last, under in zip(firsts, lasts, below, strict=True):
        parts = -(-(last - first) // WIDEST)
        step = -(-(last - first) // (parts * TILE)) * TILE
        for begin in range(first, last, step):
            end = min(begin + step, last)
            begins.append(begin)
            ends.append(end)
            rows.append(np.concatenate([np.arange(end, last), under]))
    return np.array(begins, dtype=np.int64), np.array(ends, dtype=np.int64), rows


def _tables(
    pattern: Pattern, order: Array, lower: _Lower, begins: Array, ends: Array, under: list[Array], most: float
) -> Analysis:
    widths, counts = ends - begins, np.array([len(rows) for rows in under], dtype=np.int64)
    panels, pairs = _panels(begins, widths, counts, most)
    storage = int(panels[-1, 1])
    below = np.full(int(panels[:, 4].sum()) * TILE, len(order), dtype=np.int32)
    slots = np.repeat(panels[:, 5] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    below[slots] = np.concatenate(under)
    owner = np.repeat(np.arange(len(begins)), widths)
    i, j = lower.rows, lower.indices
    by_panel = np.lexsort((i, j, owner[j]))
    i, j, source = i[by_panel], j[by_panel], lower.source[by_panel]
    slot = np.argsort(source)
    places, target = positions(panels, below, counts, owner, i, j, pairs)
    first = first_descendants(panels, below, counts, owner)
    fresh = np.argsort(first, kind="stable")
    return Analysis(
        pattern=pattern,
        order=order,
        number=np.argsort(order),
        rows=i.astype(np.int32),
        columns=j.astype(np.int32),
        starts=np.searchsorted(owner[j], np.arange(len(begins) + 1)),
        target=target,
        source=source[slot],
        slot=slot,
        panels=panels,
        below=below,
        places=places,
        fresh=fresh,
        fresh_starts=np.searchsorted(first[fresh], np.arange(len(begins) + 1)),
        storage=storage,
        entries=int((widths * (widths + 1) // 2 + widths * counts).sum()),
    )


def _panels(begins: Array, widths: Array, counts: Array, most: float) -> tuple[Array, int]:
    """The table of panels with `counts` rows below, and the length of the table of places. Raises TooLargeError."""
    tiles = -(-counts // TILE)
    lengths = (-(-widths // TILE) + tiles) * TILE * widths
    pairs = TILE * TILE * tiles * (tiles + 1) // 2
    storage, total = 1 + int(lengths.sum()), int(pairs.sum())
    needed = VECTOR_BYTES * storage + 4 * total
    if needed > most or max(storage, total) > _LIMIT:
        raise TooLargeError(
            f"the batched factor of {int(widths.sum()):,} unknowns would take {needed / 1e9:.2g} GB, more than "
            f"{most / 1e9:.2g} GB or than its tables can name; raise the limit, or use solvers.Direct"
        )
    ends = 1 + np.cumsum(lengths)
    rows, places = np.cumsum(tiles * TILE) - tiles * TILE, np.cumsum(pairs) - pairs
    return np.stack([ends - lengths, ends, begins, widths, tiles, rows, places], axis=1), total


def lower_values(analysis: Analysis, values: Real) -> sp.csr_array:
    """The lower triangle of the permuted matrix for one sample's values `(nnz,)` (for checks)."""
    rows, columns = analysis.rows[analysis.slot], analysis.columns[analysis.slot]
    return sp.csr_array((values[analysis.source], (rows, columns)), shape=(analysis.size, analysis.size))
