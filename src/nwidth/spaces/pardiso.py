"""The Pardiso solver of the MKL through pypardiso, with one symbolic analysis per sparsity pattern.

pypardiso itself repeats the analysis for every matrix, which costs more than the factorisation. Here the phases are
called one by one: 11 (analysis) once, then 22 (factorisation) and 33 (solve). Only the upper triangle of symmetric
positive definite real matrices is handed over (matrix type 2). Reference: the Developer Reference of the oneMKL,
"oneMKL PARDISO - Parallel Direct Sparse Solver Interface".
"""

import ctypes
import weakref
from typing import Any

import numpy as np
from pypardiso import ps as _shared_solver

from nwidth.core.arrays import Array
from nwidth.core.errors import WorkError
from nwidth.spaces.factor import Factor, Pattern, SingularMatrixError

_POSITIVE_DEFINITE = 2
_ANALYSE, _FACTORISE, _SOLVE, _RELEASE = 11, 22, 33, -1
_ZERO_PIVOT = -4
#: MKL_CBWR_AUTO: the code path may not depend on what else is loaded (with torch there, the last bits differed).
_REPEATABLE = 2
_shared_solver.libmkl.MKL_CBWR_Set(_REPEATABLE)
_REASONS = {-1: "inconsistent input", -2: "not enough memory", -3: "reordering failed", -8: "32-bit overflow"}


class Pardiso(Factor):
    """A handle to Pardiso's memory for one pattern, released when the object goes."""

    def __init__(self, pattern: Pattern):
        self._upper = pattern.upper
        self._columns = pattern.indices[self._upper]
        self._starts = np.zeros(pattern.size + 1, dtype=np.int32)
        np.cumsum(np.bincount(pattern.rows[self._upper], minlength=pattern.size), out=self._starts[1:])
        self._values = np.zeros(len(self._upper))
        self._size = pattern.size
        self._iparm = _parameters()
        self._handle = np.zeros(64, dtype=np.intp)
        self._analysed = False
        weakref.finalize(self, _release, self._handle, self._iparm, self._size)

    def factorise(self, values: Array) -> None:
        self._values = _aligned(values[self._upper])
        if not self._analysed:
            self._call(_ANALYSE)
            self._analysed = True
        self._call(_FACTORISE)

    def solve(self, rhs: Array) -> Array:
        # Fortran order of (n, k) is C order of (k, n): nothing is transposed
        rhs = _aligned(rhs)
        solution = _aligned(np.zeros_like(rhs))
        self._call(_SOLVE, rhs, solution)
        return solution

    def _call(self, phase: int, rhs: Array | None = None, solution: Array | None = None) -> None:
        count = 1 if rhs is None else len(rhs)
        arrays = (self._values, self._starts, self._columns)
        error = _pardiso(self._handle, phase, self._size, arrays, count, self._iparm, rhs, solution)
        if error == _ZERO_PIVOT:
            raise SingularMatrixError("the matrix is not positive definite to working precision (Pardiso: zero pivot)")
        if error:
            raise WorkError(f"Pardiso failed in phase {phase}: {_REASONS.get(error, 'internal error')} ({error})")


def _aligned(values: Array) -> Array:
    """A copy that starts at a multiple of 64 bytes: the MKL's sums depend on where an array starts, by the last bit."""
    values = np.asarray(values, dtype=np.float64)
    memory = np.empty(values.size + 8)
    first = (-memory.ctypes.data % 64) // 8
    copy = memory[first : first + values.size].reshape(values.shape)
    copy[...] = values
    return copy


def _parameters() -> Array:
    iparm = np.zeros(64, dtype=np.int32)
    iparm[0] = 1  # the values below instead of defaults
    iparm[1] = 2  # nested dissection, the sequential form: the parallel one is not repeatable
    iparm[34] = 1  # indices start at zero
    return iparm


def _pardiso(
    handle: Array,
    phase: int,
    size: int,
    arrays: tuple[Array, Array, Array] | None,
    count: int,
    iparm: Array,
    rhs: Array | None,
    solution: Array | None,
) -> int:
    """One call of the library; its error code."""
    values, starts, columns = arrays or (None, None, None)
    error = ctypes.c_int32(0)
    _shared_solver.libmkl.pardiso(
        handle.ctypes.data_as(ctypes.POINTER(_shared_solver._pt_type[0])),
        *(ctypes.byref(ctypes.c_int32(number)) for number in (1, 1, _POSITIVE_DEFINITE, phase, size)),
        _pointer(values, ctypes.c_double),
        _pointer(starts, ctypes.c_int32),
        _pointer(columns, ctypes.c_int32),
        _pointer(None, ctypes.c_int32),
        ctypes.byref(ctypes.c_int32(count)),
        _pointer(iparm, ctypes.c_int32),
        ctypes.byref(ctypes.c_int32(0)),
        _pointer(rhs, ctypes.c_double),
        _pointer(solution, ctypes.c_double),
        ctypes.byref(error),
    )
    return error.value


def _pointer(array: Array | None, kind: Any) -> Any:
    pointer = ctypes.POINTER(kind)
    return pointer() if array is None else array.ctypes.data_as(pointer)


def _release(handle: Array, iparm: Array, size: int) -> None:
    _pardiso(handle, _RELEASE, size, None, 1, iparm, None, None)
