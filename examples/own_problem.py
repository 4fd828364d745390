"""A problem of your own: a cooled rod, -(k u')' + h u = 1 on (0, 1), u = 0 at both ends, parameters k and h.

One matrix per parameter (`assemble`) and one inequality (`constant`) are all that guaranteed limits need:
A(mu) = k K + h M with the stiffness K = X and the lumped mass M <= K / 9, so k K <= A <= (k + h/9) K.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

import nwidth as nw

CELLS = 200


@dataclass(frozen=True)
class CooledRod(nw.problems.Coercive):
    """Finite differences on a uniform grid, scaled as finite elements with a lumped mass."""

    parameters = nw.spaces.Box(("k", "h"), low=(0.5, 0.0), high=(5.0, 50.0), units=("W/mK", "W/m³K"))
    space = nw.spaces.Grid((CELLS,))

    def assemble(self, mu):
        k, h, dx = float(mu["k"][0]), float(mu["h"][0]), 1.0 / CELLS
        n = CELLS + 1
        stiffness = sp.diags([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], [-1, 0, 1]) / dx
        matrix = (k * stiffness + h * dx * sp.eye(n)).tocsr()
        load = np.where(self.space.free, dx, 0.0)
        return nw.problems.System(matrix, load, self.space.free, lift=np.zeros(n))

    def constant(self, mu, field=None):
        # the smallest eigenvalue of M⁻¹K is 4 sin²(π dx / 2) / dx² > 9, hence M <= K / 9
        return nw.problems.Stability(lower=np.asarray(mu["k"]), upper=np.asarray(mu["k"] + mu["h"] / 9))


problem = CooledRod()
snapshots = nw.generate(problem, 40, seed=0)
surrogate = nw.rb.PODRegression().fit(snapshots, problem, seed=0)
certified = nw.certify(surrogate, problem)
answer = certified.predict(problem.parameters.sample(range(8), seed=1))
exact = nw.refine(answer, problem, rtol=1e-6)

if __name__ == "__main__":
    print(answer.guarantee)
    for k, h, limit, refined in zip(answer.mu["k"], answer.mu["h"], answer.bound, exact.bound, strict=True):
        print(f"k = {k:4.2f}, h = {h:5.2f}: limit {limit:.1e}, after refinement {refined:.1e} (energy norm)")
