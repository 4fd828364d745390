"""Fixed-pattern assembly against scikit-fem's own, for every element, coefficient and numbering."""

import numpy as np
import pytest
import scipy.sparse as sp
from skfem import (
    Basis,
    BilinearForm,
    ElementTetP1,
    ElementTriP1,
    ElementTriP2,
    ElementVector,
    FacetBasis,
    LinearForm,
    MeshTet,
    MeshTri,
)
from skfem.helpers import ddot, div, dot, grad, sym_grad

from nwidth.core.errors import InputError
from nwidth.spaces.fixed_assembly import Dofs, FixedForm, FixedLoad, FreePart, pattern_of
from nwidth.spaces.nodal import Nodal

RNG = np.random.default_rng(0)
MESH = MeshTri.init_tensor(np.linspace(0, 1, 5) ** 1.3, np.linspace(0, 2, 4))
TETS = MeshTet.init_tensor(*[np.linspace(0, 1, 3)] * 3)

stiffness = BilinearForm(lambda u, v, w: dot(grad(u), grad(v)))
mass = BilinearForm(lambda u, v, w: u * v * (1 + w.x[0]))
drift = BilinearForm(lambda u, v, w: (grad(u)[0] - 2 * grad(u)[1]) * v)
elastic = BilinearForm(lambda u, v, w: 0.7 * div(u) * div(v) + 2 * ddot(sym_grad(u), sym_grad(v)))


def scaled(form):
    """The same form with the coefficient w.c, as scikit-fem has it."""
    return type(form)(lambda *a: a[-1].c * form.form(*a))


CASES = [
    (stiffness, Basis(MESH, ElementTriP1())),
    (stiffness, Basis(MESH, ElementTriP2(), intorder=4)),
    (drift, Basis(MESH, ElementTriP2(), intorder=5)),  # not symmetric
    (mass, Basis(TETS, ElementTetP1(), intorder=3)),
    (elastic, Basis(MESH, ElementVector(ElementTriP1()))),
    (mass, FacetBasis(MESH, ElementTriP2(), intorder=4)),
]


@pytest.mark.parametrize("where", ["element", "point"])
@pytest.mark.parametrize(("form", "basis"), CASES)
def test_matrices_are_those_of_scikit_fem(form, basis, where):
    dofs = Dofs.of(basis)
    fixed = FixedForm(form, basis, dofs, pattern_of(dofs), where)
    for _ in range(2):  # the second coefficient finds nothing of the first
        c = RNG.uniform(0.1, 10, size=fixed.shape)
        at_points = np.broadcast_to(c[:, None] if where == "element" else c, basis.dx.shape)
        theirs = scaled(form).assemble(basis, c=np.array(at_points)).toarray()
        np.testing.assert_allclose(fixed.matrix(c).toarray(), theirs, rtol=1e-13, atol=1e-13 * abs(theirs).max())


@pytest.mark.parametrize("where", ["element", "point"])
def test_loads_are_those_of_scikit_fem(where):
    load = LinearForm(lambda v, w: v * (1 + w.x[1]))
    for basis in (Basis(MESH, ElementTriP2(), intorder=4), FacetBasis(MESH, ElementTriP1(), intorder=3)):
        fixed = FixedLoad(load, basis, Dofs.of(basis), where)
        c = RNG.uniform(-1, 1, size=fixed.shape)
        at_points = np.broadcast_to(c[:, None] if where == "element" else c, basis.dx.shape)
        theirs = scaled(load).assemble(basis, c=np.array(at_points))
        np.testing.assert_allclose(fixed.vector(c), theirs, rtol=1e-13, atol=1e-15)


def test_a_batch_is_its_rows():
    basis = Basis(MESH, ElementTriP1())
    dofs = Dofs.of(basis)
    fixed = FixedForm(stiffness, basis, dofs, pattern_of(dofs))
    c = RNG.uniform(1, 2, size=(5, *fixed.shape))
    batch = fixed.values(c)
    for row, values in zip(c, batch, strict=True):
        np.testing.assert_allclose(values, fixed.values(row), rtol=1e-15)


def test_inside_and_boundary_share_a_pattern_and_add_up():
    """Stiffness, mass and a Robin term on part of the boundary: the sum of arrays is the sum of matrices."""
    inside, edge = Basis(MESH, ElementTriP1()), FacetBasis(MESH, ElementTriP1(), facets=MESH.boundary_facets()[:5])
    dofs = [Dofs.of(basis) for basis in (inside, edge)]
    pattern = pattern_of(*dofs)
    forms = [
        FixedForm(form, basis, d, pattern)
        for form, basis, d in ((stiffness, inside, dofs[0]), (mass, inside, dofs[0]), (mass, edge, dofs[1]))
    ]
    total = pattern.matrix(sum(f.values(f.ones) for f in forms))
    theirs = stiffness.assemble(inside) + mass.assemble(inside) + mass.assemble(edge)
    np.testing.assert_allclose(total.toarray(), theirs.toarray(), rtol=1e-13, atol=1e-14)
    assert pattern.symmetric(total.data)


