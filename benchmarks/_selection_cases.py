"""Two small problems with closed-form answers, for what selection and feedback do to calibrated limits."""

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.problems.base import BlackBox, Outputs, Quantity
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points

#: Frequencies, in units of the structure's own, at which the response is looked at.
_SWEEP = np.linspace(0.6, 1.4, 321)


class TunedMass(BlackBox, Outputs):
    """A structure with a tuned-mass damper: the peak of its response to a harmonic force (Den Hartog 1934).

    With g the frequency of the force, f that of the damper, ζ its damping and m its share of the mass,

        |x|² = ((2ζg)² + (g² - f²)²) / ((2ζg)² (g² - 1 + m g²)² + (m f² g² - (g² - 1)(g² - f²))²).

    Outputs: the peak over g, and the mass. For a given m the peak is smallest at f = 1 / (1 + m),
    ζ² = 3 m / (8 (1 + m)), nearly.
    """

    parameters = Box(("f", "zeta", "mass"), low=(0.7, 0.02, 0.02), high=(1.1, 0.4, 0.2))
    space = Points((2,))

    def solve(self, mu: Mu) -> Array:
        """(peak, mass), `(B, 2)`."""
        f, zeta, m = (np.asarray(mu[name], dtype=np.float64)[:, None] for name in self.parameters.names)
        g = _SWEEP
        friction = (2 * zeta * g) ** 2
        above = friction + (g**2 - f**2) ** 2
        below = friction * (g**2 - 1 + m * g**2) ** 2 + (m * f**2 * g**2 - (g**2 - 1) * (g**2 - f**2)) ** 2
        return np.concatenate([np.sqrt(above / below).max(axis=1, keepdims=True), m], axis=1)

    def quantities(self) -> dict[str, Quantity]:
        return {"peak": Quantity(np.array([1.0, 0.0])), "mass": Quantity(np.array([0.0, 1.0]))}


class PendulumStep(BlackBox, Outputs):
    """One step of a driven pendulum, `x'' = -sin x - 0.1 x' + u` over 0.3 s, from a state to the next, `(B, 2)`."""

    parameters = Box(("angle", "speed", "torque"), low=(-2.5, -2.5, -1.0), high=(2.5, 2.5, 1.0))
    space = Points((2,))

    def solve(self, mu: Mu) -> Array:
        """Angle and speed after the step: Runge-Kutta, order 4, ten stages of 0.03 s."""
        angle, speed, torque = (np.asarray(mu[name], dtype=np.float64) for name in self.parameters.names)
        state = np.stack([angle, speed])
        for _ in range(10):
            k1 = _rate(state, torque)
            k2 = _rate(state + 0.015 * k1, torque)
            k3 = _rate(state + 0.015 * k2, torque)
            k4 = _rate(state + 0.03 * k3, torque)
            state = state + 0.005 * (k1 + 2 * k2 + 2 * k3 + k4)
        return state.T

    def quantities(self) -> dict[str, Quantity]:
        return {"angle after": Quantity(np.array([1.0, 0.0])), "speed after": Quantity(np.array([0.0, 1.0]))}


def _rate(state: Real, torque: Real) -> Real:
    return np.stack([state[1], -np.sin(state[0]) - 0.1 * state[1] + torque])


class Hartmann(BlackBox, Outputs):
    """`-Σ_i α_i exp(-Σ_j A_ij (x_j - P_ij)²)` in six dimensions: smooth, six local minima, the lowest -3.32237.

    Dixon and Szegő, Towards Global Optimization 2 (1978).
    """

    parameters = Box(tuple(f"x{i}" for i in range(1, 7)), low=0.0, high=1.0)
    space = Points((1,))
    _alpha = np.array([1.0, 1.2, 3.0, 3.2])
    _a = np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    )
    _p = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )

    def solve(self, mu: Mu) -> Array:
        """`(B, 1)`."""
        x = np.stack([np.asarray(mu[name], dtype=np.float64) for name in self.parameters.names], axis=1)
        distance = np.sum(self._a * (x[:, None] - self._p) ** 2, axis=2)
        return -np.sum(self._alpha * np.exp(-distance), axis=1, keepdims=True)

    def quantities(self) -> dict[str, Quantity]:
        return {"height": Quantity(np.ones(1))}
