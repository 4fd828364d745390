"""Pure Neumann problems on meshes: balanced loads are solved, unbalanced ones named, false kernels refused."""

import numpy as np
import pytest
import scipy.sparse as sp
from skfem import BilinearForm, LinearForm
from skfem.helpers import dot, grad

import nwidth as nw
from nwidth.core.errors import InputError, WorkError
from nwidth.core.kinds import available
from nwidth.core.solution import Status, Tolerance
from nwidth.problems.base import System
from nwidth.problems.elastic_body import ElasticBody, box_mesh
from nwidth.problems.near_null import Kernel, NearNull
from nwidth.solvers.choose import default_solver
from nwidth.solvers.kernel import Grounded, KernelBasis
from nwidth.spaces.box import Box
from nwidth.spaces.fixed_assembly import FixedForm, FixedLoad, pattern_of
from nwidth.spaces.mesh import Form, MeshSpace
from nwidth.spaces.nodal import Nodal

stiffness = BilinearForm(lambda u, v, w: dot(grad(u), grad(v)))
density = LinearForm(lambda v, w: v)


class Insulated(Kernel):
    """`-∇·((1 + t) ∇u) = cos(π x) cos(2 π y) + s` on the unit square, no flux: s = 0 has a solution."""

    def __init__(self, cells=8, degree=1, reaction=0.0, hold=False):
        self.nodal = Nodal(box_mesh((1.0, 1.0), (cells, cells)), degree, intorder=2 * degree + 2)
        dofs = self.nodal.dofs()
        self.form = FixedForm(stiffness, self.nodal.basis, dofs, pattern_of(dofs))
        self.density = FixedLoad(density, self.nodal.basis, dofs, "point")
        self.mass, smallest = self.nodal.mass()
        energy = Form(self.form.matrix(self.form.ones) + self.mass, smallest)
        free = np.ones(self.nodal.size, dtype=bool)
        free[0] = not hold
        self._space = MeshSpace(
            self.nodal.nodes, self.nodal.elements, free, energy, Form(self.mass, smallest), self.nodal.cell
        )
        self.reaction, self._box = reaction, Box(("t", "s"), low=(0.0, -1.0), high=(2.0, 1.0))

    parameters = property(lambda self: self._box)
    space = property(lambda self: self._space)

    def kernel(self):
        return np.ones((1, self.nodal.size))

    def assemble(self, mu):
        x, y = np.asarray(self.nodal.basis.global_coordinates())
        f = np.cos(np.pi * x) * np.cos(2 * np.pi * y) + mu["s"][0]
        matrix = (1 + mu["t"][0]) * self.form.matrix(self.form.ones) + self.reaction * self.mass
        return System(sp.csr_array(matrix), self.density.vector(f), self.space.free, np.zeros(self.nodal.size))

    def exact(self, t):
        x, y = self.nodal.nodes.T
        return np.cos(np.pi * x) * np.cos(2 * np.pi * y) / (5 * np.pi**2 * (1 + t))


class Floating(Kernel, NearNull):
    """A free block, pulled apart by t at both ends; `s` shears one end only, which nothing balances."""

    def __init__(self, dim=2):
        mesh = box_mesh((2.0, 1.0, 1.0)[:dim], (6, 3, 3)[:dim])
        self.body = ElasticBody(Nodal(mesh, 1, dim))
        mass, smallest = self.body.nodal.mass()
        stiff = self.body.stiffness
        energy = Form(stiff.matrix(stiff.ones) + mass, smallest)
        free = np.ones(self.body.nodal.size, dtype=bool)
        nodal = self.body.nodal
        self._space = MeshSpace(
            nodal.nodes, nodal.elements, free, energy, Form(mass, smallest), nodal.cell, ("ux", "uy", "uz")[:dim]
        )
        self.ends = [self.body.tractions(self.body.end(place)) for place in (0.0, 2.0)]
        self._box = Box(("E", "t", "s"), low=(1.0, -1.0, -1.0), high=(2.0, 1.0, 1.0))

    parameters = property(lambda self: self._box)
    space = property(lambda self: self._space)

    def kernel(self):
        return self.body.rigid_modes()

    near_null = kernel

    def assemble(self, mu):
        left, right = self.ends
        load = mu["t"][0] * (right[0].vector(right[0].ones) - left[0].vector(left[0].ones))
        load = load + mu["s"][0] * right[1].vector(right[1].ones)
        stiff = self.body.stiffness
        matrix = mu["E"][0] * stiff.matrix(stiff.ones)
        return System(matrix, load, self.space.free, np.zeros(self.space.size))


def solvers():
    yield Grounded()
    if available("pyamg"):
        from nwidth.solvers.amg import AMG

        yield AMG("smoothed aggregation")


