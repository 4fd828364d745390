"""DeepONet: a branch over the parameters, a trunk over the coordinates; fields on grids, meshes and points."""

from dataclasses import dataclass, field, replace
from math import pi, prod
from typing import ClassVar, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.operators.architecture import Architecture, OperatorFitter, OperatorSurrogate
from nwidth.operators.branch import Branch, BranchChoice, Sensors, perceptron, uses_convolution
from nwidth.operators.fitting import BoundaryChoice, Fitted
from nwidth.operators.frame import Frame
from nwidth.operators.module import OperatorModule
from nwidth.operators.places import Axis, axes_of, is_periodic, places
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.training import Encoding, Training
from nwidth.surrogates.training.encoding import grid_dimension, side_lengths


class Trunk(nn.Module):
    """Coordinates `(N, d)`, scaled to the unit cube, to `(N, K)`.

    The perceptron sees `2ξ - 1`, or `sin 2πξ, cos 2πξ` along a periodic direction; with random Fourier features (Tancik
    et al. 2020) also `sin Bz, cos Bz` of these z, with B drawn once from N(0, (π scale)²).
    """

    frequencies: Tensor

    def __init__(self, periodic: tuple[bool, ...], out: int, width: int, depth: int, fourier: int, scale: float):
        super().__init__()
        self.periodic = periodic
        plain = sum(2 if p else 1 for p in periodic)
        self.register_buffer("frequencies", pi * scale * torch.randn(plain, fourier))
        self.perceptron = perceptron((plain + 2 * fourier, *(width,) * depth, out))

    def forward(self, unit: Tensor) -> Tensor:
        """`(N, d)` to `(N, K)`."""
        lines = []
        for number, periodic in enumerate(self.periodic):
            x = unit[:, number]
            lines += [torch.sin(2 * pi * x), torch.cos(2 * pi * x)] if periodic else [2 * x - 1]
        z = torch.stack(lines, dim=1)
        waves = z @ self.frequencies.to(z.dtype)
        return self.perceptron(torch.cat([z, torch.sin(waves), torch.cos(waves)], dim=1))


class DeepONetwork(nn.Module):
    """`u_c(x; μ) = p^{-1/2} Σ_k b_ck(μ) t_ck(x) + b_c`: branch b, trunk t, p terms for every component c.

    Input `(B, C_in, *grid)` or `(B, P)`, output `(B, C_out, *grid)` or `(B, C_out, N)`. A field as input says on which
    grid the answer lives; after parameters in a row it lives at `unit`, coordinates `(N, d)` in the unit cube.
    """

    unit: Tensor

    def __init__(self, branch: Branch, trunk: Trunk, where: "Where", components: int, terms: int):
        super().__init__()
        self.branch, self.trunk = branch, trunk
        self.components, self.terms, self.axes, self.shape = components, terms, where.axes, where.shape
        self.bias = nn.Parameter(torch.zeros(components))
        self.register_buffer("unit", where.unit, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`Σ_k b_k t_k` for the whole batch: the trunk is the same for all of it."""
        shape = self.shape if x.ndim == 2 else tuple(x.shape[2:])
        coefficients = self.branch(x).reshape(x.shape[0], self.components, self.terms)
        basis = self.basis(shape, x).to(coefficients.dtype)
        u = torch.einsum("bcp,cpn->bcn", coefficients, basis) + self.bias[:, None]
        return u.reshape(x.shape[0], self.components, *shape)

    def basis(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Trunk functions `p^{-1/2} t`, `(C_out, p, N)`, on a grid or at the points of the space."""
        unit = self.unit.to(like) if shape == self.shape else grid_places(self.axes, shape).to(like)
        values = self.trunk(unit).reshape(-1, self.components, self.terms) / self.terms**0.5
        return values.permute(1, 2, 0)


@dataclass(frozen=True)
class Where:
    """Where answers live: unit coordinates `(N, d)`, the shape of a component, the kinds of the grid's axes."""

    unit: Tensor
    shape: tuple[int, ...]
    axes: tuple[Axis, ...]


def grid_places(axes: tuple[Axis, ...], grid: tuple[int, ...]) -> Tensor:
    """Unit coordinates `(N, d)` of all values of a grid."""
    lines = [places(axis, size) for axis, size in zip(axes, grid, strict=True)]
    return torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1).reshape(-1, len(axes))


