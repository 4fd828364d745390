"""Trilinear (Q1) elements on bricks: a tensor-product grid from which some cells may be left out.

On an axis-parallel brick the element matrices are Kronecker products of the 1-D ones, so every integral here is exact
and the assembly is three small matrix products.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError

#: 1-D element matrices of unit length: stiffness and mass.
_K = np.array([[1.0, -1.0], [-1.0, 1.0]])
_M = np.array([[2.0, 1.0], [1.0, 2.0]]) / 6.0


@dataclass(frozen=True, eq=False)
class Bricks:
    """Nodes `(n, 3)`, elements `(E, 8)` (local corner i + 2 j + 4 k), edge lengths `(E, 3)`, grid cells `(E, 3)`."""

    nodes: Real
    elements: Array
    lengths: Real
    cells: Array

    @property
    def volumes(self) -> Real:
        """Volume of each element, `(E,)`."""
        return self.lengths.prod(axis=1)


def bricks(x: Array, y: Array, z: Array, keep: Mask) -> Bricks:
    """The cells of the grid with lines x, y, z for which `keep (nx, ny, nz)` is true; unused nodes are dropped.

    Raises InputError for lines that do not increase or a mask of another shape.
    """
    axes = [np.asarray(axis, dtype=np.float64) for axis in (x, y, z)]
    if any(axis.ndim != 1 or not (np.diff(axis) > 0).all() for axis in axes):
        raise InputError("the grid lines x, y, z must each be a strictly increasing 1-D array")
    expected = tuple(len(axis) - 1 for axis in axes)
    if np.shape(keep) != expected:
        raise InputError(f"keep has shape {np.shape(keep)}, expected one entry per cell: {expected}")
    cells = np.argwhere(keep)
    counts = np.array([len(axis) for axis in axes])
    corners = np.array([[i, j, k] for k in (0, 1) for j in (0, 1) for i in (0, 1)])
    index = cells[:, None, :] + corners[None]
    used, elements = np.unique(np.ravel_multi_index(tuple(np.moveaxis(index, 2, 0)), counts), return_inverse=True)
    nodes = np.stack([axis[i] for axis, i in zip(axes, np.unravel_index(used, counts), strict=True)], axis=1)
    lengths = np.stack([np.diff(axis)[cells[:, d]] for d, axis in enumerate(axes)], axis=1)
    return Bricks(nodes, elements.reshape(len(cells), 8).astype(np.int32), lengths, cells)


def stiffness(mesh: Bricks, k: Array) -> sp.csr_array:
    """`∫ k ∇u·∇v` with k `(E,)` constant per element, `(n, n)`; elements with k = 0 leave no entries."""
    touched = np.flatnonzero(k)
    lx, ly, lz = mesh.lengths[touched].T
    scales = np.asarray(k)[touched, None] * np.stack([ly * lz / lx, lx * lz / ly, lx * ly / lz], axis=1)
    kernels = np.stack([_kron(_K, _M, _M), _kron(_M, _K, _M), _kron(_M, _M, _K)])
    return _assemble(len(mesh.nodes), mesh.elements[touched], scales @ kernels.reshape(3, 64))


def mass(mesh: Bricks) -> sp.csr_array:
    """`∫ u v`, `(n, n)`."""
    return _assemble(len(mesh.nodes), mesh.elements, mesh.volumes[:, None] * _kron(_M, _M, _M).reshape(1, 64))


def bottom_mass(mesh: Bricks) -> sp.csr_array:
    """`∫ u v` over the face z = lowest, `(n, n)`."""
    low = mesh.cells[:, 2] == 0
    area = mesh.lengths[low, 0] * mesh.lengths[low, 1]
    return _assemble(len(mesh.nodes), mesh.elements[low, :4], area[:, None] * np.kron(_M, _M).reshape(1, 16))


def load(mesh: Bricks, density: Array) -> Real:
    """`∫ q v` with q `(E,)` constant per element, `(n,)`."""
    per_corner = np.repeat(np.asarray(density) * mesh.volumes / 8.0, 8)
    return np.bincount(mesh.elements.ravel(), per_corner, minlength=len(mesh.nodes)).astype(np.float64)


def mass_lambda_min(nodes: int, elements: Array, smallest: Array) -> float:
    """A lower bound of the smallest eigenvalue of a mass matrix, from those of the element matrices, `smallest (E,)`.

    `vᵀ M v = Σ_e v_eᵀ M_e v_e >= Σ_e λ_e |v_e|² >= min_i (Σ_{e∋i} λ_e) |v|²`.
    """
    corners = elements.shape[1]
    return float(np.bincount(elements.ravel(), np.repeat(smallest, corners), minlength=nodes).min())


def column_lambda_min(mesh: Bricks, k: Array, h: float) -> float:
    """A lower bound of the smallest eigenvalue of `stiffness(k) + h bottom_mass`, all nodes free: from the vertical
    conduction alone.

    The vertical part of an element matrix is `M ⊗ M ⊗ K k/l_z` with M ⊗ M >= l_x l_y / 36 (the smallest eigenvalue of
    the 2-D mass matrix), that is, at least four separate resistors along its vertical edges. So the form is at least
    the energy of separate columns of resistors, each grounded at the bottom through h. In a column, with R_i the
    resistance from node i to the ground, Cauchy-Schwarz gives `v_i² <= R_i · energy`, hence
    `|v|² <= Σ_i R_i · energy`. Every column of elements must start at the bottom.
    """
    conductance = np.asarray(k) * mesh.lengths[:, 0] * mesh.lengths[:, 1] / (36.0 * mesh.lengths[:, 2])
    ground = h * mesh.lengths[:, 0] * mesh.lengths[:, 1] / 36.0
    size, low = len(mesh.nodes), mesh.cells[:, 2] == 0
    upward = np.bincount(mesh.elements[:, 4:].ravel(), np.repeat(conductance, 4), minlength=size)
    grounded = np.bincount(mesh.elements[low, :4].ravel(), np.repeat(ground[low], 4), minlength=size)
    below = np.arange(size)
    below[mesh.elements[:, 4:]] = mesh.elements[:, :4]
    with np.errstate(divide="ignore"):
        resistance = np.where(grounded > 0, 1.0 / grounded, np.inf)
        step = 1.0 / upward
    total = np.zeros(size)
    foot = np.arange(size)
    for height in np.unique(mesh.nodes[:, 2]):
        level = np.flatnonzero((mesh.nodes[:, 2] == height) & (grounded == 0))
        resistance[level] = step[level] + resistance[below[level]]
        foot[level] = foot[below[level]]
    np.add.at(total, foot, resistance)
    return float(1.0 / total[grounded > 0].max()) if np.isfinite(resistance).all() else 0.0


def _kron(x: Real, y: Real, z: Real) -> Real:
    """Element matrix in the order of local corners (x runs fastest)."""
    return np.kron(z, np.kron(y, x))


def _assemble(size: int, elements: Array, local: Sequence[Array] | Array) -> sp.csr_array:
    corners = elements.shape[1]
    rows, columns = np.repeat(elements, corners, axis=1), np.tile(elements, (1, corners))
    matrix = sp.coo_array((np.ravel(local), (rows.ravel(), columns.ravel())), shape=(size, size)).tocsr()
    matrix.sort_indices()
    return matrix
