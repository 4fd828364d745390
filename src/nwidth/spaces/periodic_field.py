"""Random periodic fields: drawn as coefficients of sines and cosines, then evaluated on whatever grid asks for them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any, ClassVar, Self

import numpy as np
import scipy.fft

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.spaces.base import ParameterSpace


@dataclass(frozen=True)
class FourierSeries:
    """The Gaussian field N(0, σ² (-Δ + τ² I)^-γ) on the unit torus, without its constant.

        g(x) = Σ_k √2 σ (4π² |k|² + τ²)^(-γ/2) (ξ_k cos 2π k·x + ζ_k sin 2π k·x),   ξ_k, ζ_k ~ N(0, 1) independent,

    over one k of every pair ±k with |k_i| <= `modes`. The same draw exists on every grid. Its pointwise variance is
    the same everywhere: Σ_{k ≠ 0} σ² (4π² |k|² + τ²)^-γ. Raises InputError where that would be infinite (γ <= d/2).
    """

    sigma: float = 1.0
    tau: float = 5.0
    gamma: float = 2.0
    modes: int = 128
    dim: int = 2

    def __post_init__(self) -> None:
        if self.dim not in (1, 2, 3) or self.modes < 1 or not self.tau >= 0 or not self.sigma > 0:
            raise InputError(f"{self}: expected dim 1 to 3, at least 1 mode, sigma above and tau not below zero")
        if not self.gamma > self.dim / 2:
            raise InputError(
                f"gamma = {self.gamma:g} in {self.dim}-D gives infinite variance; take gamma above {self.dim / 2:g}"
            )

    def deviations(self) -> Real:
        """Standard deviation of ξ_k's and ζ_k's terms, `(2 modes + 1, ..., modes + 1)`, in the order of `rfftn`.

        Zero for the constant, and for the one of two opposite k on the plane k_d = 0 that is not drawn.
        """
        full = np.fft.ifftshift(np.arange(-self.modes, self.modes + 1))
        lines = [full] * (self.dim - 1) + [np.arange(self.modes + 1)]
        k = np.meshgrid(*lines, indexing="ij")
        k2 = (2 * np.pi) ** 2 * reduce(np.add, [part.astype(np.float64) ** 2 for part in k])
        drawn = np.zeros(k2.shape, dtype=bool)
        for part in k:  # the first of the wave numbers, from the last backwards, that is not zero must be positive
            drawn = np.where(part != 0, part > 0, drawn)
        scale = np.where(drawn, k2 + self.tau**2, 1.0)
        return np.where(drawn, np.sqrt(2.0) * self.sigma * scale ** (-self.gamma / 2), 0.0)

    def variance(self) -> float:
        """The pointwise variance."""
        return float(np.sum(self.deviations() ** 2))

    def draws(self, indices: Iterable[int], seed: int) -> Iterator[Array]:
        """Coefficients ξ - iζ times the deviations, one draw after the other; draw i depends on (seed, i) alone."""
        deviations = self.deviations()
        for i in indices:
            parts = generator(seed, int(i)).standard_normal((2, *deviations.shape))
            yield deviations * (parts[0] - 1j * parts[1])

    def evaluate(self, coefficients: Iterable[Array], resolution: int) -> Real:
        """Values `(B, resolution, ...)` at the points i / resolution of the given coefficients."""
        # On a grid that resolves every mode, then thinned out: a coarse grid sees the values of the same function.
        thin = -(-(2 * self.modes + 1) // resolution)
        fine, every = resolution * thin, (slice(None, None, thin),) * self.dim
        fields = [self._on_grid(c, fine)[every] for c in coefficients]
        return np.stack(fields) if fields else np.empty((0, *(resolution,) * self.dim))

    def _on_grid(self, coefficients: Array, n: int) -> Real:
        """The real part of Σ c_k exp(2πi k·x) on n points per direction, n > 2 modes."""
        m = self.modes
        spectrum = np.zeros((*(n,) * (self.dim - 1), n // 2 + 1), dtype=np.complex128)
        places = np.ix_(*[np.arange(-m, m + 1)] * (self.dim - 1), np.arange(m + 1))
        spectrum[places] = np.fft.fftshift(coefficients, axes=range(self.dim - 1))
        # a real transform counts k_d > 0 twice, and of the plane k_d = 0 the real part once
        spectrum[..., 1:] *= 0.5
        lead = tuple(range(self.dim - 1))
        lines = scipy.fft.ifftn(spectrum, axes=lead, norm="forward", overwrite_x=True) if lead else spectrum
        return scipy.fft.irfft(lines, n=n, axis=-1, norm="forward")


@dataclass(frozen=True)
class PeriodicField(ParameterSpace):
    """A Gaussian periodic field, given by its values at `resolution` points per direction of the unit torus.

    `sigma`, `tau`, `gamma`, `modes`, `dim`: the law, see `FourierSeries`. The set holds every finite field.
    """

    kind: ClassVar[str] = "periodic-field"

    name: str = "u0"
    resolution: int = 64
    sigma: float = 1.0
    tau: float = 5.0
    gamma: float = 2.0
    modes: int = 128
    dim: int = 2

    def __post_init__(self) -> None:
        if self.resolution < 2:
            raise InputError(f"resolution = {self.resolution} points per direction; take at least 2")
        _ = self.law  # raises what is wrong with the law

    @property
    def law(self) -> FourierSeries:
        """The Gaussian field."""
        return FourierSeries(self.sigma, self.tau, self.gamma, self.modes, self.dim)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one field."""
        return (self.resolution,) * self.dim

    def at(self, resolution: int) -> Self:
        """The same set on another grid; draw i is the same function."""
        return replace(self, resolution=resolution)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Values `(B, resolution, ...)`."""
        return {self.name: self.law.evaluate(self.law.draws(indices, seed), self.resolution)}

    def contains(self, mu: Mu) -> Mask:
        """Which rows are finite fields on this grid."""
        values = as_mu(mu, self.names)[self.name]
        if values.shape[1:] != self.shape:
            return np.zeros(len(values), dtype=bool)
        return np.asarray(np.isfinite(values).all(axis=tuple(range(1, values.ndim))))

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**config)
