"""Fields of a space at several times, as predictions carry them."""

from dataclasses import dataclass

from nwidth.core.arrays import Real
from nwidth.spaces.base import FunctionSpace


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Fields `(T, *space.shape)` at `times`."""

    space: FunctionSpace
    times: Real

    @property
    def shape(self) -> tuple[int, ...]:
        """Times first."""
        return (len(self.times), *self.space.shape)
