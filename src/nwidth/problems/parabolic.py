"""Linear parabolic problems that separate parameters and time from space, marched at time levels of their own.

`M u' + A(mu, t) u = f(mu, t)` with `A = Σ_q θ_q(mu, t) A_q`, `f = Σ_q φ_q(mu, t) f_q`. What a reduced basis is compared
with is the *time-discrete* solution: same method, same steps.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu, batch_size, check_choice
from nwidth.problems.base import AffineTerms, BlackBox, Evolution, Outputs, Quantity
from nwidth.problems.min_theta import ThetaStability
from nwidth.problems.parabolic_march import March, StepMatrices
from nwidth.spaces.mesh import Form

Scheme = Literal["implicit-euler", "crank-nicolson"]
SCHEMES = ("implicit-euler", "crank-nicolson")
#: Steps whose coefficients are held at a time.
_CHUNK = 256


@dataclass(frozen=True)
class Stepping:
    """`count` steps of length `dt`, in seconds or whatever the problem counts in; every `every`-th level is stored.

    Step k leads from t_{k-1} = (k - 1) dt to t_k and takes matrices and loads at its *point*, where the equation holds:
    t_k for implicit Euler (order 1, damps everything), the middle for Crank-Nicolson (order 2, damps nothing fast).
    """

    dt: float
    count: int
    scheme: Scheme = "implicit-euler"
    every: int = 1

    def __post_init__(self) -> None:
        check_choice("scheme", self.scheme, SCHEMES)
        if not (0 < self.dt < np.inf) or self.count < 1 or self.every < 1 or self.count % self.every:
            raise InputError(
                f"got {self.count} steps of {self.dt} and every {self.every}-th stored; give a positive step, at least "
                "one of them, and a number of steps that `every` divides"
            )

    @property
    def weight(self) -> float:
        """ϑ: the point of a step is ϑ of the new level and 1 - ϑ of the old one."""
        return 1.0 if self.scheme == "implicit-euler" else 0.5

    @property
    def times(self) -> Real:
        """The stored levels `(T,)`: t_every, t_2every, ..., the end."""
        return self.dt * np.arange(self.every, self.count + 1, self.every, dtype=np.float64)

    def points(self, first: int, last: int) -> Real:
        """The points of the steps first + 1, ..., last."""
        return self.dt * (np.arange(first, last, dtype=np.float64) + self.weight)

    def stored(self, first: int, last: int) -> Array:
        """Which of the steps first + 1, ..., last end at a stored level, as places in that range."""
        return np.flatnonzero(np.arange(first + 1, last + 1) % self.every == 0)


@dataclass(frozen=True)
class EvolutionTerms(AffineTerms):
    """What depends neither on parameters nor on time: A_q, f_q, free dofs, the constant lift; the mass M, symmetric
    positive definite with a proven lower bound of its smallest eigenvalue; and constants of A(θ) against
    `space.inner("energy")`, None where nothing is known (no bounds then)."""

    mass: Form
    stability: ThetaStability | None = None


class AffineEvolution(Evolution, BlackBox, Outputs):
    """A linear parabolic problem in affine terms, with coefficients as functions of time, and its steps.

    `w = u - lift` starts from `Σ_k ψ_k(mu) g_k` (zero, unless `starts` says otherwise). The outputs belong to the
    *points* of the steps: the stored levels for implicit Euler, half a step before them for Crank-Nicolson, which
    controls nothing else. It solves itself (`solve`), and so serves `nw.solve` and `nw.generate`.
    """

    @abstractmethod
    def terms(self) -> EvolutionTerms:
        """Matrices, loads, mass and constants."""

    @property
    @abstractmethod
    def stepping(self) -> Stepping:
        """The time levels."""

    @abstractmethod
    def coefficients(self, mu: Mu, times: Real) -> tuple[Real, Real]:
        """`θ (B, T, Q_A)` and `φ (B, T, Q_f)` at times `(T,)`."""

    def mass(self) -> Form:
        """M."""
        return self.terms().mass

    @property
    def stability(self) -> ThetaStability:
        """Constants of A(θ). Raises InputError where there are none."""
        known = self.terms().stability
        if known is None:
            raise InputError(
                f"no bound for {type(self).__name__}: a stability constant is missing; give EvolutionTerms a stability "
                "such as MinTheta(reference, slack), or calibrate limits on runs (nwidth.certificates.lead_time)"
            )
        return known

    def quantities(self) -> Mapping[str, Quantity]:
        """The outputs; none unless the problem says so."""
        return {}

    def starts(self, mu: Mu) -> tuple[Real, Real]:
        """`ψ (B, Q_0)` and g `(Q_0, N)`, zero off the free dofs."""
        return np.zeros((batch_size(mu), 0)), np.zeros((0, self.space.size))

    @property
    def times(self) -> Real:
        return self.stepping.times

    def initial(self, mu: Mu | Array) -> Real:
        psi, g = self.starts(as_mu(mu, self.parameters.names))
        return (psi @ g + self.terms().lift).reshape(len(psi), *self.space.shape)

    def solve(self, mu: Mu | Array) -> Real:
        """Full-order trajectories `(B, T, *space.shape)` at the stored levels.

        Raises InputError for coefficients that are not finite, WorkError where a matrix is singular.
        """
        mu, steps = as_mu(mu, self.parameters.names), self.stepping
        matrices, lift = StepMatrices(self.terms(), self.mass()), self.terms().lift
        out = np.empty((batch_size(mu), len(steps.times), self.space.size))
        psi, g = self.starts(mu)
        for rows in same_paths(self, mu):
            part = {name: values[rows] for name, values in mu.items()}
            march = March(matrices, steps.dt, steps.weight, psi[rows] @ g)
            place = 0
            for first, last, theta, phi in pieces(self, part):
                loads = phi @ self.terms().loads
                for k in range(last - first):
                    march.step(theta[0, k], loads[:, k])
                    if (first + k + 1) % steps.every == 0:
                        out[rows, place] = march.level + lift
                        place += 1
        return out.reshape(*out.shape[:2], *self.space.shape)


def pieces(problem: AffineEvolution, mu: Mu, size: int = _CHUNK) -> Iterator[tuple[int, int, Real, Real]]:
    """Yields (first, last, θ, φ) of the steps first + 1, ..., last, `size` at a time.

    Raises InputError for coefficients of another shape, or that are not finite.
    """
    steps = problem.stepping
    for first in range(0, steps.count, size):
        last = min(first + size, steps.count)
        yield (first, last, *checked_coefficients(problem, mu, steps.points(first, last)))


def checked_coefficients(problem: AffineEvolution, mu: Mu, times: Real) -> tuple[Real, Real]:
    """θ and φ at times, contiguous. Raises InputError for another shape, or values that are not finite."""
    terms = problem.terms()
    theta, phi = (np.ascontiguousarray(a, dtype=np.float64) for a in problem.coefficients(mu, times))
    for name, values, count in (("θ", theta, len(terms.matrices)), ("φ", phi, len(terms.loads))):
        if values.shape != (batch_size(mu), len(times), count):
            raise InputError(
                f"{type(problem).__name__}.coefficients gave {name} of shape {values.shape}, expected "
                f"{(batch_size(mu), len(times), count)}: one row per query, one column per time"
            )
        if not np.isfinite(values).all():
            row, step = (int(i) for i in np.argwhere(~np.isfinite(values))[0][:2])
            raise InputError(f"{name} of sample {row} is not finite at t = {times[step]:g}; check the parameters")
    return theta, phi


def same_paths(problem: AffineEvolution, mu: Mu) -> list[Array]:
    """Samples whose matrices agree at all times, together: they share factorisations."""
    digests: dict[bytes, list[int]] = {}
    keys = [b""] * batch_size(mu)
    for _, _, theta, _ in pieces(problem, mu):
        keys = [hashlib.sha256(key + row.tobytes()).digest() for key, row in zip(keys, theta, strict=True)]
    for i, key in enumerate(keys):
        digests.setdefault(key, []).append(i)
    return [np.array(rows) for rows in digests.values()]
