"""Elasticity: patch test, rigid motions, orders of convergence, proven constants, reduced bases on top."""

import json

import numpy as np
import pytest
import scipy.sparse.linalg as sla
from skfem import MeshTet, MeshTri
from tests.rb.affine_cases import energy_error, exact

import nwidth as nw
from nwidth import problems
from nwidth.certificates.reduced import ReducedCertificate
from nwidth.core.errors import InputError
from nwidth.core.validation import select
from nwidth.problems.elastic_body import ElasticBody, box_mesh, korn_constant, lame, young
from nwidth.problems.elasticity import Elasticity
from nwidth.problems.elasticity_exact import ElasticityExact
from nwidth.problems.elasticity_field import ElasticityField
from nwidth.rb.greedy import Greedy
from nwidth.solvers.direct import Direct
from nwidth.spaces.nodal import Nodal

RNG = np.random.default_rng(0)


def crooked(dim, cells=3):
    """A box mesh with its inner nodes moved at random."""
    mesh = box_mesh((1.0,) * dim, (cells,) * dim)
    inner = np.setdiff1d(np.arange(mesh.p.shape[1]), mesh.boundary_nodes())
    points = mesh.p.copy()
    points[:, inner] += RNG.uniform(-0.2, 0.2, size=(dim, len(inner))) / cells
    return (MeshTri if dim == 2 else MeshTet)(points, mesh.t)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("degree", [1, 2])
def test_patch_test_is_exact_to_rounding(dim, degree):
    """A linear displacement on the boundary of a crooked mesh is the solution everywhere, with its constant stress."""
    body = ElasticBody(Nodal(crooked(dim), degree, dim))
    matrix = 3.0 * body.stiffness.matrix(body.stiffness.ones)
    gradient = RNG.normal(size=(dim, dim))
    u = (gradient @ body.nodal.nodes.T).ravel()
    free = body.held(body.nodal.mesh.boundary_facets())
    assert 0 < free.sum() < len(free)
    w = np.where(free, 0.0, u)
    w[free] = sla.spsolve(matrix[free][:, free].tocsc(), -(matrix @ w)[free])
    np.testing.assert_allclose(w, u, atol=1e-13 * 10)
    lam, mu = lame(3.0, 0.3)
    strain = (gradient + gradient.T) / 2
    energy = lam * np.trace(strain) ** 2 + 2 * mu * (strain**2).sum()
    assert w @ matrix @ w == pytest.approx(energy, rel=1e-12)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("degree", [1, 2])
def test_rigid_motions_are_the_kernel_where_nothing_is_held(dim, degree):
    body = ElasticBody(Nodal(crooked(dim, 2), degree, dim))
    matrix = body.stiffness.matrix(RNG.uniform(1, 5, size=body.stiffness.shape)).toarray()
    modes = body.rigid_modes()
    assert len(modes) == dim * (dim + 1) // 2
    assert abs(matrix @ modes.T).max() < 1e-12 * abs(matrix).max()
    values = np.linalg.eigvalsh(matrix)
    assert (abs(values[: len(modes)]) < 1e-12 * values[-1]).all() and values[len(modes)] > 1e-5 * values[-1]


def errors(problem, mu):
    """Errors of the displacement in L² and of its gradient, by quadrature against the closed form."""
    solution = nw.solve(problem, mu)
    assert solution.converged.all()
    nodal = Nodal(problem._body.nodal.mesh, problem.degree, problem.dim, intorder=2 * problem.degree + 3)
    x = np.asarray(nodal.basis.global_coordinates())
    found = []
    for i, omega in enumerate(mu["frequency"]):
        dofs = problem.space.flatten(solution.field)[i][nodal.order]
        at_points = nodal.basis.interpolate(dofs)
        step = 1e-6
        shifts = [step * np.eye(problem.dim)[d].reshape(-1, 1, 1) for d in range(problem.dim)]
        u = problem._displacement
        gradient = np.stack([(u(x + s, omega) - u(x - s, omega)) / (2 * step) for s in shifts], axis=1)
        dx = nodal.basis.dx
        l2 = (((at_points - u(x, omega)) ** 2).sum(axis=0) * dx).sum()
        h1 = (((at_points.grad - gradient) ** 2).sum(axis=(0, 1)) * dx).sum()
        found.append([np.sqrt(l2), np.sqrt(h1)])
    return np.array(found)


