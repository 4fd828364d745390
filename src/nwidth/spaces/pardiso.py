"""The Pardiso solver of the MKL through pypardiso, with one symbolic analysis per sparsity pattern.

pypardiso itself repeats the analysis for every matrix, which costs more than the factorisation. Here the phases are
called one by one: 11 (analysis) once, then 22 (factorisation) and 33 (solve). Only the upper triangle of symmetric and
Hermitian matrices is handed over. Reference: the Developer Reference of the oneMKL, "oneMKL PARDISO - Parallel Direct
Sparse Solver Interface" and "pardiso iparm parameter" (numbered from 1 there, from 0 here).
"""

import ctypes
import weakref
from typing import Any

import numpy as np
from pypardiso import ps as _shared_solver

from nwidth.core.arrays import Array
from nwidth.core.errors import WorkError
from nwidth.spaces.factor import Factor, Kind, Pattern, SingularMatrixError

#: Matrix types: real, complex.
_TYPES: dict[Kind, tuple[int, int]] = {
    "definite": (2, 4),
    "symmetric": (-2, 6),
    "hermitian": (-2, -4),
    "structured": (1, 3),
    "general": (11, 13),
}
_HALVES = ("definite", "symmetric", "hermitian")
_ANALYSE, _FACTORISE, _SOLVE, _RELEASE = 11, 22, 33, -1
#: "Zero pivot"; and what the two-level factorisation returns for a matrix that is not positive definite.
_ZERO_PIVOT = (-4, 1)
_REASONS = {-1: "inconsistent input", -2: "not enough memory", -3: "reordering failed", -8: "32-bit overflow"}
# The last bits may not depend on what else the process has loaded, or on its number of threads. On one thread they do
# not, at full speed; where another library has fixed the threading layer already, MKL_CBWR_AUTO keeps them, and costs a
# third of the time on processors that are not Intel's.
_SEQUENTIAL, _REPEATABLE = 1, 2
_ON_ONE_THREAD = _shared_solver.libmkl.MKL_Set_Threading_Layer(_SEQUENTIAL) == _SEQUENTIAL
if not _ON_ONE_THREAD:
    _shared_solver.libmkl.MKL_CBWR_Set(_REPEATABLE)
#: iparm(2): orderings. Nested dissection in its sequential form; the parallel one is not repeatable.
_NESTED_DISSECTION, _MINIMUM_DEGREE = 2, 0
#: Both orderings are tried up to this size: minimum degree is the better one in two dimensions.
_TRY_BOTH = 100_000


