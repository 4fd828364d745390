"""A trained step in time as a surrogate: parameters in, trajectories out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction, uncertified
from nwidth.core.storable import Parts
from nwidth.core.tensors import to_array, to_tensor
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.operators.architecture import Architecture, OperatorSurrogate
from nwidth.operators.evolution_data import Past, window_of
from nwidth.operators.evolution_start import Start
from nwidth.operators.evolution_step import Stencil
from nwidth.operators.fitting import Fitted
from nwidth.operators.frame import Frame
from nwidth.problems.evolution import checked_times
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.trajectories import Trajectories
from nwidth.surrogates.training import Encoding

Scheme = Literal["rollout", "lead-time"]
#: Times agree up to this part of the longest one.
_CLOSE = 1e-9


@dataclass(frozen=True)
class March:
    """How trajectories come about: the scheme, where they start, one step, the trained times, and the asked ones."""

    scheme: Scheme
    start: Start
    stencil: Stencil
    trained: tuple[float, ...]
    times: tuple[float, ...]

    def at(self, times: Sequence[float] | Real) -> Self:
        """The same for other times. Raises InputError for times that cannot be answered."""
        wanted = checked_times(np.asarray(times, dtype=np.float64), "the surrogate")
        if wanted[0] < self.start.time:
            raise InputError(f"the trajectories start at {self.start.time:g}; {wanted[0]:g} is before that")
        moved = changed(self, times=tuple(wanted.tolist()))
        if self.scheme == "rollout":
            moved.marks()
        elif wanted[-1] > self.trained[-1] * (1 + _CLOSE):
            raise InputError(
                f"time {wanted[-1]:g} is beyond {self.trained[-1]:g}, the last one trained on; a rollout goes on, "
                "Evolving(..., scheme='rollout')"
            )
        return moved

    def steps(self) -> Real:
        """Ends of the steps of a rollout `(S,)`: the trained times; where these are equal, any number of steps."""
        if self.stencil.lead:
            return np.array([t for t in self.trained if t <= self.times[-1] * (1 + _CLOSE)])
        count = round((self.times[-1] - self.start.time) / self.stencil.step)
        return self.start.time + self.stencil.step * np.arange(1, count + 1, dtype=np.float64)

    def marks(self) -> Array:
        """For each asked time the number of steps of a rollout before it. Raises InputError between two steps."""
        ends = np.concatenate([[self.start.time], self.steps()])
        found = np.argmin(np.abs(ends[None] - np.array(self.times)[:, None]), axis=1)
        for time, mark in zip(self.times, found, strict=True):
            if abs(ends[mark] - time) > 1e-6 * max(self.stencil.step, _CLOSE * abs(time)):
                listed = f"{self.start.time:g} + n · {self.stencil.step:g}" if not self.stencil.lead else f"{ends}"
                raise InputError(
                    f"time {time:g} lies between the steps of a rollout, {listed}; ask for these, or train with "
                    "Evolving(..., scheme='lead-time')"
                )
        return found

    def to_config(self) -> dict[str, Any]:
        """For a model file."""
        lists = {"trained": list(self.trained), "times": list(self.times)}
        return {"scheme": self.scheme, "start": self.start.to_config(), "stencil": self.stencil.to_config(), **lists}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """From a model file."""
        start, stencil = Start.from_config(config["start"]), Stencil.from_config(config["stencil"])
        return cls(config["scheme"], start, stencil, tuple(config["trained"]), tuple(config["times"]))


class Evolved(OperatorSurrogate):
    """Answers with trajectories `(B, T, *shape)` at `times`. States are carried in double precision."""

    kind: ClassVar[str] = "evolved"

    def __init__(
        self,
        parameters: ParameterSpace,
        space: FunctionSpace,
        fitted: Fitted,
        architecture: Architecture,
        march: March,
    ):
        super().__init__(parameters, space, fitted, architecture)
        self._march = march

    @property
    def times(self) -> Real:
        """The times of the answers, `(T,)`."""
        return np.array(self._march.times)

    @property
    def scheme(self) -> Scheme:
        """'rollout' or 'lead-time'."""
        return self._march.scheme

    def at_times(self, times: Sequence[float] | Real) -> "Evolved":
        """The same surrogate answering at other times; nothing is trained again.

        A rollout answers after whole steps, beyond the trained times too (there its errors are not known); lead-time
        conditioning at any time up to the last trained one. Raises InputError for other times.
        """
        march = self._march.at(times)
        return type(self)(self._parameters, self._space, self._fitted, self._architecture, march)

    def predict(self, mu: Mu | Array) -> Prediction:
        """Trajectories `(B, T, *space.shape)`; every bound is +inf until a certificate is attached.

        Raises InputError for parameters of another shape or grid.
        """
        checked = as_mu(mu, self.parameters.names)
        size, shape = batch_size(checked), (len(self._march.times), *self.space.shape)
        fields = np.empty((size, *shape), self.space.dtype)
        for first in range(0, size, self.piece):
            rows = slice(first, first + self.piece)
            fields[rows] = self._trajectories(select(checked, rows))
        inside = self.parameters.contains(checked) if size else np.empty(0, dtype=bool)
        return uncertified(checked, fields, Trajectories(self.space, self.times), inside)

    def _trajectories(self, mu: Mu) -> Array:
        past = Past(self._march.start, self.encoding, self._fitted.problem, self.space)
        first, others = past.frames(mu), past.others(mu)
        run = self._jumps if self._march.scheme == "lead-time" else self._rollout
        with torch.inference_mode():
            frames = run(first, others)
        flat = frames.reshape(-1, *frames.shape[2:])
        return self.encoding.values(flat, self.space.shape).reshape(*frames.shape[:2], *self.space.shape)

    def _rollout(self, first: Array, others: Array) -> Array:
        """Step after step; the frames that are asked for, `(B, T, C, *grid)`."""
        stencil, marks = self._march.stencil, self._march.marks()
        window = first[:, window_of(np.array([first.shape[1] - 1]), stencil.window)[0]]
        found = np.empty((len(first), len(marks), *first.shape[2:]))
        found[:, marks == 0] = first[:, -1:]
        now = self._march.start.time
        for number, end in enumerate(self._march.steps(), start=1):
            state = self._step(window, others, end - now, now)
            window = np.concatenate([window[:, 1:], state[:, None]], axis=1)
            found[:, marks == number] = state[:, None]
            now = end
        return found

    def _jumps(self, first: Array, others: Array) -> Array:
        """From the start to every asked time at once, as many samples as go together."""
        start, window = self._march.start.time, self._march.stencil.window
        past = first[:, window_of(np.array([first.shape[1] - 1]), window)[0]]
        lengths = np.array(self._march.times) - start
        found = np.repeat(first[:, -1:], len(lengths), axis=1)  # at the start itself there is nothing to do
        sample, level = (a.ravel() for a in np.meshgrid(np.arange(len(first)), np.flatnonzero(lengths), indexing="ij"))
        for a in range(0, len(sample), self.piece):
            which, at = sample[a : a + self.piece], level[a : a + self.piece]
            found[which, at] = self._step(past[which], others[which], lengths[at], start)
        return found

    def _step(self, window: Array, others: Array, length: Real | float, time: float) -> Array:
        """The states `(B, C, *grid)` after steps of the given lengths."""
        stencil = self._march.stencil
        constant = np.ones((len(window), 1, *window.shape[3:]))
        column = np.reshape(length, (-1, *(1,) * (constant.ndim - 1)))
        extra = [constant * column] * stencil.lead + [constant * time] * stencil.clock
        past = window.reshape(len(window), -1, *window.shape[3:])
        answer = self._answer(np.concatenate([past, others, *extra], axis=1))
        return window[:, -1] + column / stencil.step * answer if stencil.residual else answer

    def _answer(self, x: Array) -> Array:
        """The network in its own precision, boundary values and scale in double precision."""
        dtype = next((p.dtype for p in self.module.network.parameters()), torch.float32)
        w: Tensor = self.module.raw(to_tensor(x, dtype=dtype))
        return to_array(self.module.finish(w.double()))

    def _replaced(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted) -> Self:
        return type(self)(parameters, space, fitted, self._architecture, self._march)

    def to_parts(self) -> Parts:
        """As every operator, and how trajectories come about."""
        config, arrays, children = super().to_parts()
        return Parts(config | {"march": self._march.to_config()}, arrays, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The surrogate again. Raises InputError where the weights do not fit."""
        architecture, space = children["architecture"], children["space"]
        out, inp = config["channels"]
        network = architecture.build(Frame((out, inp), space, Encoding.from_config(config["encoding"])))
        fitted = cls._rebuild(network, config, arrays, children)
        march = March.from_config(config["march"])
        return cls(children["parameters"], space, fitted, architecture, march)
