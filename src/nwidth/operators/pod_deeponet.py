"""POD-DeepONet: the trunk is a POD basis of the training fields, the branch learns the coefficients."""

from dataclasses import dataclass, field, replace
from math import prod
from typing import ClassVar, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError, WorkError
from nwidth.operators.architecture import Architecture, OperatorFitter, OperatorSurrogate
from nwidth.operators.boundary import boundary_mask, bubble
from nwidth.operators.branch import Branch, BranchChoice, Sensors, uses_convolution
from nwidth.operators.deeponet import sensor_grid
from nwidth.operators.fitting import BoundaryChoice, Fitted, FromData
from nwidth.operators.frame import Frame
from nwidth.operators.module import OperatorModule
from nwidth.operators.places import axes_of, resample
from nwidth.operators.pod_modes import linear_fit, mass_of, modes_of
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.grid import Grid
from nwidth.surrogates.training import Training


class PODNetwork(nn.Module, FromData):
    """`u(μ) = φ_0 + Σ_k c_k(μ) φ_k`, `c = A f + a + s ⊙ b(μ)`: mean φ_0 and modes φ_k of the training fields.

    f is the input as the sensors read it, A and a a ridge regression of the coefficients on it, b the branch, s_k the
    error that the regression alone makes in coefficient k on runs left out. The branch starts at zero and learns what
    is not linear, in units of its size.

    Input `(B, C_in, *grid)` or `(B, P)`, output `(B, C_out, *grid)` or `(B, C_out, N)`; another grid than the trained
    one is answered by linear interpolation of the modes. `divides`: prescribed values on the boundary of a grid are
    put around this network as `g + b w`, so that w is the sum over the bubble b.
    """

    mean: Tensor
    modes: Tensor
    matrix: Tensor
    shift: Tensor
    spread: Tensor

    def __init__(self, branch: Branch, frame: Frame, sizes: "PODArchitecture"):
        super().__init__()
        self.branch, self.channels, self.divides = branch, frame.channels[0], sizes.divides
        self.axes = axes_of(frame.space, frame.dim)
        self.target = frame.grid or sizes.shape  # where the answers to parameters in a row live
        self.frame = frame
        self.register_buffer("mean", torch.zeros(self.channels, *sizes.shape))
        self.register_buffer("modes", torch.zeros(sizes.modes, self.channels, *sizes.shape))
        self.register_buffer("matrix", torch.zeros(sizes.modes, branch.sensors.size))
        self.register_buffer("shift", torch.zeros(sizes.modes))
        self.register_buffer("spread", torch.zeros(sizes.modes))

    def forward(self, x: Tensor) -> Tensor:
        """The mean and the modes, weighted by their coefficients."""
        u = self.mean.flatten() + self.coefficients(x) @ self.modes.flatten(1)
        u = u.reshape(x.shape[0], *self.mean.shape)
        grid = self.target if x.ndim == 2 else tuple(x.shape[2:])
        u = resample(u, self.axes, grid) if self.axes else u
        if not self.divides:
            return u
        weight = bubble(grid, u.dtype, u.device)
        return torch.where(weight > 0, u / weight.clamp_min(torch.finfo(u.dtype).tiny), 0.0)

    def coefficients(self, x: Tensor) -> Tensor:
        """`(B, p)`."""
        linear = nn.functional.linear(self.branch.sensors.read(x).flatten(1), self.matrix, self.shift)
        return linear + self.spread * self.branch(x)

    def adapt(self, x: Tensor, y: Tensor) -> None:
        """Modes from the fields, the regression from input and coefficients."""
        self.divides = self.divides and _vanishes_outside(y)
        product = mass_of(self.frame.space, self.frame.encoding.complex_fields)
        found = modes_of(y.flatten(1).cpu().numpy(), product, len(self.modes))
        features = self.branch.sensors.read(x).flatten(1).double().cpu().numpy()
        fit = linear_fit(features, found.coefficients)
        self.mean.copy_(torch.from_numpy(found.mean).reshape(self.mean.shape))
        for name, values in (
            ("modes", found.modes), ("matrix", fit.matrix), ("shift", fit.shift), ("spread", fit.left),
        ):  # fmt: skip
            buffer = self.get_buffer(name)[: len(found.modes)]
            buffer.copy_(torch.from_numpy(np.ascontiguousarray(values)).reshape(buffer.shape))

    @property
    def used(self) -> int:
        """How many modes hold something."""
        return int((self.modes.flatten(1) != 0).any(dim=1).sum())

    def state_of(self, count: int) -> dict[str, Tensor]:
        """The parameters and buffers of the same network with the first `count` modes only."""
        last = max(number for number, layer in enumerate(self.branch.perceptron) if isinstance(layer, nn.Linear))
        cut = {"modes", "matrix", "shift", "spread"} | {f"branch.perceptron.{last}.{n}" for n in ("weight", "bias")}
        return {name: value[:count] if name in cut else value for name, value in self.state_dict().items()}


def _vanishes_outside(y: Tensor) -> bool:
    """Whether all fields `(B, C, *grid)` are exactly zero on the boundary: prescribed values have been subtracted."""
    mask = torch.from_numpy(boundary_mask(tuple(y.shape[2:]))).to(y.device)
    return not bool(y[..., mask].any())


