"""A torch module of one's own where an operator on a grid is expected: in time, or for named numbers."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from torch import nn

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.operators.architecture import Architecture, OperatorFitter
from nwidth.operators.fitting import BoundaryChoice
from nwidth.operators.frame import Frame
from nwidth.operators.wrap import Wrapped
from nwidth.surrogates.base import Fitter
from nwidth.surrogates.training import Training


@dataclass(frozen=True, eq=False)
class ModuleArchitecture(Architecture):
    """A module that is copied, with the parameters it has. It is stored where it is a `StorableModule`."""

    kind: ClassVar[str] = "own-module"

    module: nn.Module

    def build(self, frame: Frame) -> nn.Module:
        """A copy."""
        return deepcopy(self.module)

    def to_parts(self) -> Parts:
        """The module as a child. Raises InputError for a module that does not say how it is stored."""
        if not isinstance(self.module, Storable):
            raise InputError(
                f"{type(self.module).__name__} cannot be stored: let it inherit nw.operators.StorableModule (a kind "
                "and config(), the constructor's arguments); no code is ever stored"
            )
        return Parts({}, {}, {"module": self.module})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The architecture again."""
        return cls(children["module"])


@dataclass(frozen=True)
class OwnModule(OperatorFitter):
    """A user's module `(B, C_in, *grid) -> (B, C_out, *grid)` as an operator."""

    module: nn.Module
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=Training)

    def architecture(self, frame: Frame) -> ModuleArchitecture:
        """The module itself: its channels are its owner's affair."""
        return ModuleArchitecture(self.module)


def operator_on_a_grid(fitter: Fitter, owner: str) -> OperatorFitter:
    """The fitter as an operator that sees channels on a grid. Raises InputError for any other."""
    if isinstance(fitter, Wrapped) and not fitter.trained:
        return OwnModule(fitter.module, fitter.boundary, fitter.training)
    if isinstance(fitter, OperatorFitter) and fitter.layout == "channels":
        return fitter
    raise InputError(
        f"{owner} got {type(fitter).__name__}; expected an operator on a grid, e.g. nw.operators.FNO(), or "
        "nw.wrap(module) with a module that is still to be trained"
    )
