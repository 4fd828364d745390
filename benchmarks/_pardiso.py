"""Pardiso as a contestant: called directly, so that it keeps its fastest settings.

No checks, no refinement, no copies: phase 11 (the symbolic analysis) runs once per pattern, then 22 and 33
(factorisation and solution) in one call for every matrix.
Reference: Developer Reference of the oneMKL, "oneMKL PARDISO", and "pardiso iparm parameter".
"""

import ctypes
from typing import Any

import numpy as np
import pypardiso
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real

#: Matrix types: real and structurally symmetric, real and symmetric positive definite.
GENERAL, DEFINITE = 1, 2
#: iparm(2): the ordering. 2 is the default; 0 was the fastest of all on grids in two dimensions.
NESTED_DISSECTION, MINIMUM_DEGREE = 2, 0
_ANALYSE, _FACTORISE_AND_SOLVE, _RELEASE = 11, 23, -1
# a handle of its own: pypardiso has declared the argument types of the shared one
_LIBRARY = ctypes.CDLL(pypardiso.ps.libmkl._name)
# without the OpenMP layer: the fastest on one thread, and nothing has to be traded for results that repeat
_SEQUENTIAL = 1
_LIBRARY.MKL_Set_Threading_Layer(_SEQUENTIAL)


class Pardiso:
    """One symbolic analysis, then a factorisation and a solve per matrix.

    `tuned` sets iparm(24) = 10, the "improved two-level factorization", which needs scaling and matching (made for
    indefinite matrices) off, and takes another ordering where it is faster; the rest is the library's default.
    """

    def __init__(self, definite: bool, tuned: bool, ordering: int = MINIMUM_DEGREE):
        self._kind = DEFINITE if definite else GENERAL
        self._parameters = np.zeros(64, dtype=np.int32)
        self._parameters[0], self._parameters[34] = 1, 1  # the values below; indices from zero
        self._parameters[1] = ordering if tuned else NESTED_DISSECTION
        self._parameters[9] = 13  # pivots are perturbed by 1e-13, the default of matrices that are not symmetric
        self._parameters[23] = 10 if tuned else 0
        self._handle = np.zeros(64, dtype=np.int64)
        self._pattern: tuple[Array, Array] | None = None
        self._entries: Array | slice = slice(None)

    def solve(self, matrix: sp.csr_array, load: Real) -> Real:
        """The solution of one system; the first one pays for the analysis."""
        x = np.empty_like(load)
        if self._pattern is None:
            self._take_pattern(matrix)
            self._call(_ANALYSE, matrix.data[self._entries], load, x)
        self._call(_FACTORISE_AND_SOLVE, matrix.data[self._entries], load, x)
        return x

    def close(self) -> None:
        """Gives the memory back."""
        if self._pattern is not None:
            nothing = np.zeros(len(self._pattern[0]))
            self._call(_RELEASE, nothing, nothing, nothing)
            self._pattern = None

    def _take_pattern(self, matrix: sp.csr_array) -> None:
        """The whole pattern, or its upper triangle for a symmetric matrix."""
        starts, columns = matrix.indptr, matrix.indices
        if self._kind == DEFINITE:
            rows = np.repeat(np.arange(matrix.shape[0]), np.diff(starts))
            self._entries = np.flatnonzero(columns >= rows)
            counts = np.bincount(rows[self._entries], minlength=matrix.shape[0])
            starts, columns = np.concatenate([[0], np.cumsum(counts)]), columns[self._entries]
        self._pattern = (starts.astype(np.int32), columns.astype(np.int32))

    def _call(self, phase: int, values: Real, load: Real, x: Real) -> None:
        if self._pattern is None:
            raise RuntimeError("the pattern is taken before anything is called")
        starts, columns = self._pattern
        error = ctypes.c_int32(0)
        numbers = [ctypes.byref(ctypes.c_int32(n)) for n in (1, 1, self._kind, phase, len(starts) - 1)]
        arrays = [_address(a) for a in (values, starts, columns)]
        rest = (_one(), _address(self._parameters), ctypes.byref(ctypes.c_int32(0)), _address(load), _address(x))
        _LIBRARY.pardiso(_address(self._handle), *numbers, *arrays, None, *rest, ctypes.byref(error))
        if error.value:
            raise RuntimeError(f"Pardiso failed in phase {phase} with error {error.value}")


def _one() -> Any:
    return ctypes.byref(ctypes.c_int32(1))


def _address(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def repeatable() -> bool:
    """Whether the library was told, in this process, to give results that repeat (MKL_CBWR), which makes it slower."""
    return int(_LIBRARY.MKL_CBWR_Get(1)) != 1
