"""What fitting any network to snapshots has in common: encoding, boundary values, normalisation, split, training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import nn

from nwidth.core.arrays import Array, Mask
from nwidth.core.errors import InputError
from nwidth.core.rows import marks
from nwidth.core.seeding import generator
from nwidth.operators.boundary import boundary_mask, transfinite
from nwidth.operators.frame import Frame
from nwidth.operators.module import BoundaryKind, OperatorModule
from nwidth.problems.base import Diffusive, Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.typical import typical_set
from nwidth.surrogates.base import Run
from nwidth.surrogates.training import Encoding, History, Samples, Training, loss_for, train
from nwidth.surrogates.training.encoding import side_lengths
from nwidth.surrogates.training.samples import Encode, usable_rows
from nwidth.surrogates.training.translate import check_shift

#: A network with fresh parameters.
Build: TypeAlias = Callable[[], nn.Module]
#: 'auto': prescribed on a grid with Dirichlet boundary; 'free': the network predicts boundary values as well.
BoundaryChoice = Literal["auto", "free"]

_PIECE = 256
_SHOWN = 2_000
_SPLIT = 2**31  # a stream of its own: epochs count from 0


class FromData(ABC):
    """A network that takes something from the training data before it is trained (a basis, say)."""

    @abstractmethod
    def adapt(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """See standardised inputs `(B, ...)` and scaled outputs `(B, C_out, ...)` of up to 2,000 training samples."""


@dataclass(frozen=True)
class Fitted:
    """A trained module and what a surrogate needs beside it; `problem` where its boundary values are needed."""

    module: OperatorModule
    encoding: Encoding
    history: History
    problem: Problem | None


def fit_network(
    build: Build,
    frame: Frame,
    snapshots: Snapshots,
    problem: Problem | None,
    training: Training | None,
    *,
    boundary: BoundaryChoice = "auto",
    piece: int | None = None,
    seed: int = 0,
    run: Run = Run(),
) -> Fitted:
    """Build a network for the snapshots and train it (`training=None`: leave it); equal seeds give equal results.

    Raises InputError for too few, constant or non-finite samples, or an augmentation that does not apply.
    """
    if snapshots.times is not None:
        raise InputError(
            "these snapshots are trajectories: train nw.operators.Evolving(...) on them, or an operator on one time, "
            "nw.snapshots.at_time(snapshots, t)"
        )
    rows, encoding = usable_rows(snapshots), frame.encoding
    trained, watched = split_rows(rows, training.validation if training else 0.0, seed)
    kind = _boundary_kind(snapshots, problem, encoding, rows, boundary)
    encode = _with_lift(encoding) if kind == "given" else encoding.samples
    precision = training.precision if training else "float32"
    samples, validation = (Samples(snapshots, encode, part, run.device, precision) for part in (trained, watched))
    lift = _lift_of(encoding, snapshots.take(rows[:1]))[0] if kind == "fixed" else None
    module = prepare(build, frame.channels, samples, kind, lift, seed=seed, normalise=training is not None)
    history = History()
    if training is not None:
        check_augment(training, encoding, snapshots.space, module)
        loss = loss_for(training, encoding, snapshots.space)
        history = train(module, samples, validation, loss, training, seed=seed, run=run, piece=piece)
        history = replace(history, runs=marks(snapshots.mu))
    return Fitted(module.to("cpu").eval(), encoding, history, problem if kind == "given" else None)


def with_typical_fields(snapshots: Snapshots, seed: int) -> Snapshots:
    """The snapshots with the set of parameters that a surrogate trained on them has: fields like these."""
    typical = typical_set(snapshots.parameters, snapshots.mu, snapshots.good, seed=seed)
    return replace(snapshots, parameters=typical)


def split_rows(rows: Array, share: float, seed: int) -> tuple[Array, Array]:
    """Rows to train on and rows to watch (at least one), disjoint, drawn by the seed."""
    shuffled = generator(seed, _SPLIT).permutation(rows)
    watched = min(max(1, round(share * len(rows))), len(rows) - 1)
    return shuffled[watched:], shuffled[:watched]


def lift_channels(encoding: Encoding, fields: Array) -> Array:
    """Encoded fields that continue the boundary values of `fields` inside, `(B, C_out, *grid)`."""
    return transfinite(encoding.fields(fields), encoding.dim)


def prepare(
    build: Build,
    channels: tuple[int, int],
    samples: Samples,
    kind: BoundaryKind,
    lift: Array | None = None,
    *,
    seed: int = 0,
    normalise: bool = True,
) -> OperatorModule:
    """The untrained module around a fresh network: boundary values, normalisation, what it takes from the data.

    Its parameters depend on the seed (and, where it asks for them, on the samples) alone; `channels` (out, in). `lift`
    `(C_out, *grid)` holds prescribed values of the kind 'fixed'. Raises InputError where the network's output has
    another shape than the fields, or these are all the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build()
    module = OperatorModule(network, channels, kind, () if lift is None else lift.shape[1:])
    if samples.dtype == torch.float64:  # never the other way round: buffers are double anyhow
        module.double()
    if lift is not None:
        module.lift.copy_(torch.from_numpy(lift))
    _check_output(module, samples)
    if normalise:
        _normalise(module, samples)
        _adapt(module, samples)
    return module


