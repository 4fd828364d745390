"""`total_error`: how far an answer is from the exact solution of the equation, the mesh's own error included."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import numpy as np

from nwidth.bounds.equilibrated.boxes import Between
from nwidth.bounds.equilibrated.grids import GridEquilibration
from nwidth.bounds.equilibrated.grids import applies as applies_to_grid
from nwidth.bounds.equilibrated.meshes import MeshEquilibration
from nwidth.bounds.equilibrated.pieces import Equilibration, FluxKind, Found
from nwidth.bounds.equilibrated.scaled_problem import ScaledProblem
from nwidth.bounds.equilibrated.units import NOTHING, TINY, exponents, scaled
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Prediction
from nwidth.core.solution import Tolerance
from nwidth.core.validation import as_mu, select
from nwidth.problems.base import Coercive, Problem, Stability, Systems
from nwidth.problems.cell_data import CellDiffusive
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.solvers.riesz_cg import RieszCG, RieszState

#: Binary exponents up to which numbers are left as they are, and beyond which nothing is done with them.
_MODERATE, _EXTREME = 128, 1000
_PARTS = ("reduction", "algebraic", "round-off", "discretisation")

#: What would make an answer better; nothing is known about one that has no bound.
Advice = Literal["a finer grid", "refine the answer", "both", ""]


@dataclass(frozen=True)
class TotalError:
    """Distances in the energy norm `‖w‖_a = (∫ a |∇w|²)^{1/2}` of the equation, per sample `(B,)`, all guaranteed.

    u is the exact solution, u_h the discrete one on this grid or mesh, v the answer.

    `lower <= ‖u - v‖_a <= total`: the whole error. `surrogate_lower <= ‖u_h - v‖_a <= surrogate`: the part that
    refining the answer removes. `discretisation_lower <= ‖u - u_h‖_a <= discretisation`: the part that a finer grid
    removes. `norm`: ‖v‖_a. `reason` says why a bound is infinite. `steps` of the dual problem (0 for a local flux),
    `split_steps` of the iteration towards u_h, `seconds` for all of it.

    `guarantee` is of the total. That of the parts, `split_guarantee`, needs a proven stability constant as well.
    """

    total: Real
    lower: Real
    surrogate: Real
    surrogate_lower: Real
    discretisation: Real
    discretisation_lower: Real
    norm: Real
    guarantee: Guarantee
    split_guarantee: Guarantee
    reason: Array
    steps: Array
    split_steps: Array
    seconds: float

    def __len__(self) -> int:
        return len(self.total)

    @property
    def relative(self) -> Real:
        """`Δ / (‖v‖_a - Δ)`, a bound of the error relative to the exact solution; +inf where Δ >= ‖v‖_a."""
        rest = self.norm - self.total
        return np.where(rest > 0, self.total / np.where(rest > 0, rest, 1.0), np.inf)

    @property
    def advice(self) -> Array:
        """What would halve the bound of each sample, `(B,)`: "a finer grid" where the surrogate's part is at most half
        of it, "refine the answer" where the discretisation's is, else "both"; "" where no part has a bound."""
        words = np.full(len(self), "both", dtype="<U17")
        words[self.discretisation <= 0.5 * self.total] = "refine the answer"
        words[self.surrogate <= 0.5 * self.total] = "a finer grid"
        words[~np.isfinite(np.minimum(self.surrogate, self.discretisation))] = ""
        return words

    def take(self, rows: Array | slice) -> "TotalError":
        """The chosen samples."""
        arrays = {k: v[rows] for k, v in self.__dict__.items() if isinstance(v, np.ndarray)}
        return TotalError(**{**self.__dict__, **arrays})


