"""What a full-order solver returns: fields, a status for every sample, and what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as default
from enum import IntEnum
from typing import Literal, TypeAlias

from nwidth.core.arrays import Array

#: A bare `tol` is ambiguous. 'residual': relative residual in the Euclidean norm of the load. 'energy': a guaranteed
#: relative energy error, Delta / (|v|_A - Delta) <= value with Delta the bound (DESIGN, numerics 8).
ToleranceKind: TypeAlias = Literal["residual", "energy"]


@dataclass(frozen=True)
class Tolerance:
    """When an iteration may stop: the quantity that is checked and its relative value."""

    kind: ToleranceKind = "residual"
    value: float = 1e-10


class Status(IntEnum):
    """How the solve of one sample ended. MISSING is the fill value of a snapshot store: not solved yet."""

    MISSING = 0
    CONVERGED = 1
    MAX_ITERATIONS = 2
    BREAKDOWN = 3
    SINGULAR = 4
    FAILED = 5


@dataclass(frozen=True)
class Solution:
    """Fields `(B, *space.shape)`, status codes `(B,)`, and per-sample statistics name -> `(B,)`.

    Usual statistics: `residual` (relative, recomputed), `iterations`, `seconds`; a solver that stops on a bound adds
    `bound` (absolute, energy norm). A solve that failed is a value, never silence: look at `status`.
    """

    field: Array
    status: Array
    stats: Mapping[str, Array] = default(default_factory=dict)
    note: str = ""

    @property
    def converged(self) -> Array:
        """Which samples reached the tolerance, `(B,)`."""
        return self.status == Status.CONVERGED
