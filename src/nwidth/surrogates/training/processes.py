"""The processes that train together: one, or those that torchrun starts."""

import atexit
import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn


def own_device(device: str | torch.device) -> torch.device:
    """The device of this process: 'cuda' is the GPU with the number that torchrun gave it."""
    chosen = torch.device(device)
    if chosen.type == "cpu" or chosen.index is not None or "LOCAL_RANK" not in os.environ:
        return chosen
    return torch.device(chosen.type, int(os.environ["LOCAL_RANK"]))


@dataclass(frozen=True)
class Processes:
    """`count` processes of which this is number `rank`; every method but `share` and `leads` is collective."""

    rank: int = 0
    count: int = 1
    sent: list["weakref.ref[Tensor]"] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    @contextmanager
    def joined(cls, device: torch.device) -> Iterator["Processes"]:
        """The processes of torchrun (gloo, or nccl on GPUs), or of a group that is there already; else this one."""
        if not dist.is_available() or not (dist.is_initialized() or dist.is_torchelastic_launched()):
            yield cls()
            return
        if not dist.is_initialized():
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, device_id=device if backend == "nccl" else None)
            atexit.register(_leave)  # not before: further fits use the group again
        processes = cls(dist.get_rank(), dist.get_world_size())
        yield processes
        processes.wait_for_threads()

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and shows."""
        return self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """The part of a batch that this process works on; empty where there are more processes than rows."""
        return rows[self.rank :: self.count]

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their sums over all processes: one message for each type of number."""
        if self.count == 1:
            return
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault(tensor.dtype, []).append(tensor)
        for parts in kinds.values():
            flat = torch.cat([part.reshape(-1) for part in parts])
            self._pass(dist.all_reduce, flat)
            for part, total in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
                part.copy_(total.view_as(part))

    def total(self, values: list[float], device: torch.device) -> list[float]:
        """The sums over all processes, in double precision."""
        if self.count == 1:
            return values
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        self._pass(dist.all_reduce, sums)
        return sums.tolist()

    def agreed(self, value: float, device: torch.device) -> float:
        """What the leading process says."""
        if self.count == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64, device=device)
        self._pass(dist.broadcast, said, 0)
        return float(said[0])

    def level(self, module: nn.Module) -> None:
        """Parameters and buffers as the leading process has them."""
        if self.count > 1:
            for tensor in module.state_dict().values():
                said = tensor.detach().contiguous()
                self._pass(dist.broadcast, said, 0)
                tensor.copy_(said)

    def wait_for_threads(self, limit: float = 10.0) -> None:
        """Return when gloo's threads have let go of the last tensors, or after `limit` seconds.

        They do so a moment after the message is through, and need the interpreter for it: one that finds it ending
        aborts the process (pytorch/pytorch, pull request 179291).
        """
        end = time.monotonic() + limit
        while any(tensor() is not None for tensor in self.sent) and time.monotonic() < end:
            time.sleep(1e-3)

    def _pass(self, collective: Callable[..., Any], tensor: Tensor, *options: int) -> None:
        collective(tensor, *options)
        self.sent[:] = [*(sent for sent in self.sent if sent() is not None), weakref.ref(tensor)]


def _leave() -> None:
    """End the group, unless somebody has done so."""
    if dist.is_initialized():
        dist.destroy_process_group()
