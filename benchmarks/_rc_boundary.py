"""An RC network whose last resistor is the cooling: a chain of nodes per chip, coupled below, grounded through h.

This is what remains to an engineer where the cooling changes: the topology follows the stack, and all resistances,
capacities and cooled areas are fitted at once to step responses at several values of h.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.optimize import least_squares

from nwidth.core.arrays import Real

#: Nodes of a chip's chain; the lowest _COUPLED of them are coupled to the other chip's, and the last is cooled.
_CHAIN, _COUPLED = 6, 3
_NODES = 2 * _CHAIN + 1


@dataclass(frozen=True, eq=False)
class Boundary:
    """`C T' + (G + h diag(areas)) T = P` over 13 nodes, temperatures above the ambient; the last node is the edge
    of the stack. capacities `(13,)`, conductances `(13, 13)`, areas `(13,)`."""

    capacities: Real
    conductances: Real
    areas: Real
    dt: float

    @classmethod
    def fit(cls, hs: Real, responses: Real, dt: float) -> "Boundary":
        """Least squares to responses `(H, 2, 2, T)` of chip i to a unit step in power j, on a logarithmic scale of
        times. The chips are alike."""
        steps = np.unique(np.geomspace(1, responses.shape[-1], 60).astype(int))
        wanted = responses[..., steps - 1]

        def misfit(logs: Real) -> Real:
            found = np.stack([cls.of(logs, dt).responses(h, steps) for h in hs])
            return ((found - wanted) / wanted[:, 0, 0, -1][:, None, None, None]).ravel()

        chain = np.concatenate([np.geomspace(20, 5, _CHAIN - 1), np.geomspace(0.05, 20, _CHAIN)])
        start = np.log(np.concatenate([chain, np.full(_COUPLED, 1.0), [1.0, 20.0, 8e-4, 8e-4]]))
        best = least_squares(misfit, start, method="trf", max_nfev=400, xtol=1e-10, ftol=1e-10)
        return cls.of(best.x, dt)

    @classmethod
    def of(cls, logs: Real, dt: float) -> "Boundary":
        """The network of the logarithms of its numbers."""
        values = np.exp(logs)
        vertical, stores, rest = np.split(values, [_CHAIN - 1, 2 * _CHAIN - 1])
        g, c, areas = np.zeros((_NODES, _NODES)), np.zeros(_NODES), np.zeros(_NODES)

        def connect(i: int, j: int, value: float) -> None:
            g[i, i] += value
            g[j, j] += value
            g[i, j] -= value
            g[j, i] -= value

        for chip in range(2):
            first = chip * _CHAIN
            c[first : first + _CHAIN] = stores
            for k in range(_CHAIN - 1):
                connect(first + k, first + k + 1, vertical[k])
            connect(first + _CHAIN - 1, _NODES - 1, rest[_COUPLED])
            areas[first + _CHAIN - 1] = rest[_COUPLED + 2]
        for k in range(_COUPLED):
            connect(_CHAIN - 1 - k, 2 * _CHAIN - 1 - k, rest[k])
        c[-1], areas[-1] = rest[_COUPLED + 1], rest[_COUPLED + 3]
        return cls(c, g, areas, dt)

    def responses(self, h: float, steps: Real) -> Real:
        """Of the two chips to unit steps in the two powers after so many implicit Euler steps, `(2, 2, T)`."""
        root = 1 / np.sqrt(self.capacities)
        values, vectors = np.linalg.eigh(root[:, None] * (self.conductances + h * np.diag(self.areas)) * root)
        values, chips = np.maximum(values, 1e-12), (root[:, None] * vectors)[[0, _CHAIN]]
        rise = (1 - (1 + self.dt * values[:, None]) ** -steps.astype(float)) / values[:, None]
        return np.einsum("ik,jk,kt->ijt", chips, chips, rise)

    def march(self, h: Real, powers: Real) -> Real:
        """Temperatures above the ambient, `(B, T, 2)`, for h `(B, T)` and powers `(B, T, 2)`."""
        return _march(h, powers, self.capacities, self.conductances, self.areas, self.dt)


@njit(cache=True)
def _march(h: Real, powers: Real, capacities: Real, conductances: Real, areas: Real, dt: float) -> Real:
    batch, steps, n = powers.shape
    out, chain = np.empty((batch, steps, n)), len(capacities) // 2
    for b in range(batch):
        x, known, inverse = np.zeros(len(capacities)), -1.0, conductances
        for t in range(steps):
            if h[b, t] != known:
                known = h[b, t]
                matrix = np.diag(capacities) / dt + conductances + known * np.diag(areas)
                inverse = np.ascontiguousarray(np.linalg.inv(matrix))
            right = capacities / dt * x
            for i in range(n):
                right[i * chain] += powers[b, t, i]
            x = inverse @ right
            for i in range(n):
                out[b, t, i] = x[i * chain]
    return out
