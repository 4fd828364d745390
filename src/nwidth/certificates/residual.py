"""A guaranteed bound for a field from anywhere: a neural operator, a regression, a guess.

What is bounded is the distance between the *returned* field, with the prescribed boundary values imposed, and the
full-order solution on the same grid or mesh: from above, and from below.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from nwidth.bounds.grid_residual import GridResidual
from nwidth.bounds.norms import MassNorm
from nwidth.bounds.outputs import problem_outputs
from nwidth.bounds.residual import UNBALANCED, EnergyBounds, Residual, solvable
from nwidth.certificates.base import Certificate
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.kinds import available, load_attribute
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import check_choice, select
from nwidth.problems.base import Coercive, is_coercive
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.mesh import MatrixProduct, MeshSpace

Norm = Literal["energy", "l2"]
Riesz = Literal["auto", "factor", "multigrid"]
NORMS: Mapping[str, str] = {"energy": "energy norm", "l2": "L2 norm"}

#: Dofs per piece of a batch: the bound's vectors stay in cache.
_PIECE = 100_000
#: Free dofs of a mesh, by its dimension, above which X is no longer factorised.
_FACTORISED: Mapping[int, int] = {1: 4_000_000, 2: 400_000, 3: 60_000}


@dataclass(eq=False)
class _Limits:
    """What is found for each sample: its field, the bounds in the norm asked for, the energy bound, and why not."""

    v: Real
    upper: Real
    lower: Real
    energy: Real
    reason: Array
    proven: bool = True

    @classmethod
    def empty(cls, v: Real) -> "_Limits":
        size = len(v)
        return cls(v, np.full(size, np.inf), np.zeros(size), np.full(size, np.inf), np.full(size, "", dtype=object))


@dataclass(frozen=True)
class ResidualCertificate(Certificate):
    """`‖u - v‖_A <= ‖f - A v‖_{X⁻¹} / √α + round-off` for symmetric coercive linear problems, in float64.

    `norm`: "energy", or "l2" through Friedrichs' inequality, which is loose (see `nwidth.bounds.norms`). The answer
    carries a lower bound as well. Limits of outputs follow from the energy bound in either case.

    `riesz`: how X is inverted on a mesh, "factor" (once), "multigrid" (the bound pays for what is missing; needs the
    extra `mesh`), or "auto": multigrid where a factor would be large. Grids have a transform of their own.

    Rigorous where the problem's stability constant is proven; otherwise an Estimate that says so. A field that is not
    finite, a load without a solution and a parameter without a constant above zero get +inf with the reason. Raises
    InputError for a problem without a stability constant, and for a norm that its space does not have.
    """

    kind: ClassVar[str] = "residual-certificate"
    problem: Coercive
    norm: Norm = "energy"
    riesz: Riesz = "auto"
    inner: InnerProduct = field(init=False, repr=False, compare=False)
    mass: MassNorm | None = field(init=False, repr=False, compare=False)
    fast: GridResidual | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, tuple(NORMS))
        check_choice("riesz", self.riesz, ("auto", "factor", "multigrid"))
        if not is_coercive(self.problem):
            raise InputError(
                f"no residual bound for {type(self.problem).__name__}: it must inherit Linear (implement assemble) and "
                "Stable (implement constant). Without a stability constant, certify with runs of your own: "
                "nw.certify(surrogate, holdout=snapshots, level=0.9)"
            )
        fast = GridResidual.of(self.problem) if self.norm == "energy" else None
        inner = fast.inner if fast else _inner(self.problem, self.riesz)
        mass = MassNorm.of(self.problem.space, inner) if self.norm == "l2" else None
        for name, value in (("inner", inner), ("mass", mass), ("fast", fast)):
            object.__setattr__(self, name, value)

    @property
    def equation(self) -> Coercive:
        """The problem of the residual."""
        return self.problem

    @property
    def guarantee(self) -> Guarantee:
        """Rigorous in the norm asked for; covers the surrogate's error of any origin and round-off."""
        return Rigorous(NORMS[self.norm], ("reduction", "algebraic", "round-off"))

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction in float64 with prescribed values imposed, and its bounds from both sides."""
        space, fields = self.problem.space, np.asarray(prediction.field)
        if np.iscomplexobj(fields):
            raise InputError("fields are complex; the coercive residual bound is for real fields")
        space.flatten(fields)  # raises what is wrong with their shape
        found = self._limits(prediction.mu, fields)
        return replace(
            prediction,
            values=found.v,
            space=space,
            bound=found.upper,
            lower=found.lower,
            guarantee=self.guarantee if found.proven else Estimate(NORMS[self.norm], "a proven stability constant"),
            reason=found.reason,
            outputs=problem_outputs(self.problem, prediction.mu, found.v, found.energy, self.inner),
        )

    def _limits(self, mu: Mu, given: Array) -> _Limits:
        """Piece by piece of the batch: fields `(B, *shape)`."""
        way, step, rows = self.fast, max(1, _PIECE // self.problem.space.size), np.arange(len(given))
        found = _Limits.empty(np.empty(given.shape) if way is None else way.imposed(mu, given))
        if way is not None:
            limits, used = way.bounds(mu, found.v)
            found.upper[:] = found.energy[:] = limits.upper
            found.lower[:], rows = limits.lower, rows[~used]
        for part in (rows[first : first + step] for first in range(0, len(rows), step)):
            self._general(select(mu, part), given, part, found)
        return found

    def _general(self, mu: Mu, given: Array, rows: Array, found: _Limits) -> None:
        """Fills in the rows."""
        space, systems, stability = self.problem.space, self.problem.systems(mu), self.problem.constant(mu)
        v = systems.impose(space.flatten(given[rows]).astype(np.float64))
        finite: Mask = np.asarray(np.isfinite(v).all(axis=1))
        judged = np.where(finite[:, None], v, systems.lift)
        residual = Residual.of(systems, judged, self.inner)
        energy = residual.energy(systems, self.inner, stability)
        upper, lower = energy.upper, energy.lower
        if self.mass is not None:
            upper, lower = self.mass.bounds(systems, judged, residual, stability)
        upper, lower = np.where(energy.disproved, np.inf, upper), np.where(energy.disproved, 0.0, lower)
        reason = _reasons(finite, stability.lower > 0, solvable(space, systems), energy, upper)
        good = reason == ""
        found.v[rows], found.reason[rows], found.proven = space.unflatten(v), reason, found.proven and stability.proven
        found.upper[rows], found.energy[rows] = np.where(good, upper, np.inf), np.where(good, energy.upper, np.inf)
        found.lower[rows] = np.where(good, lower, 0.0)

    def to_parts(self) -> Parts:
        """The problem as a child. Raises InputError for a problem that cannot be stored."""
        if not isinstance(self.problem, Storable):
            raise InputError(
                f"{type(self.problem).__name__} cannot be stored with its certificate: inherit nwidth's Storable "
                "(kind, to_parts, from_parts), or save the surrogate alone and certify it again after loading"
            )
        return Parts({"norm": self.norm, "riesz": self.riesz}, {}, {"problem": self.problem})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again; files of versions before these words have the energy norm and factors."""
        return cls(children["problem"], config.get("norm", "energy"), config.get("riesz", "auto"))


def _inner(problem: Coercive, riesz: Riesz) -> InnerProduct:
    """The energy inner product, with the Riesz map asked for where it is a sparse matrix."""
    inner = problem.space.inner("energy")
    if not isinstance(inner, MatrixProduct) or riesz == "factor":
        return inner
    if riesz == "auto":
        dim = problem.space.points().shape[-1] if isinstance(problem.space, MeshSpace) else 2
        if int(inner.free.sum()) <= _FACTORISED[dim] or not available("pyamg"):
            return inner
    return load_attribute("nwidth.solvers.amg_riesz:AMGRiesz").of(problem)


def _reasons(finite: Mask, known: Mask, solvable: Mask, energy: EnergyBounds, upper: Real) -> Array:
    """Why there is no limit, `(B,)`; empty where there is one."""
    reason = np.full(len(finite), "", dtype=object)
    reason[~(upper < np.inf)] = "the numbers are too large for double precision"
    reason[energy.disproved] = "the stability constant is wrong: a vector was met whose energy lies outside it"
    reason[~known] = "no stability constant above zero is known here"
    reason[~solvable] = UNBALANCED
    reason[~finite] = "the field is not finite"
    return reason
