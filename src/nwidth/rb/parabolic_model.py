"""A reduced parabolic problem: matrices, loads, residual coordinates, and how its trajectories are marched."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.problems.base import AffineTerms
from nwidth.problems.parabolic import AffineEvolution, Stepping
from nwidth.rb.model import ReducedModel, stacked
from nwidth.rb.parabolic_kernels import march, residuals
from nwidth.rb.residual import ResidualBuilder, ResidualModel
from nwidth.rb.rounding import EPS, gamma, longest_row, row_sum


@dataclass(frozen=True, eq=False)
class EvolutionModel:
    """`M_N c' + Σ θ_q A_q,N c = Σ φ_q f_q,N` and the residual of any trajectory of it, in coordinates.

    The mass is the last matrix of `reduced` and the last term of `residual`; output functionals follow the loads in
    both, because they are the loads of the dual problem. `starts (Q_0, n)`: coordinates of the initial states g_k,
    with bounds of what they miss in the M-norm, `start_defects (Q_0,)`.
    """

    reduced: ReducedModel
    residual: ResidualModel
    starts: Real
    start_defects: Real

    @property
    def modes(self) -> int:
        """n."""
        return self.reduced.modes

    @property
    def outputs(self) -> int:
        """s, the number of functionals."""
        return len(self.reduced.functionals)

    @property
    def loads(self) -> int:
        """Q_f, without the functionals."""
        return len(self.reduced.loads) - self.outputs

    @cached_property
    def orthogonality(self) -> tuple[Real, Real]:
        """Rows and weights with which `residuals` measures what rounding leaves of Galerkin's orthogonality."""
        matrices = np.moveaxis(self.reduced.matrices, 0, 1).reshape(-1, self.modes)
        return np.ascontiguousarray(np.concatenate([self.reduced.loads, matrices])), self.reduced.term_weights

    @cached_property
    def residual_weights(self) -> Real:
        """The residual's weights, with the roundings of a step's difference quotient and of its point."""
        lengths = np.linalg.norm(self.residual.rows, axis=1)
        return self.residual.weights + 1.01 * self.residual.gain * gamma(8) * lengths

    def extended(self, phi: Real) -> Real:
        """Loads' coefficients `(B, T, Q_f)` with zeros for the functionals."""
        return np.concatenate([phi, np.zeros((*phi.shape[:2], self.outputs))], axis=2)

    def march(self, theta: Real, phi: Real, start: Real, stepping: Stepping) -> tuple[Real, Real]:
        """States at the points and at the ends of the steps, `(B, T, n)`; φ with or without the functionals."""
        phi = phi if phi.shape[2] == len(self.reduced.loads) else self.extended(phi)
        return march(theta, phi, self.reduced.matrices, self.reduced.loads, start, stepping.dt, stepping.weight)

    def residual_norms(
        self, theta: Real, phi: Real, start: Real, levels: Real, stepping: Stepping
    ) -> tuple[Real, Real]:
        """A bound of `‖r‖_{X⁻¹}` for every step, and the part of it that is rounding, `(B, T)`."""
        phi = phi if phi.shape[2] == len(self.reduced.loads) else self.extended(phi)
        norm, noise = residuals(
            theta, phi, start, levels, self.residual.rows, self.residual_weights, self.residual.fixed,
            stepping.dt, stepping.weight,
        )  # fmt: skip
        gain = self.residual.gain * (1 + gamma(self.residual.rows.shape[1] + 16))
        return norm * gain + noise * (1 + 16 * EPS), noise

    def defects(self, theta: Real, phi: Real, start: Real, levels: Real, stepping: Stepping) -> tuple[Real, Real]:
        """`|r(Σ y_j v_j)| <= |y|₂ a + (|y| · lengths) b` for every step: a and b `(B, T)`, nearly zero."""
        rows, weights = self.orthogonality
        phi = phi if phi.shape[2] == len(self.reduced.loads) else self.extended(phi)
        fixed = len(self.reduced.loads)
        return residuals(theta, phi, start, levels, rows, weights, fixed, stepping.dt, stepping.weight)

    def to_stored(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Configuration and arrays."""
        reduced, residual = self.reduced.to_stored(), self.residual.to_stored()
        own = {"start.rows": self.starts, "start.defects": self.start_defects}
        return {"model": reduced[0], "residual": residual[0]}, {**reduced[1], **residual[1], **own}

    @classmethod
    def from_stored(cls, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> "EvolutionModel":
        """The model again."""
        reduced = ReducedModel.from_stored(config["model"], arrays)
        residual = ResidualModel.from_stored(config["residual"], arrays)
        return cls(reduced, residual, np.ascontiguousarray(arrays["start.rows"]), arrays["start.defects"])


class EvolutionBuilder:
    """Grows a reduced model mode by mode; only used while a basis is fitted."""

    def __init__(self, problem: AffineEvolution, capacity: int):
        self.problem, self.inner = problem, problem.space.inner("energy")
        self.terms = dual_terms(problem)
        self.functionals = stacked(problem.quantities(), problem.space.size)
        none = np.zeros((0, problem.space.size))
        self._residual = ResidualBuilder(self.terms, none, self.inner, capacity)
        self._reduced = ReducedModel.empty(self.terms, problem.quantities())
        self.basis = none

    def add(self, modes: Real, new: Real) -> None:
        """Modes `(k, N)`, orthonormal in the energy product and against the basis; `new` as in ResidualBuilder."""
        self._residual.add(modes, new)
        self.basis = np.concatenate([self.basis, modes])
        self._reduced = self._reduced.extended(self.terms, self.functionals, self.basis)

    def model(self, certified: bool = True) -> EvolutionModel:
        """The model as it stands; without `certified` it serves a search only."""
        starts, defects = project_starts(self.problem, self.basis, self._reduced.matrices[-1])
        return EvolutionModel(self._reduced, self._residual.model(certified), starts, defects)


def truncated(model: EvolutionModel, problem: AffineEvolution, basis: Real) -> EvolutionModel:
    """The model of the first modes, whose basis is given."""
    reduced = model.reduced.truncate(len(basis))
    residual = model.residual.truncate(len(basis), len(reduced.matrices))
    starts, defects = project_starts(problem, basis, reduced.matrices[-1])
    return replace(model, reduced=reduced, residual=residual, starts=starts, start_defects=defects)


def dual_terms(problem: AffineEvolution) -> AffineTerms:
    """The terms with the mass as the last matrix and the output functionals as the last loads."""
    terms = problem.terms()
    functionals = stacked(problem.quantities(), problem.space.size) * terms.free
    return AffineTerms(
        matrices=(*terms.matrices, problem.mass().matrix),
        loads=np.concatenate([terms.loads * terms.free, functionals]),
        free=terms.free,
        lift=terms.lift,
    )


def project_starts(problem: AffineEvolution, basis: Real, mass: Real) -> tuple[Real, Real]:
    """Coordinates `(Q_0, n)` of the M-orthogonal projections of the initial states, and bounds of what they miss."""
    one = problem.parameters.sample(range(1), 0)
    states = problem.starts(one)[1]
    if not len(states):
        return np.zeros((0, len(basis))), np.zeros(0)
    matrix, free = sp.csr_array(problem.mass().matrix), problem.terms().free
    rows = np.linalg.solve(mass, basis @ (matrix @ states.T)).T if len(basis) else np.zeros((len(states), 0))
    rest = (states - rows @ basis) * free
    squares = np.einsum("kn,kn->k", rest, np.ascontiguousarray((matrix @ rest.T).T))
    lengths, norm = np.linalg.norm(rest, axis=1), row_sum(matrix)
    squares = np.maximum(squares, 0.0) + gamma(longest_row(matrix) + len(free) + 2) * norm * lengths**2
    # the difference itself was rounded, entry by entry
    size = np.linalg.norm(states, axis=1) + np.abs(rows) @ np.linalg.norm(basis, axis=1)
    return np.ascontiguousarray(rows), (np.sqrt(squares) + gamma(len(basis) + 8) * np.sqrt(norm) * size) * (1 + 8 * EPS)
