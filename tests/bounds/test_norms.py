"""L2 bounds from both sides, Friedrichs' inequality, and smallest eigenvalues, against dense eigenvalues and solves."""

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from skfem import MeshTet, MeshTri

import nwidth as nw
from nwidth.bounds.friedrichs import box_constant, mass_constant
from nwidth.bounds.mesh_friedrichs import path_bound, scalar_space, stiffness_lambda_min
from nwidth.bounds.norms import MassNorm, chebyshev
from nwidth.bounds.residual import Residual
from nwidth.core.errors import InputError
from nwidth.problems.base import SparseSystems, Stability, System
from nwidth.problems.darcy import Darcy
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.spaces.algebraic import Algebraic
from nwidth.spaces.factor import restricted
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import Form
from nwidth.spaces.nodal import Nodal


def matrices(space) -> tuple[np.ndarray, np.ndarray]:
    """X and M on the free dofs, dense, column by column."""
    parts = []
    for kind in ("energy", "mass"):
        whole = space.inner(kind).apply(np.eye(space.size))
        parts.append(whole[np.ix_(space.free, space.free)])
    return parts[0], parts[1]


@pytest.mark.parametrize(
    "boundary", ["dirichlet", "robin", ("dirichlet", "periodic"), (("neumann", "dirichlet"), "robin")]
)
@pytest.mark.parametrize("centring", ["node", "cell"])
def test_friedrichs_on_a_grid_is_the_largest_eigenvalue(boundary, centring):
    grid = Grid((6, 5), (1.0, 2.0), boundary, centring)
    x, m = matrices(grid)
    largest = la.eigvalsh(m, x)[-1]
    assert largest <= mass_constant(grid) * (1 + 1e-13) and mass_constant(grid) <= 1.3 * largest
    if grid.inside:
        assert mass_constant(grid) <= largest * (1 + 1e-10)


def test_friedrichs_on_a_mesh_is_just_above_the_largest_eigenvalue_and_below_the_boxes():
    space = ThermalBlock(blocks=2, resolution=10).space
    x, m = matrices(space)
    largest = la.eigvalsh(m, x)[-1]
    assert largest <= mass_constant(space) <= 1.001 * largest
    assert largest <= box_constant((1.0, 1.0)) == pytest.approx(1 / (2 * np.pi**2))


def test_where_only_constants_are_left_there_is_no_l2_bound():
    with pytest.raises(InputError, match="up to a constant"):
        mass_constant(Grid((4, 4), 1.0, "neumann"))
    with pytest.raises(InputError, match="above zero"):
        box_constant((1.0, 0.0))


def lshaped_left(nodes):
    return nodes[:, 0] < nodes[:, 0].min() + 1e-9


@pytest.mark.parametrize(
    "mesh, degree",
    [
        (MeshTri().refined(3), 1),
        (MeshTri().refined(2), 2),
        (MeshTet().refined(2), 1),
        (MeshTri.init_lshaped().refined(2), 1),
        (MeshTri.init_circle(2).translated((3.0, 1.0)), 1),
    ],
    ids=["square", "square2", "cube", "L", "disc"],
)
@pytest.mark.parametrize("held", ["boundary", "left", "one node"])
def test_smallest_eigenvalues_are_bounded_from_below_without_one(mesh, degree, held):
    nodal = Nodal(mesh, degree)
    fixed = {
        "boundary": nodal.on_facets(mesh.boundary_facets()),
        "left": lshaped_left(nodal.nodes),
        "one node": np.arange(len(nodal.nodes)) == 1,
    }[held]
    space = scalar_space(nodal, ~fixed)
    x, m = matrices(space)
    for form, matrix in ((space.energy, x), (space.mass, m)):
        smallest = la.eigvalsh(matrix)[0]
        assert 0.01 * smallest <= form.lambda_min <= smallest
    assert np.allclose(x.sum(axis=1)[restricted(space.energy.matrix, space.free).sum(axis=1) == 0], 0)


def test_resistors_in_a_row_in_closed_form():
    """A chain of n unit resistors held at one end: the largest sum is 1 + 2 + ... + n."""
    elements = np.stack([np.arange(6), np.arange(1, 7)], axis=1)
    local = np.broadcast_to(np.array([[1.0, -1.0], [-1.0, 1.0]]), (6, 2, 2))
    free = np.arange(7) > 0
    assert path_bound(elements, local, free) == pytest.approx(1 / 21, rel=2e-6)
    with pytest.raises(InputError, match="no node is held"):
        path_bound(elements, local, np.ones(7, bool))
    with pytest.raises(InputError, match="not joined"):
        path_bound(elements[[0, 1, 3, 4, 5]], local[:5], free)


def test_masks_and_elements_that_do_not_fit_are_refused():
    nodal = Nodal(MeshTri().refined(1), 1, components=2)
    with pytest.raises(InputError, match="Korn"):
        stiffness_lambda_min(nodal, np.ones(len(nodal.nodes), bool))


