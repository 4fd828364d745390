"""Named numbers from fields: an operator on a grid, averaged over the domain."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.prediction import Output, Prediction, uncertified
from nwidth.core.rows import marks
from nwidth.core.storable import Parts
from nwidth.core.tensors import to_array, to_tensor
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.operators.architecture import Architecture, OperatorFitter, OperatorSurrogate
from nwidth.operators.fitting import Fitted, prepare, split_rows, with_typical_fields
from nwidth.operators.frame import Frame
from nwidth.operators.own_module import operator_on_a_grid
from nwidth.operators.wrap import Wrapped
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.points import Points
from nwidth.spaces.random_field import RandomField
from nwidth.spaces.torus import Torus
from nwidth.surrogates.base import Fitter, Run
from nwidth.surrogates.training import Encoding, Samples, train
from nwidth.surrogates.training.encoding import grid_dimension
from nwidth.surrogates.training.losses import Loss
from nwidth.surrogates.training.quadrature import Axis, axes_of
from nwidth.surrogates.training.samples import usable_rows


class Averaged(nn.Module):
    """`q = ∫ w(x) dx / |Ω|` of every channel of a network's answer: `(B, C_in, *grid)` to `(B, C, 1)`, on any grid."""

    def __init__(self, network: nn.Module, axes: tuple[Axis, ...]):
        super().__init__()
        self.network, self.axes = network, axes

    def forward(self, x: Tensor) -> Tensor:
        """Quadrature along one axis after the other."""
        w: Tensor = self.network(x)
        for axis in reversed(self.axes):
            widths = torch.tensor(axis.widths(w.shape[-1]), dtype=w.dtype, device=w.device)
            w = w @ (widths / widths.sum())
        return w.unsqueeze(-1)


