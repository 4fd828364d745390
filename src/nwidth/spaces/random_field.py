"""Random coefficient fields: drawn as coefficients of cosines, then evaluated on whatever grid asks for them."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.spaces._dense import product
from nwidth.spaces.base import ParameterSpace


@dataclass(frozen=True)
class CosineSeries:
    """The Gaussian field N(0, τ^(2α-d) (-Δ + τ² I)^-α) on (0, 1)^d with the Laplacian of zero Neumann data.

        g(x) = Σ_{k ≠ 0} τ^(α - d/2) (π² |k|² + τ²)^(-α/2) ξ_k φ_k(x),   ξ_k ~ N(0, 1) independent,

    φ_k the cosines Π √2 cos(π k_i x_i), orthonormal in L² (1 in place of √2 cos where k_i = 0), and k below `modes`
    in each direction. With modes = s it is the law of the generator published with the Fourier neural operator
    (GRF.m of Li et al. 2020), which draws s modes on s cell centres. Here the number of modes is fixed, so that the
    same draw exists on every grid. The constant is left out: the mean over the domain is zero. The variance depends on
    the place (`variance`): for the default values it is 2.6 times its mean in a corner and 0.3 times in the middle.

    Raises InputError where the variance would be infinite (α <= d/2).
    """

    tau: float = 3.0
    alpha: float = 2.0
    modes: int = 128
    dim: int = 2

    def __post_init__(self) -> None:
        if self.dim not in (1, 2, 3) or self.modes < 2 or not self.tau > 0:
            raise InputError(f"{self}: expected dim 1 to 3, at least 2 modes per direction, and tau above zero")
        if not self.alpha > self.dim / 2:
            raise InputError(
                f"alpha = {self.alpha:g} in {self.dim}-D gives infinite variance; take alpha above {self.dim / 2:g}"
            )

    def deviations(self) -> Real:
        """Standard deviation of the coefficient of every φ_k, `(modes, ...)`; zero for the constant."""
        squares = np.arange(self.modes, dtype=np.float64) ** 2
        k2 = reduce(np.add.outer, [squares] * self.dim)
        std = self.tau ** (self.alpha - self.dim / 2) * (np.pi**2 * k2 + self.tau**2) ** (-self.alpha / 2)
        std.flat[0] = 0.0
        return std

    def mean_variance(self) -> float:
        """The pointwise variance, averaged over the domain: Σ_k of the squared deviations."""
        return float(np.sum(self.deviations() ** 2))

    def variance(self, resolution: int) -> Real:
        """The pointwise variance at the nodes, `(resolution + 1, ...)`."""
        return _along_every_axis(self.deviations() ** 2, self.cosines(resolution) ** 2)

    def cosines(self, resolution: int) -> Real:
        """φ_k at the nodes i / resolution of one direction, `(resolution + 1, modes)`."""
        # The angle is reduced in integers: nodes that two grids share get the same cosine to the last bit.
        turns = np.outer(np.arange(resolution + 1), np.arange(self.modes)) % (2 * resolution)
        values = np.sqrt(2.0) * np.cos(np.pi * (turns / resolution))
        values[:, 0] = 1.0
        return values

    def draws(self, indices: Iterable[int], seed: int) -> Iterator[Real]:
        """The coefficients of one draw after the other, each `(modes, ...)`; draw i depends on (seed, i) alone."""
        deviations = self.deviations()
        for i in indices:
            yield deviations * generator(seed, int(i)).standard_normal(deviations.shape)

    def evaluate(self, coefficients: Iterable[Real], resolution: int) -> Real:
        """Nodal values `(B, resolution + 1, ...)` of the given coefficients."""
        cosines = self.cosines(resolution)
        # One draw at a time: its last bits do not depend on the others, and its coefficients stay in cache.
        fields = [_along_every_axis(c, cosines) for c in coefficients]
        return np.stack(fields) if fields else np.empty((0, *(resolution + 1,) * self.dim))


def _along_every_axis(values: Real, matrix: Real) -> Real:
    """`matrix` applied to every axis of `values`."""
    for _ in range(values.ndim):  # each product moves the first axis to the end
        left = values.reshape(len(values), -1).T
        out = product(left, matrix.T, np.empty((len(left), len(matrix))))
        values = out.reshape(*values.shape[1:], len(matrix))
    return values


@dataclass(frozen=True)
class RandomField(ParameterSpace):
    """A positive random field, given by its nodal values on a grid of `resolution` cells per direction of (0, 1)^d.

    `tau`, `alpha`, `modes`, `dim`: the Gaussian field underneath, see `CosineSeries`.
    """

    name: str = "a"
    resolution: int = 64
    tau: float = 3.0
    alpha: float = 2.0
    modes: int = 128
    dim: int = 2

    def __post_init__(self) -> None:
        if self.resolution < 2:
            raise InputError(f"resolution = {self.resolution} cells per direction; take at least 2")
        _ = self.law  # raises what is wrong with the law

    @property
    @abstractmethod
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value of the set."""

    @abstractmethod
    def transform(self, gaussian: Real) -> Real:
        """Values of the field where the Gaussian field has the given values."""

    @property
    def law(self) -> CosineSeries:
        """The Gaussian field underneath."""
        return CosineSeries(self.tau, self.alpha, self.modes, self.dim)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one field, boundary nodes included."""
        return (self.resolution + 1,) * self.dim

    def at(self, resolution: int) -> Self:
        """The same set on another grid; draw i is the same function."""
        return replace(self, resolution=resolution)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Nodal values `(B, resolution + 1, ...)`."""
        return {self.name: self.transform(self.law.evaluate(self.law.draws(indices, seed), self.resolution))}

    def contains(self, mu: Mu) -> Mask:
        """Which rows are finite fields on this grid within the limits."""
        values = as_mu(mu, self.names)[self.name]
        if values.shape[1:] != self.shape:
            return np.zeros(len(values), dtype=bool)
        return np.all(self._allowed(values), axis=tuple(range(1, values.ndim)))

    def describe(self, mu: Mu) -> Array:
        """What is outside in each row, as a sentence, `(B,)`; empty where the row is inside."""
        values = as_mu(mu, self.names)[self.name]
        texts = np.full(len(values), "", dtype=object)
        for row in np.flatnonzero(~self.contains(mu)):
            texts[row] = self._outside(values[row])
        return texts

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**config)

    def _allowed(self, values: Array) -> Mask:
        low, high = self.limits
        return (values >= low) & (values <= high)

    def _outside(self, values: Array) -> str:
        if values.shape != self.shape:
            return f"{self.name} has shape {values.shape}, yours is {self.shape}"
        low, high = self.limits
        node = tuple(int(i) for i in np.unravel_index(np.argmin(self._allowed(values)), self.shape))
        return f"{self.name} = {values[node]:g} at node {node} is outside your range {low:g}-{high:g}"


