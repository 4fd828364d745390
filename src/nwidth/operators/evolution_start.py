"""Where the first frames of a trajectory come from: a parameter, recorded frames, or the problem's initial state."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.validation import check_batched, select
from nwidth.problems.base import Evolution, Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.frames import Frames
from nwidth.spaces.joint import Joint

#: The state at the time of the start agrees with the parameter that is taken for it up to this part of its size.
_CLOSE = 1e-6
#: Runs that are compared.
_WITNESSES = 4


@dataclass(frozen=True)
class Start:
    """The frames before the first step: those of the parameter `name`, or `problem.initial(mu)` where it is empty.

    `times` `(j,)` are the times of these frames; the last of them is the state that the evolution goes on from.
    """

    name: str = ""
    times: tuple[float, ...] = (0.0,)

    @property
    def time(self) -> float:
        """When the evolution begins."""
        return self.times[-1]

    def frames(self, mu: Mu, problem: Problem | None, space: FunctionSpace) -> Array:
        """`(B, j, *shape)`. Raises InputError where the parameter lives on another grid."""
        if not self.name:
            if not isinstance(problem, Evolution):
                raise InputError("the initial state comes from the problem, which is not at hand")
            return check_batched("the initial state", np.asarray(problem.initial(mu)), space.shape)[:, None]
        values = np.asarray(mu[self.name])
        single = values.shape[1:] == space.shape
        found = values[:, None] if single else values
        if found.shape[1:] != (len(self.times), *space.shape):
            raise InputError(
                f"parameter {self.name!r} is given as {values.shape[1:]}, expected {len(self.times)} frame(s) of "
                f"{space.shape}; nw.snapshots.on_nodes(snapshots) brings a field from a finer grid to these nodes"
            )
        return found

    def to_config(self) -> dict[str, Any]:
        """For a model file."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """From a model file."""
        return cls(config["name"], tuple(config["times"]))


def find_start(initial: str, snapshots: Snapshots, problem: Problem | None) -> Start:
    """What 'auto', 'problem' or the name of a parameter mean for these runs.

    'auto' takes recorded frames; or the parameter that equals the state stored at time zero, or the problem's initial
    state; or else asks the problem. Raises InputError where none of these is known.
    """
    recorded = [part for part in _parts(snapshots.parameters) if isinstance(part, Frames)]
    if initial in ("auto", *(part.name for part in recorded)) and recorded:
        chosen = next((part for part in recorded if part.name == initial), recorded[0])
        return Start(chosen.name, chosen.times)
    shape = snapshots.space.shape
    fields = [name for name, values in snapshots.mu.items() if tuple(values.shape[1:]) == shape]
    if initial == "problem":
        return _of_problem(problem)
    if initial != "auto":
        if initial not in snapshots.mu:
            raise InputError(f"initial = {initial!r} is no parameter; there are {', '.join(snapshots.mu)}")
        start = Start(initial)
        start.frames(snapshots.take(np.arange(min(1, len(snapshots)))).mu, None, snapshots.space)
        return start
    return _recognised(fields, snapshots, problem)


def _recognised(fields: list[str], snapshots: Snapshots, problem: Problem | None) -> Start:
    """The parameter that is the initial state, as far as the runs or the problem show it."""
    few = snapshots.take(np.arange(min(_WITNESSES, len(snapshots))))
    witness = None
    if few.times is not None and few.times[0] == 0:
        witness = np.asarray(few.fields)[:, 0]
    elif isinstance(problem, Evolution):
        witness = np.asarray(problem.initial(few.mu))
    equal = [name for name in fields if witness is not None and _agree(np.asarray(few.mu[name]), witness)]
    if equal:
        return Start(equal[0])
    if isinstance(problem, Evolution):
        return _of_problem(problem)
    seems = f" ({', '.join(map(repr, fields))} may be it)" if fields else ""
    raise InputError(
        f"it is not known where a trajectory starts: name the parameter that is the state at time zero{seems}, e.g. "
        "Evolving(..., initial='u0'); or pass the problem to fit; or make the first frames a parameter with "
        "nw.snapshots.windowed(runs, count). A field from a finer grid is brought here by nw.snapshots.on_nodes(runs)"
    )


def _of_problem(problem: Problem | None) -> Start:
    if not isinstance(problem, Evolution):
        raise InputError("initial = 'problem' needs a problem in time: fit(snapshots, problem)")
    return Start()


def check_start(start: Start, snapshots: Snapshots, problem: Problem | None) -> None:
    """InputError where the state stored at the time of the start is another one, or stored times lie before it."""
    times = np.asarray(snapshots.times)
    if times[-1] <= start.time or times[0] < start.time:
        raise InputError(f"the evolution starts at {start.time:g}, the stored times are {times[0]:g} to {times[-1]:g}")
    if times[0] > start.time:
        return
    few = snapshots.take(np.arange(min(_WITNESSES, len(snapshots))))
    first = start.frames(select(few.mu, slice(None)), problem, few.space)[:, -1]
    if not _agree(first, np.asarray(few.fields)[:, 0]):
        source = repr(start.name) if start.name else "the problem's initial state"
        raise InputError(f"{source} is not the state that the runs hold at time {start.time:g}; name another parameter")


def _agree(a: Array, b: Array) -> bool:
    return a.shape == b.shape and float(np.linalg.norm(a - b)) <= _CLOSE * float(np.linalg.norm(b))


def _parts(parameters: ParameterSpace) -> tuple[ParameterSpace, ...]:
    return parameters.parts if isinstance(parameters, Joint) else (parameters,)
