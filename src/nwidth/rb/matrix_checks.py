"""What can be wrong with matrices from another program, found out and named."""

from typing import Any, NoReturn

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.bounds.positive import proven_lambda_min
from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError, WorkError

#: Largest difference of mirrored entries, relative to the largest entry, that counts as rounding.
_SYMMETRY = 1e-12
_DENSE = 1500
_AS_ASSEMBLED = (
    "hand over the matrix as assembled, with free= (which dofs are unknown) and lift= (the prescribed values)"
)


def real_matrix(name: str, matrix: Any, size: int | None = None) -> sp.csr_array:
    """A square real sparse matrix with finite entries, each once. Dense arrays and integers are accepted.

    Raises InputError that names the matrix.
    """
    if not (sp.issparse(matrix) or isinstance(matrix, np.ndarray)):
        raise InputError(f"{name} is a {type(matrix).__name__}; give a SciPy sparse matrix or a NumPy array")
    if matrix.dtype.kind not in "iufb":
        raise InputError(f"{name} has type {matrix.dtype}; matrices must be real numbers")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise InputError(f"{name} has shape {matrix.shape}; give a square matrix over all dofs, (N, N)")
    if size is not None and matrix.shape[0] != size:
        raise InputError(
            f"{name} has shape {matrix.shape}, the first matrix is over {size} dofs; all must be over the same"
        )
    result = sp.csr_array(matrix, dtype=np.float64, copy=True)
    result.sum_duplicates()
    if not np.isfinite(result.data).all():
        row, column = _entry(result, int(np.argmin(np.isfinite(result.data))))
        raise InputError(f"{name} is not finite at entry ({row}, {column})")
    result.eliminate_zeros()
    return result


def symmetric(name: str, matrix: sp.csr_array) -> sp.csr_array:
    """The matrix with its last digits made symmetric. Raises InputError with the reason for one that is not."""
    skew = sp.csr_array(matrix - matrix.T)
    largest = float(abs(matrix).max()) if matrix.nnz else 0.0
    if not skew.nnz or float(abs(skew).max()) <= _SYMMETRY * largest:
        return sp.csr_array((matrix + matrix.T) / 2) if skew.nnz else matrix
    place = int(np.argmax(np.abs(skew.data)))
    i, j = _entry(skew, place)
    raise InputError(
        f"{name} is not symmetric: entry ({i}, {j}) is {matrix[i, j]:.6g}, entry ({j}, {i}) is {matrix[j, i]:.6g}, "
        f"a difference of {abs(skew.data[place]) / largest:.1e} of the largest entry. {_why_not_symmetric(matrix)}"
    )


def _entry(matrix: sp.csr_array, place: int) -> tuple[int, int]:
    return int(np.searchsorted(matrix.indptr, place, side="right")) - 1, int(matrix.indices[place])


def _why_not_symmetric(matrix: sp.csr_array) -> str:
    for words, other, cleared in (
        ("rows", "columns", _cleared(matrix)),
        ("columns", "rows", _cleared(sp.csr_array(matrix.T))),
    ):
        if len(cleared):
            return (
                f"{len(cleared):,} {words} ({listed(cleared)}) hold nothing but their diagonal while their {other} "
                f"still hold entries: {words} were cleared to prescribe values, {other} were not; {_AS_ASSEMBLED}"
            )
    return (
        "a bound by coercivity needs symmetric terms: a convection term, for instance, is not one; if it should be "
        "symmetric, look at its assembly"
    )


def _cleared(matrix: sp.csr_array) -> Array:
    """Rows that hold nothing but their diagonal (or nothing at all), while their columns hold more."""
    off = sp.csr_array(matrix - sp.diags_array(matrix.diagonal()))
    off.eliminate_zeros()
    rows = np.diff(off.indptr)
    columns = np.bincount(off.indices, minlength=off.shape[0])
    return np.flatnonzero((rows == 0) & (columns > 0))


def listed(places: Array, most: int = 5) -> str:
    """The first few numbers."""
    return ", ".join(map(str, places[:most].tolist())) + (", ..." if len(places) > most else "")


def definite(name: str, matrix: sp.csr_array, free: Mask) -> float:
    """A proven lower bound of the smallest eigenvalue on the free dofs.

    Raises InputError with the reason for a matrix that is not positive definite there.
    """
    part = sp.csr_array(matrix[free][:, free])
    places = np.flatnonzero(free)
    diagonal = part.diagonal()
    if not (diagonal > 0).all():
        _bad_diagonal(name, part, places, diagonal)
    try:
        return proven_lambda_min(part)
    except WorkError as error:
        _not_definite(name, part, places, error)


def _bad_diagonal(name: str, part: sp.csr_array, places: Array, diagonal: Real) -> NoReturn:
    empty = places[np.diff(part.indptr) == 0]
    if len(empty):
        raise InputError(
            f"{name} is singular: {len(empty):,} free dofs ({listed(empty)}) have an empty row: they occur in no term. "
            "Are they prescribed or unused? Leave them out of free="
        )
    bad = np.flatnonzero(~(diagonal > 0))
    raise InputError(
        f"{name} is not positive definite: its diagonal is {diagonal[bad[0]]:.6g} at dof {places[bad[0]]} "
        f"({len(bad):,} such dofs); check signs, or give product= a matrix that is"
    )


def _not_definite(name: str, part: sp.csr_array, places: Array, error: WorkError) -> NoReturn:
    size = float(abs(part).sum(axis=1).max())
    if np.abs(part @ np.ones(part.shape[0])).max() <= 1e-10 * size:
        raise InputError(
            f"{name} is singular: constants are in its kernel (every row sums to zero), as in a stiffness matrix "
            "without prescribed values; say which dofs are prescribed (free=), or add a mass or boundary term"
        ) from error
    value, vector = lowest_pair(part)
    where = listed(places[np.argsort(-np.abs(vector))[:3]])
    if value < -1e-12 * size:
        raise InputError(
            f"{name} is not positive definite: (X v, v) = {value:.3g} (v, v) for a vector that is largest at dofs "
            f"{where}; check signs and terms, or give product= a matrix that is"
        ) from error
    raise InputError(
        f"{name} is singular to rounding: (X v, v) = {value:.1e} (v, v), with entries up to {size:.1e}, for a vector "
        f"that is largest at dofs {where}: a rigid motion or an unsupported part? Say which dofs are prescribed (free=)"
    ) from error


def lowest_pair(matrix: sp.csr_array) -> tuple[float, Real]:
    """The lowest eigenvalue and its vector, roughly: for a message."""
    if matrix.shape[0] <= _DENSE:
        values, vectors = la.eigh(matrix.toarray(), subset_by_index=[0, 0])
        return float(values[0]), vectors[:, 0]
    try:
        values, vectors = sla.eigsh(matrix, k=1, which="SA", tol=1e-2, maxiter=2000)
        return float(values[0]), vectors[:, 0]
    except sla.ArpackNoConvergence:
        vector = np.ones(matrix.shape[0]) / np.sqrt(matrix.shape[0])
        return float(vector @ (matrix @ vector)), vector