@pytest.mark.parametrize("solver", solvers(), ids=lambda s: type(s).__name__)
def test_balanced_loads_converge_to_the_solution_without_mean(solver):
    errors = []
    for cells in (8, 16, 32):
        problem = Insulated(cells)
        mu = {"t": np.array([0.0, 1.0]), "s": np.zeros(2)}
        solution = nw.solve(problem, mu, solver)
        assert solution.converged.all() and (solution.stats["residual"] <= 1e-8).all()
        means = solution.field @ problem.mass.sum(axis=1)
        assert abs(means).max() < 1e-14
        exact = np.stack([problem.exact(t) for t in mu["t"]])
        errors.append(problem.space.inner("mass").norm(solution.field - exact).max())
    assert abs(np.log2(errors[1] / errors[2]) - 2) < 0.15 and 1e-6 < errors[2] < 5e-5


def test_it_is_the_default_solver_and_says_what_it_did():
    problem = Insulated()
    assert isinstance(default_solver(problem), Grounded)
    solution = nw.solve(problem, {"t": np.array([0.5, 1.0]), "s": np.zeros(2)})
    assert solution.note.startswith("kernel of dimension 1 held, matrix fixed up to a factor")


@pytest.mark.parametrize("solver", solvers(), ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("dim", [2, 3])
def test_a_floating_body_is_stretched_without_being_held(solver, dim):
    """Uniform tension: u = t/E (x, -ν y, -ν z) about the centre, in plane strain with (1 - ν²) and -ν (1 + ν)."""
    problem = Floating(dim)
    mu = {"E": np.array([1.5]), "t": np.array([0.6]), "s": np.zeros(1)}
    solution = nw.solve(problem, mu, solver, stop=Tolerance("residual", 1e-11))
    along, across = (0.91, -0.39) if dim == 2 else (1.0, -0.3)
    x = problem.space.nodes - problem.space.nodes.mean(axis=0)
    expected = 0.4 * np.stack([along * x[:, 0], *(across * x[:, d] for d in range(1, dim))])
    assert solution.converged.all()
    np.testing.assert_allclose(solution.field[0], expected, atol=1e-9)


@pytest.mark.parametrize("solver", solvers(), ids=lambda s: type(s).__name__)
def test_an_unbalanced_load_is_a_status_and_is_named(solver):
    for problem, mu in (
        (Insulated(), {"t": np.zeros(3), "s": np.array([0.0, 0.3, 0.0])}),
        (Floating(), {"E": np.ones(3), "t": np.ones(3), "s": np.array([0.0, 1e-3, 0.0])}),
    ):
        solution = nw.solve(problem, mu, solver)
        assert solution.status.tolist() == [Status.CONVERGED, Status.SINGULAR, Status.CONVERGED]
        assert "no solution for 1 of 3 samples (rows 1)" in solution.note and "subtract its mean" in solution.note
        assert np.isnan(solution.field[1]).all() and np.isfinite(solution.field[[0, 2]]).all()


@pytest.mark.parametrize("solver", solvers(), ids=lambda s: type(s).__name__)
def test_a_kernel_that_is_none_is_refused(solver):
    draws = {"t": np.zeros(1), "s": np.zeros(1)}
    with pytest.raises(InputError, match="is not mapped to zero"):
        nw.solve(Insulated(reaction=0.1), draws, solver)
    with pytest.raises(InputError, match="1 dofs are prescribed"):
        nw.solve(Insulated(hold=True), draws, solver)


def test_a_larger_kernel_than_the_given_one_is_singular():
    problem = Floating()
    problem.kernel = lambda: problem.body.rigid_modes()[:2]
    mu = {"E": np.array([1.0]), "t": np.array([1.0]), "s": np.zeros(1)}
    assert nw.solve(problem, mu).status[0] in (Status.SINGULAR, Status.FAILED)


def test_dependent_fields_and_other_requests_are_refused():
    problem = Insulated()
    problem.kernel = lambda: np.ones((2, problem.nodal.size))
    with pytest.raises(InputError, match="independent fields"):
        KernelBasis(problem)
    with pytest.raises(InputError, match="no stability constant"):
        nw.solve(Insulated(), {"t": np.zeros(1), "s": np.zeros(1)}, stop=Tolerance("energy", 1e-3))
    with pytest.raises(InputError, match="has no kernel"):
        Grounded().prepare(nw.problems.get("thermal_block", resolution=4))


def test_generation_refuses_where_no_load_is_balanced():
    with pytest.raises(WorkError, match="4 singular"):
        nw.generate(Insulated(), 4, seed=0, chunk=4)
