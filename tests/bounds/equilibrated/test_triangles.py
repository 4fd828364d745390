"""Fluxes on triangles against saddle-point problems and least squares that share no code with them."""

import numpy as np
import pytest

from nwidth.bounds.equilibrated.bubbles import bubble_energy, edge_bubbles, turned
from nwidth.bounds.equilibrated.crouzeix_raviart import EdgeProblem, global_flux
from nwidth.bounds.equilibrated.patches import Patches
from nwidth.bounds.equilibrated.triangles import EdgeFlux, Triangles
from nwidth.core.errors import InputError
from nwidth.problems.cell_data import CellData
from nwidth.testing.equilibrated_references import GivenMesh, random_mesh

RULE = [  # places and weights on the reference triangle, exact to degree 4 (Dunavant 1985)
    (0.108103018168070, 0.445948490915965, 0.445948490915965, 0.223381589678011),
    (0.445948490915965, 0.108103018168070, 0.445948490915965, 0.223381589678011),
    (0.445948490915965, 0.445948490915965, 0.108103018168070, 0.223381589678011),
    (0.816847572980459, 0.091576213509771, 0.091576213509771, 0.109951743655322),
    (0.091576213509771, 0.816847572980459, 0.091576213509771, 0.109951743655322),
    (0.091576213509771, 0.091576213509771, 0.816847572980459, 0.109951743655322),
]


def case(seed=0, inside=12, batch=2, corners=False):
    rng = np.random.default_rng(seed)
    given = random_mesh(rng, inside)
    count = len(given.triangles)
    a = 10 ** rng.uniform(-1, 1, (batch, count))
    f = rng.standard_normal((batch, count, 3) if corners else (batch, count))
    mesh = Triangles(given.nodes, given.triangles)
    return rng, given, mesh, CellData(a, f)


def integral(mesh, flux, v, data, bubbles=None):
    """`∫ |σ + a ∇v|² / a`, triangle by triangle, for the first sample."""
    total = 0.0
    for t, corners in enumerate(mesh.corners):
        p = mesh.nodes[corners]
        area = abs(np.linalg.det(p[1:] - p[0])) / 2
        slopes = np.linalg.inv(np.column_stack([np.ones(3), p]))[1:].T
        for *share, weight in RULE:
            x = np.array(share) @ p
            density = np.zeros(2)
            slope = v[0, corners] @ slopes
            for i in range(3):
                e = mesh.edge_of[t, i]
                density += mesh.signs[t, i] * flux.through[0, e] * (x - p[i]) / (2 * area)
                j, k = (i + 1) % 3, (i + 2) % 3
                bubble = 4 * (share[j] * slopes[k] + share[k] * slopes[j])
                if flux.turning is not None:
                    density += flux.turning[0, e] * np.array([bubble[1], -bubble[0]])
                if bubbles is not None:
                    slope = slope + bubbles[0, e] * bubble
            total += weight * area * ((density + data.a[0, t] * slope) ** 2).sum() / data.a[0, t]
    return total


def test_integrals_are_exact_and_fluxes_conform():
    rng, _, mesh, data = case()
    v = rng.standard_normal((2, len(mesh.nodes)))
    flux = EdgeFlux(rng.standard_normal((2, len(mesh.edges))), rng.standard_normal((2, len(mesh.edges))))
    bubbles = rng.standard_normal((2, len(mesh.edges)))
    assert mesh.majorant(v, flux, data).gap[0] ** 2 == pytest.approx(integral(mesh, flux, v, data), rel=1e-10)
    both = mesh.majorant(v, flux, data, bubbles).gap[0] ** 2
    assert both == pytest.approx(integral(mesh, flux, v, data, bubbles), rel=1e-10)
    nothing = EdgeFlux(np.zeros_like(bubbles))
    assert bubble_energy(v, bubbles, data, mesh)[0] ** 2 == pytest.approx(
        integral(mesh, nothing, v, data, bubbles), rel=1e-10
    )
    # what leaves one triangle through an inner edge enters the other
    total = np.zeros(len(mesh.edges))
    np.add.at(total, mesh.edge_of.ravel(), mesh.leaving(flux.through)[0].ravel())
    assert np.abs(total[~mesh.outer]).max() < 1e-13


def test_geometry():
    _, given, mesh, _ = case()
    areas, slopes = given.geometry
    np.testing.assert_allclose(mesh.areas, areas, rtol=1e-12)
    assert (mesh.areas > 0).all()
    assert mesh.areas.sum() == pytest.approx(1.05)  # of the polygon
    flipped = np.argmax(mesh.corners[:, :, None] == given.triangles[:, None, :], axis=2)
    np.testing.assert_allclose(mesh.gradients, np.take_along_axis(slopes, flipped[:, :, None], axis=1), atol=1e-9)
    np.testing.assert_array_equal(mesh.boundary_nodes, ~given.free)
    box = np.ptp(given.nodes, axis=0)
    assert mesh.friedrichs == pytest.approx(1 / (np.pi * np.sqrt((box**-2.0).sum())))


