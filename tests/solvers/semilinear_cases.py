"""Small semilinear problems, and an independent way to solve them: complex transforms, a general ODE solver."""

from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp

from nwidth.core.validation import as_mu
from nwidth.problems.evolution import Semilinear, SpectralTerms
from nwidth.spaces.box import Box
from nwidth.spaces.torus import Torus


@dataclass(frozen=True)
class Reaction(Semilinear):
    """∂t u = ε Δu + c ∂_1 u + u - u³ in one to three dimensions; the parameters shape a smooth initial state."""

    cells: tuple[int, ...] = (12,)
    epsilon: float = 0.02
    drift: float = 0.3
    levels: tuple[float, ...] = (0.5, 1.25)

    @property
    def parameters(self):
        return Box(("a", "b"), low=(0.2, -1.0), high=(1.0, 1.0))

    @property
    def space(self):
        return Torus(self.cells, 2.0)

    @property
    def times(self):
        return np.array(self.levels)

    def start(self, mu):
        mu = as_mu(mu, ("a", "b"))
        x = np.meshgrid(*self.space.axes(), indexing="ij")
        wave = np.prod([1 + 0.5 * np.sin(np.pi * part) for part in x], axis=0) + 0.3 * np.cos(2 * np.pi * x[0])
        a, b = (np.asarray(mu[n], dtype=float).reshape(-1, *(1,) * len(x)) for n in ("a", "b"))
        return a * wave + b

    def terms(self, k):
        symbol = -self.epsilon * sum(part**2 for part in k) + 1j * self.drift * k[0]
        return SpectralTerms(symbol, (None,), lambda u: (u - u * u * u,), (np.ones(()),), degree=3)


@dataclass(frozen=True)
class Flow(Semilinear):
    """∂t u + u ∂_1 u = ν Δu, the nonlinear term as a product of two fields, with a force."""

    cells: tuple[int, ...] = (32,)
    levels: tuple[float, ...] = (0.5,)
    viscosity: float = 0.05

    parameters = Reaction.parameters
    space = Reaction.space
    times = Reaction.times
    start = Reaction.start

    def terms(self, k):
        # half of 0.5 cos(π x_last), on the wave that varies along the last direction alone
        single = np.isclose(k[-1], np.pi) & np.isclose(sum(part**2 for part in k), np.pi**2)
        force = np.where(single, 0.25, 0.0)
        return SpectralTerms(
            -self.viscosity * sum(part**2 for part in k),
            (None, 1j * k[0]),
            lambda u, v: (u * v,),
            (-np.ones(()),),
            force,
        )


@dataclass(frozen=True)
class Explosion(Semilinear):
    """∂t u = u²: from the constant c it is infinite at time 1/c."""

    levels: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)

    @property
    def parameters(self):
        return Box(("c",), low=(-4.0,), high=(4.0,))

    @property
    def space(self):
        return Torus((8,))

    @property
    def times(self):
        return np.array(self.levels)

    def start(self, mu):
        return np.broadcast_to(
            np.asarray(as_mu(mu, ("c",))["c"], dtype=float)[:, None], (len(as_mu(mu, ("c",))["c"]), 8)
        )

    def terms(self, k):
        return SpectralTerms(np.zeros(()), (None,), lambda u: (u * u,), (np.ones(()),))


def oracle(problem, u0):
    """The truncated Galerkin system of one initial state, full complex transforms, integrated to 1e-11."""
    torus = problem.grid
    lines = [2 * np.pi * np.fft.fftfreq(n, h) for n, h in zip(torus.cells, torus.spacings, strict=True)]
    index = [np.fft.fftfreq(n, 1 / n) for n in torus.cells]
    k = np.meshgrid(*lines, indexing="ij")
    terms = problem.terms(tuple(k))
    alive = np.ones(torus.cells, dtype=bool)
    for i, n in zip(np.meshgrid(*index, indexing="ij"), torus.cells, strict=True):
        alive &= np.abs(i) <= (n - 1) // (terms.degree + 1)
    force = 0.0
    if terms.forcing is not None:
        force = np.where(k[-1] > 0, terms.forcing, 0.0)
        mirrored = np.roll(np.flip(force), 1, axis=tuple(range(force.ndim)))
        force = force + np.conj(mirrored)

    def slope(t, y):
        w = (y[: y.size // 2] + 1j * y[y.size // 2 :]).reshape(torus.cells)
        fields = [np.fft.ifftn(w if m is None else m * w).real * w.size for m in terms.inputs]
        right = sum(d * np.fft.fftn(g) / w.size for d, g in zip(terms.outputs, terms.product(*fields), strict=True))
        change = np.where(alive, terms.symbol * w + right + force, 0.0).ravel()
        return np.concatenate([change.real, change.imag])

    w0 = np.where(alive, np.fft.fftn(u0) / u0.size, 0.0).ravel()
    y0 = np.concatenate([w0.real, w0.imag])
    found = solve_ivp(slope, (0.0, problem.times[-1]), y0, "DOP853", problem.times, rtol=1e-11, atol=1e-13)
    half = y0.size // 2
    return np.stack([np.fft.ifftn((y[:half] + 1j * y[half:]).reshape(torus.cells)).real * half for y in found.y.T])
