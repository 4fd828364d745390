"""A space that is known by its matrix alone: degrees of freedom of somebody else's finite-element program."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.core.validation import check_choice
from nwidth.spaces.base import FunctionSpace, InnerProduct
from nwidth.spaces.mesh import Form, MatrixProduct

_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True, eq=False)
class Algebraic(FunctionSpace):
    """N numbers whose energy form is a matrix; `free (N,)` says which of them are unknown.

    The mass form is the mean of squares, `(v, w) = Σ_i v_i w_i / N`: without a mesh there is no better one.
    `coordinates (N, dim)`, one point per dof, are optional.
    """

    kind: ClassVar[str] = "algebraic"

    free: Mask
    energy: Form
    coordinates: Real | None = None

    def __post_init__(self) -> None:
        count = len(self.free)
        if self.energy.matrix.shape != (count, count):
            raise InputError(f"the energy form has shape {self.energy.matrix.shape} for {count} dofs")
        if self.coordinates is not None and (np.ndim(self.coordinates) != 2 or len(self.coordinates) != count):
            raise InputError(f"coordinates have shape {np.shape(self.coordinates)}, expected ({count}, dim)")

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.free),)

    def points(self, mu: Mu | None = None) -> Array:
        """Coordinates `(N, dim)`. Raises InputError where none were given."""
        if self.coordinates is None:
            raise InputError("these dofs came without coordinates; give coordinates= with the matrices")
        return self.coordinates

    def inner(self, kind: str) -> InnerProduct:
        check_choice("inner product", kind, ("energy", "mass"))
        return self._energy if kind == "energy" else self._mass

    @cached_property
    def _energy(self) -> MatrixProduct:
        return MatrixProduct(self.energy, self.free)

    @cached_property
    def _mass(self) -> MatrixProduct:
        count = len(self.free)
        return MatrixProduct(Form(sp.eye_array(count, format="csr") / count, (1 - 1e-12) / count), self.free)

    def to_parts(self) -> Parts:
        """The form as arrays."""
        arrays = {"free": self.free} | {f"energy.{part}": getattr(self.energy.matrix, part) for part in _PARTS}
        if self.coordinates is not None:
            arrays["coordinates"] = self.coordinates
        return Parts({"lambda_min": self.energy.lambda_min}, arrays, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        free = np.asarray(arrays["free"], dtype=bool)
        data, indices, indptr = (np.array(arrays[f"energy.{part}"]) for part in _PARTS)
        matrix = sp.csr_array((data, indices, indptr), shape=(len(free), len(free)))
        return cls(free, Form(matrix, float(config["lambda_min"])), arrays.get("coordinates"))