def random_case(size: int, seed: int, contrast: float):
    """A with spectrum in [1, contrast] against a random X, and a mass matrix of its own."""
    rng = np.random.default_rng(seed)
    factor = np.tril(rng.normal(size=(size, size)) / size) + np.eye(size)
    x = factor @ factor.T
    vectors = factor @ np.linalg.qr(rng.normal(size=(size, size)))[0]
    spectrum = contrast ** rng.random(size)
    a = (vectors * spectrum) @ vectors.T
    energy = Form(x, float(np.linalg.eigvalsh(x)[0]) * (1 - 1e-9))
    space = Algebraic(np.ones(size, bool), energy)
    stability = Stability(np.array([spectrum.min() * (1 - 1e-9)]), np.array([spectrum.max() * (1 + 1e-9)]))
    return space, (a + a.T) / 2, stability, rng


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 40), seed=st.integers(0, 10_000), contrast=st.floats(1.0, 1e4), exponent=st.integers(-120, 120)
)
def test_l2_bounds_hold_and_are_no_looser_than_friedrichs(size, seed, contrast, exponent):
    space, a, stability, rng = random_case(size, seed, contrast)
    zero = np.zeros(size)
    error = rng.normal(size=size) * 10.0**exponent
    systems = SparseSystems([System(sp.csr_array(a), a @ error, space.free, zero)])
    energy = space.inner("energy")
    norm = MassNorm.of(space, energy)
    found = Residual.of(systems, zero[None], energy)
    true = np.linalg.norm(error) / np.sqrt(size)
    upper, lower = norm.upper(found, stability)[0], norm.lower(systems, found, stability)[0]
    assert lower <= true * (1 + 1e-9) <= upper * (1 + 2e-9)
    plain = norm.root * (found.dual.upper + found.noise)[0] / stability.lower[0]
    assert upper <= plain * (1 + 1e-12)
    assert lower > 0 or contrast > 10 or abs(exponent) > 90


@pytest.mark.parametrize("kind, loose", [("smooth", 1.4), ("rough", 4.0)])
def test_a_correction_makes_l2_limits_sharp_at_contrast_four(kind, loose):
    """The table of the page: Friedrichs on the energy bound, the representer, the correction."""
    problem = Darcy(resolution=64)
    mu = problem.parameters.sample(range(4), seed=0)
    space, systems, stability = problem.space, problem.systems(mu), problem.constant(mu)
    u = space.flatten(nw.solve(problem, mu).field)
    x = np.linspace(0, 1, 65)
    bump = (np.sin(np.pi * x)[:, None] * np.sin(2 * np.pi * x)).ravel()
    noise = np.random.default_rng(0).normal(size=u.shape)
    v = systems.impose(u + (1e-2 * bump if kind == "smooth" else 1e-3 * noise))
    energy = space.inner("energy")
    norm, found = MassNorm.of(space, energy), Residual.of(systems, v, energy)
    true = norm.mass.norm(u - v)
    upper, lower = norm.bounds(systems, v, found, stability)
    assert (lower <= true * (1 + 1e-4)).all() and (true <= upper).all()
    assert (upper <= loose * true).all() and (lower >= true / loose).all()
    alone = norm.upper(found, stability)
    friedrichs = norm.root * found.dual.upper / stability.lower
    assert (alone >= 2 * upper).all() and (friedrichs >= 1.25 * alone).all()


def test_chebyshev_falls_as_fast_as_its_theory():
    space, a, stability, rng = random_case(30, 1, 25.0)
    error = rng.normal(size=30)
    systems = SparseSystems([System(sp.csr_array(a), a @ error, space.free, np.zeros(30))])
    inner = space.inner("energy")
    found = Residual.of(systems, np.zeros((1, 30)), inner)
    root = np.sqrt(stability.upper / stability.lower)[0]
    rate = (root - 1) / (root + 1)
    for steps in (1, 2, 5, 10):
        w, later = chebyshev(systems, np.zeros((1, 30)), found, inner, stability, np.array([steps]))
        left = np.linalg.norm(la.cholesky(inner.matrix.toarray()) @ (error - w[0]))
        start = np.linalg.norm(la.cholesky(inner.matrix.toarray()) @ error)
        assert left <= 1.001 * start * 2 * rate**steps / (1 + rate ** (2 * steps))
        np.testing.assert_allclose(later.r[0], a @ (error - w[0]), atol=1e-12)


def test_a_sample_has_the_same_l2_limit_in_any_batch():
    problem = Darcy(resolution=16, law="log-normal", sigma=1.5)
    mu = problem.parameters.sample(range(4), seed=0)
    fields = np.zeros((4, 17, 17))
    whole = nw.certify_fields(fields, problem, mu, norm="l2")
    for i in range(4):
        one = nw.certify_fields(fields[i : i + 1], problem, {"a": mu["a"][i : i + 1]}, norm="l2")
        np.testing.assert_allclose([one.bound[0], one.lower[0]], [whole.bound[i], whole.lower[i]], rtol=1e-10)


def test_l2_is_known_exactly_where_the_coefficient_is_constant():
    """A = α X: e = z / α, and both bounds meet at ‖z‖_M / α."""
    grid = Grid((16, 12), (1.0, 2.0))
    energy, free = grid.inner("energy"), grid.free
    matrix = 3.0 * energy.apply(np.eye(grid.size))
    error = np.where(free, np.random.default_rng(0).normal(size=grid.size), 0.0)
    systems = SparseSystems([System(sp.csr_array(matrix), matrix @ error, free, np.zeros(grid.size))])
    stability = Stability(np.array([3.0 * (1 - 1e-12)]), np.array([3.0 * (1 + 1e-12)]))
    norm, found = MassNorm.of(grid, energy), Residual.of(systems, np.zeros((1, grid.size)), energy)
    true = grid.inner("mass").norm(error[None])[0]
    assert true <= norm.upper(found, stability)[0] <= true * (1 + 1e-4)
    assert true * (1 - 1e-4) <= norm.lower(systems, found, stability)[0] <= true