MU = {"slope": np.array([0.0, 3.0]), "frequency": np.array([1.0, 4.0])}


@pytest.mark.parametrize(
    ("dim", "degree", "sizes", "slack", "limits"),
    [
        (2, 1, (8, 16, 32), 0.15, (0.009, 0.25)),
        (2, 2, (4, 8, 16), 0.17, (1.9e-4, 0.02)),
        (3, 1, (4, 8), 0.32, (0.055, 0.5)),
        (3, 2, (2, 4), 0.3, (2e-3, 0.06)),
    ],
)
def test_orders_of_convergence_and_absolute_errors(dim, degree, sizes, slack, limits):
    mu = MU if dim == 2 else {**MU, "frequency": np.array([1.0, 2.0])}
    found = np.array([errors(ElasticityExact(dim, n, degree), mu) for n in sizes])
    orders = np.log2(found[-2] / found[-1])
    assert (abs(orders - [degree + 1, degree]) < slack).all()
    assert (found[-1].max(axis=0) < limits).all() and (found[-1].max(axis=0) > np.array(limits) / 3).all()


@pytest.mark.parametrize("poisson", [0.0, 0.3, 0.45])
def test_a_bar_without_lateral_load_stretches_as_the_textbook_says(poisson):
    """ν = 0: u_x = t x / E exactly; other ν: the mean end displacement approaches (1 - ν²) t L / E in plane strain."""
    problem = Elasticity(blocks=1, resolution=8, length=6.0, poisson=poisson, degree=2)
    mu = {"E_1": np.array([2.0]), "t_x": np.array([1.0]), "t_y": np.zeros(1)}
    solution = nw.solve(problem, mu)
    mean = problem.quantities()["ux"].functional @ problem.space.flatten(solution.field)[0]
    assert mean == pytest.approx((1 - poisson**2) * 6.0 / 2.0, rel=1e-12 if poisson == 0 else 0.02)
    if poisson == 0:
        np.testing.assert_allclose(solution.field[0, 0], problem.space.nodes[:, 0] / 2.0, atol=1e-12)


def test_a_slender_cantilever_bends_as_a_beam():
    """Tip deflection t L³ (1 - ν²) / (3 E I) with I = 1/12, plus the shear's t L / (κ G), κ = 5/6."""
    problem = Elasticity(blocks=1, resolution=6, length=10.0, degree=2)
    mu = {"E_1": np.array([5.0]), "t_x": np.zeros(1), "t_y": np.array([-1.0])}
    solution = nw.solve(problem, mu)
    tip = problem.quantities()["uy"].functional @ problem.space.flatten(solution.field)[0]
    beam = -(1000.0 * (1 - 0.09) / (3 * 5.0 / 12) + 10.0 / (5 / 6 * 5.0 / 2.6))
    assert tip == pytest.approx(beam, rel=0.01)


@pytest.mark.parametrize("problem", [Elasticity(2, 2, 3), Elasticity(2, 1, 2, 2), Elasticity(3, 1, 2)])
def test_constants_enclose_the_spectrum_and_the_korn_bound_holds(problem):
    free, inner = problem.terms().free, problem.space.inner("energy")
    x = problem.space.energy.matrix.toarray()[np.ix_(free, free)]
    assert 0 < inner.lambda_min <= np.linalg.eigvalsh(x)[0]
    mass = problem.space.mass.matrix.toarray()[np.ix_(free, free)]
    strain = x  # ‖v‖² <= C ‖ε‖² <= C / (2 μ) energy
    smallest = np.linalg.eigvals(np.linalg.solve(mass, strain)).real.min()
    assert 2 * lame(1.0, problem.poisson)[1] / korn_constant(problem.lengths) <= smallest
    mu = problem.parameters.sample(range(3), 1)
    stability = problem.constant(mu)
    root = np.linalg.inv(np.linalg.cholesky(x))
    for i in range(3):
        a = problem.assemble(select(mu, slice(i, i + 1))).matrix.toarray()[np.ix_(free, free)]
        spectrum = np.linalg.eigvalsh(root @ a @ root.T)
        assert stability.lower[i] <= spectrum[0] and spectrum[-1] <= stability.upper[i]
    assert stability.proven


