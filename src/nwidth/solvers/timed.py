"""Solvers that can be told when to stop by the clock."""

from abc import abstractmethod
from time import perf_counter
from typing import Any

from nwidth.core.arrays import Array, Mu
from nwidth.core.solution import Solution, Tolerance
from nwidth.solvers.base import Solver


class Timed(Solver):
    """A solver whose answers have a valid bound whenever it is stopped.

    `solve` is `solve_until` without an end.
    """

    @abstractmethod
    def solve_until(self, state: Any, mu: Mu, x0: Array | None, stop: Tolerance | None, ends: float) -> Solution:
        """As `solve`; where the clock (`perf_counter`, seconds) reaches `ends` first, what has been reached by then.

        A sample that was cut off has the status MAX_ITERATIONS, and a `bound` that holds. Every start is bounded,
        however late it is.
        """

    def solve(self, state: Any, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`, started from the fields `x0`."""
        return self.solve_until(state, mu, x0, stop, float("inf"))


def share_until(ends: float, parts: int) -> float:
    """The end of the next of `parts` pieces of work that share what is left of the time evenly."""
    now = perf_counter()
    return ends if ends == float("inf") else now + max(0.0, ends - now) / max(parts, 1)