def test_the_residual_of_a_field_is_that_of_the_galerkin_method():
    for corners in (False, True):
        rng, given, mesh, data = case(corners=corners)
        f = data.f
        if corners:  # in the order of the mesh's own corners
            moved = np.argmax(mesh.corners[:, :, None] == given.triangles[:, None, :], axis=2)
            data = CellData(data.a, np.take_along_axis(f, np.broadcast_to(moved, f.shape), axis=2))
        v = rng.standard_normal((2, len(given.nodes)))
        mu = {"a": data.a, "f": f, "g": v}
        own = np.where(given.free, mesh.residual(v, data), 0.0)
        np.testing.assert_allclose(own, given.systems(mu).residual(v), atol=1e-11)


def best_flux(mesh, v, data):
    """The flux of lowest order in balance that minimises ‖τ‖: a dense saddle-point problem, one sample."""
    edges, cells = len(mesh.edges), len(mesh.corners)
    unit = np.eye(edges)
    one = CellData(np.repeat(data.a[:1], edges, axis=0), np.repeat(data.f[:1], edges, axis=0))
    parts = mesh.densities(EdgeFlux(unit)) * np.sqrt(mesh.areas / 3 / one.a)[:, :, None, None]
    columns = parts.reshape(edges, -1).T
    field = (np.sqrt(mesh.areas / 3 * data.a[:1])[:, :, None, None] * mesh.slopes(v[:1], None)).ravel()
    balance = mesh.leaving(unit).sum(axis=2).T
    top = np.concatenate([columns.T @ columns, balance.T], axis=1)
    whole = np.concatenate([top, np.concatenate([balance, np.zeros((cells, cells))], axis=1)])
    return np.linalg.solve(whole, np.concatenate([-columns.T @ field, mesh.sources(data)[0]]))[:edges]


def test_the_edge_problem_gives_the_flux_of_the_mixed_method():
    rng, given, mesh, data = case()
    v = rng.standard_normal((2, len(given.nodes)))
    flux, steps = global_flux(v, data, EdgeProblem(mesh), 1e-13, 500)
    np.testing.assert_allclose(flux[0], best_flux(mesh, v, data), atol=1e-9 * np.abs(flux).max())
    assert (steps > 3).all()
    rough, few = global_flux(v, data, EdgeProblem(mesh), 0.5, 2)
    assert (few <= 2).all()
    assert np.abs(mesh.missing(rough, data)).max() < 1e-12  # in balance all the same


def test_patches_are_in_balance_for_the_galerkin_solution():
    rng, given, mesh, data = case()
    u = given.solved({"a": data.a, "f": data.f, "g": rng.standard_normal((2, len(given.nodes)))})
    assert np.abs(mesh.missing(Patches.of(mesh).flux(u, data), data)).max() < 1e-12


def test_patches_miss_the_residual_and_nothing_else():
    rng, given, mesh, data = case(seed=3)
    v = rng.standard_normal((2, len(given.nodes)))
    rest = np.where(mesh.boundary_nodes, 0.0, mesh.residual(v, data))
    sizes = np.bincount(mesh.corners.ravel(), np.repeat(mesh.areas, 3))
    expected = mesh.areas * (rest / sizes)[:, mesh.corners].sum(axis=2)
    flux = Patches.of(mesh).flux(v, data)
    np.testing.assert_allclose(mesh.missing(flux, data), expected, atol=1e-11)
    balanced = EdgeProblem(mesh).balanced(flux, data)
    assert np.abs(mesh.missing(balanced, data)).max() < 1e-11


