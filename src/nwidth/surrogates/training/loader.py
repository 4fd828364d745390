"""Batches of tensors from snapshots, for a training loop of one's own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.training.encoding import Encoding
from nwidth.surrogates.training.samples import Samples, usable_rows


@dataclass(frozen=True)
class Loader:
    """Batches (inputs, targets) as a wrapped module sees them; iterate as often as you like.

    Inputs are `(B, C_in, *grid)` where a parameter is a field on the grid, else `(B, P)`; targets are
    `(B, C_out, *grid)`, or `(B, 1, N)` without a grid. Values are physical, in single precision. With a seed the
    order is shuffled, differently in every `epoch`.
    """

    samples: Samples
    encoding: Encoding
    batch_size: int
    seed: int | None = None
    number: int = 0

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = np.arange(len(self.samples))
        if self.seed is not None:
            order = generator(self.seed, self.number).permutation(order)
        for first in range(0, len(order), self.batch_size):
            yield self.samples.batch(order[first : first + self.batch_size])

    def epoch(self, number: int) -> "Loader":
        """The same samples in the order of another epoch."""
        return replace(self, number=number)


def loader(snapshots: Snapshots, device: str = "cpu", batch_size: int = 16, *, seed: int | None = None) -> Loader:
    """Batches of the converged samples on a device. Raises InputError for a batch size below 1."""
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; expected 1 or more")
    encoding = Encoding.of(snapshots)
    return Loader(Samples(snapshots, encoding.samples, usable_rows(snapshots), device), encoding, batch_size, seed)