class Measured(OperatorSurrogate):
    """Answers with named numbers and no field: `predict(mu).outputs[name].values` `(B,)`.

    Parameters may be given on any grid of the same domain; `at(grid)` is the surrogate whose fitted set is that grid's.
    """

    kind: ClassVar[str] = "measured"

    def __init__(
        self,
        parameters: ParameterSpace,
        grid: FunctionSpace,
        fitted: Fitted,
        architecture: Architecture,
        units: Mapping[str, str],
    ):
        super().__init__(parameters, grid, fitted, architecture)
        self._units = dict(units)

    @property
    def space(self) -> Points:
        """An empty space: there is no field."""
        return Points((0,))

    @property
    def grid(self) -> FunctionSpace:
        """Where the parameter fields live."""
        return self._space

    @property
    def piece(self) -> int:
        """As many samples as keep the activations in cache."""
        return self._architecture.piece(self.encoding.grid_of(self._space))

    def predict(self, mu: Mu | Array) -> Prediction:
        """The numbers; every limit is +inf until a certificate is attached. Raises InputError for other shapes."""
        checked = as_mu(mu, self.encoding.names)
        size = batch_size(checked)
        values = np.empty((size, len(self._units)))
        for first in range(0, size, self.piece):
            rows = slice(first, first + self.piece)
            values[rows] = self._values(select(checked, rows))
        outputs = {
            name: Output(values[:, number], np.full(size, np.inf), unit)
            for number, (name, unit) in enumerate(self._units.items())
        }
        inside = self.parameters.contains(checked) if size else np.empty(0, dtype=bool)
        return uncertified(checked, np.empty((size, 0)), self.space, inside, outputs)

    def _values(self, mu: Mu) -> Array:
        x = self.encoding.inputs(mu, _grid_in(self.encoding, mu))
        dtype = next((p.dtype for p in self.module.network.parameters()), torch.float32)
        with torch.inference_mode():
            w = self.module.raw(to_tensor(x, dtype=dtype))
            return to_array(self.module.finish(w.double()))[:, :, 0]

    def _replaced(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted) -> Self:
        return type(self)(parameters, space, fitted, self._architecture, self._units)

    def to_parts(self) -> Parts:
        """As every operator, and the names and units of the numbers."""
        config, arrays, children = super().to_parts()
        return Parts(config | {"units": [list(pair) for pair in self._units.items()]}, arrays, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The surrogate again. Raises InputError where the weights do not fit."""
        architecture, grid = children["architecture"], children["space"]
        out, inp = config["channels"]
        network = _build(architecture, Frame((out, inp), grid, Encoding.from_config(config["encoding"])))
        fitted = cls._rebuild(network, config, arrays, children)
        return cls(children["parameters"], grid, fitted, architecture, dict(config["units"]))


@dataclass(frozen=True)
class Measuring(Fitter):
    """`q_i(mu) = ∫ N_i(mu)(x) dx / |Ω|`: named numbers, the `outputs` of the runs, from parameters that are fields.

    `operator`: which network N on the grid of the parameters, with a channel for each number, and how it is trained.
    `grid`: the space of the parameter fields; found by itself where the answers of the runs live on that grid, and for
    the random fields of nwidth. The average makes the answer independent of the resolution; a largest value is no
    average, and is learned as well as N can concentrate where it is. The loss is the root mean square over the numbers
    of errors in units of their spread. For scalar parameters take nw.rb.PODRegression, which learns outputs too.
    """

    operator: OperatorFitter | Wrapped
    grid: FunctionSpace | None = None

    def __post_init__(self) -> None:
        training = self._network.training
        if training.loss != "auto" or training.augment != "none":
            raise InputError(
                f"Measuring: training has loss={training.loss!r} and augment={training.augment!r}; numbers are "
                "compared in units of their spread and do not turn: use 'auto' and 'none'"
            )

    @property
    def _network(self) -> OperatorFitter:
        """The operator that is trained; a user's module as one. Raises InputError for any other fitter."""
        return operator_on_a_grid(self.operator, "Measuring")

    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> Measured:
        """Train on parameters and outputs of the runs; their fields are not read.

        Raises InputError without outputs `(B,)` or without a parameter field; WorkError where training diverges.
        """
        if snapshots is None or not snapshots.outputs:
            raise InputError(
                "Measuring learns the outputs of runs, and there are none: solve a problem with quantities, or give "
                "Snapshots(..., outputs={'mean': values})"
            )
        table = _table(snapshots)
        grid = self.grid or _found_grid(snapshots)
        encoding = Encoding.of(_seen_on(snapshots, grid), layout="channels")
        if not encoding.on_grid:
            raise InputError(
                f"none of the parameters {', '.join(snapshots.mu)} is a field on a grid of {grid.shape}; for scalars "
                "and vectors take nw.rb.PODRegression, which learns outputs too"
            )
        return self._fit(_WithTable(snapshots, table, encoding, grid), seed, run)

    def _fit(self, data: "_WithTable", seed: int, run: Run) -> Measured:
        snapshots, encoding, training = data.snapshots, data.encoding, self._network.training
        trained, watched = split_rows(usable_rows(snapshots), training.validation, seed)
        samples, validation = (
            Samples(data.indexed, data.encode, part, run.device, training.precision) for part in (trained, watched)
        )
        channels = (data.table.shape[1], samples.batch(np.arange(1))[0].shape[1])
        frame = Frame(channels, data.grid, encoding)
        # prescribed values of the runs' own fields say nothing about the fields that are averaged here
        architecture = _free(self._network).architecture(frame)
        module = prepare(lambda: _build(architecture, frame), channels, samples, "free", seed=seed)
        loss, piece = _in_spreads(module.scale), architecture.piece(frame.grid)
        history = train(module, samples, validation, loss, training, seed=seed, run=run, piece=piece)
        history = replace(history, runs=marks(snapshots.mu))
        units = snapshots.provenance.get("units", {})
        named = {name: str(units.get(name, "")) for name in snapshots.outputs}
        fitted = Fitted(module.to("cpu").eval(), encoding, history, None)
        known = with_typical_fields(snapshots, seed).parameters
        return Measured(known, data.grid, fitted, architecture, named)


@dataclass(frozen=True, eq=False)
class _WithTable:
    """Runs, their outputs `(B, C)`, and how the parameters become channels on the grid."""

    snapshots: Snapshots
    table: Array
    encoding: Encoding
    grid: FunctionSpace

    @property
    def indexed(self) -> Snapshots:
        """The runs with their outputs as fields, as training reads them."""
        space = Points(self.table.shape[1:])
        return Snapshots(self.snapshots.parameters, space, self.snapshots.mu, self.table)

    def encode(self, part: Snapshots) -> tuple[Array, Array]:
        """Input `(B, C_in, *grid)` and numbers `(B, C, 1)`."""
        return self.encoding.inputs(part.mu, self.encoding.grid_of(self.grid)), np.asarray(part.fields)[:, :, None]


def _free(operator: OperatorFitter) -> OperatorFitter:
    """The operator without prescribed boundary values."""
    return replace(operator, boundary="free")  # type: ignore[type-var]  # every operator is a dataclass


def _build(architecture: Architecture, frame: Frame) -> Averaged:
    return Averaged(architecture.build(frame), axes_of(frame.space, frame.dim))


def _in_spreads(scale: Tensor) -> Loss:
    """Root mean square of the errors, each number in units of its deviation."""

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        error = (prediction - target) / scale.to(target).view(-1, 1)
        return error.square().flatten(1).mean(dim=1).sqrt()

    return loss


def _table(snapshots: Snapshots) -> Array:
    """Outputs `(B, C)`. Raises InputError for outputs over time."""
    for name, values in snapshots.outputs.items():
        if np.ndim(values) != 1:
            raise InputError(
                f"output {name!r} has shape {np.shape(values)}, expected one number per run; of trajectories take one "
                "time, nw.snapshots.at_time(snapshots, t)"
            )
    return np.stack([np.asarray(values, dtype=np.float64) for values in snapshots.outputs.values()], axis=1)


def _found_grid(snapshots: Snapshots) -> FunctionSpace:
    """The space of the parameter fields. Raises InputError where it is not known."""
    dim = grid_dimension(snapshots.space)
    shape = snapshots.space.shape[-dim:] if dim else None
    if dim and any(tuple(values.shape[1:])[-dim:] == shape for values in snapshots.mu.values()):
        return snapshots.space
    known = snapshots.parameters.parts if isinstance(snapshots.parameters, Joint) else (snapshots.parameters,)
    for part in known:
        if isinstance(part, PeriodicField):
            return Torus(part.shape)
        if isinstance(part, RandomField):
            return Grid((part.resolution,) * part.dim)
    raise InputError(
        f"it is not known where the parameters {', '.join(snapshots.mu)} live: pass their space, "
        "Measuring(operator, grid=nw.spaces.Grid((64, 64))); for scalar parameters take nw.rb.PODRegression"
    )


def _seen_on(snapshots: Snapshots, grid: FunctionSpace) -> Snapshots:
    """A run as if its answer lived on the grid: what the encoding looks at."""
    few = snapshots.take(np.arange(min(1, len(snapshots))))
    return Snapshots(few.parameters, grid, few.mu, np.zeros((len(few), *grid.shape), grid.dtype))


def _grid_in(encoding: Encoding, mu: Mu) -> tuple[int, ...]:
    """The grid that these parameters are given on."""
    name = next(iter(encoding.on_grid or encoding.names))
    return tuple(np.shape(mu[name])[-encoding.dim :])