@dataclass(frozen=True)
class PODArchitecture(Architecture):
    """Sizes of a POD-DeepONet, and where its modes live: `shape` of one component, a grid or (N,)."""

    kind: ClassVar[str] = "pod-deeponet"

    modes: int
    width: int
    depth: int
    sensors: tuple[int, ...]
    convolution: bool
    shape: tuple[int, ...]
    divides: bool

    def build(self, frame: Frame) -> PODNetwork:
        """A network without modes: training, or a file, brings them."""
        sensors = Sensors.of(frame, self.sensors)
        branch = Branch(sensors, self.modes, self.width, self.depth, self.convolution, zero=True)
        return PODNetwork(branch, frame, self)

    def piece(self, grid: tuple[int, ...]) -> int:
        """Many at once: the modes are read once for all."""
        return max(32, 4_000_000 // prod(grid)) if grid else 256


class PODSurrogate(OperatorSurrogate):
    """A trained POD-DeepONet; on other grids of the same domain it interpolates its modes linearly."""

    kind: ClassVar[str] = "pod-deeponet-surrogate"

    def _replaced(self, parameters: ParameterSpace, space: FunctionSpace, fitted: Fitted) -> Self:
        """After parameters in a row the network has to be told the grid; branch and modes are shared."""
        if fitted.encoding.layout == "vector":
            fitted = replace(fitted, module=self._moved(space))
        return super()._replaced(parameters, space, fitted)

    def _moved(self, space: FunctionSpace) -> OperatorModule:
        old = self.module
        network = self.architecture.build(Frame(old.channels, space, self.encoding))
        network.load_state_dict(old.network.state_dict(), assign=True)
        shape = tuple(old.lift.shape[1:]) if old.boundary == "fixed" else ()
        module = OperatorModule(network, old.channels, old.boundary, shape)
        own = {n: v for n, v in old.state_dict().items() if not n.startswith("network.")}
        module.load_state_dict(own, strict=False)
        return module.eval()


@dataclass(frozen=True)
class PODDeepONet(OperatorFitter):
    """POD-DeepONet (Lu, Meng, Cai, Mao, Goswami, Zhang, Karniadakis 2022, section 3.1.3), see `PODNetwork`.

    At most `modes` POD modes of the training fields, orthonormal in the mass product of their space where it has one
    (components in units of their deviation), and their mean; a branch of `width` and `depth` (with convolutions, where
    the input is a field on a grid: `branch`, `sensors` as in DeepONet) learns the coefficients. Instead of the paper's
    scaling by 1/p, a ridge regression starts the coefficients and each is learned in units of what that leaves: an
    affine solution map is met to rounding, and no mode waits for another.

    For fields on fixed nodes, with or without a grid: meshes, points, grids. What the modes do not hold cannot be
    answered: the error is at least that of the projection. Prescribed boundary values on a grid are exact with
    `boundary='auto'`; elsewhere values that all runs share are met to rounding, as every mode vanishes there.

    Raises InputError for sizes that make no sense and fields that do not vary.
    """

    layout: ClassVar[None] = None

    modes: int = 64
    width: int = 128
    depth: int = 2
    branch: BranchChoice = "auto"
    sensors: int | tuple[int, ...] = 32
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=lambda: Training(epochs=200, batch=16, rate=2e-3))

    def __post_init__(self) -> None:
        checks = {
            "modes": (self.modes >= 1, "1 or more"),
            "width": (self.width >= 1, "1 or more"),
            "depth": (self.depth >= 0, "0 or more"),
            "branch": (self.branch in ("auto", "dense", "convolution"), "'auto', 'dense' or 'convolution'"),
            "sensors": (min(np.atleast_1d(self.sensors)) >= 2, "2 or more per axis"),
            "boundary": (self.boundary in ("auto", "free"), "'auto' or 'free'"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"PODDeepONet: {name} is {getattr(self, name)!r}; expected {expected}")

    def architecture(self, frame: Frame) -> PODArchitecture:
        """Sensors, and where the modes live."""
        sensors = sensor_grid(self.sensors, frame)
        shape = frame.grid or (frame.space.size // max(1, frame.encoding.components),)
        divides = self.boundary == "auto" and isinstance(frame.space, Grid) and frame.space.inside
        convolution = uses_convolution(self.branch, sensors)
        return PODArchitecture(self.modes, self.width, self.depth, sensors, convolution, shape, divides)

    def _surrogate(self, snapshots: Snapshots, fitted: Fitted, architecture: Architecture) -> PODSurrogate:
        network, sizes = cast(PODNetwork, fitted.module.network), cast(PODArchitecture, architecture)
        if network.divides != (fitted.module.boundary != "free"):
            raise WorkError(
                f"boundary values are {fitted.module.boundary!r} to the module and {network.divides} to the modes; the "
                "runs that were watched differ from those that trained: use boundary='free'"
            )
        sizes = replace(sizes, modes=network.used, divides=network.divides)
        smaller = sizes.build(network.frame)
        smaller.load_state_dict(network.state_of(network.used), assign=True)
        fitted.module.network = smaller.eval()
        return PODSurrogate(snapshots.parameters, snapshots.space, fitted, sizes)
