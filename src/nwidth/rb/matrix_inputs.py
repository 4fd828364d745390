"""What users hand to `from_matrices`, as the arrays that the rest works with; whatever does not fit is refused."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Mask, Real
from nwidth.core.errors import InputError
from nwidth.problems.base import Quantity
from nwidth.problems.quantities import Quadratic
from nwidth.rb.matrix_checks import real_matrix, symmetric
from nwidth.spaces.box import Box


def box(parameters: Any) -> Box:
    """A box of the parameters, or from name -> (low, high)."""
    if isinstance(parameters, Box):
        return parameters
    if not isinstance(parameters, Mapping):
        raise InputError(f"parameters are {parameters!r}; give a Box, or a mapping name -> (low, high)")
    ranges = [tuple(pair) if isinstance(pair, tuple | list) else () for pair in parameters.values()]
    if any(len(pair) != 2 for pair in ranges):
        raise InputError(f"parameters are {dict(parameters)!r}; give every name its range, name -> (low, high)")
    return Box(tuple(parameters), [low for low, _ in ranges], [high for _, high in ranges])


def matrices(given: Any) -> tuple[sp.csr_array, ...]:
    """The terms: real, square, of one size, symmetric, all different, none zero."""
    if isinstance(given, np.ndarray | str) or sp.issparse(given) or not isinstance(given, Sequence) or not len(given):
        raise InputError(f"A_terms is a {type(given).__name__}; give a list of matrices, [A_0, A_1, ...]")
    found: list[sp.csr_array] = []
    for q, matrix in enumerate(given):
        name = f"A_terms[{q}]"
        found.append(symmetric(name, real_matrix(name, matrix, found[0].shape[0] if found else None)))
        if not found[-1].nnz:
            raise InputError(f"{name} is zero; leave it out, with its coefficient")
    _distinct("A_terms", found, lambda a, b: a.nnz == b.nnz and abs(a - b).max() == 0)
    return tuple(found)


def _distinct(name: str, items: Sequence[Any], same: Callable[[Any, Any], bool]) -> None:
    for i in range(len(items)):
        for j in range(i):
            if same(items[i], items[j]):
                raise InputError(f"{name}[{j}] and {name}[{i}] are equal: give it once and add their coefficients")


def vector(name: str, values: Any, size: int) -> Real:
    """A real finite vector `(N,)`; columns, rows and sparse vectors are accepted."""
    array = values.toarray() if sp.issparse(values) else np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise InputError(f"{name} has type {array.dtype}; vectors must be real numbers")
    flat = array.astype(np.float64).ravel() if array.size == max(array.shape, default=1) else array
    if flat.shape != (size,):
        raise InputError(f"{name} has shape {array.shape}; expected ({size},), one number per dof")
    if not np.isfinite(flat).all():
        raise InputError(f"{name} is not finite at dof {int(np.argmin(np.isfinite(flat)))}")
    return flat


def loads(given: Any, size: int) -> Real:
    """The loads `(Q_f, N)`, all different."""
    single = isinstance(given, np.ndarray) and given.ndim == 1
    if single or sp.issparse(given) or not isinstance(given, Sequence | np.ndarray) or not len(given):
        raise InputError("f_terms must be a list of vectors, [f_0, f_1, ...]; one load is [f]")
    found = np.stack([vector(f"f_terms[{q}]", load, size) for q, load in enumerate(given)])
    _distinct("f_terms", list(found), np.array_equal)
    return found


def free(given: Any, size: int) -> Mask:
    """The unknown dofs as a mask `(N,)`."""
    if given is None:
        return np.ones(size, dtype=bool)
    array = np.asarray(given)
    if array.dtype == bool:
        if array.shape != (size,):
            raise InputError(f"free has shape {array.shape}; a mask has one entry per dof, ({size},)")
        mask = array.copy()
    else:
        if (
            array.dtype.kind not in "iu"
            or array.ndim != 1
            or (array.size and not 0 <= array.min() <= array.max() < size)
        ):
            raise InputError(f"free must be a mask ({size},) or dof numbers from 0 to {size - 1}")
        mask = np.zeros(size, dtype=bool)
        mask[array] = True
    if not mask.any():
        raise InputError("free is empty: there is nothing to solve for")
    return mask


def points(given: Any, size: int) -> Real:
    """One point per dof, `(N, dim)`."""
    found = np.asarray(given, dtype=np.float64)
    if found.ndim != 2 or len(found) != size:
        raise InputError(f"coordinates have shape {found.shape}; expected ({size}, dim), one point per dof")
    return found


def quantities(given: Mapping[str, Any], size: int) -> dict[str, Quantity | Quadratic]:
    """The outputs, checked: functionals, quantities with offset and unit, quadratic ones."""
    found: dict[str, Quantity | Quadratic] = {}
    for name, quantity in given.items():
        if isinstance(quantity, Quadratic):
            real_matrix(f"the output {name!r}", quantity.matrix, size)
            found[str(name)] = quantity
            continue
        q = quantity if isinstance(quantity, Quantity) else Quantity(quantity)
        found[str(name)] = Quantity(vector(f"the output {name!r}", q.functional, size), float(q.offset), q.unit)
    return found
