"""The vector machine for many samples at once, in torch: the same tapes, on a workspace with a batch axis.

On a GPU one sample does not fill the device; here every instruction works on all samples of a batch.
"""

from collections.abc import Iterator

import torch

from nwidth.core.arrays import Array
from nwidth.solvers.multigrid import machine
from nwidth.solvers.multigrid.plan import Plan


class TorchMachine:
    """Runs the tapes of a plan for `batch` samples: a workspace `(batch, size)` on `device`."""

    def __init__(self, plan: Plan, batch: int, device: torch.device, precision: torch.dtype):
        self._plan = plan
        self.ws = torch.zeros((batch, plan.size), dtype=precision, device=device)
        self.ws[:, plan.one : plan.one + plan.ones] = 1.0
        self.ws[:, plan.minus : plan.minus + plan.ones] = -1.0
        self._setup, self._cycle = _rows(plan.setup), _rows(plan.cycle)
        self._read, self._write = _rows(plan.read), _rows(plan.write)
        self._fill = [_rows(rows) for rows in plan.fill]
        self._entries = torch.as_tensor(plan.entries.astype("int64"), device=device)
        self._places = torch.as_tensor(plan.places.astype("int64"), device=device)
        self._inverse = torch.empty(0, device=device)

    def set_up(self, arrays: list[torch.Tensor], scale: torch.Tensor, constants: torch.Tensor) -> torch.Tensor:
        """Loads matrices, given as centre and plus of every axis `(B, N)`, and forms the coarser ones.

        Returns which samples, `(B,)`, have a regular coarsest matrix.
        """
        for rows, values in zip(self._fill, arrays, strict=True):
            self._load(rows, -values / scale[:, None])
        self._execute(self._setup)
        return self._invert(constants)

    def cycle(self, r: torch.Tensor) -> torch.Tensor:
        """One V-cycle on right-hand sides `(B, N)`."""
        self._load(self._read, r)
        self._execute(self._cycle)
        z = torch.empty_like(r)
        for row in self._write:
            for place, line in _pairs(row):
                _strided(z, *line).copy_(_strided(self.ws, *place))
        return z

    def _load(self, rows: list[list[int]], values: torch.Tensor) -> None:
        for row in rows:
            for place, line in _pairs(row):
                _strided(self.ws, *place).copy_(_strided(values, *line))

    def _execute(self, rows: list[list[int]]) -> None:
        ws = self.ws
        for row in rows:
            op, n, out, base, scale = row[:5]
            if op < machine.INVERSE:
                total = ws[:, base : base + n]
                for a, b in zip(row[5::2], row[6::2], strict=True):
                    if a or b:
                        total = torch.addcmul(total, ws[:, a : a + n], ws[:, b : b + n])
                ws[:, out : out + n] = total * ws[:, scale : scale + n] if machine.SCALED <= op < machine.ADD else total
            elif op == machine.INVERSE:
                value = ws[:, base : base + n]
                ws[:, out : out + n] = torch.where(value == 0, 0.0, -1.0 / torch.where(value == 0, 1.0, value))
            elif op == machine.GUARDED:
                value = torch.maximum(ws[:, base : base + n], ws[:, scale : scale + n])
                ws[:, out : out + n] = torch.where(value > 0, 1.0 / torch.where(value > 0, value, 1.0), 0.0)
            elif op == machine.COPY:
                count = tuple(row[5:8])
                _strided(ws, out, count, tuple(row[8:11])).copy_(_strided(ws, base, count, tuple(row[11:14])))
            elif op in (machine.UNZIP, machine.ZIP):
                for place, line in _pairs(row):
                    to, source = (place, line) if op == machine.UNZIP else (line, place)
                    _strided(ws, *to).copy_(_strided(ws, *source))
            else:
                load = ws[:, self._places[0]]
                ws[:, self._places[1]] = torch.einsum("bij,bj->bi", self._inverse, load)

    def _invert(self, constants: torch.Tensor) -> torch.Tensor:
        batch, n = len(self.ws), self._places.shape[1]
        matrix = torch.zeros((batch, n * n), dtype=torch.float64, device=self.ws.device)
        place, row, column = self._entries.T
        matrix.index_add_(1, row * n + column, -self.ws[:, place].double())
        matrix = matrix.reshape(batch, n, n)
        size = matrix.diagonal(dim1=1, dim2=2).abs().amax(dim=1)
        matrix = matrix + (torch.where(constants, size, 0.0) / n)[:, None, None]
        inverse, info = torch.linalg.inv_ex(matrix)
        self._inverse = inverse.to(self.ws.dtype)
        return info == 0


def _rows(tape: Array) -> list[list[int]]:
    return [[int(number) for number in row] for row in tape]


#: Where a box of numbers stands: first place, counts, strides.
_Box = tuple[int, tuple[int, ...], tuple[int, ...]]


def _pairs(row: list[int]) -> Iterator[tuple[_Box, _Box]]:
    """The even and the odd half of an UNZIP or ZIP row: a vector's box, and the box of the lines."""
    even, start, odd = row[2:5]
    n0, n1, evens, odds, o0, o1, v0, v1 = row[5:13]
    yield (even, (n0, n1, evens), (o0, o1, 1)), (start, (n0, n1, evens), (v0, v1, 2))
    if odds:
        yield (odd, (n0, n1, odds), (o0, o1, 1)), (start + 1, (n0, n1, odds), (v0, v1, 2))


def _strided(values: torch.Tensor, first: int, count: tuple[int, ...], strides: tuple[int, ...]) -> torch.Tensor:
    """A view of a box of every row."""
    return values.as_strided((len(values), *count), (values.stride(0), *strides), values.storage_offset() + first)
