"""The running mean of the parameters."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """`m ← d m + (1 - d) θ` after every step, with `d = min(decay, (1 + t) / (10 + t))` at step t.

    The smaller first decays forget the start of training (Polyak and Juditsky 1992; the form is common practice).
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.values = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take the parameters after step number `step` (from 0) in."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in module.named_parameters():
            self.values[name].lerp_(parameter, 1 - decay)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Continue from a stored mean."""
        for name, value in values.items():
            self.values[name].copy_(value)

    @contextmanager
    def inside(self, module: nn.Module) -> Iterator[None]:
        """The module with the mean as its parameters; its own come back afterwards."""
        self._exchange(module)
        try:
            yield
        finally:
            self._exchange(module)

    def _exchange(self, module: nn.Module) -> None:
        for name, parameter in module.named_parameters():
            parameter.data, self.values[name] = self.values[name], parameter.data
