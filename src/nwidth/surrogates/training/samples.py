"""Samples as tensors, held in memory where they fit and read batch by batch where they do not."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.tensors import to_tensor
from nwidth.core.validation import check_finite
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.training.config import Precision
from nwidth.surrogates.training.processes import own_device

#: Samples are kept as tensors up to this many bytes.
RESIDENT = 2 * 2**30
_PIECE = 256


#: From a few snapshots to input `(B, ...)` and target `(B, C, ...)`.
Encode: TypeAlias = Callable[[Snapshots], tuple[Array, Array]]


class Samples:
    """Inputs and targets of some rows of the snapshots, on a device, in single precision unless 'float64' is asked for.

    Raises InputError where a value that is read is not finite.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        encode: Encode,
        rows: Array,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ):
        self._snapshots, self._encode, self._rows, self.device = snapshots, encode, np.sort(rows), own_device(device)
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        self._resident: tuple[Tensor, Tensor] | None = None
        if len(rows) and self._bytes() <= RESIDENT:
            pieces = [self._read(np.arange(a, min(a + _PIECE, len(rows)))) for a in range(0, len(rows), _PIECE)]
            self._resident = (torch.cat([x for x, _ in pieces]), torch.cat([y for _, y in pieces]))

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, index: Array) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the samples `index` (positions in this set)."""
        if self._resident is None:
            return self._read(np.sort(index))  # a chunked store wants sorted rows; the order in a batch is immaterial
        where = torch.from_numpy(index).to(self.device)
        return self._resident[0][where], self._resident[1][where]

    def _read(self, index: Array) -> tuple[Tensor, Tensor]:
        x, y = self._encode(self._snapshots.take(self._rows[index]))
        check_finite("parameters", x)
        check_finite("fields", y)
        return to_tensor(x, self.device, self.dtype), to_tensor(y, self.device, self.dtype)

    def _bytes(self) -> int:
        x, y = self._read(np.arange(1))
        return x.itemsize * (x.numel() + y.numel()) * len(self)


def usable_rows(snapshots: Snapshots) -> Array:
    """Rows that converged. Raises InputError where fewer than two are left."""
    rows = snapshots.good
    if len(rows) < 2:
        raise InputError(
            f"{len(rows)} usable samples among {len(snapshots)}; training needs at least 2 (one is kept for "
            "validation), and useful results need hundreds"
        )
    return rows
