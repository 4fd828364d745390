"""What the fitters of Fourier operators share: their common fields, and what these must be."""

from collections.abc import Mapping
from typing import ClassVar

from nwidth.core.errors import InputError
from nwidth.operators.architecture import OperatorFitter
from nwidth.operators.boundaries.architecture import BoundaryOptions, boundary_options, modes_of
from nwidth.operators.boundaries.axes import Series
from nwidth.operators.frame import Frame


class SeriesFitter(OperatorFitter):
    """A frozen dataclass with `modes`, `padding`, `series`, `coordinates`, `boundary` and numbers named in `counts`."""

    #: Fields that are 1 or more.
    counts: ClassVar[tuple[str, ...]] = ("width", "layers")
    modes: int | tuple[int, ...]
    padding: float
    series: Series
    coordinates: bool

    def __post_init__(self) -> None:
        for name, (holds, expected) in self.checks().items():
            if not holds:
                raise InputError(f"{type(self).__name__}: {name} is {getattr(self, name)!r}; expected {expected}")

    def checks(self) -> Mapping[str, tuple[bool, str]]:
        """Field -> whether it makes sense, and what would."""
        modes = (self.modes,) if isinstance(self.modes, int) else tuple(self.modes)
        return {
            "modes": (bool(modes) and min(modes) >= 1, "1 or more per axis"),
            **{name: (getattr(self, name) >= 1, "1 or more") for name in self.counts},
            "padding": (0 <= self.padding <= 1, "between 0 and 1 (a fraction of the domain)"),
            "boundary": (self.boundary in ("auto", "free"), "'auto' or 'free'"),
        }

    def modes_for(self, frame: Frame) -> tuple[int, ...]:
        """Modes for every axis. Raises InputError for another number of axes."""
        return modes_of(self.modes, frame.dim, type(self).__name__)

    def bounds(self, frame: Frame, *, zero_flux: bool = False) -> BoundaryOptions:
        """Series and ends of every axis. Raises InputError for words that do not suit the space."""
        return boundary_options(frame, self.series, self.padding, free=self.boundary == "free", zero_flux=zero_flux)
