"""Brick elements against scikit-fem, polynomials and dense spectra."""

import numpy as np
import pytest
from skfem import Basis, BilinearForm, ElementHex1, FacetBasis, LinearForm, MeshHex
from skfem.helpers import dot, grad

from nwidth.core.errors import InputError
from nwidth.spaces.bricks import bottom_mass, bricks, column_lambda_min, load, mass, mass_lambda_min, stiffness

X, Y, Z = np.array([0.0, 0.2, 0.5, 1.1]), np.array([0.0, 0.7, 1.0]), np.array([0.0, 0.05, 0.3, 0.4])


@pytest.fixture
def stack():
    """A full bottom layer, and a smaller column on it."""
    keep = np.ones((3, 2, 3), dtype=bool)
    keep[0, :, 1:] = False
    keep[:, 1, 2] = False
    return bricks(X, Y, Z, keep)


@pytest.fixture
def whole():
    return bricks(X, Y, Z, np.ones((3, 2, 3), dtype=bool))


def test_nodes_and_volume(stack):
    assert len(stack.elements) == 6 + 4 + 2
    assert len(stack.nodes) == len(np.unique(stack.nodes, axis=0)) == 12 + 12 + 9 + 6
    volume = 1.1 * 1.0 * 0.05 + 0.9 * 1.0 * 0.25 + 0.9 * 0.7 * 0.1
    assert stack.volumes.sum() == pytest.approx(volume, rel=1e-14)
    corners = stack.nodes[stack.elements]
    np.testing.assert_allclose(corners[:, 7] - corners[:, 0], stack.lengths)


def test_matrices_agree_with_scikit_fem(whole):
    k = np.random.default_rng(0).uniform(0.5, 9.0, len(whole.elements))
    mesh = MeshHex.init_tensor(X, Y, Z)
    basis = Basis(mesh, ElementHex1(), intorder=4)
    # elements of both meshes by their centres, nodes by their coordinates
    centres, theirs = whole.nodes[whole.elements].mean(axis=1), mesh.p[:, mesh.t].mean(axis=1).T
    order = np.lexsort(np.round(centres, 9).T)[np.argsort(np.lexsort(np.round(theirs, 9).T))]
    nodes = np.lexsort(np.round(whole.nodes, 9).T)[np.argsort(np.lexsort(np.round(mesh.p.T, 9).T))]
    values = k[order][:, None]
    forms = {
        "stiffness": BilinearForm(lambda u, v, w: values * dot(grad(u), grad(v))).assemble(basis),
        "mass": BilinearForm(lambda u, v, w: u * v).assemble(basis),
        "bottom": BilinearForm(lambda u, v, w: u * v).assemble(
            FacetBasis(mesh, ElementHex1(), facets=mesh.facets_satisfying(lambda x: x[2] == 0), intorder=4)
        ),
    }
    ours = {"stiffness": stiffness(whole, k), "mass": mass(whole), "bottom": bottom_mass(whole)}
    for name, expected in forms.items():
        found = ours[name].toarray()[np.ix_(nodes, nodes)]
        np.testing.assert_allclose(found, expected.toarray(), atol=1e-13 * abs(expected).max(), err_msg=name)
    right = LinearForm(lambda v, w: values * v).assemble(basis)
    np.testing.assert_allclose(load(whole, k)[nodes], right, atol=1e-14)


def test_energy_of_polynomials_is_exact(stack):
    x, y, z = stack.nodes.T
    ones = np.ones(len(stack.elements))
    a = stiffness(stack, ones)
    assert x @ (a @ x) == pytest.approx(stack.volumes.sum(), rel=1e-13)
    assert abs(a @ np.ones(len(x))).max() < 1e-12
    assert y @ (mass(stack) @ np.ones(len(y))) == pytest.approx(load(stack, ones) @ y, rel=1e-13)
    assert np.ones(len(z)) @ (bottom_mass(stack) @ x) == pytest.approx(1.1**2 / 2, rel=1e-13)


def test_elements_without_conductivity_leave_no_entries(stack):
    k = np.where(stack.cells[:, 2] == 1, 2.0, 0.0)
    assert stiffness(stack, k).nnz < stiffness(stack, np.ones(len(k))).nnz
    whole = stiffness(stack, k) + stiffness(stack, 1.0 * (k == 0))
    np.testing.assert_allclose(whole.toarray(), stiffness(stack, np.where(k > 0, k, 1.0)).toarray())


@pytest.mark.parametrize("seed", range(5))
def test_lower_bounds_of_spectra_are_bounds_and_not_idle(stack, seed):
    rng = np.random.default_rng(seed)
    k, h = 10.0 ** rng.uniform(-2, 2, len(stack.elements)), 10.0 ** rng.uniform(-2, 2)
    a = (stiffness(stack, k) + h * bottom_mass(stack)).toarray()
    bound, true = column_lambda_min(stack, k, h), np.linalg.eigvalsh(a)[0]
    assert 1e-3 * true < bound <= true
    m = np.linalg.eigvalsh(mass(stack).toarray())[0]
    bound = mass_lambda_min(len(stack.nodes), stack.elements, stack.volumes / 216)
    assert 0.05 * m < bound <= m


def test_bound_of_a_single_column_is_nearly_attained():
    """One column of flat, soft elements on a stiff ground: the resistors are all there is."""
    side, heights = np.array([0.0, 100.0]), np.linspace(0, 1, 21)
    column = bricks(side, side, heights, np.ones((1, 1, 20), dtype=bool))
    k = np.full(20, 1e-3)
    a = stiffness(column, k).toarray() + bottom_mass(column).toarray()
    true = np.linalg.eigvalsh(a)[0]
    assert 0.7 * true < column_lambda_min(column, k, 1.0) <= true


def test_a_column_that_hangs_in_the_air_has_no_bound():
    keep = np.ones((3, 2, 3), dtype=bool)
    keep[0, 0, 0] = False
    floating = bricks(X, Y, Z, keep)
    assert column_lambda_min(floating, np.ones(len(floating.elements)), 1.0) == 0.0


def test_bad_lines_and_masks_are_refused():
    with pytest.raises(InputError, match="strictly increasing"):
        bricks(X[::-1], Y, Z, np.ones((3, 2, 3), dtype=bool))
    with pytest.raises(InputError, match=r"expected one entry per cell: \(3, 2, 3\)"):
        bricks(X, Y, Z, np.ones((3, 2, 2), dtype=bool))
