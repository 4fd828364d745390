"""The Fourier neural operator as a fitter and a surrogate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.operators.fitting import BoundaryChoice, Fitted, fit_network
from nwidth.operators.network import FourierNetwork, piece_size
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.base import Fitter, Run
from nwidth.surrogates.training import Encoding, Training


class FNOSurrogate(NeuralSurrogate):
    """A trained Fourier neural operator. The same weights are the same function on every grid, odd sizes included."""

    kind: ClassVar[str] = "fno"

    def __init__(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted, shape: "NetworkShape"):
        super().__init__(parameters, space, fitted)
        self._shape = shape

    @property
    def piece(self) -> int:
        """As many samples as keep the activations in cache."""
        return self._shape.piece(self.encoding.grid_of(self.space))

    def _replaced(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted) -> Self:
        return type(self)(parameters, space, fitted, self._shape)

    def to_parts(self) -> Parts:
        """Network shape, encoding and history; all weights; the parameter set and the space."""
        config, arrays, children = self._common_parts()
        return Parts(config | {"network": self._shape.to_config()}, arrays, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The surrogate again. Raises InputError where the weights do not fit."""
        shape = NetworkShape.from_config(config["network"])
        out, inp = config["channels"]
        fitted = cls._rebuild(shape.build((out, inp)), config, arrays, children)
        return cls(children["parameters"], children["space"], fitted, shape)


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of a Fourier network."""

    modes: tuple[int, ...]
    width: int
    layers: int
    padding: float

    def build(self, channels: tuple[int, int]) -> FourierNetwork:
        """A network with fresh parameters."""
        return FourierNetwork(channels, self.modes, self.width, self.layers, self.padding)

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples per piece of a batch."""
        points = 1
        for n in grid:
            points *= n
        return piece_size(points, self.width)

    def to_config(self) -> dict[str, Any]:
        """For a model file."""
        return {"modes": list(self.modes), "width": self.width, "layers": self.layers, "padding": self.padding}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """From a model file."""
        return cls(**{**config, "modes": tuple(config["modes"])})


@dataclass(frozen=True)
class FNO(Fitter):
    """Fourier neural operator `a ↦ u` for fields on a grid (Li et al. 2021), see `FourierNetwork`.

    `modes`: frequencies per axis (one number serves all); more sharpen the answer and cost time. `width`: channels.
    `padding`: what is added to the period of the Fourier series, as a fraction of the domain. `boundary='auto'` makes
    prescribed (Dirichlet) values exact by construction; 'free' lets the network predict them. Parameters may be fields
    on the grid, scalars and vectors together.

    Good values for 1,000 samples on 64 x 64 cells: 20 epochs. Where coefficients jump, many modes and a narrow network
    pay (two-valued Darcy, relative error in energy and L², equal time: 24 modes and width 16: 3.3 and 0.8 %; 16 and
    24: 4.6 and 0.8 %), more so with `Training(augment="square")` where the equation has the symmetries of the square.
    """

    modes: int | tuple[int, ...] = 16
    width: int = 24
    layers: int = 4
    padding: float = 0.125
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        modes = (self.modes,) if isinstance(self.modes, int) else tuple(self.modes)
        checks = {
            "modes": (bool(modes) and min(modes) >= 1, "1 or more per axis"),
            "width": (self.width >= 1, "1 or more"),
            "layers": (self.layers >= 1, "1 or more"),
            "padding": (0 <= self.padding <= 1, "between 0 and 1 (a fraction of the domain)"),
            "boundary": (self.boundary in ("auto", "free"), "'auto' or 'free'"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"FNO: {name} is {getattr(self, name)!r}; expected {expected}")

    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> FNOSurrogate:
        """Train on the snapshots; `problem` is asked for boundary values where these depend on the parameters.

        Raises InputError without snapshots or for fields that do not live on a grid; WorkError where training diverges.
        """
        if snapshots is None:
            raise InputError("FNO learns from snapshots: pass nw.generate(problem, 1000, seed=0) or your own runs")
        encoding = Encoding.of(snapshots, layout="channels")
        if encoding.dim == 0:
            raise InputError(
                f"FNO needs fields on a grid; these have shape {snapshots.space.shape} in a "
                f"{type(snapshots.space).__name__}. For meshes and points use nw.rb.PODRegression or nw.wrap(module)"
            )
        shape = NetworkShape(self._modes(encoding.dim), self.width, self.layers, self.padding)
        fitted = fit_network(
            shape.build,
            encoding,
            snapshots,
            problem,
            self.training,
            boundary=self.boundary,
            piece=shape.piece(encoding.grid_of(snapshots.space)),
            seed=seed,
            run=run,
        )
        return FNOSurrogate(snapshots.parameters, snapshots.space, fitted, shape)

    def _modes(self, dim: int) -> tuple[int, ...]:
        modes = (self.modes,) * dim if isinstance(self.modes, int) else tuple(self.modes)
        if len(modes) != dim:
            raise InputError(f"FNO: modes {modes} for a grid with {dim} axes; give one number, or one per axis")
        return modes
