"""What all neural operators share: a stored architecture, a fitter that trains it, and the surrogate it becomes."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

from torch import nn

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.operators.fitting import BoundaryChoice, Fitted, fit_network, with_typical_fields
from nwidth.operators.frame import Frame
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.base import Fitter, Run
from nwidth.surrogates.training import Encoding, Training
from nwidth.surrogates.training.encoding import Layout


class Architecture(Storable):
    """The sizes of a network: a frozen dataclass of numbers, words and tuples of them, from which it can be built."""

    @abstractmethod
    def build(self, frame: Frame) -> nn.Module:
        """A network with fresh parameters: `(B, C_in, *grid)` or `(B, P)` to `(B, C_out, *grid)` or `(B, N)`.

        Parameters must not depend on the number of nodes where the network answers at every resolution.
        """

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples that go through the network at once; as many as keep the activations in cache."""
        return 32

    def to_parts(self) -> Parts:
        """The sizes."""
        return Parts({f.name: getattr(self, f.name) for f in fields(self)}, {}, {})  # type: ignore[arg-type]

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The architecture again; lists of the file are tuples."""
        return cls(**{name: _as_tuple(value) for name, value in config.items()})


class OperatorSurrogate(NeuralSurrogate):
    """A trained neural operator with the architecture that it was built from."""

    kind: ClassVar[str] = "operator"

    def __init__(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted, architecture: Architecture):
        super().__init__(parameters, space, fitted)
        self._architecture = architecture

    @property
    def architecture(self) -> Architecture:
        """The sizes of the network."""
        return self._architecture

    @property
    def piece(self) -> int:
        """As many samples as keep the activations in cache."""
        return self._architecture.piece(self.encoding.grid_of(self.space))

    def _replaced(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted) -> Self:
        return type(self)(parameters, space, fitted, self._architecture)

    def to_parts(self) -> Parts:
        """Encoding and history; all weights; the architecture, the parameter set and the space."""
        config, arrays, children = self._common_parts()
        return Parts(config, arrays, children | {"architecture": self._architecture})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The surrogate again. Raises InputError where the weights do not fit."""
        architecture, space = children["architecture"], children["space"]
        out, inp = config["channels"]
        network = architecture.build(Frame((out, inp), space, Encoding.from_config(config["encoding"])))
        fitted = cls._rebuild(network, config, arrays, children)
        return cls(children["parameters"], space, fitted, architecture)


class OperatorFitter(Fitter):
    """A frozen dataclass of sizes with, last, `boundary: BoundaryChoice = "auto"` and `training: Training`.

    A subclass says in `architecture` what network these make for given snapshots; `fit` does the rest.
    """

    #: How parameters reach the network: None as `Encoding.of` decides, 'channels' on the grid, 'vector' in a row.
    layout: ClassVar[Layout | None] = "channels"
    boundary: BoundaryChoice
    training: Training

    @abstractmethod
    def architecture(self, frame: Frame) -> Architecture:
        """The network's sizes, completed. Raises InputError where the operator does not apply."""

    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> OperatorSurrogate:
        """Train on the snapshots; `problem` is asked for boundary values where these depend on the parameters.

        Raises InputError without snapshots or for fields that the operator cannot give; WorkError where training
        diverges.
        """
        name = type(self).__name__
        if snapshots is None:
            raise InputError(f"{name} learns from snapshots: pass nw.generate(problem, 1000, seed=0) or your own runs")
        encoding = Encoding.of(snapshots, layout=self.layout)
        if self.layout == "channels" and encoding.dim == 0:
            raise InputError(
                f"{name} needs fields on a grid; these have shape {snapshots.space.shape} in a "
                f"{type(snapshots.space).__name__}. For meshes and points use nw.rb.PODRegression, "
                "nw.operators.PODDeepONet or nw.wrap(module)"
            )
        frame = Frame.of(snapshots, encoding)
        architecture = self.architecture(frame)
        fitted = fit_network(
            lambda: architecture.build(frame),
            frame,
            snapshots,
            problem,
            self.training,
            boundary=self.boundary,
            piece=architecture.piece(frame.grid),
            seed=seed,
            run=run,
        )
        return self._surrogate(with_typical_fields(snapshots, seed), fitted, architecture)

    def _surrogate(self, snapshots: Snapshots, fitted: Fitted, architecture: Architecture) -> OperatorSurrogate:
        return OperatorSurrogate(snapshots.parameters, snapshots.space, fitted, architecture)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list | tuple) else value