@dataclass(frozen=True)
class TotalErrorBound:
    """The bound prepared for one problem: what all queries share (transforms, edges, factors) is made once.

    `flux`: "local" (from the scheme's own fluxes or from patches) or "global" (one dual problem for each sample:
    tighter). `data`: on a grid, what the data is between the nodes, "constant" on the control volumes or "linear";
    `None` for "constant". `steps`: at most so many of conjugate gradients towards the discrete solution, which
    separate the parts.
    Raises InputError for a problem that the bound does not know.
    """

    problem: Problem
    flux: FluxKind = "local"
    data: Between | None = None
    steps: int = 60
    equilibration: Equilibration = field(init=False, repr=False, compare=False)
    state: RieszState = field(init=False, repr=False, compare=False)

    @staticmethod
    def applies(problem: Problem) -> bool:
        """Whether the bound knows problems of this kind; not those on grids that may prescribe a flux through sides
        without values, which are refused when a bound is asked for and the flux is not zero."""
        if isinstance(problem, GridDiffusion) and applies_to_grid(problem):
            return problem.space.inside or type(problem).boundary_data is GridDiffusion.boundary_data
        return isinstance(problem, CellDiffusive)

    def __post_init__(self) -> None:
        object.__setattr__(self, "equilibration", _equilibration(self.problem, self.flux, self.data))
        object.__setattr__(self, "state", RieszCG().prepare(self.problem))

    def __call__(self, prediction: Prediction) -> TotalError:
        """The total error of every answer. A field that is not finite gets +inf, with the reason."""
        begin = perf_counter()
        problem, space = self.state.problem, self.state.problem.space
        mu = as_mu(prediction.mu, problem.parameters.names)
        fields = np.asarray(prediction.field)
        if np.iscomplexobj(fields):
            raise InputError("fields are complex; the bound of the total error is for real fields")
        v = space.flatten(fields).astype(np.float64)
        finite = np.asarray(np.isfinite(v).all(axis=1))
        usable, parts = np.flatnonzero(finite), []
        for first in range(0, len(usable), self.equilibration.together):
            rows = usable[first : first + self.equilibration.together]
            parts.append(_piece(self, select(mu, rows), v[rows]))
        seconds = perf_counter() - begin
        return _assembled(parts, finite, self.equilibration.reference, self.equilibration.galerkin, seconds)


def total_error(
    prediction: Prediction,
    problem: Problem,
    flux: FluxKind = "local",
    data: Between | None = None,
) -> TotalError:
    """How far each answer is from the *exact* solution of `-∇·(a ∇u) = f`, u = g on the boundary, or on some of its
    sides while the others are insulated: guaranteed.

    For diffusion on a grid (`GridDiffusion`, values prescribed on its sides; the answer is taken as multilinear on
    the cells, with prescribed values imposed) and on linear triangles (`CellDiffusive`). An equilibrated flux bounds
    the whole error; the residual bound separates the surrogate's part from the discretisation's. See `TotalErrorBound`
    for `flux` and `data`, and use it where many batches are bounded; docs/total_error.md for the theorems.

    Raises InputError for other problems.
    """
    return TotalErrorBound(problem, flux, data)(prediction)


def _equilibration(problem: Problem, flux: FluxKind, data: Between | None) -> Equilibration:
    if isinstance(problem, CellDiffusive):
        if data is not None:
            raise InputError(f"data={data!r} is for grids; on triangles the problem's cell_data says what the data is")
        return MeshEquilibration(problem, flux)
    if isinstance(problem, GridDiffusion):
        return GridEquilibration(problem, flux, data or "constant")
    raise InputError(
        f"no bound of the total error for {type(problem).__name__}: it is for GridDiffusion problems with values "
        "prescribed on the boundary, and for problems on linear triangles that inherit CellDiffusive. An estimate for "
        "a family of grids: nwidth.bounds.two_grid.discretisation_estimate"
    )


@dataclass(frozen=True)
class _Piece:
    """Bounds of some samples: of the total; what is left after the steps towards the discrete solution, in the same
    units; the steps; and whether the constant behind it is proven."""

    found: Found
    left: Real
    steps: Array
    proven: bool


def _piece(bound: TotalErrorBound, mu: Mu, v: Real) -> _Piece:
    problem = bound.state.problem
    systems = problem.systems(mu)
    v = systems.impose(v)
    stability = problem.constant(mu)
    near = _towards(bound, mu, v, systems, stability)
    if isinstance(bound.equilibration, MeshEquilibration):
        _check_galerkin(bound.equilibration, problem, systems, mu)
    found = bound.equilibration.bounds(mu, v, near.field)
    left = scaled(found.factor * near.left, near.unit - found.unit)
    return _Piece(found, left, near.steps, stability.proven)


