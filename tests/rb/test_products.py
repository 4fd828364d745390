"""What reduced bases know of an inner product: proven norms, the same application."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.rb.affine_cases import Random

from nwidth.core.errors import InputError
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.products import FreeProduct, Magnitude, fast, magnitude, rowwise
from nwidth.rb.residual import ResidualBuilder
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import DiagonalProduct

BLOCK = ThermalBlock(resolution=8)
GRID = Grid((9, 7))
PRODUCTS = {
    "matrix": BLOCK.space.inner("energy"),
    "fast": fast(BLOCK.space.inner("energy")),
    "diagonal": DiagonalProduct(np.linspace(1.0, 7.0, 30)),
    "grid energy": GRID.inner("energy"),
    "grid mass": GRID.inner("mass"),
}
SIZES = {"matrix": BLOCK.space.size, "fast": BLOCK.space.size, "diagonal": 30}


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_norm_lies_above_the_largest_eigenvalue_and_not_far(name):
    inner = PRODUCTS[name]
    dense = inner.apply(np.eye(SIZES.get(name, GRID.size)))
    largest = np.linalg.eigvalsh((dense + dense.T) / 2)[-1]
    size = magnitude(inner)
    assert largest <= size.norm <= 2 * largest
    assert np.linalg.norm(np.abs(dense), 2) <= size.norm * (1 + 1e-12)  # rounding follows the absolute values
    assert size.operations >= 1


def test_the_fast_form_is_the_same_product():
    inner = BLOCK.space.inner("energy")
    v = np.random.default_rng(0).normal(size=(3, BLOCK.space.size))  # values at constrained nodes are ignored
    quick = fast(inner)
    assert isinstance(quick, FreeProduct) and fast(PRODUCTS["grid energy"]) is PRODUCTS["grid energy"]
    np.testing.assert_allclose(quick.apply(v), inner.apply(v), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(quick.riesz(v), inner.riesz(v), rtol=1e-12, atol=1e-14)
    assert quick.lambda_min == inner.lambda_min


def test_products_of_rows_keep_the_order_of_rows():
    matrix, rows = sp.csr_array(np.arange(6.0).reshape(2, 3)), np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(rowwise(matrix, rows), rows @ matrix.toarray().T)


class Unknown(InnerProduct):
    """A product that only knows how to apply itself."""

    def __init__(self, inner):
        self._inner = inner

    lambda_min = property(lambda self: self._inner.lambda_min)

    def apply(self, v):
        return self._inner.apply(v)

    def riesz(self, r):
        return self._inner.riesz(r)


class Declared(Unknown):
    """The same with a declared norm."""


@magnitude.register
def _declared(inner: Declared) -> Magnitude:
    return Magnitude(8.0, 64)


def test_a_product_of_which_nothing_is_known_is_refused_with_what_to_do():
    problem = Random(size=10)
    with pytest.raises(InputError, match=r"no bound of the norm of Unknown is known.*magnitude.register\(MyProduct\)"):
        ResidualBuilder(problem.terms(), np.zeros((0, 11)), Unknown(problem.space.inner("energy")), 3)


def test_a_product_without_a_matrix_gives_the_same_residual_with_wider_defects():
    """The general way, float64 throughout, against the compensated one."""
    terms, inner = BLOCK.terms(), BLOCK.space.inner("energy")
    modes = inner.riesz(np.random.default_rng(1).normal(size=(2, BLOCK.space.size)) * terms.free)
    modes /= inner.norm(modes)[:, None]
    models = []
    for product in (inner, Declared(inner)):
        builder = ResidualBuilder(terms, np.zeros((0, BLOCK.space.size)), product, 2)
        builder.add(modes, np.ones(2))
        models.append(builder.model())
    ours, general = models
    np.testing.assert_allclose(ours.rows @ ours.rows.T, general.rows @ general.rows.T, rtol=1e-11, atol=1e-13)
    assert (general.defects > ours.defects).all()
    assert (general.defects < 1e-9 * np.linalg.norm(general.rows, axis=1)).all()
    assert 1 < ours.gain < 1 + 1e-8
