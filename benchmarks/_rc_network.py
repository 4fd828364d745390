"""Foster networks: sums of exponentials fitted to step responses, the thermal model that engineers use today."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.optimize import nnls

from nwidth.core.arrays import Real


@dataclass(frozen=True, eq=False)
class Foster:
    """`T_i(t) = T_0 + Σ_j Σ_k R_ijk x_jk`, `τ_k x_jk' + x_jk = P_j`, stepped by implicit Euler as the full model is.

    tau `(K,)`, r `(H, n, n, K)` at the logarithms of h, logs `(H,)`: one entry is the usual network, several are
    interpolated between while h varies.
    """

    tau: Real
    r: Real
    logs: Real
    dt: float

    @classmethod
    def fit(cls, hs: Real, responses: Real, dt: float, count: int = 14) -> "Foster":
        """Least squares to responses `(H, n, n, T)` of output i to a unit step in power j, with K fixed time constants;
        resistances of a chip by its own power are not negative, as in a network that can be built."""
        steps = np.arange(1, responses.shape[-1] + 1)
        tau = np.geomspace(dt / 2, 0.3 * dt * len(steps), count)
        table = 1 - (1 + dt / tau) ** -steps[:, None].astype(float)
        r = np.empty((*responses.shape[:3], count))
        for h, i, j in np.ndindex(*responses.shape[:3]):
            wanted = responses[h, i, j]
            r[h, i, j] = nnls(table, wanted)[0] if i == j else np.linalg.lstsq(table, wanted, rcond=1e-10)[0]
        return cls(tau, r, np.log(hs), dt)

    def march(self, h: Real, powers: Real) -> Real:
        """Temperatures above T_0, `(B, T, n)`, for h `(B, T)` and powers `(B, T, n)`."""
        return _march(h, powers, self.tau, self.r, self.logs, self.dt)


@njit(cache=True)
def _march(h: Real, powers: Real, tau: Real, r: Real, logs: Real, dt: float) -> Real:
    batch, steps, n = powers.shape
    out = np.empty((batch, steps, n))
    for b in range(batch):
        x = np.zeros((n, len(tau)))
        low, share, known = 0, 0.0, -1.0
        for t in range(steps):
            if h[b, t] != known and len(logs) > 1:
                known = h[b, t]
                low = min(max(np.searchsorted(logs, np.log(known)) - 1, 0), len(logs) - 2)
                share = (np.log(known) - logs[low]) / (logs[low + 1] - logs[low])
            for i in range(n):
                out[b, t, i] = 0.0
            for j in range(n):
                for k in range(len(tau)):
                    x[j, k] = (x[j, k] + dt / tau[k] * powers[b, t, j]) / (1 + dt / tau[k])
                    for i in range(n):
                        value = r[low, i, j, k]
                        if len(logs) > 1:
                            value += share * (r[low + 1, i, j, k] - value)
                        out[b, t, i] += value * x[j, k]
    return out
