"""Bare points: their measures integrate linear fields exactly, and they survive a file."""

import numpy as np
import pytest
from scipy.spatial import Delaunay

from nwidth.core.errors import InputError
from nwidth.core.storable import fingerprint
from nwidth.io.model import load, save
from nwidth.spaces.points import Points


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_node_measures_integrate_linear_fields_exactly(dim):
    rng = np.random.default_rng(dim)
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * dim, indexing="ij"), -1).reshape(-1, dim)
    points = np.concatenate([corners, rng.random((40, dim))])
    order = np.argsort(points[:, 0])
    cells = np.stack([order[:-1], order[1:]], 1) if dim == 1 else Delaunay(points).simplices
    space = Points((len(points),), points, cells=cells)
    weights = space.node_measures()
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)
    slope = np.arange(1.0, dim + 1)
    assert weights @ (points @ slope + 2) == pytest.approx(slope.sum() / 2 + 2, rel=1e-12)


def test_vector_fields_have_named_components_and_a_positive_form():
    space = Points((2, 5), np.random.default_rng(0).random((5, 2)), names=("u_x", "u_y"))
    assert space.size == 10 and space.nodes == 5
    fields = np.arange(30.0).reshape(3, 2, 5)
    dofs = space.flatten(fields)
    np.testing.assert_array_equal(dofs[:, space.components["u_y"]], fields[:, 1])
    mass = space.inner("mass")
    np.testing.assert_allclose(mass.riesz(mass.apply(dofs)), dofs, rtol=1e-15)
    np.testing.assert_allclose(mass.norm(dofs), np.sqrt((fields**2).sum((1, 2)) / 5), rtol=1e-14)
    assert mass.lambda_min == 1 / 5


def test_a_file_brings_it_back(tmp_path):
    space = Points((2, 3), np.eye(3)[:, :2], names=("a", "b"), cells=np.array([[0, 1, 2]]), type="complex128")
    again = load(save(space, tmp_path / "p.nwidth"))
    assert fingerprint(again) == fingerprint(space) and again.dtype == np.complex128
    bare = load(save(Points((4, 4)), tmp_path / "q.nwidth"))
    assert bare.shape == (4, 4) and bare.coordinates is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="expected \\(4, dim\\)"):
        Points((4,), np.ones((5, 2)))
    with pytest.raises(InputError, match="need the shape"):
        Points((4,), names=("a", "b"))
    with pytest.raises(InputError, match="cells name nodes 0 to 7"):
        Points((4,), np.ones((4, 2)), cells=np.array([[0, 1, 7]]))
    with pytest.raises(InputError, match="without coordinates"):
        Points((4,)).points()
    with pytest.raises(InputError, match="'mass' only, not 'energy'"):
        Points((4,)).inner("energy")
