"""The multigrid neural operator: every linear layer is a V-cycle (He, Liu and Xu 2024)."""

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.multigrid import VCycle
from nwidth.linmaps.stencil import End, Ends, levels
from nwidth.operators.architecture import Architecture, OperatorFitter
from nwidth.operators.fitting import BoundaryChoice
from nwidth.operators.frame import Frame
from nwidth.operators.network import piece_size
from nwidth.operators.places import Axis, axes_of, is_periodic, resample
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid
from nwidth.surrogates.training import Training

#: At another resolution: 'resample' to the training grid and back, or the same stencils per point, 'as is'.
Elsewhere = Literal["resample", "as is"]
_COARSEST = 3


class MultigridNetwork(nn.Module):
    """`w = Q ∘ L_n ∘ ... ∘ L_1 ∘ P`,   `L v = σ(V v + W v + b)`: V a V-cycle, W, P and Q matrices at each node, σ GELU.

    `(B, C_in, *grid)` to `(B, C_out, *grid)`. There are no coordinates among the inputs: where a node lies is known
    from the values that the stencils meet beyond the boundary (`ends`).
    """

    def __init__(self, channels: tuple[int, int], axes: tuple[Axis, ...], ends: Ends, sizes: "MgNOArchitecture"):
        super().__init__()
        out, inp = channels
        self.axes, self.grid, self.elsewhere, width = axes, sizes.grid, sizes.elsewhere, sizes.width
        point = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(axes) - 1]
        self.lift = point(inp, width, 1)
        self.cycles = nn.ModuleList(
            VCycle((width, width), sizes.grid, sizes.depth, ends=ends, smoothing=sizes.smoothing, kernel=sizes.kernel)
            for _ in range(sizes.layers)
        )
        self.pointwise = nn.ModuleList(point(width, width, 1) for _ in range(sizes.layers))
        self.project = point(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """On the training grid as it is; elsewhere as `elsewhere` says."""
        grid = tuple(x.shape[2:])
        if grid == self.grid or self.elsewhere == "as is":
            return self.on_its_grid(x)
        return resample(self.on_its_grid(resample(x, self.axes, self.grid)), self.axes, grid)

    def on_its_grid(self, x: Tensor) -> Tensor:
        """The stencils on the grid of x, of any size."""
        v = self.lift(x)
        for cycle, matrix in zip(self.cycles, self.pointwise, strict=True):
            v = F.gelu(cycle(v) + matrix(v))
        return self.project(v)


@dataclass(frozen=True)
class MgNOArchitecture(Architecture):
    """Sizes of a multigrid network and the grid that it is trained on."""

    kind: ClassVar[str] = "mgno"

    grid: tuple[int, ...]
    width: int
    layers: int
    depth: int
    smoothing: tuple[int, int]
    kernel: int
    elsewhere: Elsewhere

    def build(self, frame: Frame) -> MultigridNetwork:
        """A network with fresh parameters; ends as the space has them."""
        axes = axes_of(frame.space, frame.dim)
        return MultigridNetwork(frame.channels, axes, ends_of(frame.space, axes), self)

    def piece(self, grid: tuple[int, ...]) -> int:
        """Samples per piece of a batch, so that activations stay in cache."""
        return piece_size(prod(grid), 2 * self.width)


def ends_of(space: FunctionSpace, axes: tuple[Axis, ...]) -> Ends:
    """What the stencils meet beyond each end: zero (Dirichlet), the mirror image (Neumann, Robin), the other end."""
    if isinstance(space, Grid):
        words: dict[str, End] = {"dirichlet": "zero", "neumann": "mirror", "robin": "mirror", "periodic": "periodic"}
        return tuple((words[d.low], words[d.high]) for d in space.directions)
    return tuple(("periodic", "periodic") if is_periodic(axis) else ("mirror", "mirror") for axis in axes)


@dataclass(frozen=True)
class MgNO(OperatorFitter):
    """Multigrid neural operator `a ↦ u` for fields on a grid in 1 to 3 dimensions, see `MultigridNetwork`.

    `width`: channels; `layers`: V-cycles one after another. `depth`: grids of a V-cycle, None for as many as lead to 3
    points or fewer per axis; `smoothing`: steps on every grid before and after the correction; `kernel`: points of a
    stencil per axis, odd. What lies beyond the ends of the grid follows from the space: zero (Dirichlet), the mirror
    image (Neumann, Robin), the other end (periodic). Sizes need not be powers of two, nor odd.

    Stencils span grid cells, not lengths: this is *not* the same function at other resolutions. With
    `elsewhere='resample'` a surrogate `.at(space)` answers through the grid that it was trained on, input and output
    interpolated linearly; 'as is' runs the stencils on the new grid, which is good for nothing but a comparison
    (two-valued Darcy, trained on 32², answering on 64²: 3.4 and 15 % in L2; on its own grid 3.0 %).

    A cycle multiplies stencils of all its grids, so that learning rates above 5e-3 can diverge.

    Raises InputError for sizes that make no sense and fields without a grid.
    """

    width: int = 24
    layers: int = 4
    depth: int | None = None
    smoothing: tuple[int, int] = (1, 0)
    kernel: int = 3
    elsewhere: Elsewhere = "resample"
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=lambda: Training(rate=5e-3))

    def __post_init__(self) -> None:
        checks = {
            "width": (self.width >= 1, "1 or more"),
            "layers": (self.layers >= 1, "1 or more"),
            "depth": (self.depth is None or self.depth >= 1, "1 or more grids, or None"),
            "smoothing": (
                len(self.smoothing) == 2 and min(self.smoothing) >= 0 < self.smoothing[0],
                "(1 or more, 0 or more)",
            ),
            "kernel": (self.kernel >= 3 and self.kernel % 2 == 1, "an odd number, at least 3"),
            "elsewhere": (self.elsewhere in ("resample", "as is"), "'resample' or 'as is'"),
            "boundary": (self.boundary in ("auto", "free"), "'auto' or 'free'"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"MgNO: {name} is {getattr(self, name)!r}; expected {expected}")

    def architecture(self, frame: Frame) -> MgNOArchitecture:
        """Down to a coarsest grid of at most 3 points along its longest axis. Raises InputError beyond three axes."""
        if frame.dim > 3:
            raise InputError(f"MgNO: fields on a grid with {frame.dim} axes; it takes 1 to 3")
        ends = ends_of(frame.space, axes_of(frame.space, frame.dim))
        grids = [level.grid for level in levels(frame.grid, ends, self.kernel, 32)]
        whole = next(i for i, grid in enumerate(grids, start=1) if max(grid) <= _COARSEST)
        depth = min(self.depth or whole, whole)
        return MgNOArchitecture(
            frame.grid,
            self.width,
            self.layers,
            depth,
            (self.smoothing[0], self.smoothing[1]),
            self.kernel,
            self.elsewhere,
        )