def _adapt(module: OperatorModule, samples: Samples) -> None:
    """Show a network that asks for it the training samples as it will see them."""
    if not isinstance(module.network, FromData):
        return
    x, y = (part.cpu() for part in samples.batch(np.arange(min(len(samples), _SHOWN))))
    inp = module.channels[1]
    given = x[:, inp:].reshape_as(y) if module.boundary == "given" else None
    with torch.no_grad():
        module.network.adapt(module.standardise(x[:, :inp]), module.scaled(y, given))


def _check_output(module: OperatorModule, samples: Samples) -> None:
    """InputError where the network's output has another shape than the fields."""
    x, y = samples.batch(np.arange(1))
    with torch.no_grad():
        found = tuple(module.eval().raw(x[:, : module.channels[1]].cpu()).shape)
    if found != tuple(y.shape):
        raise InputError(
            f"the network returned a tensor of shape {found} for one sample, expected {tuple(y.shape)}: (B, C, *grid), "
            "or (B, N) for fields without a grid"
        )


def _boundary_kind(
    snapshots: Snapshots, problem: Problem | None, encoding: Encoding, rows: Array, choice: BoundaryChoice
) -> BoundaryKind:
    """Whether boundary values are prescribed, and whether they depend on the parameters."""
    space = snapshots.space
    if choice == "free" or not isinstance(space, Grid) or not space.inside:
        return "free"
    mask = boundary_mask(space.shape)
    first = encoding.fields(np.asarray(snapshots.take(rows[:1]).fields))[..., mask]
    if all(np.array_equal(np.broadcast_to(first, t.shape), t) for t in _traces(snapshots, encoding, rows, mask)):
        return "fixed"
    return "given" if isinstance(problem, Diffusive) else "free"


def _traces(snapshots: Snapshots, encoding: Encoding, rows: Array, mask: Mask) -> Iterator[Array]:
    """Boundary values of all rows, a few at a time."""
    ordered = np.sort(rows)
    for first in range(0, len(ordered), _PIECE):
        yield encoding.fields(np.asarray(snapshots.take(ordered[first : first + _PIECE]).fields))[..., mask]


def _lift_of(encoding: Encoding, part: Snapshots) -> Array:
    return lift_channels(encoding, np.asarray(part.fields))


def _with_lift(encoding: Encoding) -> Encode:
    """Samples whose input carries the continued boundary values along, after what the network sees."""

    def encode(part: Snapshots) -> tuple[Array, Array]:
        x, y = encoding.samples(part)
        lift = _lift_of(encoding, part)
        return np.concatenate([x, lift.reshape(len(x), -1) if x.ndim == 2 else lift], axis=1), y

    return encode


def _normalise(module: OperatorModule, samples: Samples) -> None:
    """Mean and deviation of every channel over the training samples. Raises InputError for constant data."""
    inputs, fields = _Moments(), _Moments()
    for first in range(0, len(samples), _PIECE):
        x, y = samples.batch(np.arange(first, min(first + _PIECE, len(samples))))
        inputs.add(x[:, : module.channels[1]].double())
        if module.boundary == "fixed":
            y = y.double() - module.lift.to(y.device)
        elif module.boundary == "given":
            y = y.double() - x[:, module.channels[1] :].reshape_as(y).double()
        fields.add(y.double())
    shift, scale = fields.mean, fields.deviation
    if not (scale > 1e-12 * np.abs(shift)).any():
        raise InputError(
            "all training fields are the same constant; there is nothing to learn. Check that the samples hold "
            "solutions and that the parameters vary"
        )
    module.standardise.fit(inputs.mean, inputs.deviation)
    module.scale.copy_(torch.from_numpy(np.where(scale > 0, scale, 1.0)))
    module.shift.copy_(torch.from_numpy(shift))


class _Moments:
    """Running mean and deviation per channel."""

    def __init__(self) -> None:
        self.count, self.sum, self.square = 0, np.zeros(1), np.zeros(1)

    def add(self, values: torch.Tensor) -> None:
        flat = values.transpose(0, 1).flatten(1)
        self.count += flat.shape[1]
        self.sum = self.sum + flat.sum(dim=1).cpu().numpy()
        self.square = self.square + flat.square().sum(dim=1).cpu().numpy()

    @property
    def mean(self) -> Array:
        return self.sum / self.count

    @property
    def deviation(self) -> Array:
        return np.sqrt(np.maximum(self.square / self.count - self.mean**2, 0.0))


def check_augment(training: Training, encoding: Encoding, space: FunctionSpace, module: OperatorModule) -> None:
    """InputError where turning and mirroring samples makes no sense."""
    check_shift(training.augment, encoding.layout, space)
    if "square" not in training.augment:
        return
    grid = encoding.grid_of(space)
    reason = ""
    if encoding.layout != "channels" or len(set(grid)) != 1 or len(set(side_lengths(space))) != 1:
        reason = f"a square grid and parameters on it; the grid is {grid or 'absent'}"
    elif encoding.components:
        reason = "scalar fields: the components of a vector would have to turn with the grid"
    elif module.boundary == "fixed" and len(np.unique(module.lift.numpy()[..., boundary_mask(grid)])) > 1:
        reason = "the same boundary value everywhere"
    if reason:
        raise InputError(f"training: augment={training.augment!r} needs {reason}; use augment='none'")
