"""The samples of one batch on their way through the iteration."""

from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.solution import Status
from nwidth.problems.stencils import Stencilled, Stencils
from nwidth.solvers.multigrid.krylov import bicgstab, conjugate_gradients, residual, set_up
from nwidth.solvers.multigrid.plan import Plan, make_plan, schedule
from nwidth.solvers.multigrid.products import Matrix

#: Relative size of a load's mean beyond which a pure Neumann or periodic problem has no solution.
_BALANCED = 1e-9
#: Contrast of the couplings beyond which float32 loses the smallest eigenvalues, and the cycle runs in float64.
_CONTRAST = 2e4
#: Fraction of the tolerance at which the recursive residual stops, so that the recomputed one meets it.
MARGIN = 0.9
#: Steps of a sample's history that are kept.
_KEPT = 256


@dataclass(frozen=True)
class Limits:
    """When the iteration of a sample gives up, and the sweeps of its cycle."""

    max_iterations: int
    restarts: int
    sweeps: int


@dataclass(frozen=True)
class Group:
    """Samples that run on the same plan in the same precision."""

    plan: Plan
    precision: str
    rows: Array


@dataclass
class MultigridState:
    """What the solves of a problem share, held by the caller: plans by anisotropy, workspaces, vectors.

    For one thread at a time.
    """

    problem: Stencilled
    plans: dict[tuple[object, ...], Plan] = field(default_factory=dict)
    workspaces: dict[tuple[int, str], Array] = field(default_factory=dict)
    vectors: Real = field(default_factory=lambda: np.empty((6, 0)))

    def memory(self, group: Group, size: int) -> Array:
        """The workspace of a group, zero at first but for constant vectors; `vectors` are made long enough."""
        if self.vectors.shape[1] != size:
            self.vectors = np.empty((6, size))
        plan, key = group.plan, (id(group.plan), group.precision)
        if key not in self.workspaces:
            self.workspaces.clear()  # one hierarchy at a time
            ws = self.workspaces[key] = np.zeros(plan.size, dtype=group.precision)
            ws[plan.one : plan.one + plan.ones] = 1.0
            ws[plan.minus : plan.minus + plan.ones] = -1.0
        return self.workspaces[key]