def test_a_part_has_the_entries_of_its_elements_only():
    basis = Basis(MESH, ElementTriP2(), intorder=4)
    dofs = Dofs.of(basis)
    fixed = FixedForm(stiffness, basis, dofs, pattern_of(dofs))
    chosen = np.arange(fixed.shape[0]) % 5 == 0
    part = fixed.part(chosen)
    theirs = stiffness.assemble(Basis(MESH, ElementTriP2(), intorder=4, elements=np.flatnonzero(chosen)))
    np.testing.assert_allclose(part.toarray(), theirs.toarray(), atol=1e-13)
    assert part.nnz == len(np.unique(dofs.keys.reshape(-1, fixed.shape[0])[:, chosen])) < fixed.pattern.size**2
    from nwidth.spaces.factor import Pattern

    assert Pattern.of(part).symmetric(part.data)


def test_the_free_part_is_the_sliced_matrix():
    basis = Basis(MESH, ElementTriP1())
    dofs = Dofs.of(basis)
    fixed = FixedForm(stiffness, basis, dofs, pattern_of(dofs))
    free = RNG.random(dofs.size) > 0.3
    part, values = FreePart(fixed.pattern, free), fixed.values(RNG.uniform(1, 2, size=fixed.shape))
    expected = sp.csr_array(fixed.pattern.matrix(values))[free][:, free]
    np.testing.assert_array_equal(part.matrix(values).toarray(), expected.toarray())
    assert part.matrix(values).has_sorted_indices


@pytest.mark.parametrize("mesh", [MESH, TETS], ids=["triangles", "tetrahedra"])
@pytest.mark.parametrize("degree", [1, 2])
def test_vector_fields_are_numbered_component_by_component(mesh, degree):
    """A linear field, given by its values at the nodes, has its constant gradient: ∫ ε : ε of u = A x."""
    nodal = Nodal(mesh, degree, mesh.dim())
    dofs = nodal.dofs()
    strain = BilinearForm(lambda u, v, w: ddot(sym_grad(u), sym_grad(v)))
    fixed = FixedForm(strain, nodal.basis, dofs, pattern_of(dofs))
    a = RNG.normal(size=(mesh.dim(), mesh.dim()))
    u = (a @ nodal.nodes.T).ravel()
    volume = nodal.basis.dx.sum()
    assert u @ fixed.matrix(fixed.ones) @ u == pytest.approx(volume * ((a + a.T) ** 2).sum() / 4, rel=1e-12)
    component, _ = nodal.mass()
    for c in range(mesh.dim()):
        e = np.kron(np.eye(mesh.dim())[c], np.ones(len(nodal.nodes)))
        assert e @ component @ e == pytest.approx(volume, rel=1e-12)


@pytest.mark.parametrize("mesh", [MESH, TETS], ids=["triangles", "tetrahedra"])
@pytest.mark.parametrize("degree", [1, 2])
def test_the_smallest_eigenvalue_of_the_mass_is_bounded_from_below(mesh, degree):
    matrix, bound = Nodal(mesh, degree).mass()
    true = np.linalg.eigvalsh(matrix.toarray())[0]
    assert 0.1 * true < bound <= true


def test_what_does_not_fit_is_refused():
    basis, other = Basis(MESH, ElementTriP1()), Basis(MESH, ElementTriP2(), intorder=2)
    fixed = FixedForm(stiffness, basis, Dofs.of(basis), pattern_of(Dofs.of(basis)))
    with pytest.raises(InputError, match="expected"):
        fixed.values(np.ones(7))
    with pytest.raises(InputError, match="share the space"):
        pattern_of(Dofs.of(basis), Dofs.of(other))
    edge = FacetBasis(MESH, ElementTriP1())
    with pytest.raises(InputError, match="lacks entries"):
        FixedForm(stiffness, basis, Dofs.of(basis), pattern_of(Dofs.of(edge)))
    with pytest.raises(InputError, match="choose one of element, point"):
        FixedForm(stiffness, basis, Dofs.of(basis), fixed.pattern, "node")
    with pytest.raises(InputError, match="degree 1 or 2"):
        Nodal(MESH, 3)
