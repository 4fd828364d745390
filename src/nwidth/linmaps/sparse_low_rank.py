"""A matrix of low rank plus a few free entries at fixed places."""

from math import prod
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.base import Approximant, Cost, Goal, LinearMap, MapShape, by_parts, check_input, placement
from nwidth.linmaps.convert import to_dense
from nwidth.linmaps.low_rank import LowRank

#: Entries up to which a matrix is formed to be approximated.
ENTRIES = 2**22
_SWEEPS = 40


class SparseLowRank(Approximant):
    """`y = U Vᵀ x + S x` with S zero but at the places (rows[e], columns[e]), which are fixed, not learned.

    `outputs`, `inputs`: shapes of one sample, flattened in row-major order; `rank` 0 leaves S alone. Parameters: those
    of `LowRank` and one value per place. The places are configuration: two integers each, which parameter counts leave
    out.

    Gauge: `rank²`, as for `LowRank`. Entries are independent of the product only where it cannot imitate them: at most
    `N_in - rank` places in a row and `N_out - rank` in a column are accepted.

    Raises InputError for places outside the matrix, twice the same, or too many in a line.
    """

    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        outputs: int | tuple[int, ...],
        inputs: int | tuple[int, ...],
        rank: int,
        rows: Tensor,
        columns: Tensor,
        *,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self._outputs = (outputs,) if isinstance(outputs, int) else tuple(outputs)
        self._inputs = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        size = prod(self._outputs), prod(self._inputs)
        _check_places(rows, columns, size, rank)
        self.low_rank = LowRank(self._outputs, self._inputs, rank, dtype=dtype) if rank else None
        self.values = nn.Parameter(size[1] ** -0.5 * torch.randn(len(rows), dtype=dtype))
        # not stored: the places belong to the configuration, like a shape, and move with the module to its device
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    @property
    def shape(self) -> MapShape:
        """(output shape, input shape)."""
        return self._outputs, self._inputs

    @property
    def gauge(self) -> int:
        """Dimension of the sets of parameters that are one map."""
        return self.low_rank.gauge if self.low_rank is not None else 0

    def forward(self, x: Tensor) -> Tensor:
        """`U (Vᵀ x) + S x`."""
        check_input(x, self._inputs)
        sparse = by_parts(lambda v: self._sparse(v, self.columns, self.rows, self._outputs), x)
        return sparse if self.low_rank is None else self.low_rank(x) + sparse

    def adjoint(self, y: Tensor) -> Tensor:
        """`V (Uᵀ y) + Sᵀ y`."""
        check_input(y, self._outputs)
        sparse = by_parts(lambda v: self._sparse(v, self.rows, self.columns, self._inputs), y)
        return sparse if self.low_rank is None else self.low_rank.adjoint(y) + sparse

    def cost(self, batch: int = 1) -> Cost:
        """The two products, and a multiplication with an addition per place: read once, added to the result."""
        size, places = self.values.itemsize, len(self.values)
        sparse = Cost(2 * batch * places, batch * (places + prod(self._outputs)) * size)
        return sparse if self.low_rank is None else self.low_rank.cost(batch) + sparse

    def _sparse(self, x: Tensor, read: Tensor, write: Tensor, result: tuple[int, ...]) -> Tensor:
        terms = x.flatten(1).index_select(1, read) * self.values
        return terms.new_zeros(len(x), prod(result)).index_add(1, write, terms).reshape(len(x), *result)

    @classmethod
    def approximate(cls, source: LinearMap, goal: Goal) -> Self:
        """Ranks from 0 upwards; for each, the largest entries of what the leading singular vectors leave, and back.

        It finds a good split, not always the best (Zhou and Tao 2011, GoDec). Raises InputError for complex entries or
        more than 2²² entries.
        """
        matrix = _entries(source)
        best, rank = _split(matrix, 0, goal), 0
        while True:
            rank += max(1, rank // 3)
            least = rank * sum(matrix.shape)
            if rank > min(matrix.shape) // 2 or least > (goal.budget or best.numbers - 1):
                break
            best = min(best, _split(matrix, rank, goal), key=lambda split: split.rank_by(goal))
        return cls._made(source, best)

    @classmethod
    def _made(cls, source: LinearMap, split: "_Split") -> Self:
        """The map with these factors and entries."""
        dtype, device = placement(source)
        rows, columns = split.sparse.nonzero(as_tuple=True)
        made = cls(*source.shape, split.rank, rows, columns, dtype=dtype).to(device)
        with torch.no_grad():
            made.values.copy_(split.sparse[rows, columns])
            if made.low_rank is not None:
                made.low_rank.left.copy_(split.left)
                made.low_rank.right.copy_(split.right)
        return made


class _Split(NamedTuple):
    """`left rightᵀ + sparse`, its relative error and the numbers that it takes."""

    left: Tensor
    right: Tensor
    sparse: Tensor
    error: float

    @property
    def rank(self) -> int:
        return self.left.shape[1]

    @property
    def numbers(self) -> int:
        return self.left.numel() + self.right.numel() + int((self.sparse != 0).sum())

    def rank_by(self, goal: Goal) -> tuple[float, float]:
        """Smaller is better: a goal that is met, then what it leaves free."""
        if goal.tol is None:
            return self.error, self.numbers
        missed = self.error > goal.tol + 1e-13
        return (self.error if missed else -1.0), self.numbers


def _split(matrix: Tensor, rank: int, goal: Goal) -> _Split:
    """Singular vectors of what the entries leave and entries of what the vectors leave, in turn.

    First the entries are those above a falling threshold (Netrapalli et al. 2014, algorithm 1, all ranks at once), so
    that outliers do not bend the vectors; then they are as many as the goal asks for (GoDec).
    """
    norm = float(torch.linalg.matrix_norm(matrix)) or 1.0
    left, right = matrix.new_zeros(matrix.shape[0], rank), matrix.new_zeros(matrix.shape[1], rank)
    if rank == 0:
        return _scored(matrix, left, right, goal, norm)
    generator = torch.Generator().manual_seed(goal.seed)
    span = torch.randn(matrix.shape[1], min(rank + 6, *matrix.shape), generator=generator, dtype=torch.float64)
    sparse, span = torch.zeros_like(matrix), span.to(matrix.device)
    spread = (matrix.shape[0] * matrix.shape[1]) ** -0.25
    best: _Split | None = None
    for sweep in range(_SWEEPS):
        left, right, s, span = _vectors(matrix - sparse, span, rank)
        remainder = matrix - left @ right.T
        if sweep < _SWEEPS // 2:
            threshold = spread * float(s[rank : rank + 1].sum() + 0.5**sweep * s[0])
            sparse = torch.where(remainder.abs() > threshold, remainder, 0.0)
            continue
        found = _scored(matrix, left, right, goal, norm)
        best = found if best is None else min(best, found, key=lambda split: split.rank_by(goal))
        if goal.budget is not None:
            sparse = found.sparse
        elif sweep > _SWEEPS // 2:
            break  # entries chosen by a tolerance leave the vectors nothing to improve
    return best or _scored(matrix, left, right, goal, norm)


def _vectors(matrix: Tensor, span: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Factors of the leading triples, the singular values, and the span to start from next: subspace iteration."""
    for _ in range(2):
        q = torch.linalg.qr(matrix @ span).Q
        u, s, vh = torch.linalg.svd(q.T @ matrix, full_matrices=False)
        span = vh.T
    root = s[:rank].sqrt()
    return q @ u[:, :rank] * root, span[:, :rank] * root, s, span


def _scored(matrix: Tensor, left: Tensor, right: Tensor, goal: Goal, norm: float) -> _Split:
    """The best entries for these factors, and what is left."""
    remainder = matrix - left @ right.T
    sparse = _largest(remainder, left.shape[1], goal, norm)
    return _Split(left, right, sparse, float(torch.linalg.matrix_norm(remainder - sparse)) / norm)


def _largest(remainder: Tensor, rank: int, goal: Goal, norm: float) -> Tensor:
    """The largest entries, as many as the goal asks for, of those that a product of this rank cannot imitate."""
    rows, columns = remainder.shape
    size = remainder.abs()
    free = (_order(size, 1) < columns - rank) & (_order(size, 0) < rows - rank)
    candidates = torch.where(free, size, 0.0).flatten()
    falling, places = candidates.sort(descending=True)
    if goal.budget is not None:
        count = goal.budget - rank * (rows + columns)
    else:
        total = float(size.square().sum())
        left = total - falling.square().cumsum(0)
        good = (left <= ((goal.tol or 0.0) * norm) ** 2).nonzero()
        enough = total <= ((goal.tol or 0.0) * norm) ** 2
        count = 0 if enough else int(good[0]) + 1 if len(good) else int((falling > 0).sum())
    sparse = torch.zeros_like(candidates)
    sparse[places[:count]] = remainder.flatten()[places[:count]]
    return sparse.reshape(rows, columns)


def _order(size: Tensor, axis: int) -> Tensor:
    """The place of every entry among those of its line, the largest first."""
    return size.argsort(dim=axis, descending=True).argsort(dim=axis)


def _entries(source: LinearMap) -> Tensor:
    """The matrix, in double precision."""
    count = prod(source.shape[0]) * prod(source.shape[1])
    if count > ENTRIES:
        raise InputError(f"the matrix has {count} entries; this kind needs all of them, at most {ENTRIES}")
    matrix = to_dense(source).detach()
    if matrix.is_complex():
        raise InputError("the map has complex entries; this kind holds real ones")
    return matrix.double()


def _check_places(rows: Tensor, columns: Tensor, size: tuple[int, int], rank: int) -> None:
    """InputError for places that the class does not accept."""
    if rows.shape != columns.shape or rows.ndim != 1 or rows.is_floating_point() or columns.is_floating_point():
        raise InputError(
            f"rows {tuple(rows.shape)} and columns {tuple(columns.shape)}: give integers, one of each a place"
        )
    if rank < 0:
        raise InputError(f"rank is {rank}; expected 0 or more")
    for name, line, here, across in (("row", rows, size[0], size[1]), ("column", columns, size[1], size[0])):
        if not len(line):
            continue
        if int(line.min()) < 0 or int(line.max()) >= here:
            raise InputError(f"a place lies in {name} {int(line.max())} or {int(line.min())}; there are {here}, from 0")
        most = int(line.bincount().max())
        if most > across - rank:
            raise InputError(f"{most} places in one {name}; at rank {rank} at most {across - rank} are independent")
    if len(torch.stack([rows, columns]).unique(dim=1).T) != len(rows):
        raise InputError("a place is given twice; give every (row, column) once")
