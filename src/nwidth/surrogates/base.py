"""A Fitter is a frozen configuration; a Surrogate is what it returns. Fitted and unfitted are different types."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Storable
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace


@dataclass(frozen=True)
class Run:
    """What does not change the result of a fit: where it works, on what, and what it shows.

    `budget` ends training in good order after so many seconds (the one entry that can change the result: it is
    recorded in the provenance). With `workdir`, checkpoints are written there and an interrupted fit resumes.
    """

    workdir: Path | None = None
    device: str = "cpu"
    progress: bool = False
    threads: int | None = None
    budget: float | None = None


class Surrogate(Storable):
    """A fitted, fast stand-in for a problem's solution map mu -> u(mu)."""

    @property
    @abstractmethod
    def parameters(self) -> ParameterSpace:
        """The *fitted* set of parameters: it decides `inside`."""

    @property
    @abstractmethod
    def space(self) -> FunctionSpace:
        """Where the answers live."""

    @abstractmethod
    def predict(self, mu: Mu | Array) -> Prediction:
        """Answers for a batch of queries `(B, ...)`; without a certificate every bound is +inf."""


class Remembering(ABC):
    """A surrogate that knows the runs it was fitted to: calibration on them is refused."""

    @abstractmethod
    def has_seen(self, mu: Mu) -> Mask:
        """Which of these runs it was fitted to, `(B,)`."""

    @property
    def remembers(self) -> bool:
        """Whether it knows its runs at all: where it does not, `has_seen` finds none."""
        return True


class Fitter(ABC):
    """A frozen configuration of what changes the result."""

    @abstractmethod
    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> Surrogate:
        """The fitted surrogate. Raises InputError where snapshots or problem lack what the method needs."""
