"""Solutions and energy errors of small linear problems in extended precision."""

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.validation import batch_size, select
from nwidth.problems.base import Linear

LONG = np.longdouble


class Exact:
    """The systems of a batch, dense: float64 factors, residuals and sums in the wide type."""

    def __init__(self, problem: Linear, mu: Mu, rounds: int = 4):
        systems = [problem.assemble(select(mu, slice(i, i + 1))) for i in range(batch_size(mu))]
        self.free = systems[0].free
        self._matrices = [s.matrix.toarray()[np.ix_(self.free, self.free)] for s in systems]
        self.u = np.stack([s.lift.astype(LONG) for s in systems])
        for row, (system, a) in enumerate(zip(systems, self._matrices, strict=True)):
            inverse, wide, f = np.linalg.inv(a), a.astype(LONG), system.load[self.free].astype(LONG)
            w = np.zeros(len(f), dtype=LONG)
            for _ in range(rounds):
                w = w + (inverse @ (f - wide @ w).astype(np.float64)).astype(LONG)
            self.u[row, self.free] += w

    def error(self, v: Array) -> Real:
        """`‖u - v‖_A` of dofs `(B, N)`, rounded to float64 at the end."""
        e = (self.u - v.reshape(self.u.shape).astype(LONG))[:, self.free]
        values = [x @ (a.astype(LONG) @ x) for x, a in zip(e, self._matrices, strict=True)]
        return np.sqrt(np.maximum(np.array(values, dtype=LONG), 0)).astype(np.float64)