@dataclass(frozen=True)
class TwoValuedField(RandomField):
    """`high` where the Gaussian field of `CosineSeries` is not negative, `low` elsewhere, decided at the nodes.

    The default values are those of the standard Darcy data of the field (12 / 3, τ = 3, α = 2). The set holds every
    field between the two values. Raises InputError unless 0 < low <= high.
    """

    kind: ClassVar[str] = "two-valued-field"

    low: float = 3.0
    high: float = 12.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.low <= self.high < np.inf:
            raise InputError(f"values low = {self.low:g}, high = {self.high:g}; expected 0 < low <= high, finite")

    @property
    def limits(self) -> tuple[float, float]:
        return self.low, self.high

    def transform(self, gaussian: Real) -> Real:
        return np.where(gaussian >= 0, self.high, self.low)


@dataclass(frozen=True)
class LogNormalField(RandomField):
    """`median · exp(σ g / s)`, g the Gaussian field of `CosineSeries` and s² its mean variance.

    σ is the standard deviation of log a, averaged over the domain (larger at the edge). The set holds the fields
    with |log(a / median)| <= `reach` σ at every node: practically every draw, and no stranger. Raises InputError
    unless all three are positive and finite.
    """

    kind: ClassVar[str] = "log-normal-field"

    median: float = 1.0
    sigma: float = 1.0
    reach: float = 9.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("median", "sigma", "reach"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError(f"{name} = {getattr(self, name):g}; expected a positive, finite number")

    @property
    def limits(self) -> tuple[float, float]:
        width = float(np.exp(self.reach * self.sigma))
        return self.median / width, self.median * width

    def transform(self, gaussian: Real) -> Real:
        return self.median * np.exp(self.sigma / np.sqrt(self.law.mean_variance()) * gaussian)
