"""A trained network as a surrogate: parameters in, fields out, at any resolution."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction, uncertified
from nwidth.core.rows import marks
from nwidth.core.storable import Parts, Storable
from nwidth.core.tensors import load_state_arrays, state_arrays, to_array, to_tensor
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.operators.fitting import Fitted, lift_channels
from nwidth.operators.module import OperatorModule
from nwidth.problems.base import Diffusive, Problem, Resizable
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.frames import Frames
from nwidth.spaces.grid import Grid
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.random_field import RandomField
from nwidth.spaces.torus import Torus
from nwidth.spaces.typical import TypicalFields
from nwidth.surrogates.base import Remembering, Surrogate
from nwidth.surrogates.training import Encoding, History


class NeuralSurrogate(Surrogate, Remembering):
    """Answers by a torch module; `module` is it, physical input to physical output, for users of torch.

    Prescribed boundary values are exact, in double precision. Nothing depends on the size of a batch but the last bits
    of single precision.
    """

    def __init__(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted):
        self._parameters, self._space, self._fitted = parameters, space, fitted

    @property
    def parameters(self) -> ParameterSpace:
        """The fitted set of parameters."""
        return self._parameters

    @property
    def space(self) -> FunctionSpace:
        """Where the answers live."""
        return self._space

    @property
    def module(self) -> OperatorModule:
        """The torch module: `(B, C_in, *grid)` or `(B, P)` to `(B, C_out, *grid)`, in physical units."""
        return self._fitted.module

    @property
    def encoding(self) -> Encoding:
        """How parameters become the module's input, and its output fields."""
        return self._fitted.encoding

    @property
    def history(self) -> History:
        """Losses of every epoch of training."""
        return self._fitted.history

    def has_seen(self, mu: Mu) -> Mask:
        """Runs that it learned from or that chose its epoch; on another grid than the trained one none is known."""
        known = set(self.history.runs)
        return np.array([mark in known for mark in marks(mu)], dtype=bool)

    @property
    def remembers(self) -> bool:
        """Not on another grid, nor where its file comes from a time at which runs were not marked."""
        return bool(self.history.runs)

    @property
    def nodes(self) -> tuple[int, ...]:
        """Nodes per axis of the grid that the module works on, () without a grid."""
        return self.encoding.grid_of(self._space)

    @property
    @abstractmethod
    def piece(self) -> int:
        """Samples that go through the module at once."""

    def predict(self, mu: Mu | Array) -> Prediction:
        """Answers `(B, *space.shape)` in double precision; every bound is +inf until a certificate is attached.

        Raises InputError for parameters of another shape or grid.
        """
        checked = as_mu(mu, self.encoding.names)
        size = batch_size(checked)
        pieces = [self._fields(select(checked, slice(i, i + self.piece))) for i in range(0, size, self.piece)]
        fields = np.concatenate(pieces) if pieces else np.empty((0, *self._space.shape), self._space.dtype)
        return uncertified(checked, fields, self._space, self._parameters.contains(checked))

    def at(self, space: FunctionSpace, parameters: ParameterSpace | None = None) -> Self:
        """The same network answering on another grid; its parameters are shared, nothing is trained again.

        `parameters`: the fitted set on that grid; found by itself for the random fields of nwidth.
        Raises InputError where there is no grid, or boundary values are not known on the new one.
        """
        encoding = self.encoding
        if not encoding.dim or len(space.shape) != len(self._space.shape):
            raise InputError(f"this surrogate cannot move from fields of shape {self._space.shape} to {space.shape}")
        if parameters is None:
            parameters = _resized(self._parameters, space)
        # parameters that are fields have other values there: the runs cannot be told by them
        told = space.shape == self._space.shape or parameters is self._parameters
        history = self.history if told else replace(self.history, runs=())
        fitted = Fitted(self.module, encoding, history, _problem_on(self._fitted.problem, space))
        return self._replaced(parameters, space, fitted)

    @abstractmethod
    def _replaced(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted) -> Self:
        """A surrogate of this class with the same configuration."""

    def _fields(self, mu: Mu) -> Array:
        grid = self.encoding.grid_of(self._space)
        x, lift = self.encoding.inputs(mu, grid), self.boundary_values(mu)
        dtype = next((p.dtype for p in self.module.network.parameters()), torch.float32)
        with torch.inference_mode():
            w = self.module.raw(to_tensor(x, dtype=dtype))
            given = None if lift is None else to_tensor(lift, dtype=torch.float64)
            y = to_array(self.module.finish(w.double(), given))
        return self.encoding.values(y, self._space.shape)

    def boundary_values(self, mu: Mu) -> Array | None:
        """Prescribed values `(B, C_out, *grid)` that depend on the parameters, continued inside; None without."""
        problem = self._fitted.problem
        return lift_channels(self.encoding, problem.boundary(mu)) if isinstance(problem, Diffusive) else None

    def _common_parts(self) -> Parts:
        config = {
            "encoding": self.encoding.to_config(),
            "history": self.history.to_config(),
            "boundary": self.module.boundary,
            "channels": list(self.module.channels),
        }
        children: dict[str, Storable] = {"parameters": self._parameters, "space": self._space}
        if self._fitted.problem is not None:
            if not isinstance(self._fitted.problem, Storable):
                raise InputError(
                    f"the boundary values come from {type(self._fitted.problem).__name__}, which cannot be stored; "
                    "inherit nwidth's Storable (kind, to_parts, from_parts)"
                )
            children["problem"] = self._fitted.problem
        return Parts(config, state_arrays(self.module), children)

    @staticmethod
    def _rebuild(
        network: nn.Module, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]
    ) -> Fitted:
        lift_shape = arrays["lift"].shape[1:] if "lift" in arrays else ()
        out, inp = config["channels"]
        module = OperatorModule(network, (out, inp), config["boundary"], lift_shape)
        load_state_arrays(module, arrays)
        encoding = Encoding.from_config(config["encoding"])
        return Fitted(module.eval(), encoding, History.from_config(config["history"]), children.get("problem"))


def _resized(parameters: ParameterSpace, space: FunctionSpace) -> ParameterSpace:
    """The same random fields, and frames, on another grid."""
    if isinstance(parameters, Joint):
        return Joint(tuple(_resized(part, space) for part in parameters.parts))
    if isinstance(parameters, TypicalFields):
        return parameters.on(_resized(parameters.base, space))
    if isinstance(parameters, Frames):
        return replace(parameters, shape=space.shape)
    if isinstance(parameters, RandomField) and isinstance(space, Grid):
        return parameters.at(space.cells[0])
    if isinstance(parameters, PeriodicField) and isinstance(space, Torus):
        return parameters.at(space.cells[0])
    return parameters


def _problem_on(problem: Problem | None, space: FunctionSpace) -> Problem | None:
    if problem is None or problem.space.shape == space.shape:
        return problem
    if isinstance(problem, Resizable) and isinstance(space, Grid):
        return problem.at(space.cells[0])
    raise InputError(
        f"the boundary values come from {type(problem).__name__}, which is not Resizable; they are not known on "
        "another grid"
    )
