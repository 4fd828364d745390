"""A torch module of one's own as a fitter and a surrogate."""

from abc import abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from torch import nn

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.tensors import load_state_arrays, state_arrays
from nwidth.operators.fitting import BoundaryChoice, Fitted, fit_network, with_typical_fields
from nwidth.operators.frame import Frame
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.base import Fitter, Run
from nwidth.surrogates.training import Encoding, Training


class StorableModule(nn.Module, Storable):
    """A torch module that can be saved: give it a `kind` and say in `config` how it is constructed.

    class MyNet(StorableModule):
        kind = "my-net"
        def __init__(self, width):
            ...
        def config(self):
            return {"width": self.width}

    Load it with `nw.load(path, kinds=[MyNet])`.
    """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""

    def to_parts(self) -> Parts:
        """Constructor arguments and state."""
        return Parts(self.config(), state_arrays(self), {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The module again. Raises InputError where the state does not fit."""
        module = cls(**config)
        load_state_arrays(module, arrays)
        return module


class WrappedSurrogate(NeuralSurrogate):
    """Answers by a user's own module."""

    kind: ClassVar[str] = "wrapped"

    @property
    def piece(self) -> int:
        """A fixed number: nothing is known about the module's cost."""
        return 32

    def _replaced(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted) -> Self:
        return type(self)(parameters, space, fitted)

    def to_parts(self) -> Parts:
        """The module as a child. Raises InputError for a module that does not say how it is stored."""
        network = self.module.network
        if not isinstance(network, Storable):
            raise InputError(
                f"{type(network).__name__} cannot be stored: let it inherit nw.operators.StorableModule (a kind and "
                "config(), the constructor's arguments); no code is ever stored"
            )
        config, arrays, children = self._common_parts()
        own = {name: a for name, a in arrays.items() if not name.startswith("network.")}
        return Parts(config, own, children | {"network": network})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The surrogate again."""
        network = children["network"]
        inner = {f"network.{name}": values for name, values in state_arrays(network).items()}
        fitted = cls._rebuild(network, config, {**arrays, **inner}, children)
        return cls(children["parameters"], children["space"], fitted)


@dataclass(frozen=True)
class Wrapped(Fitter):
    """Trains a copy of `module`, from the parameters it has, with normalisation and boundary values around it.

    The module maps `(B, C_in, *grid)` to `(B, C_out, *grid)` where a parameter is a field on the grid, else `(B, P)` to
    `(B, C_out, *grid)` or, without a grid, `(B, N)`. What it sees is standardised; `trained=True` takes it as it is,
    physical values in and out, and trains nothing.
    """

    module: nn.Module
    training: Training = field(default_factory=Training)
    boundary: BoundaryChoice = "auto"
    trained: bool = False

    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> WrappedSurrogate:
        """Train on the snapshots (with `trained=True` they only say how parameters and fields look).

        Raises InputError without snapshots or where the module's output has another shape; WorkError where training
        diverges.
        """
        if snapshots is None:
            raise InputError("a wrapped module learns from snapshots: pass nw.generate(problem, 1000, seed=0)")
        if not self.trained and not any(p.requires_grad for p in self.module.parameters()):
            raise InputError(f"{type(self.module).__name__} has no parameters to train; use trained=True")
        fitted = fit_network(
            lambda: deepcopy(self.module),
            Frame.of(snapshots, Encoding.of(snapshots)),
            snapshots,
            problem,
            None if self.trained else self.training,
            boundary="free" if self.trained else self.boundary,
            seed=seed,
            run=run,
        )
        known = snapshots if self.trained else with_typical_fields(snapshots, seed)
        return WrappedSurrogate(known.parameters, snapshots.space, fitted)


def wrap(
    module: nn.Module, training: Training = Training(), *, boundary: BoundaryChoice = "auto", trained: bool = False
) -> Wrapped:
    """A torch module of one's own in place of a built-in method: `nw.wrap(module).fit(snapshots, problem)`.

    Raises InputError for something that is not a torch module.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"wrap takes a torch.nn.Module, got {type(module).__name__}")
    return Wrapped(module, training, boundary, trained)
