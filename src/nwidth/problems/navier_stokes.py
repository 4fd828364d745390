"""Two-dimensional flow with a random initial vorticity: the second standard test of operators in time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import pi
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.problems.base import Resizable
from nwidth.problems.evolution import Semilinear, SpectralTerms, checked_times
from nwidth.problems.stored_evolution import check_numbers, verify_numbers
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.torus import Torus

#: √2 · 7^(3/2): the published generator draws real and imaginary parts of all modes and keeps the real part of the sum,
#: which doubles the covariance 7³ (-Δ + 49)^-2.5 of its formula.
_SIGMA = 2**0.5 * 7**1.5


@dataclass(frozen=True)
class NavierStokes(Semilinear, Resizable, Storable):
    """`∂t w + v·∇w = ν Δw + f` on the unit torus, v = (∂y ψ, -∂x ψ), -Δψ = w; the parameter is the vorticity w0.

    f = `forcing` (sin 2π(x + y) + cos 2π(x + y)). `viscosity` ν; `resolution`: stored points per direction;
    `solver_resolution`: points of the solve, of which every s-th is stored (the parameter is given on them too);
    `levels`: the stored times. Defaults: the data set "V1e-3" of Li et al. 2021 with its 50 frames; the others are
    `NavierStokes(1e-4, levels=range(1, 31))` and `NavierStokes(1e-5, levels=range(1, 21))`.

    w0 ~ N(0, 2 · 7³ (-Δ + 49)^-2.5): the law that the published code draws from, with pointwise variance 0.0686 (the
    formula printed in the paper has 37 times less). Of the 2/3 of the modes that are kept, those along the axes
    reach to |k_d| <= (n - 1) / 3, as in the code.

    The nonlinear term is evaluated as (∂yy - ∂xx)(v_x v_y) + ∂xy (v_x² - v_y²): two fields there and two back, where
    v·∇w needs four and one. Both are the same for fields that are free of aliasing.
    """

    kind: ClassVar[str] = "navier_stokes"

    viscosity: float = 1e-3
    resolution: int = 64
    solver_resolution: int = 256
    levels: tuple[float, ...] = tuple(float(t) for t in range(1, 51))
    forcing: float = 0.1
    sigma: float = _SIGMA
    tau: float = 7.0
    gamma: float = 2.5
    modes: int = 127

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(float(t) for t in np.atleast_1d(self.levels)))
        checked_times(self.times, "NavierStokes")
        if not self.viscosity >= 0:
            raise InputError(f"viscosity = {self.viscosity:g}; it must not be negative")
        if self.solver_resolution % self.resolution:
            raise InputError(
                f"resolution = {self.resolution} does not divide solver_resolution = {self.solver_resolution}"
            )
        _ = self.parameters, self.space  # raise what is wrong with them

    @property
    def parameters(self) -> PeriodicField:
        return PeriodicField("w0", self.solver_resolution, self.sigma, self.tau, self.gamma, self.modes, dim=2)

    @property
    def space(self) -> Torus:
        return Torus((self.resolution,) * 2)

    @property
    def grid(self) -> Torus:
        return Torus((self.solver_resolution,) * 2)

    @property
    def times(self) -> Real:
        return np.array(self.levels)

    def at(self, resolution: int) -> "NavierStokes":
        return replace(self, resolution=resolution)

    def start(self, mu: Mu | Array) -> Real:
        return np.asarray(as_mu(mu, ("w0",))["w0"], dtype=np.float64)

    def terms(self, k: tuple[Real, ...]) -> SpectralTerms:
        k2 = k[0] ** 2 + k[1] ** 2
        inverse = np.divide(1.0, k2, out=np.zeros_like(k2), where=k2 > 0)
        velocity = (1j * k[1] * inverse, -1j * k[0] * inverse)
        stresses = (k[0] ** 2 - k[1] ** 2, -k[0] * k[1])
        return SpectralTerms(-self.viscosity * k2, velocity, _stresses, stresses, self._force(k))

    def _force(self, k: tuple[Real, ...]) -> Array:
        """Fourier coefficients of f: cos θ + sin θ = Re (1 - i) exp(iθ), half of it on k = (2π, 2π)."""
        wave = np.isclose(k[0], 2 * pi) & np.isclose(k[1], 2 * pi)
        return np.where(wave, 0.5 * self.forcing * (1 - 1j), 0.0)

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {"check": check_numbers(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return verify_numbers(cls(**config), arrays["check"])


def _stresses(vx: Any, vy: Any) -> tuple[Any, Any]:
    return vx * vy, (vx + vy) * (vx - vy)
