"""Nodal finite elements on an unstructured mesh, with inner products given as sparse matrices."""

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
from nwidth.spaces.factor import Factor, Pattern, factorised, restricted

_FORMS = ("energy", "mass")
_PARTS = ("data", "indices", "indptr")
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Form:
    """A symmetric positive definite form on the free dofs: its matrix over all dofs `(N, N)` and a *proven* lower
    bound of its smallest eigenvalue on the free ones (by an inequality; a computed eigenvalue proves nothing)."""

    matrix: sp.csr_array
    lambda_min: float

    def __post_init__(self) -> None:
        matrix = sp.csr_array(self.matrix)
        matrix.sum_duplicates()
        if not (np.isfinite(matrix.data).all() and Pattern.of(matrix).symmetric(matrix.data)):
            raise InputError(
                "an inner product must be finite and symmetric; a matrix with rows cleared but not columns (the usual "
                "way to impose values) is not: hand over the matrix as assembled and the mask of free dofs"
            )
        if not (np.isfinite(self.lambda_min) and self.lambda_min > 0):
            raise InputError(f"lambda_min is {self.lambda_min}; give a positive lower bound of the smallest eigenvalue")
        matrix.data.flags.writeable = False  # a factorisation of it is kept
        object.__setattr__(self, "matrix", matrix)


class MatrixProduct(InnerProduct):
    """A form as an inner product; its factorisation is made at the first Riesz map and held here."""

    def __init__(self, form: Form, free: Mask):
        self._form, self.free = form, free
        self._everywhere = bool(free.all())
        self._places = np.flatnonzero(free)

    @cached_property
    def matrix(self) -> sp.csr_array:
        """The form on the free dofs."""
        return restricted(self._form.matrix, self.free)

    @cached_property
    def _factor(self) -> Factor:
        return factorised(self.matrix)

    def apply(self, v: Array) -> Array:
        return self._on_free(v, lambda part: np.ascontiguousarray((self.matrix @ np.ascontiguousarray(part.T)).T))

    def riesz(self, r: Array) -> Array:
        return self._on_free(r, self._factor.solve)

    @property
    def lambda_min(self) -> float:
        return self._form.lambda_min

    def rounding(self, size: int) -> float:
        """As many products as the longest row has, by the largest row sum of |X|."""
        return self._rounding

    @cached_property
    def _rounding(self) -> float:
        longest = int(np.diff(self.matrix.indptr).max(initial=0))
        return 2 * (longest + 2) * _EPS * float(abs(self.matrix).sum(axis=1).max(initial=0.0))

    def _on_free(self, v: Array, action: Any) -> Array:
        if self._everywhere:
            return action(v)
        result = np.zeros(v.shape)
        result[:, self._places] = action(np.take(v, self._places, axis=1))
        return result

    def __getstate__(self) -> dict[str, Any]:
        # a factorisation stays in its process; another one makes its own
        return {name: value for name, value in self.__dict__.items() if name != "_factor"}


@dataclass(frozen=True, eq=False)
class MeshSpace(FunctionSpace):
    """One value per node of a mesh, or a vector: nodes `(n, dim)`, elements `(E, corners)`, mask of free dofs `(N,)`.

    `cell` names the element as VTK does: 'triangle', 'triangle6' (with the middles of its edges), 'hexahedron' (corners
    x fastest, then y, then z: 'voxel'), ... `names` of the components make it a space of vector fields `(C, n)`, with
    N = C n dofs component by component; without names there is one number per node, N = n.
    """

    kind: ClassVar[str] = "mesh"

    nodes: Real
    elements: Array
    free: Mask
    energy: Form
    mass: Form
    cell: str = "triangle"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        count = self.size
        shapes = {"free": np.shape(self.free), "energy": self.energy.matrix.shape, "mass": self.mass.matrix.shape}
        expected = {"free": (count,), "energy": (count, count), "mass": (count, count)}
        if shapes != expected:
            parts = f" and {len(self.names)} components" if self.names else ""
            raise InputError(f"a mesh with {len(self.nodes)} nodes{parts} needs {expected}; got {shapes}")

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names), len(self.nodes)) if self.names else (len(self.nodes),)

    @property
    def components(self) -> Mapping[str, slice]:
        count = len(self.nodes)
        return {name: slice(i * count, (i + 1) * count) for i, name in enumerate(self.names or ("u",))}

    def points(self, mu: Mu | None = None) -> Array:
        return self.nodes

    def inner(self, kind: str) -> InnerProduct:
        check_choice("inner product", kind, _FORMS)
        return self._energy if kind == "energy" else self._mass

    # the space never changes, so a product and its factorisation always belong to these matrices
    @cached_property
    def _energy(self) -> MatrixProduct:
        return MatrixProduct(self.energy, self.free)

    @cached_property
    def _mass(self) -> MatrixProduct:
        return MatrixProduct(self.mass, self.free)

    def to_parts(self) -> Parts:
        """The mesh and both forms as arrays."""
        arrays = {"nodes": self.nodes, "elements": self.elements, "free": self.free}
        for name in _FORMS:
            matrix = getattr(self, name).matrix
            arrays |= {f"{name}.{part}": getattr(matrix, part) for part in _PARTS}
        bounds = {name: getattr(self, name).lambda_min for name in _FORMS}
        names = {"names": list(self.names)} if self.names else {}
        return Parts({"cell": self.cell, "lambda_min": bounds} | names, arrays, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The space again. Raises InputError for parts that do not fit together."""
        names = tuple(config.get("names", ()))
        size = len(arrays["nodes"]) * max(1, len(names))
        forms = {name: _form(arrays, name, size, config["lambda_min"][name]) for name in _FORMS}
        free = np.asarray(arrays["free"], dtype=bool)
        return cls(arrays["nodes"], arrays["elements"], free, cell=config["cell"], names=names, **forms)


def _form(arrays: Mapping[str, Array], name: str, size: int, lambda_min: float) -> Form:
    data, indices, indptr = (np.array(arrays[f"{name}.{part}"]) for part in _PARTS)
    return Form(sp.csr_array((data, indices, indptr), shape=(size, size)), float(lambda_min))
