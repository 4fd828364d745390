"""Waves of one frequency in a medium whose speed varies: indefinite, and close to singular near resonances."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, reduce
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numba
import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, check_batched, check_choice, check_finite
from nwidth.problems.base import Resizable
from nwidth.problems.fixed_pattern import Filled, FixedPattern
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.box import Box
from nwidth.spaces.complex_grid import ComplexGrid
from nwidth.spaces.factor import Pattern
from nwidth.spaces.grid import Grid
from nwidth.spaces.joint import Joint
from nwidth.spaces.random_field import LogNormalField

#: Direction of the plane wave, before it is scaled to length one.
_DIRECTION = (2.0, 1.0, 0.5)
#: Radius of the pulse, as a part of the domain, and its place.
_RADIUS, _CENTRE = 0.05, (0.3, 0.4, 0.45)


@dataclass(frozen=True)
class Helmholtz(FixedPattern, Resizable, Storable):
    """`-Δu - k² n(x)² u = f` in (0, 1)^dim; the parameters are the wave number k and the index field n.

    `boundary`: "dirichlet" (u = g, real) or "absorbing" (`∂u/∂ν - i k n u = g`, complex: waves e^{-iωt} leave).
    k is uniform in [`lowest`, `highest`], n = exp(`sigma` · Gaussian field) as in `LogNormalField` with `tau`, `alpha`,
    `modes`. `source`: "pulse", `f = exp(-|x - c|² / (2 r²)) / r²` with g = 0; or "wave", f and g such that the solution
    is the plane wave `cos(k θ·x)` ("dirichlet") or `exp(i k θ·x)` ("absorbing") for every n: f = k² (1 - n²) u.

    Finite volumes around the nodes, of second order; the phase error is about k³ h² / 24: 2 % at k = 20 and 16 % at
    k = 40 with 128 cells. With Dirichlet data the matrices are symmetric and indefinite, and singular at resonances.
    """

    kind: ClassVar[str] = "helmholtz"

    resolution: int = 128
    dim: int = 2
    boundary: Literal["dirichlet", "absorbing"] = "dirichlet"
    lowest: float = 20.0
    highest: float = 40.0
    sigma: float = 0.1
    tau: float = 3.0
    alpha: float = 2.0
    modes: int = 128
    source: Literal["pulse", "wave"] = "pulse"

    def __post_init__(self) -> None:
        check_choice("boundary", self.boundary, ("dirichlet", "absorbing"))
        check_choice("source", self.source, ("pulse", "wave"))
        if not 0 < self.lowest <= self.highest < np.inf:
            raise InputError(f"wave numbers {self.lowest:g} to {self.highest:g}; expected 0 < lowest <= highest")
        _ = self.parameters, self.space  # raise what is wrong with the field and the grid

    @property
    def absorbing(self) -> bool:
        """Whether waves leave through the boundary: the matrices are complex then."""
        return self.boundary == "absorbing"

    @property
    def parameters(self) -> Joint:
        field = LogNormalField(
            name="n",
            resolution=self.resolution,
            tau=self.tau,
            alpha=self.alpha,
            modes=self.modes,
            dim=self.dim,
            sigma=self.sigma,
        )
        return Joint((Box(("k",), self.lowest, self.highest), field))

    @property
    def space(self) -> Grid:
        cells = (self.resolution,) * self.dim
        return ComplexGrid(cells, boundary="robin") if self.absorbing else Grid(cells)

    def at(self, resolution: int) -> "Helmholtz":
        return replace(self, resolution=resolution)

    @property
    def pattern(self) -> Pattern:
        return self._fixed.pattern

    @property
    def free(self) -> Mask:
        return self._fixed.free

    def fill(self, mu: Mu | Array) -> Filled:
        """The stiffness, the same for all, minus `k² n²` volumes (and `i k n` boundary areas) on the diagonal."""
        k, n = self._given(mu)
        fixed = self._fixed
        inside = k * np.take(n, fixed.place, axis=1)
        diagonal = inside**2 * fixed.volumes[fixed.place]
        if self.absorbing:
            diagonal = diagonal + 1j * (inside * fixed.areas.sum(axis=0)[fixed.place])
        values = np.empty((len(k), len(fixed.stiffness)), dtype=self.space.dtype)
        shifted(fixed.stiffness, fixed.diagonal, diagonal, values)
        lift = np.zeros((len(k), len(fixed.free)), dtype=self.space.dtype)
        if self.source == "pulse":
            return Filled(values, np.tile(fixed.pulse.astype(values.dtype), (len(k), 1)), lift)
        load = np.take(self._load(k, n), fixed.place, axis=1)
        if not self.absorbing:
            lift[:, ~fixed.free] = self._wave(k)[:, ~fixed.free]
            load -= (fixed.coupling @ lift.T).T
        return Filled(values, load, lift)

    def exact(self, mu: Mu | Array) -> Array:
        """The plane wave that solves the differential equation, at the nodes, `(B, *space.shape)`.

        Raises InputError with the source "pulse", whose solution is not known.
        """
        if self.source != "wave":
            raise InputError("the solution is known for source='wave' only; make Helmholtz(..., source='wave')")
        return self.space.unflatten(self._wave(self._given(mu)[0]))

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return verify(cls(**config), arrays["check"])

    def _given(self, mu: Mu | Array) -> tuple[Real, Real]:
        """k `(B, 1)` and n `(B, N)`. Raises InputError for values that are not finite and positive."""
        values = as_mu(mu, self.parameters.names)
        k, n = np.asarray(values["k"], dtype=np.float64), np.asarray(values["n"], dtype=np.float64)
        n = check_batched("n", n, (self.resolution + 1,) * self.dim).reshape(len(n), -1)
        for name, array in (("k", k.reshape(len(k), -1)), ("n", n)):
            check_finite(f"parameter {name}", array)
            if not (array > 0).all():
                row = int(np.argmin((array > 0).all(axis=1)))
                raise InputError(f"parameter {name}: sample {row} is not positive everywhere; expected {name} > 0")
        return k.reshape(len(k), 1), n

    def _wave(self, k: Real) -> Array:
        phase = k * (self.space.points() @ self._direction)
        return np.exp(1j * phase) if self.absorbing else np.cos(phase)

    @property
    def _direction(self) -> Real:
        direction = np.array(_DIRECTION[: self.dim])
        return direction / np.linalg.norm(direction)

    def _load(self, k: Real, n: Real) -> Array:
        """For the plane wave: integrals of f over the volumes, and of g over the parts of the boundary, `(B, N)`."""
        fixed = self._fixed
        wave = self._wave(k)
        load = k**2 * (1.0 - n**2) * wave * fixed.volumes
        if self.absorbing:  # g on each side of the boundary is i k (θ·ν - n) u
            outward = np.concatenate([-self._direction, self._direction])
            load = load + 1j * k * wave * (outward @ fixed.areas - n * fixed.areas.sum(axis=0))
        return load

    @cached_property
    def _fixed(self) -> "_Fixed":
        return _fixed(self.resolution, self.dim, self.absorbing)


@numba.njit(cache=True, nogil=True)
def shifted(stiffness: Real, diagonal: Array, shift: Array, values: Array) -> None:
    """Values `(B, nnz)` of the stiffness minus `shift (B, n)` on the diagonal."""
    for sample in range(len(values)):
        row = values[sample]
        for entry in range(len(stiffness)):
            row[entry] = stiffness[entry]
        for i in range(len(diagonal)):
            row[diagonal[i]] -= shift[sample, i]


class _Fixed(NamedTuple):
    """What no parameter changes: pattern and stiffness `(nnz,)` on the free dofs, positions of the diagonal `(n,)`;
    `coupling` (rows of free dofs, columns of all) to prescribed values; volumes `(N,)`; areas `(2 dim, N)` of the low
    sides and the high sides; `free (N,)` and the free dofs, `place (n,)`; integrals of the pulse `(n,)`."""

    pattern: Pattern
    stiffness: Real
    diagonal: Array
    coupling: sp.csr_array
    volumes: Real
    areas: Real
    free: Mask
    place: Array
    pulse: Real


def _fixed(resolution: int, dim: int, absorbing: bool) -> _Fixed:
    h, nodes = 1.0 / resolution, resolution + 1
    length = np.full(nodes, h)
    length[[0, -1]] = h / 2
    line = sp.diags_array([-1 / h, 2 / h, -1 / h], offsets=[-1, 0, 1], shape=(nodes, nodes)).tolil()
    line[0, 0] = line[-1, -1] = 1 / h
    lines, lengths = sp.csr_array(line), sp.diags_array(length)
    total = sp.csr_array(sp.dia_array((nodes**dim, nodes**dim)))
    for axis in range(dim):
        total = total + sp.csr_array(reduce(sp.kron, [lines if d == axis else lengths for d in range(dim)]))
    low, high = np.zeros(nodes), np.zeros(nodes)
    low[0], high[-1] = 1.0, 1.0
    sides = [[end if d == axis else length for d in range(dim)] for end in (low, high) for axis in range(dim)]
    areas = np.stack([_product(side) for side in sides])
    free = np.ones(nodes**dim, dtype=bool) if absorbing else areas.sum(axis=0) == 0
    rows = total[free]
    inner = sp.csr_array(rows[:, free])
    inner.sum_duplicates()
    pattern, place, volumes = Pattern.of(inner), np.flatnonzero(free), _product([length] * dim)
    axes = np.meshgrid(*[np.arange(nodes) * h] * dim, indexing="ij")
    squares = sum((axis.ravel() - centre) ** 2 for axis, centre in zip(axes, _CENTRE, strict=False))
    pulse = np.exp(-squares / (2 * _RADIUS**2)) / _RADIUS**2
    return _Fixed(
        pattern=pattern,
        stiffness=inner.data,
        diagonal=np.flatnonzero(pattern.indices == pattern.rows),
        coupling=sp.csr_array(rows @ sp.diags_array((~free).astype(float))),
        volumes=volumes,
        areas=areas,
        free=free,
        place=place,
        pulse=(volumes * pulse)[place],
    )


def _product(factors: list[Real]) -> Real:
    """The products of one entry from each direction, in the order of the nodes."""
    out = np.ones(1)
    for factor in factors:
        out = np.multiply.outer(out, factor).ravel()
    return out
