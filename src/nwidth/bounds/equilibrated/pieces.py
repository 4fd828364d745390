"""What a bound against the exact solution returns, whatever it is computed on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from nwidth.bounds.equilibrated.majorant import Majorant
from nwidth.core.arrays import Array, Mask, Mu, Real

FluxKind = Literal["local", "global"]
FLUXES: tuple[FluxKind, ...] = ("local", "global")


@dataclass(frozen=True)
class Found:
    """Bounds of a batch, all in the energy norm of the equation, `(B,)`.

    `field` bounds `‖u - v‖`, `nearest` `‖u - v'‖` for the field v' close to the discrete solution, by the same flux;
    `lower` and `nearest_lower` bound them from below. `moved` is `‖v - v'‖`, `norm` `‖v‖`, `lost` what underflow may
    have taken from these two. `factor` turns an error in the energy of the discrete problem into one in that of the
    equation. `steps`: of the dual problem.

    All of them are multiples of 2^unit, so that their squares are numbers.
    """

    field: Majorant
    nearest: Majorant
    lower: Real
    nearest_lower: Real
    moved: Real
    norm: Real
    lost: Real
    factor: Real
    steps: Array
    unit: Array

    def where(self, usable: Mask) -> "Found":
        """The same where usable `(B,)`; elsewhere nothing is known."""
        if usable.all():
            return self
        none = {name: np.where(usable, getattr(self, name), 0.0) for name in ("lower", "nearest_lower")}
        return replace(self, field=self.field.where(usable), nearest=self.nearest.where(usable), **none)

    @classmethod
    def join(cls, parts: "list[Found]") -> "Found":
        """Pieces of a batch, in order."""
        names = [f.name for f in fields(cls)][2:]
        return cls(
            Majorant.join([p.field for p in parts]),
            Majorant.join([p.nearest for p in parts]),
            **{name: np.concatenate([getattr(p, name) for p in parts]) for name in names},
        )


class Equilibration(ABC):
    """Fluxes and bounds on one grid or mesh; what the samples share is prepared once and held here."""

    #: Whether the discrete solution is the Galerkin solution of the equation itself: errors are then orthogonal.
    galerkin: bool
    #: The equation that is meant, in words.
    reference: str

    @property
    @abstractmethod
    def together(self) -> int:
        """Samples that fit the memory together."""

    @abstractmethod
    def bounds(self, mu: Mu, v: Real, nearest: Real) -> Found:
        """For dofs v and v' `(B, N)`, float64, finite, that carry the prescribed values.

        A sample whose coefficient spans more than the range of floating point gets +inf.
        """