@dataclass(frozen=True)
class _Near:
    """Fields close to the discrete solution, `left · 2^unit (B,)` that bound their distance to it, and the steps."""

    field: Real
    left: Real
    unit: Array
    steps: Array

    @classmethod
    def start(cls, v: Real) -> "_Near":
        """Nothing is known."""
        none = np.zeros(len(v), dtype=int)
        return cls(v.copy(), np.full(len(v), np.inf), none, none.copy())


def _towards(bound: TotalErrorBound, mu: Mu, v: Real, systems: Systems, stability: Stability) -> _Near:
    """A few steps from v, in other units where squares would leave the range of numbers."""
    strength = 2 * (exponents(stability.upper) // 2)
    level = np.maximum(exponents(systems.load) - strength, exponents(v))
    level = np.where(level < NOTHING // 2, 0, level)
    contrast = strength - exponents(stability.lower)
    size = np.max(np.abs([level, strength, level + strength, contrast]), axis=0)
    near = _Near.start(v)
    rows = np.flatnonzero(size <= _MODERATE)
    if len(rows):
        _steps(bound.state, bound.steps, mu, rows, near)
    for i in np.flatnonzero((size > _MODERATE) & (size <= _EXTREME)):
        problem = ScaledProblem(bound.state.problem, int(level[i]), int(strength[i]))
        near.unit[i] = level[i] + strength[i] // 2
        near.field[i] = scaled(v[i : i + 1], -level[i : i + 1])[0]
        _steps(RieszState(problem, bound.state.inner), bound.steps, mu, np.array([i]), near)
        near.field[i] = scaled(near.field[i : i + 1], level[i : i + 1])[0]
    return near


def _steps(state: RieszState, limit: int, mu: Mu, rows: Array, near: _Near) -> None:
    """Conjugate gradients for some samples, from the fields in `near`, into it."""
    space, solver = state.problem.space, RieszCG(max_iterations=limit, restarts=2)
    # a tenth of a percent: below what a mesh is off in energy, in all but the finest
    found = solver.solve(state, select(mu, rows), space.unflatten(near.field[rows]), Tolerance("energy", 1e-3))
    field, left = space.flatten(found.field), found.stats["bound"]
    usable = np.isfinite(field).all(axis=1) & ~np.isnan(left)
    near.field[rows[usable]], near.left[rows[usable]] = field[usable], left[usable]
    near.steps[rows] = found.stats["iterations"]


def _check_galerkin(mesh: MeshEquilibration, problem: Coercive, systems: Systems, mu: Mu) -> None:
    """The problem's own residual must be that of the Galerkin method for its cell data, in every sample.

    That of a random vector, as large at every node as makes the coefficient there count as much as the load: the
    residual of an answer does not show the coefficient where the answer is constant.
    """
    data, noise = mesh.data(mu), np.random.default_rng(0).uniform(0.5, 1.5, systems.load.shape[1])
    largest = np.abs(systems.load).max(axis=1, keepdims=True)
    w = systems.impose(noise * (np.where(largest > 0, largest, 1.0) / mesh.mesh.diagonal(data)))
    own, size = mesh.mesh.residual_and_size(w, data)
    wrong = np.where(systems.free, np.abs(own - systems.residual(w)), 0.0)
    place = np.unravel_index(np.argmax(wrong / size), wrong.shape)
    gap, scale = float(wrong[place]), float(size[place])
    if not gap <= 1e-8 * scale:
        raise InputError(
            f"cell_data of {type(problem).__name__} is not what its matrices are made of: in sample {place[0]} the "
            f"residuals at node {place[1]} differ by {gap:.2g} (of {scale:.2g}); give the coefficient and source that "
            "assemble() integrates exactly (loads on the boundary are not known to this bound: its sides have "
            "prescribed values or are insulated)"
        )


def _assembled(parts: list[_Piece], finite: Mask, reference: str, galerkin: bool, seconds: float) -> TotalError:
    size, rows = len(finite), np.flatnonzero(finite)
    found = Found.join([p.found for p in parts]) if parts else None
    left = np.concatenate([p.left for p in parts]) if parts else np.zeros(0)

    def spread(values: Array | None, empty: float) -> Array:
        out = np.full(size, empty)
        if values is not None:
            out[rows] = values
        return out

    bounds = _in_full(_bounds(found, left, galerkin), found.unit) if found is not None else {}
    worst = {"total": np.inf, "surrogate": np.inf, "discretisation": np.inf, "norm": np.nan}
    names = ("total", "lower", "surrogate", "surrogate_lower", "discretisation", "discretisation_lower", "norm")
    proven = all(p.proven for p in parts)
    guarantee = Rigorous("energy norm", _PARTS, reference)
    return TotalError(
        **{name: spread(bounds.get(name), worst.get(name, 0.0)) for name in names},
        guarantee=guarantee,
        split_guarantee=guarantee if proven else Estimate("energy norm", "a proven stability constant"),
        reason=_reasons(finite, *(spread(bounds.get(name), np.inf) for name in ("total", "surrogate"))),
        steps=spread(None if found is None else found.steps, 0).astype(int),
        split_steps=spread(np.concatenate([p.steps for p in parts]) if parts else None, 0).astype(int),
        seconds=seconds,
    )


def _reasons(finite: Mask, total: Real, surrogate: Real) -> Array:
    parts = "the parts are not bounded: no stability constant above zero, or the data is beyond 2^±1000; scale the data"
    reason = np.where(np.isfinite(surrogate), "", parts)
    beyond = "the bound is beyond the range of floating-point numbers; scale the data"
    reason = np.where(np.isfinite(total), reason, beyond)
    return np.where(finite, reason, "the field is not finite").astype(object)


def _in_full(bounds: dict[str, Real], unit: Array) -> dict[str, Real]:
    """The same in the units of the problem, rounded to the safe side where digits underflow."""
    full = {}
    with np.errstate(over="ignore"):
        for name, values in bounds.items():
            full[name] = scaled(values, unit)
            full[name] += 0.0 if name == "norm" else -TINY if name.endswith("lower") else TINY
            if name.endswith("lower"):
                full[name] = np.maximum(full[name], 0.0)
    return full


def _bounds(found: Found, left: Real, galerkin: bool) -> dict[str, Real]:
    """The three errors from both sides; `left (B,)` bounds the distance of v' to the discrete solution."""
    # rounding of the norms themselves: of their sums, and of the level that the fields have
    slack = 1e-9 * (found.moved + found.norm) + found.lost + found.field.noise + found.nearest.noise
    surrogate = found.moved + left + slack
    surrogate_lower = np.maximum(found.moved - left - slack, 0.0)
    total = found.field.upper
    nearest = found.nearest.upper
    if galerkin:
        # u_h is the best approximation, and the error splits into two that are orthogonal
        grid = np.minimum(nearest, np.sqrt(np.maximum(total**2 - surrogate_lower**2, 0.0)) * (1 + 1e-9))
        grid_lower = np.sqrt(np.maximum(found.lower**2 - surrogate**2, 0.0)) * (1 - 1e-9)
        grid_lower = np.maximum(grid_lower, np.sqrt(np.maximum(found.nearest_lower**2 - left**2, 0.0)) * (1 - 1e-9))
        lower = np.maximum(np.maximum(found.lower, surrogate_lower), grid_lower)
    else:
        grid = np.minimum(nearest + left, total + surrogate)
        grid_lower = np.maximum(np.maximum(found.nearest_lower - left, found.lower - surrogate), 0.0)
        lower = np.maximum(found.lower, found.nearest_lower - found.moved - slack)
    return {
        "total": total,
        "lower": np.minimum(lower, total),
        "surrogate": surrogate,
        "surrogate_lower": surrogate_lower,
        "discretisation": grid,
        "discretisation_lower": np.minimum(grid_lower, grid),
        "norm": found.norm,
    }
