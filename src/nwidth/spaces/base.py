"""The protocols of parameter spaces, function spaces and inner products."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.storable import Storable
from nwidth.core.validation import check_batched

_EPS = float(np.finfo(np.float64).eps)
#: Numbers of one batch of unit vectors.
_PIECE = 1 << 20


class ParameterSpace(Storable):
    """A set of parameters with a way to draw from it.

    Scalars, vectors and fields (a coefficient on a grid) are all parameters; each has a name.
    """

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""

    @abstractmethod
    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Parameters name -> `(B, ...)` of the samples `indices`; sample i depends on (seed, i) alone."""

    @abstractmethod
    def contains(self, mu: Mu) -> Mask:
        """Which rows of `mu` lie in the set, `(B,)`. Not finite means outside."""


class InnerProduct(ABC):
    """A symmetric positive definite form (v, w)_X on the free degrees of freedom, with its Riesz map.

    Vectors are `(B, N)` over *all* dofs; entries at constrained dofs are zero on output and ignored on input.
    """

    @abstractmethod
    def apply(self, v: Array) -> Array:
        """`X v`, `(B, N)`."""

    @abstractmethod
    def riesz(self, r: Array) -> Array:
        """`X⁻¹ r`, `(B, N)`."""

    @property
    @abstractmethod
    def lambda_min(self) -> float:
        """A proven lower bound of the smallest eigenvalue of X on the free dofs (for the round-off term)."""

    def riesz_roughly(self, r: Array) -> Array:
        """About `X⁻¹ r`, `(B, N)`, as cheap as may be: for bounds that account for what is missing (`bounds.dual`)."""
        return self.riesz(r)

    def rounding(self, size: int) -> float:
        """ρ with `‖fl(X v) - X v‖₂ <= ρ ‖v‖₂`, `fl` being `apply` in float64, for vectors of `size` entries.

        Here from the columns of X, by as many products as there are dofs; a class that knows its matrix says it at
        once. A column of X holds at most N rounded products, and `‖ |X| ‖₂` is at most the largest column sum.
        """
        largest, piece = 0.0, max(1, _PIECE // max(size, 1))
        for start in range(0, size, piece):
            units = np.eye(min(piece, size - start), size, start)
            largest = max(largest, float(np.abs(self.apply(units)).sum(axis=1).max()))
        return 2 * (size + 4) * _EPS * largest

    def norm(self, v: Array) -> Real:
        """`√(vᵀ X v)` of each row, `(B,)`."""
        return np.sqrt(np.maximum(np.einsum("bn,bn->b", np.conj(v), self.apply(v)).real, 0.0))

    def dual_norm(self, r: Array) -> Real:
        """`√(rᵀ X⁻¹ r)` of each row, `(B,)`."""
        return np.sqrt(np.maximum(np.einsum("bn,bn->b", np.conj(r), self.riesz(r)).real, 0.0))


class FunctionSpace(Storable):
    """A discrete space of fields: a grid, a mesh, or bare points.

    `inner("energy")` is the form X that stability constants refer to; `inner("mass")` is the L² form.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one field, a leading component axis for vector fields and boundary nodes included."""

    @abstractmethod
    def points(self, mu: Mu | None = None) -> Array:
        """Node coordinates `(nodes, dim)`, or `(B, nodes, dim)` where the nodes move with the parameters."""

    @abstractmethod
    def inner(self, kind: str) -> InnerProduct:
        """The inner product 'energy' or 'mass'. Raises InputError for a kind that the space does not have."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the values: float64, or complex128 for complex fields."""
        return np.dtype(np.float64)

    @property
    def components(self) -> Mapping[str, slice]:
        """Name -> slice of the flat dofs, for vector and mixed fields."""
        return {"u": slice(0, self.size)}

    @property
    def size(self) -> int:
        """Number of degrees of freedom N, boundary included."""
        return int(np.prod(self.shape))

    def flatten(self, fields: Array) -> Array:
        """Fields `(B, *shape)` as dofs `(B, N)`. Raises InputError for another shape."""
        return check_batched("fields", fields, self.shape).reshape(len(fields), self.size)

    def unflatten(self, dofs: Array) -> Array:
        """Dofs `(B, N)` as fields `(B, *shape)`. Raises InputError for another size."""
        return check_batched("dofs", dofs, (self.size,)).reshape(len(dofs), *self.shape)
