"""The residual bound of diffusion on a plane grid with prescribed boundary values, in three passes over the data.

The same bound as `energy_bounds`, at a quarter of its time: no systems are formed, the Riesz map runs in single
precision (what it misses is paid for, see `dual_norm`), and sums are taken on the way. Rows whose squares might
overflow or vanish, or that hold no numbers, are left to the general way.
"""

from dataclasses import dataclass

import numpy as np

from nwidth.bounds import _grid_residual as passes
from nwidth.bounds.dual_norm import EPS, DualNorm, Sums
from nwidth.bounds.residual import EnergyBounds, Form, energy_limits
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import batch_size, select
from nwidth.problems.base import Problem, Stability
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.problems.grid_systems import check_boundary, check_coefficient, check_values, shared
from nwidth.spaces.grid_products import GridEnergy
from nwidth.spaces.single_riesz import SingleRiesz

#: Sums of squares between these are what they seem.
_SMALL, _LARGE = 1e-200, 1e200
#: At least the number of rounded operations behind one entry of the residual, as `GridSystems.terms` counts them.
_TERMS = 24
#: Dofs per piece of a batch: the vectors stay in cache.
_PIECE = 200_000
#: What a problem may not define anew, for this way does not ask it.
_OWN = ("systems", "constant", "velocity", "reaction")


@dataclass(frozen=True, eq=False)
class GridResidual:
    """`problem` and its energy product, where this way is open: see `of`."""

    problem: GridDiffusion
    inner: GridEnergy
    single: SingleRiesz

    @classmethod
    def of(cls, problem: Problem) -> "GridResidual | None":
        """None unless the problem is a `GridDiffusion` as it stands, in the plane, values prescribed on its boundary,
        arithmetic means at the faces."""
        if not isinstance(problem, GridDiffusion) or not problem.space.inside or problem.space.dim != 2:
            return None
        kind = type(problem)
        own = any(getattr(kind, name) is not getattr(GridDiffusion, name) for name in _OWN)
        inner = problem.space.inner("energy")
        if own or problem.face != "arithmetic" or not isinstance(inner, GridEnergy) or inner.single is None:
            return None
        return cls(problem, inner, inner.single)

    def bounds(self, mu: Mu, v: Real) -> tuple[EnergyBounds, Mask]:
        """Bounds for fields `(B, *shape)` that carry the prescribed values, and for which rows they are to be used.

        Raises InputError for a coefficient that is not positive everywhere, and shapes that do not fit.
        """
        if len(v) != batch_size(mu):
            raise InputError(f"{len(v)} fields for {batch_size(mu)} parameters; give one field for each")
        step = max(1, min(len(v), _PIECE // self.problem.space.size))
        found, sums, room = np.empty((len(v), 4)), np.empty((len(v), 6)), np.empty((step, *v.shape[1:]))
        for first in range(0, len(v), step):
            rows = slice(first, min(first + step, len(v)))
            self._pass(select(mu, rows), v[rows], room[: rows.stop - first], found[rows], sums[rows])
        with np.errstate(over="ignore", invalid="ignore"):  # in rows that are not to be used
            limits = self._limits(found.T, sums.T)
        return limits, _usable(found.T) & (limits.upper < np.inf)

    def _pass(self, mu: Mu, v: Real, r: Real, found: Real, sums: Real) -> None:
        """The passes over a piece of the batch, which fill `r`, `found (B, 4)` and `sums (B, 6)`."""
        grid = self.problem.space
        a = check_coefficient(self.problem.coefficient(mu), grid)
        if len(a) != len(v):
            raise InputError(f"coefficient has {len(a)} rows for {len(v)} samples; give one per sample")
        f = _plain(check_values("source", self.problem.source(mu), grid.shape, "finite", grid.axes(), len(a)))
        w0, w1 = grid.face_weights
        found[:] = passes.residuals(a, f, v, w0, w1, float(np.prod(grid.spacings)), r)
        with np.errstate(over="ignore", invalid="ignore"):
            folded = self.single.folded(r[:, :, None], np.where(_usable(found.T), found[:, passes.LARGEST], 1.0))
            sums[:] = passes.judge(folded.even, folded.odd, folded.scale, r, a, w0, w1)

    def imposed(self, mu: Mu, fields: Array) -> Real:
        """Fields `(B, *shape)` in float64 with the prescribed values; the array itself where it has them already."""
        v = np.require(fields, np.float64, ["C_CONTIGUOUS", "WRITEABLE"])
        g = _plain(check_boundary(self.problem.boundary(mu), self.problem.space, len(v)))
        if passes.carries(v, g):
            return v
        out = np.empty_like(v)
        passes.impose(v, g, out)
        return out

    def _limits(self, found: Real, sums: Real) -> EnergyBounds:
        """From what the passes returned, `(4, B)` and `(6, B)`."""
        size = self.problem.space.size
        low, high = found[passes.LOW] * (1 - 8 * EPS), found[passes.HIGH] * (1 + 8 * EPS)
        dual = DualNorm.from_sums(Sums(*sums[: passes.ZAZ]), size, self.inner)
        paid = (size + 16) * EPS
        noise = _TERMS * EPS * (1 + paid) * np.sqrt(found[passes.MAGNITUDE] / self.inner.lambda_min)
        # the sum of squares has no cancellation
        product = sums[passes.ZR] - paid * np.sqrt(sums[passes.RR]) * dual.length
        form = Form(sums[passes.ZAZ] * (1 - paid), sums[passes.ZAZ] * (1 + paid), product)
        return energy_limits(dual, noise + np.finfo(np.float64).tiny, Stability(low, high), form)


def _usable(found: Real) -> Mask:
    """Where sums of squares are what they seem, `(B,)`."""
    size, largest = found[passes.MAGNITUDE], found[passes.LARGEST]
    return (size > _SMALL) & (size < _LARGE) & ((largest == 0) | (largest > np.sqrt(_SMALL)))


def _plain(values: Real) -> Real:
    """What all samples share as one row, in memory that compiled loops take."""
    return np.require(shared(values), np.float64, ["C_CONTIGUOUS", "WRITEABLE"])
