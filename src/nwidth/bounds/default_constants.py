"""Which constants suit a problem: from the entries of its matrix where that works, else from factorisations."""

from nwidth.bounds.dual_residual import Constants
from nwidth.bounds.inf_sup_constants import InfSupConstants
from nwidth.bounds.nonsymmetric import FaceConstants
from nwidth.core.errors import InputError
from nwidth.problems.base import Evolution, Problem
from nwidth.problems.fixed_pattern import FixedPattern
from nwidth.problems.stencils import Stencilled
from nwidth.spaces.algebraic import Algebraic
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import MeshSpace


def has_constants(problem: Problem | None) -> bool:
    """Whether `default_constants` knows some: stationary, with stencils on a grid or matrices of one pattern."""
    if not isinstance(problem, Stencilled | FixedPattern) or isinstance(problem, Evolution):
        return False
    space = problem.space
    if isinstance(space, Grid):
        return not space.floating
    return isinstance(problem, FixedPattern) and isinstance(space, MeshSpace | Algebraic)


def default_constants(problem: Problem) -> Constants:
    """`FaceConstants` for nearest neighbours on a grid, `InfSupConstants` for matrices of one pattern.

    Raises InputError for other problems.
    """
    if not has_constants(problem):
        raise InputError(
            f"no constants come with {type(problem).__name__}: expected stencils on a grid with an end that fixes the "
            "level (GridTransport), or matrices of one pattern (FixedPattern). For another Linear problem on a mesh or "
            "of matrices alone pass constants=InfSupConstants(), a proof by factorisation for each query"
        )
    return FaceConstants() if isinstance(problem, Stencilled) else InfSupConstants()
