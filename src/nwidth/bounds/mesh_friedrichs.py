"""The smallest eigenvalue of a stiffness matrix on a mesh, bounded from below without computing one.

Where the whole boundary is held, by Friedrichs' inequality on the bounding box and the mass matrices of the elements
(`friedrichs.box_constant`). Else by resistors: an element matrix K_e, semidefinite with constants in its kernel, is at
least `c_e` times the Laplacian of the complete graph on its m nodes, c_e = λ₂(K_e) / m. In the network of all these
conductances a node i is joined to a held one by a path of resistance R_i, and with d_k the difference along its edge k

    v_i² <= R_i Σ_{k on the path} c_k d_k²   (Cauchy and Schwarz),   Σ_i v_i² <= max_k (Σ_{i beyond k} R_i) vᵀ K v.

With shortest paths, which form a tree, the sums take one pass. The bound scales with the mesh as the eigenvalue does.
Reference: the argument is that of Diaconis and Stroock, Ann. Appl. Probab. 1 (1991), proposition 1, with an end held.
"""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from nwidth.bounds.friedrichs import box_constant
from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.spaces.mesh import Form, MeshSpace
from nwidth.spaces.nodal import Nodal

#: A part in a million pays for rounding in the matrices and in these sums.
_SLACK = 1 - 1e-6


def scalar_space(nodal: Nodal, free: Mask) -> MeshSpace:
    """The space of scalar fields on a mesh, with both forms and proven bounds: `∫ ∇u·∇v` and `∫ u v`.

    free `(n,)`: which nodes are not held. Raises InputError for vector elements and where no node is held.
    """
    mass, smallest = nodal.mass()
    local = element_stiffness(nodal)
    return MeshSpace(
        nodes=nodal.nodes,
        elements=nodal.elements,
        free=np.asarray(free, dtype=bool),
        energy=Form(_assembled(nodal, local), stiffness_lambda_min(nodal, free)),
        mass=Form(mass, smallest),
        cell=nodal.cell,
    )


def stiffness_lambda_min(nodal: Nodal, free: Mask) -> float:
    """A proven lower bound of the smallest eigenvalue of `∫ ∇u·∇v` on the free nodes, mask `(n,)`.

    Raises InputError for vector elements, masks that do not fit, and where a free node is not joined to a held one.
    """
    if nodal.components or np.shape(free) != (len(nodal.nodes),):
        raise InputError(
            f"a mask of shape {np.shape(free)} for {nodal.components or 1} components on {len(nodal.nodes)} nodes; "
            "this is for scalar fields, one entry per node (elasticity: Korn's inequality, problems.elastic_body)"
        )
    by_paths = path_bound(nodal.elements, element_stiffness(nodal), free)
    boundary = nodal.on_facets(nodal.mesh.boundary_facets())
    if np.asarray(free)[boundary].any():
        return by_paths
    constant = box_constant(np.ptp(nodal.nodes, axis=0))
    return max(by_paths, _SLACK * nodal.mass()[1] / constant)


def element_stiffness(nodal: Nodal) -> Real:
    """`∫_e ∇φ_i·∇φ_j` for each element, `(E, m, m)`."""
    gradients = [np.asarray(part[0].grad) for part in nodal.basis.basis]  # (dim, E, points) each
    stacked = np.stack([np.broadcast_to(g, (nodal.dim, *nodal.basis.dx.shape)) for g in gradients])
    return np.asarray(np.einsum("ideq,jdeq,eq->eij", stacked, stacked, nodal.basis.dx, optimize=True))


def path_bound(elements: Array, local: Real, free: Mask) -> float:
    """The bound by resistors, for nodes `(E, m)` and element matrices `(E, m, m)` whose kernel is the constants.

    Raises InputError where a free node is not joined to a held one.
    """
    count, corners = len(free), elements.shape[1]
    second = np.maximum(np.linalg.eigvalsh(local)[:, 1], 0.0) / corners
    first, other = np.triu_indices(corners, 1)
    pairs = np.stack([elements[:, first].ravel(), elements[:, other].ravel()])
    conductance = sp.coo_array((np.repeat(second, len(first)), (pairs.min(axis=0), pairs.max(axis=0))), (count, count))
    network = sp.csr_array(conductance)
    network.sum_duplicates()
    with np.errstate(divide="ignore"):
        network.data = 1.0 / network.data  # an infinite resistance is no edge
    held = np.flatnonzero(~np.asarray(free, dtype=bool))
    if not len(held):
        raise InputError("no node is held: the matrix has the constants in its kernel")
    resistance, before, _ = dijkstra(network, directed=False, indices=held, return_predecessors=True, min_only=True)
    if not np.isfinite(resistance).all():
        lost = int(np.argmin(np.isfinite(resistance)))
        raise InputError(f"node {lost} is not joined to a held one ({int((~np.isfinite(resistance)).sum())} are not)")
    beyond = resistance.copy()
    for node in np.argsort(-resistance, kind="stable"):
        if before[node] >= 0:
            beyond[before[node]] += beyond[node]
    return float(_SLACK / beyond[free].max())


def _assembled(nodal: Nodal, local: Real) -> sp.csr_array:
    corners = nodal.elements.shape[1]
    rows, columns = np.repeat(nodal.elements, corners, axis=1), np.tile(nodal.elements, (1, corners))
    size = len(nodal.nodes)
    return sp.csr_array(sp.coo_array((local.ravel(), (rows.ravel(), columns.ravel())), shape=(size, size)))
