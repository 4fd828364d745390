"""Capabilities of problems in time: semilinear equations on a torus, and linear equations in matrices."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.problems.base import Evolution
from nwidth.spaces.torus import Torus


@dataclass(frozen=True, eq=False)
class SpectralTerms:
    """`∂t û = L û + Σ_j D_j F[g_j(F⁻¹[M_1 û], …, F⁻¹[M_m û])] + f̂`: what a pseudo-spectral stepper evaluates.

    û are Fourier coefficients (of `exp(i k·x)`, so that û_0 is the mean), every array is given on the wave vectors
    that the stepper asked for. `symbol` L: real, or complex for dispersion. `inputs` M_i: a multiplier, or None for u
    itself. `product` takes the m fields on the grid and gives the g_j, written with `+ - *` alone so that it serves
    every kind of array. `outputs` D_j: one multiplier per g_j. `forcing` f̂, or None. `degree`: polynomial degree of
    the g_j, which decides how many modes are free of aliasing (2: the 2/3 rule).
    """

    symbol: Array
    inputs: tuple[Array | None, ...]
    product: Callable[..., Sequence[Any]]
    outputs: tuple[Array, ...]
    forcing: Array | None = None
    degree: int = 2


class Semilinear(Evolution):
    """`∂t u = L u + N(u)` on a torus, L diagonal in Fourier space, N a polynomial in u and its derivatives.

    The equation is solved on `grid`, by default the space itself; where it is finer, the stored fields are its values
    at the nodes of `space`. Time starts at zero.
    """

    @abstractmethod
    def start(self, mu: Mu) -> Real:
        """The initial states on the grid of the solve, `(B, *grid.shape)`."""

    @abstractmethod
    def terms(self, k: tuple[Real, ...]) -> SpectralTerms:
        """The equation at the wave vectors k, one array per direction, which broadcast against each other."""

    @property
    def grid(self) -> Torus:
        """Where the equation is solved: the space, or a torus whose points include those of the space."""
        space = self.space
        if not isinstance(space, Torus):
            raise InputError(f"{type(self).__name__} has the space {space!r}; a semilinear problem lives on a Torus")
        return space

    def initial(self, mu: Mu) -> Array:
        """The initial states at the nodes of the space, `(B, *space.shape)`."""
        return subsampled(self.start(mu), self.space.shape)


def subsampled(fields: Array, shape: tuple[int, ...]) -> Array:
    """Every s-th value along each of the last axes, so that they have the given shape.

    Raises InputError where the sizes do not divide.
    """
    sizes = fields.shape[-len(shape) :]
    if any(n % m for n, m in zip(sizes, shape, strict=True)):
        raise InputError(f"{sizes} points cannot be thinned out to {shape}; the numbers must divide")
    every: Any = (..., *(slice(None, None, n // m) for n, m in zip(sizes, shape, strict=True)))
    return fields[every]


@dataclass(frozen=True, eq=False)
class Marching:
    """`M u' + A u = load(t)` on the free dofs, `u = lift(t)` elsewhere; one sample.

    `mass` and `operator` are `(N, N)` over all dofs with no rows or columns cleared; `load(t)` is `(N,)` in the weak
    sense, without the share of the prescribed values; `lift(t)` is `(N,)`, read off the free dofs only. None means
    zero. `definite`: whether M and A are symmetric and positive (semi-)definite, which allows a faster factorisation.
    """

    mass: sp.csr_array
    operator: sp.csr_array
    free: Mask
    load: Callable[[float], Real] | None = None
    lift: Callable[[float], Real] | None = None
    definite: bool = True


class LinearEvolution(Evolution):
    """A linear equation in time, `M u' + A(mu) u = f(mu, t)`, one sample at a time. Time starts at zero."""

    @abstractmethod
    def marching(self, mu: Mu) -> Marching:
        """The matrices and loads of a single parameter (a mapping with batch size 1)."""


def checked_times(times: Real, name: str) -> Real:
    """Stored times, increasing and not before zero. Raises InputError otherwise."""
    times = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) <= 0).any():
        raise InputError(f"{name} has the stored times {times}; give increasing finite times, none before zero")
    return times
