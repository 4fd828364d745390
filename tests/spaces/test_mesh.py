"""A mesh space: its products against dense ones, storage, and what it refuses."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from nwidth.core.errors import InputError
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.spaces.mesh import Form, MeshSpace


@pytest.fixture(scope="module")
def space():
    return ThermalBlock(resolution=6).space


@pytest.mark.parametrize("kind", ["energy", "mass"])
def test_products_agree_with_dense_ones_and_leave_prescribed_nodes_alone(space, kind):
    inner = space.inner(kind)
    dense = getattr(space, kind).matrix.toarray()[np.ix_(space.free, space.free)]
    v = np.random.default_rng(0).normal(size=(4, space.size))
    part = v[:, space.free]
    applied, solved = inner.apply(v), inner.riesz(v)
    np.testing.assert_allclose(applied[:, space.free], part @ dense, atol=1e-13)
    np.testing.assert_allclose(solved[:, space.free], np.linalg.solve(dense, part.T).T, rtol=1e-9, atol=1e-11)
    assert not applied[:, ~space.free].any() and not solved[:, ~space.free].any()
    np.testing.assert_allclose(inner.norm(v), np.sqrt(np.einsum("bi,ij,bj->b", part, dense, part)), rtol=1e-12)
    np.testing.assert_allclose(inner.dual_norm(applied), inner.norm(v * space.free), rtol=1e-10)


@pytest.mark.parametrize("kind", ["energy", "mass"])
@pytest.mark.parametrize("resolution", [4, 11])
def test_smallest_eigenvalues_are_bounded_from_below(kind, resolution):
    space = ThermalBlock(resolution=resolution).space
    true = np.linalg.eigvalsh(getattr(space, kind).matrix.toarray()[np.ix_(space.free, space.free)])[0]
    assert 0.03 * true < space.inner(kind).lambda_min <= true


def test_the_factorisation_is_made_once_and_stays_out_of_a_pickle(space):
    assert space.inner("energy") is space.inner("energy")
    r = np.ones((1, space.size))
    expected = space.inner("energy").riesz(r)
    again = pickle.loads(pickle.dumps(space))
    np.testing.assert_array_equal(again.inner("energy").riesz(r), expected)


def test_matrices_cannot_change_behind_the_factorisation(space):
    with pytest.raises(ValueError, match="read-only"):
        space.energy.matrix.data[0] = 7.0


def test_parts_make_the_same_space(space):
    again = MeshSpace.from_parts(*space.to_parts())
    assert again.shape == space.shape and again.cell == space.cell
    np.testing.assert_array_equal(again.points(), space.points())
    v = np.random.default_rng(0).normal(size=(2, space.size))
    for kind in ("energy", "mass"):
        np.testing.assert_array_equal(again.inner(kind).apply(v), space.inner(kind).apply(v))
        assert again.inner(kind).lambda_min == space.inner(kind).lambda_min


def test_a_product_with_cleared_rows_is_refused():
    a = np.array([[1.0, 0.0], [-1.0, 2.0]])
    with pytest.raises(InputError, match="rows cleared but not columns"):
        Form(sp.csr_array(a), 0.1)


@pytest.mark.parametrize("smallest", [0.0, -1.0, np.nan])
def test_a_lower_bound_that_is_not_positive_is_refused(smallest):
    with pytest.raises(InputError, match="positive lower bound"):
        Form(sp.eye_array(2, format="csr"), smallest)


def test_matrices_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="finite"):
        Form(sp.csr_array(np.diag([1.0, np.nan])), 1.0)


def test_sizes_that_do_not_fit_and_unknown_products_are_refused(space):
    form = Form(sp.eye_array(3, format="csr"), 1.0)
    with pytest.raises(InputError, match="a mesh with 2 nodes needs"):
        MeshSpace(np.zeros((2, 1)), np.array([[0, 1]]), np.ones(2, bool), form, form)
    with pytest.raises(InputError, match="choose one of energy, mass"):
        space.inner("h2")


def test_vector_fields_go_component_by_component():
    form = Form(sp.diags_array(np.arange(1.0, 7.0)).tocsr(), 1.0)
    nodes, free = np.arange(3.0)[:, None], np.arange(6) != 4
    space = MeshSpace(nodes, np.array([[0, 1], [1, 2]]), free, form, form, "line", ("ux", "uy"))
    assert space.shape == (2, 3) and space.size == 6
    assert dict(space.components) == {"ux": slice(0, 3), "uy": slice(3, 6)}
    fields = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(space.unflatten(space.flatten(fields)), fields)
    np.testing.assert_array_equal(space.flatten(fields)[:, space.components["uy"]], fields[:, 1])
    expected = np.arange(1.0, 7.0) * space.flatten(fields) * free
    np.testing.assert_array_equal(space.inner("mass").apply(space.flatten(fields)), expected)
    again = MeshSpace.from_parts(*space.to_parts())
    assert again.names == ("ux", "uy") and again.shape == (2, 3)
    with pytest.raises(InputError, match="3 nodes and 3 components needs"):
        MeshSpace(nodes, space.elements, free, form, form, "line", ("ux", "uy", "uz"))


def test_a_scalar_space_is_stored_as_before(space):
    """Files and fingerprints of spaces without components do not change."""
    assert set(space.to_parts().config) == {"cell", "lambda_min"} and dict(space.components) == {
        "u": slice(0, space.size)
    }
