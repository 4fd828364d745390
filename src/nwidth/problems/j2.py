"""J2 plasticity with linear kinematic and isotropic hardening, in plane strain: radial return in closed form."""

from dataclasses import dataclass

import numba
import numpy as np

from nwidth.core.arrays import Real
from nwidth.core.errors import InputError

#: Columns of a material table.
BULK, SHEAR, LIMIT, KINEMATIC, ISOTROPIC = range(5)
#: Rows of a tangent: δσ = λ tr(δε) I + 2μ δε - m (m : δε), m symmetric with entries 11, 22, 12.
LAMBDA, MU, M11, M22, M12 = range(5)


@dataclass(frozen=True)
class J2:
    """`σ = K tr(ε) I + 2G dev(ε - ε_p)`, yield where `q(σ - X) = σ_y + H p`, `X = ⅔ C ε_p`, q the von Mises stress.

    `young` E, `poisson` ν: elasticity. `limit` σ_y: the yield stress (infinite for an elastic phase). `kinematic` C and
    `isotropic` H: stress per accumulated plastic strain `p = ∫ √(⅔ ε̇_p : ε̇_p) dt` (Prager; linear). Any unit of stress,
    one for all. Raises InputError for constants that leave the material without a positive stiffness.
    """

    young: float = 70.0
    poisson: float = 0.3
    limit: float = np.inf
    kinematic: float = 0.0
    isotropic: float = 0.0

    def __post_init__(self) -> None:
        if not (self.young > 0 and -1 < self.poisson < 0.5 and self.limit > 0):
            raise InputError(f"{self}: expected young > 0, poisson in (-1, 0.5), limit > 0 (infinite: elastic)")
        if not (self.kinematic >= 0 and self.isotropic >= 0):
            raise InputError(f"{self}: hardening must not be negative; softening has no unique answer")

    @property
    def bulk(self) -> float:
        """K = E / (3 (1 - 2ν))."""
        return self.young / (3 * (1 - 2 * self.poisson))

    @property
    def shear(self) -> float:
        """G = E / (2 (1 + ν))."""
        return self.young / (2 * (1 + self.poisson))

    def row(self) -> Real:
        """The constants in the order of a material table, `(5,)`."""
        return np.array([self.bulk, self.shear, self.limit, self.kinematic, self.isotropic])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def return_map(table, phase, strain, old_strain, old_p, stress, tangent, new_strain, new_p):  # type: ignore[no-untyped-def]
    """Backward Euler step at every point n: from `strain` and the old plastic state to stress, tangent, new state.

    table `(M, 5)`, phase `(N,)` whole numbers; strain, plastic strain and stress `(3, N)` with entries 11, 22, 12
    (plane strain: ε_33 = 0; plastic strain has no trace, so its 33 entry is minus the sum of the first two); p `(N,)`;
    tangent `(5, N)`, consistent with the step (Simo and Taylor 1985). Linear hardening makes the return exact: no
    iteration.
    """
    for n in range(phase.size):
        bulk, shear, limit, kinematic, isotropic = table[phase[n]]
        p11, p22, p12 = old_strain[0, n], old_strain[1, n], old_strain[2, n]
        trace = strain[0, n] + strain[1, n]
        # trial deviator less the back stress, entries 11, 22, 12 and 33
        pull = 2 * shear + 2 * kinematic / 3
        e11, e22, e33 = strain[0, n] - trace / 3, strain[1, n] - trace / 3, -trace / 3
        x11 = 2 * shear * e11 - pull * p11
        x22 = 2 * shear * e22 - pull * p22
        x12 = 2 * shear * strain[2, n] - pull * p12
        x33 = 2 * shear * e33 + pull * (p11 + p22)
        q = np.sqrt(1.5 * (x11 * x11 + x22 * x22 + x33 * x33 + 2 * x12 * x12))
        over = q - limit - isotropic * old_p[n]
        step = max(over, 0.0) / (3 * shear + kinematic + isotropic)
        rate = 1.5 * step / q if step > 0 else 0.0
        p11 += rate * x11
        p22 += rate * x22
        p12 += rate * x12
        new_strain[0, n], new_strain[1, n], new_strain[2, n] = p11, p22, p12
        new_p[n] = old_p[n] + step
        stress[0, n] = bulk * trace + 2 * shear * (e11 - p11)
        stress[1, n] = bulk * trace + 2 * shear * (e22 - p22)
        stress[2, n] = 2 * shear * (strain[2, n] - p12)
        left = 1 - 3 * shear * step / q if step > 0 else 1.0
        lost = 3 * shear / (3 * shear + kinematic + isotropic) - (1 - left)
        size = np.sqrt(2 * shear * lost * 1.5) / q if step > 0 else 0.0
        tangent[LAMBDA, n] = bulk - 2 * shear * left / 3
        tangent[MU, n] = shear * left
        tangent[M11, n], tangent[M22, n], tangent[M12, n] = size * x11, size * x22, size * x12