@pytest.mark.parametrize("problem", [ElasticityField(2, 4), ElasticityField(3, 2), ElasticityField(2, 3, degree=2)])
def test_a_random_modulus_has_its_own_constants(problem):
    mu = problem.parameters.sample(range(3), 1)
    stability, free = problem.constant(mu), problem.space.free
    x = problem.space.energy.matrix.toarray()[np.ix_(free, free)]
    root = np.linalg.inv(np.linalg.cholesky(x))
    for i in range(3):
        a = problem.assemble(select(mu, slice(i, i + 1))).matrix.toarray()[np.ix_(free, free)]
        spectrum = np.linalg.eigvalsh(root @ a @ root.T)
        assert stability.lower[i] <= spectrum[0] and spectrum[-1] <= stability.upper[i]
        assert stability.lower[i] > 0.3 * spectrum[0]


def test_a_modulus_that_is_linear_in_space_is_taken_exactly_at_the_centres():
    problem = ElasticityField(3, 3)
    axes = np.meshgrid(*[np.linspace(0, 1, 4)] * 3, indexing="ij")
    values = (1 + axes[0] + 2 * axes[1] - 0.5 * axes[2])[None]
    mesh = problem._body.nodal.mesh
    x, y, z = mesh.p[:, mesh.t].mean(axis=1)
    np.testing.assert_allclose(problem.modulus({"E": values})[0], 1 + x + 2 * y - 0.5 * z, rtol=1e-13)


def test_one_modulus_everywhere_is_the_affine_problem():
    field, affine = ElasticityField(2, 6), Elasticity(blocks=1, resolution=6, length=1.0)
    one = nw.solve(field, {"E": np.full((1, 7, 7), 2.5)})
    other = nw.solve(affine, {"E_1": np.array([2.5]), "t_x": np.zeros(1), "t_y": np.array([-1.0])})
    np.testing.assert_allclose(one.field, other.field, rtol=1e-10, atol=1e-12)
    assert one.field.shape == (1, 2, 49)


def test_reduced_bases_work_on_it_and_their_bounds_hold():
    problem = Elasticity(2, 2, 4)
    reduced = Greedy(tol=1e-2, training=40).fit(problem=problem)
    certificate = ReducedCertificate.build(reduced, problem)
    mu = problem.parameters.sample(range(20), 9)
    prediction = reduced.predict(mu)
    assert prediction.field.shape == (20, *problem.space.shape)
    u = exact(problem, mu)
    dofs = problem.space.flatten(prediction.field)
    error, size = energy_error(problem, mu, u, dofs), energy_error(problem, mu, u, 0 * u)
    bound = certificate.bound(prediction)
    assert (error <= bound.bound).all() and (bound.bound < 20 * error + 1e-12).all()
    assert (error < 3e-2 * size).all() and reduced.modes < 40
    truth = u @ problem.quantities()["uy"].functional
    values, limits = bound.outputs["uy"].values, bound.outputs["uy"].limit
    assert (abs(values - truth) <= limits).all()


