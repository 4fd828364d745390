"""Batches of tensors from samples that are solved while the network trains."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nwidth.core.errors import InputError
from nwidth.core.tensors import to_tensor
from nwidth.core.validation import check_finite
from nwidth.snapshots.stream import Stream
from nwidth.surrogates.training.encoding import Encoding


@dataclass(frozen=True)
class StreamLoader:
    """Batches (inputs, targets) of a stream, encoded as `Loader` does, on a device in single precision.

    Raises InputError for a batch size below 1, and where a value is not finite.
    """

    stream: Stream
    device: str = "cpu"
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}; expected 1 or more")

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        encoding: Encoding | None = None
        waiting: list[tuple[Tensor, Tensor]] = []
        for part in self.stream:
            encoding = encoding or Encoding.of(part)
            x, y = encoding.samples(part)
            check_finite("parameters", x)
            check_finite("fields", y)
            waiting.append((to_tensor(x, self.device), to_tensor(y, self.device)))
            inputs, targets = (torch.cat(tensors) for tensors in zip(*waiting, strict=True))
            whole = len(inputs) - len(inputs) % self.batch_size
            for first in range(0, whole, self.batch_size):
                rows = slice(first, first + self.batch_size)
                yield inputs[rows], targets[rows]
            waiting = [(inputs[whole:], targets[whole:])]
        for inputs, targets in waiting:
            if len(inputs):
                yield inputs, targets