def test_each_patch_is_the_least_squares_problem():
    """The sum of all patches, each by dense constrained least squares."""
    rng, given, mesh, data = case(seed=1, inside=6, batch=1)
    v = rng.standard_normal((1, len(given.nodes)))
    total = np.zeros(len(mesh.edges))
    gradient, sources = mesh.gradient(v)[0], mesh.sources(data)[0]
    for node in range(len(mesh.nodes)):
        rows = np.flatnonzero((mesh.corners == node).any(axis=1))
        edges = np.flatnonzero((mesh.edges == node).any(axis=1))
        unit = np.zeros((len(edges), len(mesh.edges)))
        unit[np.arange(len(edges)), edges] = 1.0
        goal, field = [], []
        for t in rows:
            i = int(np.argmax(mesh.corners[t] == node))
            goal.append(sources[t] / 3 - data.a[0, t] * mesh.areas[t] * gradient[t] @ mesh.gradients[t, i])
            hat = np.where(np.arange(3) == i, 0.0, 0.5)  # φ in the middles of the edges
            field.append(np.sqrt(mesh.areas[t] / 3 * data.a[0, t]) * hat[:, None] * gradient[t])
        goal = np.array(goal)
        if not mesh.boundary_nodes[node]:
            goal -= goal.sum() * mesh.areas[rows] / mesh.areas[rows].sum()
        scale = np.sqrt(mesh.areas / 3 / data.a[0])[:, None, None]
        columns = (mesh.densities(EdgeFlux(unit)) * scale)[:, rows].reshape(len(edges), -1).T
        balance = mesh.leaving(unit).sum(axis=2)[:, rows].T
        particular = np.linalg.lstsq(balance, goal, rcond=None)[0]
        kernel = np.linalg.svd(balance)[2][np.linalg.matrix_rank(balance) :].T
        target = -np.concatenate(field).ravel() - columns @ particular
        total[edges] += particular + kernel @ np.linalg.lstsq(columns @ kernel, target, rcond=None)[0]
    np.testing.assert_allclose(Patches.of(mesh).flux(v, data)[0], total, atol=1e-10)


def test_turning_and_bubbles_reach_their_minimum():
    rng, given, mesh, data = case(batch=1)
    u = given.solved({"a": data.a, "f": data.f, "g": rng.standard_normal((1, len(given.nodes)))})
    through = Patches.of(mesh).flux(u, data)
    gaps = [mesh.majorant(u, turned(u, through, data, mesh, n), data).gap[0] for n in (0, 1, 2, 4, 300)]
    assert np.all(np.diff(gaps) < 1e-12) and gaps[1] < gaps[0]
    best = turned(u, through, data, mesh, 300)
    more = [edge_bubbles(u, data, mesh, n) for n in (0, 4, 300)]
    assert not more[0].any() and not more[2][:, mesh.outer].any()
    # Prager and Synge: ‖τ‖² falls by what the energy of u - w falls
    rest = [mesh.majorant(u, best, data, c).gap[0] for c in more]
    assert rest[0] > rest[1] > rest[2] * (1 + 1e-12)
    for _ in range(20):
        other = EdgeFlux(best.through, best.turning + 0.01 * rng.standard_normal(best.turning.shape))
        assert mesh.majorant(u, other, data).gap[0] > gaps[-1]
        shift = np.where(mesh.outer, 0.0, 0.01 * rng.standard_normal(more[2].shape))
        assert mesh.majorant(u, best, data, more[2] + shift).gap[0] > rest[2]


def test_sources_that_are_linear_add_their_oscillation():
    _, _, mesh, data = case(corners=True)
    none = EdgeFlux(np.zeros((2, len(mesh.edges))))
    found = mesh.majorant(np.zeros((2, len(mesh.nodes))), none, data)
    square = 0.0
    for t in range(len(mesh.corners)):
        spread = sum(w * (np.array(s) @ data.f[0, t] - data.f[0, t].mean()) ** 2 for *s, w in RULE) * mesh.areas[t]
        square += (mesh.diameters[t] / np.pi) ** 2 * spread / data.a[0, t]
    assert found.combined[0] == pytest.approx(np.sqrt(square), rel=1e-8)
    mean = mesh.sources(data)[0] / mesh.areas
    expected = mesh.friedrichs * np.sqrt((mean**2 * mesh.areas).sum() / data.a[0].min())
    assert found.rest[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("nodes", "corners", "message"),
    [
        (np.zeros((3, 3)), [[0, 1, 2]], "triangles in the plane"),
        (np.array([[0.0, 0], [1, 0], [2, 0]]), [[0, 1, 2]], "no area"),
        (np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]), [[0, 1, 2]], "a node to none"),
        (np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [0, -1]]), [[0, 1, 2], [0, 1, 3], [0, 1, 4]], "more than two"),
    ],
)
def test_meshes_that_are_refused(nodes, corners, message):
    with pytest.raises(InputError, match=message):
        Triangles(nodes, np.array(corners))


def test_data_that_is_refused():
    with pytest.raises(InputError, match=r"expected \(B, T\) for a"):
        CellData(np.ones(3), np.ones(3))
    with pytest.raises(InputError, match="above zero on every triangle"):
        CellData(np.zeros((1, 3)), np.ones((1, 3)))
    assert isinstance(random_mesh(np.random.default_rng(0), 3), GivenMesh)
