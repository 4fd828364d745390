"""What a fitted regression can do: predict, say how wrong it was on rows it had not seen, drop columns."""

from abc import abstractmethod
from typing import Self

from nwidth.core.arrays import Array, Real
from nwidth.core.storable import Storable


class Regressed(Storable):
    """A fitted regression on features `(n, F)` with values `(n, M)`."""

    #: The error of each training row when the row was left out, `(n,)`: root of the sum of squares over the columns.
    loo: Real

    @abstractmethod
    def predict(self, X: Array) -> Real:
        """Values `(B, M)` at features `(B, F)`."""

    @abstractmethod
    def take(self, columns: Array | slice) -> Self:
        """The regression of the chosen columns; `loo` stays that of all."""


class Uncertain(Regressed):
    """A regression that says where it knows little."""

    @abstractmethod
    def deviation(self, X: Array) -> Real:
        """The expected size of the error, `(B,)` > 0: root of the sum of the columns' variances. A model's opinion:
        a limit comes from calibration only."""
