"""What a network is built for."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace
from nwidth.surrogates.training import Encoding
from nwidth.surrogates.training.samples import usable_rows


@dataclass(frozen=True)
class Frame:
    """Channels (out, in) as the network sees them, where the fields live, and how both are encoded.

    `encoding.dim` is the number of grid axes (0 without a grid); with the layout 'vector' the second number of channels
    counts the parameters in a row.
    """

    channels: tuple[int, int]
    space: FunctionSpace
    encoding: Encoding

    @classmethod
    def of(cls, snapshots: Snapshots, encoding: Encoding) -> Self:
        """The frame of these snapshots. Raises InputError where fewer than two are usable."""
        part = snapshots.take(usable_rows(snapshots)[:1])
        inputs = encoding.inputs(part.mu, encoding.grid_of(part.space))
        fields = encoding.fields(np.asarray(part.fields))
        return cls((fields.shape[1], inputs.shape[1]), snapshots.space, encoding)

    @property
    def dim(self) -> int:
        """Number of grid axes."""
        return self.encoding.dim

    @property
    def grid(self) -> tuple[int, ...]:
        """Nodes per axis of the space, () without a grid."""
        return self.encoding.grid_of(self.space)
