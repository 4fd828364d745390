"""Inner products as reduced bases use them: applied without copies, and with a bound of what rounding does.

The computed `X v` of a product that is only known by its application differs from the exact one by at most
`γ_n ‖X‖ ‖v‖` in the Euclidean norm, with n the rounded operations behind an entry. Both numbers are proven: from the
entries of a matrix, from the formula of a product on a grid, or declared by a product of your own.
"""

from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.rb.rounding import longest_row, row_sum
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.grid_products import GridEnergy, GridMass
from nwidth.spaces.mesh import MatrixProduct
from nwidth.spaces.points import DiagonalProduct


@dataclass(frozen=True)
class Magnitude:
    """A bound of `‖ |X| ‖₂` and the rounded operations behind one entry of `X v`."""

    norm: float
    operations: int


@singledispatch
def magnitude(inner: InnerProduct) -> Magnitude:
    """What rounding needs to know of an inner product. For a class of your own: `magnitude.register(MyProduct)`.

    Raises InputError for a product of which nothing is known.
    """
    raise InputError(
        f"no bound of the norm of {type(inner).__name__} is known, and a residual bound must count its rounding: hand "
        "the product over as a matrix (nwidth.spaces.mesh.MatrixProduct), or register a function that returns "
        "Magnitude(norm, operations): nwidth.rb.products.magnitude.register(MyProduct)"
    )


@magnitude.register
def _matrix(inner: MatrixProduct) -> Magnitude:
    return Magnitude(row_sum(inner.matrix), longest_row(inner.matrix))


@magnitude.register
def _diagonal(inner: DiagonalProduct) -> Magnitude:
    return Magnitude(float(inner.weights.max()), 1)


@magnitude.register
def _lumped(inner: GridMass) -> Magnitude:
    return Magnitude(inner.lambda_max, 1)


@magnitude.register
def _differences(inner: GridEnergy) -> Magnitude:
    # the stencil takes three or four operations per direction, and two for their sum
    return Magnitude(inner.lambda_max, 16)


class FreeProduct(InnerProduct):
    """A matrix product laid out over all dofs: applied row by row, with nothing gathered or scattered."""

    def __init__(self, inner: MatrixProduct):
        self._inner = inner
        places = np.flatnonzero(inner.free)
        small = sp.coo_array(inner.matrix)
        rows, columns = (places[part] for part in small.coords)
        size = len(inner.free)
        self.matrix = sp.csr_array((small.data, (rows, columns)), shape=(size, size))

    def apply(self, v: Array) -> Array:
        return rowwise(self.matrix, v)

    def riesz(self, r: Array) -> Array:
        return self._inner.riesz(r)

    @property
    def lambda_min(self) -> float:
        return self._inner.lambda_min


@magnitude.register
def _free(inner: FreeProduct) -> Magnitude:
    return Magnitude(row_sum(inner.matrix), longest_row(inner.matrix))


def fast(inner: InnerProduct) -> InnerProduct:
    """The same product, in the form that is applied fastest to whole rows of dofs."""
    return FreeProduct(inner) if isinstance(inner, MatrixProduct) else inner


def rowwise(matrix: sp.csr_array, rows: Array) -> Real:
    """`A v` for each row v, `(k, N)` in C order."""
    out = np.empty((len(rows), matrix.shape[0]))
    for image, row in zip(out, rows, strict=True):
        image[:] = matrix @ row
    return out