def coordinates_of(space: FunctionSpace) -> Array:
    """Coordinates `(N, d)`. Raises InputError where a space has none, or they move with the parameters."""
    try:
        found = np.asarray(space.points(), dtype=np.float64)
    except InputError as error:
        raise InputError(
            f"DeepONet needs to know where the values are ({error}); nw.operators.PODDeepONet does not"
        ) from error
    if found.ndim != 2:
        raise InputError(f"the points of a {type(space).__name__} have shape {found.shape}, expected (N, dim)")
    return found


@dataclass(frozen=True)
class DeepONetArchitecture(Architecture):
    """Sizes of a DeepONet, the box `low` to `high` of its coordinates and which directions of it are periodic."""

    kind: ClassVar[str] = "deeponet"

    terms: int
    width: int
    depth: int
    trunk_depth: int
    sensors: tuple[int, ...]
    convolution: bool
    fourier: int
    scale: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    periodic: tuple[bool, ...]

    def build(self, frame: Frame) -> DeepONetwork:
        """A network with fresh parameters that answers where the frame's fields live."""
        out = frame.channels[0] * self.terms
        branch = Branch(Sensors.of(frame, self.sensors), out, self.width, self.depth, self.convolution)
        trunk = Trunk(self.periodic, out, self.width, self.trunk_depth, self.fourier, self.scale)
        return DeepONetwork(branch, trunk, self.where(frame.space, frame.encoding), frame.channels[0], self.terms)

    def where(self, space: FunctionSpace, encoding: Encoding) -> Where:
        """Unit coordinates in a space. Raises InputError for another number of directions."""
        if encoding.dim:
            grid, axes = encoding.grid_of(space), axes_of(space, encoding.dim)
            return Where(grid_places(axes, grid), grid, axes)
        points = coordinates_of(space)
        if points.shape[1] != len(self.low):
            raise InputError(f"points in {points.shape[1]} dimensions for a network over {len(self.low)}")
        unit = (points - self.low) / np.subtract(self.high, self.low)
        return Where(torch.from_numpy(unit), (len(points),), ())

    def piece(self, grid: tuple[int, ...]) -> int:
        """Many at once: the trunk is evaluated once for all."""
        return max(32, 4_000_000 // prod(grid)) if grid else 256


class DeepONetSurrogate(OperatorSurrogate):
    """A trained DeepONet; `at(space)` answers anywhere in the domain: on other grids, and at points."""

    kind: ClassVar[str] = "deeponet-surrogate"

    architecture: DeepONetArchitecture

    def at(self, space: FunctionSpace, parameters: ParameterSpace | None = None) -> Self:
        """The same branch and trunk on another grid, another mesh, or at points given by their coordinates.

        Raises InputError where the input is a field on the answers' grid and the new space has none, where prescribed
        boundary values would be lost, and for points that bring no coordinates or lie outside of the trained box.
        """
        if self.encoding.dim and grid_dimension(space) == self.encoding.dim:
            return super().at(space, parameters)
        self._check_points(space)
        encoding = replace(self.encoding, dim=0)
        fitted = Fitted(self.module, encoding, self.history, None)
        return self._replaced(self._parameters if parameters is None else parameters, space, fitted)

    def _check_points(self, space: FunctionSpace) -> None:
        if self.encoding.layout != "vector" or self.module.boundary != "free":
            raise InputError(
                "this DeepONet's input is a field on the grid of its answers, or its boundary values are prescribed on "
                "the grid; at points it answers where parameters are numbers and boundary='free' was trained"
            )
        if len(space.components) != len(self.space.components) or space.dtype != self.space.dtype:
            raise InputError(f"{space.shape} of {space.dtype} cannot hold the components of {self.space.shape}")
        unit = self.architecture.where(space, replace(self.encoding, dim=0)).unit
        if not bool(((unit > -1e-9) & (unit < 1 + 1e-9)).all()):
            raise InputError(
                f"points outside of the trained box {self.architecture.low} to {self.architecture.high}: a trunk "
                "does not extrapolate"
            )

    def _replaced(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted) -> Self:
        """With branch, trunk and normalisation shared; only the places are new."""
        if fitted.encoding.layout == "vector":
            fitted = replace(fitted, module=self._moved(space, fitted.encoding))
        return super()._replaced(parameters, space, fitted)

    def _moved(self, space: FunctionSpace, encoding: Encoding) -> OperatorModule:
        old = self.module
        where, network = self.architecture.where(space, encoding), cast(DeepONetwork, old.network)
        moved = DeepONetwork(network.branch, network.trunk, where, network.components, network.terms)
        moved.bias = network.bias
        module = OperatorModule(
            moved, old.channels, old.boundary, tuple(old.lift.shape[1:]) if old.boundary == "fixed" else ()
        )
        module.standardise, module.scale, module.shift = old.standardise, old.scale, old.shift
        if old.boundary == "fixed":
            module.lift = old.lift
        return module.eval()


@dataclass(frozen=True)
class DeepONet(OperatorFitter):
    """Deep operator network (Lu, Jin, Pang, Zhang, Karniadakis 2021, theorem 2): `u(x; μ) = Σ_k b_k(μ) t_k(x) + b`.

    For parameters that are numbers, vectors, or fields read at fixed `sensors` (a number of values per axis, or a grid;
    a field in a row of numbers is one where its grid is given here); for fields on grids, meshes and points with
    coordinates, of one or several components (each with its own `terms`). `branch='auto'` puts convolutions before the
    perceptron where the input is a field on a grid; 'dense' and 'convolution' decide. `fourier` random features of
    wave number `scale` help the trunk with fine structures. Prescribed boundary values on a grid are exact, as for
    every operator, with `boundary='auto'`.

    A DeepONet trains slowly: allow hundreds of epochs. Where all fields live on the same nodes, PODDeepONet is better
    almost always; this one answers anywhere (`surrogate.at(space)`).

    Raises InputError for sizes that make no sense and points without coordinates.
    """

    layout: ClassVar[None] = None

    terms: int = 64
    width: int = 128
    depth: int = 2
    trunk_depth: int = 3
    branch: BranchChoice = "auto"
    sensors: int | tuple[int, ...] = 32
    fourier: int = 0
    scale: float = 1.0
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=lambda: Training(epochs=200, batch=16, rate=2e-3))

    def __post_init__(self) -> None:
        checks = {
            "terms": (self.terms >= 1, "1 or more"),
            "width": (self.width >= 1, "1 or more"),
            "depth": (self.depth >= 0, "0 or more"),
            "trunk_depth": (self.trunk_depth >= 1, "1 or more"),
            "branch": (self.branch in ("auto", "dense", "convolution"), "'auto', 'dense' or 'convolution'"),
            "sensors": (min(np.atleast_1d(self.sensors)) >= 2, "2 or more per axis"),
            "fourier": (self.fourier >= 0, "0 or more"),
            "scale": (0 < self.scale < float("inf"), "positive, in waves per domain"),
            "boundary": (self.boundary in ("auto", "free"), "'auto' or 'free'"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"DeepONet: {name} is {getattr(self, name)!r}; expected {expected}")

    def architecture(self, frame: Frame) -> DeepONetArchitecture:
        """Sensors and the box of the coordinates."""
        sensors = sensor_grid(self.sensors, frame)
        low, high, periodic = box_of(frame)
        return DeepONetArchitecture(
            terms=self.terms,
            width=self.width,
            depth=self.depth,
            trunk_depth=self.trunk_depth,
            sensors=sensors,
            convolution=uses_convolution(self.branch, sensors),
            fourier=self.fourier,
            scale=self.scale,
            low=low,
            high=high,
            periodic=periodic,
        )

    def _surrogate(self, snapshots: Snapshots, fitted: Fitted, architecture: Architecture) -> DeepONetSurrogate:
        return DeepONetSurrogate(snapshots.parameters, snapshots.space, fitted, architecture)


def sensor_grid(sensors: int | tuple[int, ...], frame: Frame) -> tuple[int, ...]:
    """Sensors per axis, at most as many as the field has values; () for parameters that are no field.

    Raises InputError for another number of axes.
    """
    if frame.encoding.layout == "vector":
        return () if isinstance(sensors, int) else tuple(sensors)
    wanted = (sensors,) * frame.dim if isinstance(sensors, int) else tuple(sensors)
    if len(wanted) != frame.dim:
        raise InputError(f"sensors {wanted} for fields with {frame.dim} axes; give one number, or one per axis")
    return tuple(min(n, size) for n, size in zip(wanted, frame.grid, strict=True))


def box_of(frame: Frame) -> tuple[tuple[float, ...], tuple[float, ...], tuple[bool, ...]]:
    """Lower and upper ends of the coordinates, and which directions are periodic."""
    if frame.dim:
        axes = axes_of(frame.space, frame.dim)
        return (0.0,) * frame.dim, side_lengths(frame.space), tuple(is_periodic(axis) for axis in axes)
    points = coordinates_of(frame.space)
    low, high = points.min(axis=0), points.max(axis=0)
    flat = high <= low  # all points in one plane: any length will do
    high = np.where(flat, low + 1.0, high)
    return tuple(low.tolist()), tuple(high.tolist()), (False,) * points.shape[1]
