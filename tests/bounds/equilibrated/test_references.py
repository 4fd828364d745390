"""The references themselves: closed forms, convergence, and meshes that are what they say."""

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.spaces.grid import Grid
from nwidth.testing.equilibrated_references import (
    GivenData,
    GivenGrid,
    extrapolated,
    line_error,
    on_halves,
    plane_errors,
    random_mesh,
    refined,
    solved,
)

#: `∫ u` for -Δu = 1 on the unit square, u = 0 on its boundary (Timoshenko and Goodier, the torsion of a square).
TORSION = 0.035144253738788457


def test_on_a_line_the_error_of_zero_is_the_energy_of_the_solution():
    """a = 2, f = 3 on (0, 5): `∫ a u'² = f² L³ / (12 a)`; and none is left of the solution where it is linear."""
    ones = np.ones((1, 6))
    assert float(line_error(2 * ones, 3 * ones, np.zeros((1, 4)), 5.0)[0]) == pytest.approx(np.sqrt(9 * 125 / 24))
    rng = np.random.default_rng(0)
    a, ends = 10.0 ** rng.uniform(-2, 2, (1, 3)), np.array([1.0, -2.0])
    resistance = np.concatenate([[0.0], np.cumsum(1 / a[0])])
    v = ends[0] + (ends[1] - ends[0]) * resistance / resistance[-1]
    assert line_error(np.repeat(a, 2, axis=1), 0 * np.repeat(a, 2, axis=1), v[None], 3.0)[0] < 1e-13


def test_distances_on_finer_grids_rise_to_that_of_the_exact_solution():
    ones = np.ones((4, 4))
    found = plane_errors(ones, ones, np.zeros((5, 5)), levels=4)
    assert (np.diff(found) > 0).all() and found[-1] < np.sqrt(TORSION)
    assert extrapolated(found) == pytest.approx(np.sqrt(TORSION), rel=2e-5) != pytest.approx(found[-1], rel=1e-4)
    linear = plane_errors(np.ones((5, 5)), np.ones((5, 5)), np.zeros((5, 5)), (1.0, 1.0), "linear", levels=4)
    np.testing.assert_allclose(linear, found, rtol=1e-12)
    assert extrapolated(np.array([1.0, 1.0, 1.0])) == 1.0


def test_halves_and_finer_grids_keep_the_field():
    x, y = np.meshgrid(np.arange(3.0), np.arange(4.0), indexing="ij")
    fine = refined(1 + 2 * x - y + 3 * x * y)
    x, y = np.meshgrid(np.arange(5) / 2, np.arange(7) / 2, indexing="ij")
    np.testing.assert_allclose(fine, 1 + 2 * x - y + 3 * x * y)
    np.testing.assert_array_equal(on_halves(np.array([[1.0, 2.0, 3.0]])), [[1, 2, 2, 3]])


def test_on_triangles_linear_fields_are_solutions_and_finer_meshes_only_help():
    rng = np.random.default_rng(1)
    mesh = random_mesh(rng, 9)
    areas, _ = mesh.geometry
    assert areas.sum() == pytest.approx(1.05, rel=1e-8), "that of the polygon"
    turns = np.linalg.det(mesh.nodes[mesh.triangles[:, 1:]] - mesh.nodes[mesh.triangles[:, :1]])
    assert (turns < 0).any() and (turns > 0).any(), "in either orientation"
    count = len(mesh.triangles)
    plane = (1 + mesh.nodes @ [2.0, -3.0])[None]
    mu = {"a": np.full((1, count), 7.0), "f": np.zeros((1, count)), "g": plane}
    np.testing.assert_allclose(solved(mesh, mu), plane, atol=1e-12)
    assert mesh.norm(plane, mu)[0] == pytest.approx(np.sqrt(7 * 13 * areas.sum()))
    mu["f"] = rng.normal(size=(1, count))
    u, (finer, more) = solved(mesh, mu), mesh.finer(mu)
    _, (lifted,) = mesh.halved(u)
    np.testing.assert_allclose(finer.norm(lifted, more), mesh.norm(u, mu), rtol=1e-12)
    np.testing.assert_allclose(finer.solved({**more, "f": np.repeat(more["f"][..., None], 3, 2)}), finer.solved(more))
    energies = [float(a.norm(a.solved(m) - m["g"], m)[0]) for a, m in ((mesh, mu), (finer, more))]
    assert energies[0] < energies[1]


def test_given_data_is_never_drawn():
    with pytest.raises(InputError, match="given, not drawn"):
        GivenGrid(Grid((4,))).parameters.sample(range(2), 0)
    assert GivenData.from_parts({}, {}, {}).contains({"a": np.ones((2, 3))}).all()
