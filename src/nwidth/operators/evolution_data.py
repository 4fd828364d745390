"""Trajectories as training samples of steps: windows of the past, and what comes after them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.tensors import to_tensor
from nwidth.core.validation import check_finite
from nwidth.operators.evolution_start import Start
from nwidth.operators.evolution_step import Stencil
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace
from nwidth.surrogates.training import Encoding, Samples
from nwidth.surrogates.training.config import Precision
from nwidth.surrogates.training.processes import own_device
from nwidth.surrogates.training.samples import RESIDENT

_PIECE = 64


@dataclass(frozen=True, eq=False)
class Past:
    """First frames and other parameters of queries as channels: `(B, j, C, *grid)` and `(B, P, *grid)`, float64."""

    start: Start
    encoding: Encoding
    problem: Problem | None
    space: FunctionSpace

    def frames(self, mu: Mu) -> Array:
        """The frames before the first step."""
        found = self.start.frames(mu, self.problem, self.space)
        return self.encode(found)

    def encode(self, fields: Array) -> Array:
        """Fields `(B, L, *shape)` as `(B, L, C, *grid)`."""
        channels = self.encoding.fields(fields.reshape(-1, *self.space.shape))
        return channels.reshape(*fields.shape[:2], *channels.shape[1:])

    def others(self, mu: Mu) -> Array:
        """The parameters beside the state; no channels where there are none."""
        grid, names = self.encoding.grid_of(self.space), self.encoding.names
        if not names:
            return np.empty((len(next(iter(mu.values()))), 0, *grid))
        return self.encoding.inputs({name: mu[name] for name in names}, grid)


@dataclass(frozen=True, eq=False)
class Runs:
    """Trajectories as frames `(B, L, C, *grid)` at `times` `(L,)`, the first ones from the start."""

    snapshots: Snapshots
    past: Past

    @property
    def later(self) -> Mask:
        """Which stored times come after the start."""
        return np.asarray(self.snapshots.times) > self.past.start.time

    @property
    def times(self) -> Real:
        """Of all frames, `(L,)`."""
        return np.concatenate([self.past.start.times, np.asarray(self.snapshots.times)[self.later]])

    @property
    def first(self) -> int:
        """The number of the frame that the first step starts from."""
        return len(self.past.start.times) - 1

    def read(self, rows: Array) -> tuple[Array, Array]:
        """Frames and other parameters of some runs. Raises InputError where a value is not finite."""
        part = self.snapshots.take(rows)
        stored = self.past.encode(np.asarray(part.fields)[:, self.later])
        frames = np.concatenate([self.past.frames(part.mu), stored], axis=1)
        others = self.past.others(part.mu)
        check_finite("fields", frames)
        check_finite("parameters", others)
        return frames, others


class Windows(Samples):
    """Every step of some runs as a sample: input as `Stencil` says, target the frames after it.

    `steps` `(S, 2)`: from which frame to which. `ahead`: the frames that are asked for, counted from the second one
    (0 alone, or 0 ... m - 1 for m steps in a row). `target` 'rate' gives instead what the network itself should
    answer for one step: (u(t + τ) - u(t)) step / τ with `residual`.
    """

    def __init__(
        self,
        runs: Runs,
        stencil: Stencil,
        steps: Array,
        rows: Array,
        *,
        ahead: tuple[int, ...] = (0,),
        target: Literal["frames", "rate"] = "frames",
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ):
        self._runs, self._stencil, self._steps, self._rows = runs, stencil, steps, np.sort(rows)
        self._ahead, self._target, self.device = np.asarray(ahead), target, own_device(device)
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        self._times = runs.times
        self._held: tuple[Tensor, Tensor] | None = None
        if len(rows) and self._bytes() <= RESIDENT:
            pieces = [self._tensors(self._rows[a : a + _PIECE]) for a in range(0, len(rows), _PIECE)]
            self._held = (torch.cat([f for f, _ in pieces]), torch.cat([p for _, p in pieces]))

    def __len__(self) -> int:
        return len(self._rows) * len(self._steps)

    def aiming_at(self, target: Literal["frames", "rate"], ahead: tuple[int, ...]) -> "Windows":
        """The same samples with other targets; the data are shared."""
        other: Windows = object.__new__(Windows)
        other.__dict__.update(self.__dict__)
        other._target, other._ahead = target, np.asarray(ahead)
        return other

    def batch(self, index: Array) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the samples `index` (positions in this set)."""
        run, step = np.divmod(index, len(self._steps))
        if self._held is not None:
            return self._samples(self._held, run, step)
        unique, local = np.unique(run, return_inverse=True)
        return self._samples(self._tensors(self._rows[unique]), local, step)

    def _samples(self, held: tuple[Tensor, Tensor], run: Array, step: Array) -> tuple[Tensor, Tensor]:
        frames, others = held
        which = torch.from_numpy(run).to(frames.device)
        begin, end = self._steps[step].T
        x = [_flat(frames[which[:, None], self._index(window_of(begin, self._stencil.window))]), others[which]]
        length = self._times[end] - self._times[begin]
        x += [self._constant(values, frames) for values in self._constants(length, self._times[begin])]
        y = _flat(frames[which[:, None], self._index(end[:, None] + self._ahead)])
        if self._target == "rate" and self._stencil.residual:
            last = frames[which, self._index(begin)]
            y = (y - last) * self._constant(self._stencil.step / length, frames)
        return torch.cat(x, dim=1), y

    def _constants(self, length: Real, time: Real) -> list[Real]:
        chosen = ((self._stencil.lead, length), (self._stencil.clock, time))
        return [values for wanted, values in chosen if wanted]

    def _index(self, levels: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(levels)).to(self.device)

    def _constant(self, values: Real, frames: Tensor) -> Tensor:
        """`(B,)` as channels `(B, 1, *grid)`."""
        column = torch.from_numpy(np.array(values)).to(frames)
        return column.view(-1, 1, *(1,) * (frames.ndim - 3)).expand(-1, 1, *frames.shape[3:])

    def _tensors(self, rows: Array) -> tuple[Tensor, Tensor]:
        frames, others = self._runs.read(rows)
        return to_tensor(frames, self.device, self.dtype), to_tensor(others, self.device, self.dtype)

    def _bytes(self) -> int:
        frames, others = self._tensors(self._rows[:1])
        return frames.itemsize * (frames.numel() + others.numel()) * len(self._rows)


def window_of(last: Array, window: int) -> Array:
    """Numbers `(B, window)` of the frames up to `last`; before the first frame, the first frame."""
    return np.maximum(last[:, None] - np.arange(window)[::-1], 0)


def consecutive(times: Real, first: int, unroll: int) -> Array:
    """Steps `(S, 2)` from every frame to the next one, as far as `unroll` of them follow one another.

    Raises InputError where the runs have fewer.
    """
    begin = np.arange(first, len(times) - unroll)
    if not len(begin):
        raise InputError(f"unroll = {unroll} steps, but the runs have {len(times) - 1 - first}; take fewer")
    return np.stack([begin, begin + 1], axis=1)


def from_the_start(times: Real, first: int) -> Array:
    """Steps `(S, 2)` from the start to every later frame."""
    end = np.arange(first + 1, len(times))
    return np.stack([np.full_like(end, first), end], axis=1)


def _flat(frames: Tensor) -> Tensor:
    """`(B, k, C, *grid)` as `(B, k C, *grid)`."""
    return frames.flatten(1, 2)