class Pardiso(Factor):
    """A handle to Pardiso's memory for one pattern, released when the object goes.

    By default the two-level factorisation, the fastest on one thread, with one analysis for all matrices. `careful`
    turns to what the reference recommends for highly indefinite matrices: scaling and weighted matching, which depend
    on the values, so that every matrix is analysed anew. `many`: one matrix is solved with for many right-hand sides,
    which the classic factorisation makes up to twice as fast. `perturbed` is the number of pivots that were too small
    and got replaced in the latest matrix: its solutions are not to be relied on then.
    """

    def __init__(
        self,
        pattern: Pattern,
        kind: Kind = "definite",
        dtype: Any = np.float64,
        careful: bool = False,
        many: bool = False,
    ):
        self._kind, self._careful, self._dtype = kind, careful, np.dtype(dtype)
        self._type = _TYPES[kind][int(np.issubdtype(self._dtype, np.complexfloating))]
        entries = pattern.upper if kind in _HALVES else np.arange(len(pattern.indices))
        self._entries, self._columns = entries, pattern.indices[entries]
        self._starts = np.zeros(pattern.size + 1, dtype=np.int32)
        np.cumsum(np.bincount(pattern.rows[entries], minlength=pattern.size), out=self._starts[1:])
        self._values = np.zeros(len(entries), dtype=self._dtype)
        self._size = pattern.size
        self._iparm = _parameters(kind, careful)
        if many and kind == "definite":  # no pivots are needed: the classic two-level factorisation does
            self._iparm[23] = 1
        self._handle = np.zeros(64, dtype=np.intp)
        self._analysed = False
        weakref.finalize(self, _release, self._handle, self._iparm, self._size, self._type)

    @property
    def perturbed(self) -> int:
        return int(self._iparm[13])

    def factorise(self, values: Array) -> None:
        self._values = _aligned(values[self._entries], self._dtype)
        if self._careful or not self._analysed:
            self._analyse(_NESTED_DISSECTION)
            self._analysed = True
        self._call(_FACTORISE)

    def _analyse(self, ordering: int) -> None:
        """Phase 11; where the other ordering may be better, it is compared by the operations to come."""
        _release(self._handle, self._iparm, self._size, self._type)
        self._iparm[1], self._iparm[18] = ordering, -1  # -1: report them
        self._call(_ANALYSE)
        # with several threads, minimum degree and the improved factorisation gave wrong solutions without an error
        if ordering == _NESTED_DISSECTION and self._iparm[23] == 10 and _ON_ONE_THREAD and self._size <= _TRY_BOTH:
            operations = int(self._iparm[18])
            self._analyse(_MINIMUM_DEGREE)
            if int(self._iparm[18]) > operations:
                _release(self._handle, self._iparm, self._size, self._type)
                self._iparm[1] = _NESTED_DISSECTION
                self._call(_ANALYSE)

    def solve(self, rhs: Array) -> Array:
        # Fortran order of (n, k) is C order of (k, n): nothing is transposed
        dtype = np.result_type(self._dtype, rhs)
        if dtype != self._dtype:  # a real matrix and a complex load
            return self.solve(np.ascontiguousarray(rhs.real)) + 1j * self.solve(np.ascontiguousarray(rhs.imag))
        rhs = _aligned(rhs, self._dtype)
        solution = _aligned(np.zeros_like(rhs), self._dtype)
        self._call(_SOLVE, rhs, solution)
        # the two-level factorisation meets roots of negative numbers without a word
        if self._kind == "definite" and not np.isfinite(solution).all() and np.isfinite(rhs).all():
            raise SingularMatrixError(_INDEFINITE)
        return solution

    def _call(self, phase: int, rhs: Array | None = None, solution: Array | None = None) -> None:
        count = 1 if rhs is None else len(rhs)
        arrays = (self._values, self._starts, self._columns)
        error = _pardiso(self._handle, phase, self._size, self._type, arrays, count, self._iparm, rhs, solution)
        if error in _ZERO_PIVOT and phase == _FACTORISE:
            definite = self._kind == "definite"
            raise SingularMatrixError(_INDEFINITE if definite else "the matrix is singular (Pardiso: zero pivot)")
        if error:
            raise WorkError(f"Pardiso failed in phase {phase}: {_REASONS.get(error, 'internal error')} ({error})")


_INDEFINITE = "the matrix is not positive definite to working precision (Pardiso: zero pivot)"


def _aligned(values: Array, dtype: Any = np.float64) -> Array:
    """A copy that starts at a multiple of 64 bytes: the MKL's sums depend on where an array starts, by the last bit."""
    values = np.asarray(values, dtype=dtype)
    memory = np.empty(values.nbytes + 64, dtype=np.uint8)
    first = -memory.ctypes.data % 64
    copy = memory[first : first + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def _parameters(kind: Kind, careful: bool) -> Array:
    iparm = np.zeros(64, dtype=np.int32)
    iparm[0] = 1  # the values below instead of defaults
    iparm[1] = _NESTED_DISSECTION
    iparm[9] = 13 if kind in ("structured", "general") else 8  # pivots below 1e-13, 1e-8 of the norm are replaced
    iparm[20] = 1  # symmetric indefinite: Bunch-Kaufman pivots of 1 x 1 and 2 x 2
    if careful:
        iparm[10], iparm[12] = 1, 1  # scaling, weighted matching
    else:  # a two-level factorisation: the improved one (10) pivots for these three kinds only
        iparm[23] = 10 if kind in ("definite", "symmetric", "general") else 1
    iparm[34] = 1  # indices start at zero
    return iparm


def _pardiso(
    handle: Array,
    phase: int,
    size: int,
    kind: int,
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
        *(ctypes.byref(ctypes.c_int32(number)) for number in (1, 1, kind, phase, size)),
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


def _release(handle: Array, iparm: Array, size: int, kind: int) -> None:
    if handle.any():
        _pardiso(handle, _RELEASE, size, kind, None, 1, iparm, None, None)
        handle[:] = 0
