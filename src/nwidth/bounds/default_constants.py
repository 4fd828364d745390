"""Which constants suit a problem: from the entries of its matrix where that works, else from factorisations."""

from nwidth.bounds.dual_residual import Constants
from nwidth.bounds.inf_sup_constants import InfSupConstants
from nwidth.bounds.nonsymmetric import FaceConstants
from nwidth.core.errors import InputError
from nwidth.problems.base import Linear, Problem
from nwidth.problems.evolution import LinearEvolution
from nwidth.problems.stencils import Stencilled
from nwidth.spaces.algebraic import Algebraic
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import MeshSpace


def has_constants(problem: Problem | None) -> bool:
    """Whether `default_constants` knows a way: a linear, stationary problem whose energy product has a matrix."""
    if not isinstance(problem, Linear) or isinstance(problem, LinearEvolution):
        return False
    if isinstance(problem.space, Grid):
        return not problem.space.floating
    return isinstance(problem.space, MeshSpace | Algebraic)


def default_constants(problem: Problem) -> Constants:
    """`FaceConstants` for nearest neighbours on a grid, else `InfSupConstants`. Raises InputError for neither."""
    if not isinstance(problem, Linear) or not has_constants(problem):
        raise InputError(
            f"no constant can be found for {type(problem).__name__}: it must be Linear, stationary, and live on a Grid "
            "with an end that fixes the level, a MeshSpace or an Algebraic space"
        )
    if isinstance(problem, Stencilled) and isinstance(problem.space, Grid):
        return FaceConstants()
    return InfSupConstants()
