"""Burgers' equation with random initial data: the first standard test of operators in time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import scipy.fft

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.problems.base import Resizable
from nwidth.problems.evolution import Semilinear, SpectralTerms, checked_times, subsampled
from nwidth.problems.stored_evolution import check_numbers, verify_numbers
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.torus import Torus

#: Largest range of U / 2ν for which the closed form keeps ten digits: it divides by sums of exponentials of it.
_RANGE = 12.0


@dataclass(frozen=True)
class Burgers(Semilinear, Resizable, Storable):
    """`∂t u + ∂x(u²/2) = ν ∂xx u` on (0, 1), periodic; the parameter is the initial state u0 ~ N(0, σ² (-Δ + τ²)^-γ).

    `viscosity` ν; `resolution`: stored points; `solver_resolution`: points of the solve, of which every s-th is
    stored (the parameter is given on them too); `levels`: the stored times. The law of u0 has `modes` sines and as
    many cosines, see `FourierSeries`. Defaults: the data set "R10" of Li et al. 2021 (ν = 1/10, σ = 25, τ = 5, γ = 2,
    u0 to u(1), 8192 points; files are thinned out by powers of two). Others: `Burgers.trajectories()`,
    `Burgers.pino()`. The script that is published beside the data has the values of `trajectories`.
    """

    kind: ClassVar[str] = "burgers"

    viscosity: float = 0.1
    resolution: int = 1024
    solver_resolution: int = 8192
    levels: tuple[float, ...] = (1.0,)
    sigma: float = 25.0
    tau: float = 5.0
    gamma: float = 2.0
    modes: int = 4096

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(float(t) for t in np.atleast_1d(self.levels)))
        checked_times(self.times, "Burgers")
        if not self.viscosity > 0:
            raise InputError(f"viscosity = {self.viscosity:g}; it must be positive")
        if self.solver_resolution % self.resolution:
            raise InputError(
                f"resolution = {self.resolution} does not divide solver_resolution = {self.solver_resolution}"
            )
        _ = self.parameters, self.space  # raise what is wrong with them

    @classmethod
    def trajectories(cls, **options: Any) -> "Burgers":
        """ν = 1/1000 with the law of the published script (σ = 49, τ = 7, γ = 2.5): 1024 points, 201 times to 1."""
        levels = tuple(np.linspace(0.0, 1.0, 201))
        given = {"viscosity": 1e-3, "solver_resolution": 4096, "sigma": 49.0, "tau": 7.0, "gamma": 2.5, "modes": 512}
        return cls(**{**given, "levels": levels, **options})

    @classmethod
    def pino(cls, **options: Any) -> "Burgers":
        """ν = 1/100 with the law of "R10" and whole trajectories: 128 points, 101 times to 1 (Li et al. 2024)."""
        levels = tuple(np.linspace(0.0, 1.0, 101))
        given = {"viscosity": 1e-2, "resolution": 128, "solver_resolution": 4096, "modes": 2048}
        return cls(**{**given, "levels": levels, **options})

    @property
    def parameters(self) -> PeriodicField:
        return PeriodicField("u0", self.solver_resolution, self.sigma, self.tau, self.gamma, self.modes, dim=1)

    @property
    def space(self) -> Torus:
        return Torus((self.resolution,))

    @property
    def grid(self) -> Torus:
        return Torus((self.solver_resolution,))

    @property
    def times(self) -> Real:
        return np.array(self.levels)

    def at(self, resolution: int) -> "Burgers":
        return replace(self, resolution=resolution)

    def start(self, mu: Mu | Array) -> Real:
        return np.asarray(as_mu(mu, ("u0",))["u0"], dtype=np.float64)

    def terms(self, k: tuple[Real, ...]) -> SpectralTerms:
        return SpectralTerms(-self.viscosity * k[0] ** 2, (None,), _half_square, (-1j * k[0],))

    def exact(self, mu: Mu | Array) -> Real:
        """The solution by the transform of Cole and Hopf, `(B, T, *space.shape)`: u = -2ν ∂x log φ, ∂t φ = ν ∂xx φ.

        For u0 of mean zero (which the law has). Raises InputError where ν is so small that φ = exp(-∫u0 / 2ν) spans
        too many orders of magnitude.
        """
        u0 = self.start(mu)
        k = self.grid.wave_numbers()[0]
        # of a grid of even size the highest wave has no derivative
        spectrum = np.where(k < k[-1], scipy.fft.rfft(u0), 0.0)
        potential = scipy.fft.irfft(np.divide(spectrum, 1j * k, out=np.zeros_like(spectrum), where=k > 0))
        exponent = -potential / (2 * self.viscosity)
        if np.ptp(exponent, axis=-1).max(initial=0.0) > 2 * _RANGE:
            raise InputError(f"viscosity = {self.viscosity:g} is too small for the closed form in double precision")
        phi = scipy.fft.rfft(np.exp(exponent))[:, None]
        phi = phi * np.exp(-self.viscosity * k**2 * self.times[:, None])
        slope, value = scipy.fft.irfft(np.where(k < k[-1], 1j * k * phi, 0.0)), scipy.fft.irfft(phi)
        return subsampled(-2 * self.viscosity * slope / value, self.space.shape)

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {"check": check_numbers(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return verify_numbers(cls(**config), arrays["check"])


def _half_square(u: Any) -> tuple[Any]:
    return (0.5 * u * u,)