def test_each_traction_alone_and_together_superpose():
    problem = Elasticity(3, 1, 2)
    one = {"E_1": np.full(4, 2.0), "t_x": np.array([1.0, 0, 0, 0.3]), "t_y": np.array([0, 1.0, 0, -0.2])}
    one["t_z"] = np.array([0, 0, 1.0, 0.7])
    u = nw.solve(problem, one).field
    np.testing.assert_allclose(u[3], 0.3 * u[0] - 0.2 * u[1] + 0.7 * u[2], rtol=1e-9, atol=1e-10)
    assert u.shape == (4, 3, 5 * 3 * 3)
    assert list(problem.space.components) == ["ux", "uy", "uz"]


def test_one_region_is_a_fixed_matrix_and_the_default_solver_says_so():
    problem = Elasticity(blocks=1, resolution=6)
    mu = problem.parameters.sample(range(5), 0)
    solution = nw.solve(problem, mu)
    assert solution.note == "matrix fixed up to a factor, 2 load cases: combined"
    np.testing.assert_allclose(solution.field, nw.solve(problem, mu, Direct()).field, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("problem", [Elasticity(2, 2, 4), ElasticityField(2, 4), ElasticityExact(3, 2, 2)])
def test_stored_problems_are_checked_and_named(problem, tmp_path):
    config, arrays, _ = problem.to_parts()
    config = json.loads(json.dumps(config))
    assert type(problem).from_parts(config, arrays, {}) == problem
    assert problems.get(problem.kind, resolution=4) == type(problem)(resolution=4)
    assert problem.at(5).resolution == 5
    with pytest.raises(InputError, match="not the same problem any more"):
        type(problem).from_parts(config, {"check": arrays["check"] * 1.01}, {})
    space = problem.space
    again = type(space).from_parts(*space.to_parts())
    assert again.shape == space.shape and dict(again.components) == dict(space.components)


def test_generated_snapshots_survive_the_store(tmp_path):
    problem = ElasticityField(2, 6)
    snapshots = nw.generate(problem, 3, path=tmp_path / "s")
    again = nw.open_snapshots(tmp_path / "s")
    np.testing.assert_array_equal(np.asarray(snapshots.fields), np.asarray(again.fields))
    assert np.asarray(again.fields).shape == (3, 2, 49) and again.space.names == ("ux", "uy")


def test_lame_constants_and_moduli_are_inverse():
    for e, nu in ((1.0, 0.0), (210.0, 0.3), (0.01, 0.49)):
        assert young(*lame(e, nu)) == pytest.approx((e, nu))
    lam, mu = lame(210.0, 0.3)
    assert (lam, mu) == pytest.approx((121.153846, 80.769231))


def test_bad_input_is_named():
    for make, message in [
        (lambda: Elasticity(4), "dim 2 or 3"),
        (lambda: Elasticity(blocks=9, resolution=8), "blocks <= resolution"),
        (lambda: Elasticity(poisson=0.5), "0 <= ν < 0.5"),
        (lambda: Elasticity(degree=3), "degree 1 or 2"),
        (lambda: ElasticityField(1), "choose 2"),
        (lambda: ElasticityExact(1), "choose 2"),
        (lambda: ElasticityField(2, 4).modulus({"E": -np.ones((1, 5, 5))}), "above zero"),
        (lambda: ElasticityField(2, 4).modulus({"E": np.ones((1, 4, 5))}), "has shape"),
        (lambda: ElasticityField(2, 4).assemble({"E": np.ones((2, 5, 5))}), "one parameter, got 2"),
        (lambda: young(-1.0, 1.0), "λ >= 0"),
        (lambda: ElasticBody(Nodal(box_mesh((1, 1), (2, 2)), 1, 3)), "as many components"),
    ]:
        with pytest.raises(InputError, match=message):
            make()
    problem = Elasticity(blocks=1, resolution=4)
    mu = {"E_1": np.array([0.0]), "t_x": np.zeros(1), "t_y": np.zeros(1)}
    with pytest.raises(InputError, match="E_1 is 0.0 in row 0"):
        nw.solve(problem, mu)
    with pytest.raises(InputError, match="row 0"):
        problem.coefficients({**mu, "E_1": np.ones(1), "t_y": np.array([np.nan])})
