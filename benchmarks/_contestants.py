"""Who solves sequences of sparse systems against nwidth, each at its best, one thread, to the same true residual.

A contestant is handed the assembled matrix and the load: what it takes to make them does not count against it, though
it counts for nwidth, which starts from the parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import scipy.sparse as sp
import scipy.sparse.linalg as sla
from _krylov import Answer, GcroDr, gmres

from nwidth.core.arrays import Real
from nwidth.core.kinds import available

if available("pypardiso"):
    from _pardiso import MINIMUM_DEGREE, NESTED_DISSECTION, Pardiso, repeatable
if available("pyamg"):
    import pyamg

__all__ = ["RTOL", "Solve", "contestants", "missing", "repeatable"]

RTOL = 1e-8
#: Packages that a contestant needs.
NEEDS = {"Pardiso": "pypardiso", "Pardiso, default": "pypardiso", "pyamg": "pyamg"}

#: Solves one system to the relative residual RTOL.
Solve = Callable[[sp.csr_array, Real], Answer]


def contestants(names: Sequence[str], definite: bool, dim: int = 2) -> dict[str, Solve]:
    """Fresh contestants by name; those whose package is missing are left out (`missing` names them)."""
    made: dict[str, Callable[[], Solve]] = {
        "GMRES(40), ILU(0)": lambda: lambda a, b: gmres(a, b, RTOL),
        "GCRO-DR, sorted": _recycling,
        "pyamg": lambda: _pyamg(definite),
        "SuperLU, default": lambda: _superlu({}),
        "SuperLU, tuned": lambda: _superlu(_SYMMETRIC_MODE),
        "Pardiso, default": lambda: _pardiso(definite, False, dim),
        "Pardiso": lambda: _pardiso(definite, True, dim),
    }
    return {name: made[name]() for name in names if name not in missing(names)}


def missing(names: Sequence[str]) -> dict[str, str]:
    """The contestants that cannot take part: name -> package to install."""
    return {name: NEEDS[name] for name in names if name in NEEDS and not available(NEEDS[name])}


def _recycling() -> Solve:
    method = GcroDr()
    return lambda matrix, load: method.solve(matrix, load, RTOL)


def _pardiso(definite: bool, tuned: bool, dim: int) -> Solve:
    method = Pardiso(definite, tuned, MINIMUM_DEGREE if dim == 2 else NESTED_DISSECTION)
    return lambda matrix, load: Answer(method.solve(matrix, load), 1)


#: SuperLU without pivoting on the ordering of A + Aᵀ.
_SYMMETRIC_MODE: dict[str, Any] = {
    "permc_spec": "MMD_AT_PLUS_A",
    "diag_pivot_thresh": 0.0,
    "options": {"SymmetricMode": True},
}


def _superlu(options: Mapping[str, Any]) -> Solve:
    return lambda matrix, load: Answer(sla.splu(matrix.tocsc(), **options).solve(load), 1)


def _pyamg(definite: bool) -> Solve:
    """Ruge-Stüben, rebuilt for every matrix, in CG or BiCGStab; a forward and then a backward sweep of Gauss-Seidel,
    which was the fastest of the settings that its documentation shows."""
    sweeps = {
        "presmoother": ("gauss_seidel", {"sweep": "forward"}),
        "postsmoother": ("gauss_seidel", {"sweep": "backward"}),
    }
    method = "cg" if definite else "bicgstab"

    def solve(matrix: sp.csr_array, load: Real) -> Answer:
        hierarchy = pyamg.ruge_stuben_solver(sp.csr_matrix(matrix), max_coarse=100, **sweeps)
        history: list[float] = []
        x = hierarchy.solve(load, tol=RTOL, accel=method, residuals=history)
        return Answer(x, len(history) - 1)

    return solve