def groups_of(stencils: Stencils, sweeps: int, state: MultigridState) -> list[Group]:
    """The samples by the strength of their couplings along the axes, and by contrast; each plan is made once."""
    axes = [a for a in range(3) if stencils.plus[a].size]
    shape, periodic = tuple(stencils.shape[a] for a in axes), tuple(stencils.periodic[a] for a in axes)
    few = (slice(None), *(slice(None, None, max(1, n // 30)) for n in stencils.shape))  # enough to tell
    parts = [np.abs(stencils.plus[a][few]).reshape(len(stencils), -1) for a in axes]
    strength = np.stack([part.mean(axis=1) for part in parts], axis=1)
    strength = np.maximum(strength, strength.max(axis=1, keepdims=True) * 1e-9) + np.finfo(float).tiny
    contrast = np.max([part.max(axis=1) / np.where(part > 0, part, np.inf).min(axis=1) for part in parts], axis=0)
    # to the power of two: samples that differ by less share a plan
    classes = np.round(np.log2(strength / strength.max(axis=1, keepdims=True)))
    classes = np.column_stack([classes, contrast > _CONTRAST])
    groups = []
    for kind in np.unique(classes, axis=0):
        boxes = tuple(schedule(shape, periodic, [float(2.0**k) for k in kind[:-1]]))
        key = (boxes, stencils.symmetric, sweeps)
        if key not in state.plans:
            state.plans[key] = make_plan(boxes, stencils.symmetric, sweeps)
        rows = np.flatnonzero((classes == kind).all(axis=1))
        groups.append(Group(state.plans[key], "float64" if kind[-1] else "float32", rows))
    return groups


def _matrix(stencils: Stencils, row: int) -> Matrix:
    """One sample as flat arrays."""
    minus = stencils.minus or stencils.plus
    p0, p1, p2 = (p[row].ravel() for p in stencils.plus)
    m0, m1, m2 = (m[row].ravel() for m in minus)
    return (stencils.centre[row].ravel(), p0, p1, p2, m0, m1, m2, stencils.symmetric, stencils.shape, stencils.periodic)


def _without_positive(matrix: Matrix) -> Matrix:
    """The matrix that the cycle is made for: positive couplings, of central differences where the flow dominates, are
    brought to zero by diffusion across their face. Smoothing and interpolation need couplings of one sign.
    """
    centre, plus, minus, shape, periodic = matrix[0], matrix[1:4], matrix[4:7], matrix[8], matrix[9]
    if not any(values.size and values.max() > 0.0 for values in (*plus, *minus)):
        return matrix
    changed, ahead, behind = centre.reshape(shape).copy(), list(plus), list(minus)
    for axis in range(3):
        if plus[axis].size:
            p, m = plus[axis].reshape(shape), np.roll(minus[axis].reshape(shape), -1, axis)
            excess = np.maximum(np.maximum(p, m), 0.0)
            if not periodic[axis]:
                np.moveaxis(excess, axis, 0)[-1] = 0.0
            changed += excess + np.roll(excess, 1, axis)
            ahead[axis], behind[axis] = (p - excess).ravel(), np.roll(m - excess, 1, axis).ravel()
    return (changed.ravel(), ahead[0], ahead[1], ahead[2], behind[0], behind[1], behind[2], *matrix[7:])


def unbalanced(stencils: Stencils) -> Mask:
    """Samples that map constants to zero and whose load does not sum to zero: they have no solution."""
    lost = stencils.constants.copy()
    if lost.any():
        flat = stencils.load.reshape(len(stencils), -1)
        lost &= np.abs(flat.sum(axis=1)) > _BALANCED * np.abs(flat).sum(axis=1)
    return lost


@dataclass
class Work:
    """The systems of one piece and how far their solution has come."""

    stencils: Stencils
    x: Real
    status: Array
    iterations: Array
    residual: Real
    history: Real
    seconds: Real
    unbalanced: Mask
    started: bool

    @classmethod
    def of(cls, stencils: Stencils, x: Real | None) -> "Work":
        size, unknowns = len(stencils), int(np.prod(stencils.shape))
        if x is not None:
            driven = stencils.load.reshape(size, -1).any(axis=1, keepdims=True)
            x = np.where(driven, x, 0.0)  # zero solves what is not
        return cls(
            stencils,
            np.zeros((size, unknowns)) if x is None else x,
            np.full(size, int(Status.MAX_ITERATIONS)),
            np.zeros(size, dtype=np.int64),
            np.full(size, np.inf),
            np.full((size, _KEPT), np.nan),
            np.zeros(size),
            unbalanced(stencils),
            x is not None,
        )

    def run(self, limits: Limits, state: MultigridState, tolerance: float, rows: Mask) -> None:
        """Iterate the chosen samples, those with the same plan together."""
        self.status[self.unbalanced] = Status.SINGULAR
        self.x[self.unbalanced] = np.nan
        for group in groups_of(self.stencils, limits.sweeps, state):
            for row in group.rows[rows[group.rows] & ~self.unbalanced[group.rows]]:
                begin = perf_counter()
                self._run(limits, state, group, tolerance, int(row))
                self.seconds[row] += perf_counter() - begin
        self.started = True

    def _run(self, limits: Limits, state: MultigridState, group: Group, tolerance: float, row: int) -> None:
        """Iterate one sample; its recursive residual is not trusted, and where it was wrong the iteration restarts."""
        plan, stencils = group.plan, self.stencils
        matrix = _matrix(stencils, row)
        ws, vectors, iterate = state.memory(group, self.x.shape[1]), state.vectors, bicgstab
        if stencils.symmetric:
            iterate = conjugate_gradients
        coarse = plan.places.shape[1]
        inverse, small = np.zeros((coarse, coarse), dtype=ws.dtype), np.zeros((2, coarse), dtype=ws.dtype)
        constants = bool(stencils.constants[row])
        cycle = (ws, plan.read, plan.write, plan.cycle, inverse, plan.places, small, 1.0, constants)
        near = matrix if stencils.symmetric else _without_positive(matrix)
        scale = set_up(ws, near, constants, plan.fill, plan.setup, cycle, plan.entries)
        if not scale:
            self.status[row] = Status.SINGULAR
            state.workspaces.clear()
            return
        cycle = (*cycle[:7], scale, constants)
        x, rhs, r = self.x[row], stencils.load[row].ravel(), vectors[0]
        load = float(np.linalg.norm(rhs))
        norm = load
        if self.started:
            norm = residual(r, matrix, rhs, x)
        else:
            r[:] = rhs
        for _ in range(limits.restarts):
            ended, last = int(Status.CONVERGED), norm
            if norm > tolerance * load:
                left = limits.max_iterations - int(self.iterations[row])
                target = MARGIN * tolerance * load
                ended, steps = iterate(matrix, cycle, r, x, target, left, vectors, self.history[row])
                self.iterations[row] += steps
                norm = residual(r, matrix, rhs, x)
            met = norm <= tolerance * load
            self.status[row] = Status.CONVERGED if met else max(ended, int(Status.MAX_ITERATIONS))
            # a residual that a whole run does not halve has met the rounding of its own evaluation
            if met or ended == Status.MAX_ITERATIONS or not norm < 0.5 * last:
                break
        self.residual[row] = norm / load if load > 0.0 else norm
        if self.status[row] == Status.BREAKDOWN:
            state.workspaces.clear()  # a NaN in a halo would outlive the sample

    def note(self, first: int) -> str:
        """What happened to the samples that failed, which are counted from `first`."""
        said = []
        for i in np.flatnonzero(self.status != Status.CONVERGED)[:3]:
            name = f"sample {first + i}"
            if self.unbalanced[i]:
                total = self.stencils.load[i].sum()
                said.append(
                    f"{name}: the load sums to {total:.3g}, and nothing holds the level of the solution: there is "
                    "none; balance the sources and boundary fluxes"
                )
            else:
                steps = self.history[i][~np.isnan(self.history[i])]
                shown = ", ".join(f"{r:.1e}" for r in steps[:: max(1, len(steps) // 6)])
                if len(steps) and self.residual[i] * np.linalg.norm(self.stencils.load[i]) > 3 * steps.min():
                    shown += f", but recomputed {self.residual[i]:.1e} of the load: what rounding in float64 leaves"
                said.append(f"{name}: {Status(self.status[i]).name.lower()}, residuals {shown}")
        return "; ".join(said)
