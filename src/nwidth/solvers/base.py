"""The solver protocol: what is reused between solves is a value that the caller holds."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from nwidth.core.arrays import Array, Mu
from nwidth.core.solution import Solution, Tolerance
from nwidth.problems.base import Problem


class Solver(ABC):
    """Solves a batch of parameters of one problem.

    `state = solver.prepare(problem)` holds everything that is reused (transforms, a symbolic analysis, a
    factorisation); it may not be picklable, so it is prepared where it is used.

    `releases_gil`: whether nearly all of `solve` runs outside Python's lock (compiled kernels, BLAS), so that threads,
    each with a state of its own, solve side by side in one process.
    """

    releases_gil: ClassVar[bool] = False

    @abstractmethod
    def prepare(self, problem: Problem) -> Any:
        """What all solves of this problem share. Raises InputError where the problem lacks a capability."""

    @abstractmethod
    def solve(self, state: Any, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *space.shape)`, started from the fields `x0`; a failed sample is a status, never silence."""
