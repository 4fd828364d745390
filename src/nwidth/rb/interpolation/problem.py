"""A non-affine problem made affine: each coefficient is replaced by its empirical interpolation.

    a(x; mu) ≈ Σ_m c_m(mu) q_m(x),    c(mu) from the values of a(·; mu) at M points:

the matrix is then `Σ_m c_m(mu) A(q_m)`, and a query costs M evaluations of the function, whatever the size of the mesh.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.problems.base import Affine, AffineTerms, Outputs, Quantity, Stability, Stable
from nwidth.problems.non_affine import ROLES, NonAffine
from nwidth.rb.interpolation.eim import EIM
from nwidth.rb.interpolation.interpolant import Interpolant
from nwidth.rb.rounding import gamma, longest_row
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.mesh import MeshSpace


@dataclass(frozen=True, eq=False)
class Interpolated(Affine, Stable, Outputs, Storable):
    """The problem `truth` with every function interpolated; `parts` has the interpolant of each role.

    Reduced bases are built on it (`nw.rb.Greedy`); their limits come from `InterpolationCertificate`, which counts the
    distance to the *true* coefficients. As a problem of its own it only promises estimates.
    """

    kind: ClassVar[str] = "interpolated-problem"

    truth: NonAffine
    parts: Mapping[str, Interpolant]

    @property
    def parameters(self) -> ParameterSpace:
        """Those of the true problem."""
        return self.truth.parameters

    @property
    def space(self) -> MeshSpace:
        """That of the true problem."""
        return self.truth.space

    @cached_property
    def _terms(self) -> AffineTerms:
        forms = self.truth.forms
        form = {"diffusion": forms.stiffness, "reaction": forms.mass}
        matrices = tuple(form[role].matrix(forms.shaped(mode[None])[0]) for role, mode in self._modes)
        loads = forms.load.vector(forms.shaped(self.parts["source"].basis))
        if forms.lift.any():
            loads = np.concatenate([loads, np.stack([-(matrix @ forms.lift) for matrix in matrices])])
        return AffineTerms(matrices, loads, forms.free, forms.lift)

    @property
    def _modes(self) -> list[tuple[str, Real]]:
        """Role and mode of every matrix."""
        roles = [role for role in ROLES[:2] if role in self.parts]
        return [(role, mode) for role in roles for mode in self.parts[role].basis]

    def terms(self) -> AffineTerms:
        """One matrix for each mode of a and c, one load for each mode of f; with prescribed values that are not zero
        one more load for each matrix."""
        return self._terms

    def coefficients(self, mu: Mu | Array) -> tuple[Real, Real]:
        """The interpolation coefficients: the functions are evaluated at their own points alone."""
        table = self.truth.table(mu)
        found = {role: self._interpolated(role, table) for role in self.parts}
        theta = np.concatenate([found[role] for role in ROLES[:2] if role in found], axis=1)
        lifted = [theta] if self.truth.forms.lift.any() else []
        return theta, np.concatenate([found["source"], *lifted], axis=1)

    def _interpolated(self, role: str, table: Real) -> Real:
        """Coefficients `(B, M)` of one function for parameters `(B, P)`."""
        part, function = self.parts[role], self.truth.functions.named()[role]
        return part.interpolate(function.values(self.truth.forms.points[part.points], table))

    def by_role(self, theta: Real, phi: Real) -> dict[str, Real]:
        """The coefficients of each function, role -> `(B, M)`, from θ and φ."""
        found, first = {"source": phi[:, : self.parts["source"].terms]}, 0
        for role in ROLES[:2]:
            if role in self.parts:
                found[role] = theta[:, first : first + self.parts[role].terms]
                first += self.parts[role].terms
        return found

    def constant(self, mu: Mu | Array, field: Array | None = None) -> Stability:
        """The constants of the true operator, which for this one are not proven."""
        stability = self.truth.constant(mu)
        return Stability(stability.lower, stability.upper, proven=False)

    def quantities(self) -> Mapping[str, Quantity]:
        """Those of the true problem."""
        return self.truth.quantities() if isinstance(self.truth, Outputs) else {}

    def truncate(self, **terms: int) -> "Interpolated":
        """The same with fewer terms of some functions: `truncate(diffusion=8)`."""
        unknown = sorted(set(terms) - set(self.parts))
        if unknown:
            raise InputError(f"there is no {', '.join(unknown)}; this problem has {', '.join(self.parts)}")
        cut = {role: part.truncate(terms.get(role, part.terms)) for role, part in self.parts.items()}
        return Interpolated(self.truth, cut)

    @cached_property
    def rounding(self) -> tuple[Real, Real]:
        """Bounds of what rounding in the assembly did: `‖ΔA_q‖₂ (Q_A,)` and `‖Δf_q‖₂ (Q_f,)`, on the free dofs."""
        forms, terms = self.truth.forms, self.terms()
        once = gamma(forms.operations)
        norms = {"diffusion": forms.stiffness_norm, "reaction": forms.mass_norm}
        matrices = np.array([once * norms[role] * np.abs(mode).max() for role, mode in self._modes])
        loads = once * forms.load_norm * np.abs(self.parts["source"].basis).max(axis=1)
        if forms.lift.any():
            lift = np.abs(forms.lift)
            again = gamma(longest_row(terms.matrices[0]) + 2)
            products = again * np.array([np.linalg.norm(abs(matrix) @ lift) for matrix in terms.matrices])
            loads = np.concatenate([loads, products + matrices * np.linalg.norm(lift)])
        return matrices, loads

    def to_parts(self) -> Parts:
        """The true problem and the interpolants as children. Raises InputError where the problem cannot be stored."""
        if not isinstance(self.truth, Storable):
            raise InputError(
                f"{type(self.truth).__name__} cannot be stored: inherit nwidth's Storable (kind, to_parts, from_parts)"
            )
        return Parts({}, {}, {"truth": self.truth, **{f"part.{role}": part for role, part in self.parts.items()}})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again."""
        parts = {role: children[f"part.{role}"] for role in ROLES if f"part.{role}" in children}
        return cls(children["truth"], parts)


def separated(
    problem: NonAffine,
    training: int | Mapping[str, Any] = 300,
    tol: float | None = 1e-6,
    *,
    max_size: int = 100,
    seed: int = 0,
) -> Interpolated:
    """The problem with its functions interpolated (EIM) at the quadrature points.

    training: how many parameters are drawn, or a mapping name -> `(B,)` of your own. tol: the largest error on them in
    the maximum norm, relative to the largest value. Raises InputError for a problem that is not NonAffine, WorkError
    where `tol` is missed with `max_size` terms.
    """
    if not isinstance(problem, NonAffine):
        raise InputError(
            f"got {type(problem).__name__}; expected a NonAffine problem (coefficients as functions at quadrature "
            "points). From assembled matrices alone: nw.rb.interpolated_matrices"
        )
    names = problem.parameters.names
    mu = problem.parameters.sample(range(training), seed) if isinstance(training, int) else as_mu(training, names)
    fit = EIM(tol, max_size)
    return Interpolated(problem, {role: fit.fit(values) for role, values in problem.values(mu).items()})
