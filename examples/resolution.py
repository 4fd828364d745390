"""One Fourier neural operator on four grids: trained on 48 points, asked on 31, 64 and 301, nothing trained again.

Viscous Burgers flow on a circle, initial state to state at t = 1, for which the transform of Cole and Hopf gives the
exact answer.
The network has no coordinates, so that it commutes with shifts of the circle, as the equation does.
"""

import numpy as np

import nwidth as nw
from nwidth.operators import FNO, Training
from nwidth.problems.burgers import Burgers
from nwidth.spaces.torus import Torus

law = {"viscosity": 0.1, "modes": 12}


def runs(points, start, count):
    """Initial states and exact states at t = 1, on the same points."""
    problem = Burgers(resolution=points, solver_resolution=2 * points * -(-192 // points), **law)
    mu = problem.parameters.sample(range(start, start + count), seed=0)
    step = problem.solver_resolution // points
    initial = {"u0": mu["u0"][:, ::step]}
    return nw.Snapshots(problem.parameters.at(points), Torus((points,)), initial, problem.exact(mu)[:, -1])


fitter = FNO(modes=12, width=20, layers=3, coordinates=False, training=Training(epochs=30))
surrogate = fitter.fit(runs(48, 0, 200))

errors, shifts = {}, {}
for points in (48, 31, 64, 301):
    unseen = runs(points, 200, 100)
    there = surrogate.at(unseen.space)
    found = there.predict(unseen.mu).field
    moved = there.predict({"u0": np.roll(unseen.mu["u0"], 7, axis=1)}).field
    errors[points] = np.linalg.norm(found - unseen.fields) / np.linalg.norm(unseen.fields)
    shifts[points] = np.abs(moved - np.roll(found, 7, axis=1)).max()

if __name__ == "__main__":
    for points, error in errors.items():
        print(f"{points:4d} points: relative error {error:.2%}, difference under shifts {shifts[points]:.0e}")
