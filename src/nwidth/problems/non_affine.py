"""Coercive problems whose coefficients depend on the parameters in no separable way."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu
from nwidth.problems.base import Stability, Stable
from nwidth.problems.fixed_pattern import Filled, FixedPattern
from nwidth.problems.functions import Function
from nwidth.problems.point_forms import PointForms
from nwidth.spaces.factor import Pattern
from nwidth.spaces.mesh import MeshSpace

#: What a function can be in the equation.
ROLES = ("diffusion", "reaction", "source")


@dataclass(frozen=True)
class Coefficients:
    """The functions of `-∇·(a ∇u) + c u = f`: diffusion a > 0, source f, and reaction c where there is one."""

    diffusion: Function
    source: Function
    reaction: Function | None = None

    def named(self) -> Mapping[str, Function]:
        """Role -> function, of those that are there."""
        pairs = [(role, getattr(self, role)) for role in ROLES]
        return {role: function for role, function in pairs if function is not None}


class NonAffine(FixedPattern, Stable):
    """`-∇·(a(x; mu) ∇u) + c(x; mu) u = f(x; mu)`, u prescribed on a part of the boundary, no flux on the rest.

    The functions count at the quadrature points alone: the full-order matrix is exactly linear in their values there
    (`point_forms`). Energy inner product: a = 1, c = 0.
    """

    @property
    @abstractmethod
    def forms(self) -> PointForms:
        """Mesh, quadrature points, free dofs; made once and kept by the problem."""

    @property
    @abstractmethod
    def functions(self) -> Coefficients:
        """a, c and f."""

    @property
    def space(self) -> MeshSpace:
        """Finite elements on the mesh."""
        return self.forms.space

    @property
    def pattern(self) -> Pattern:
        return self.forms.free_part.pattern

    @property
    def free(self) -> Mask:
        return self.forms.free

    def table(self, mu: Mu | Array) -> Real:
        """The parameters as one table `(B, P)`. Raises InputError for one that is not a number."""
        checked = as_mu(mu, self.parameters.names)
        table = np.stack([np.asarray(checked[name], dtype=np.float64) for name in self.parameters.names], axis=1)
        if table.ndim != 2 or not np.isfinite(table).all():
            raise InputError(f"parameters {self.parameters.names} are scalars: give one finite number per query, (B,)")
        return table

    def values(self, mu: Mu | Array) -> dict[str, Real]:
        """Every function at all quadrature points, role -> `(B, n)`. Raises InputError where a diffusion is not above
        zero, or a value is not finite."""
        table, points = self.table(mu), self.forms.points
        found = {role: function.values(points, table) for role, function in self.functions.named().items()}
        for role, values in found.items():
            good = np.isfinite(values).all(axis=1) & ((values.min(axis=1) > 0) | (role != "diffusion"))
            if not good.all():
                row = int(np.argmin(good))
                raise InputError(
                    f"the {role} of row {row} is not {_WANTED[role]} everywhere; its parameters: {table[row]}"
                )
        return found

    def fill(self, mu: Mu) -> Filled:
        """The systems of a batch."""
        forms, values = self.forms, self.values(mu)
        entries = forms.stiffness.values(forms.shaped(values["diffusion"]))
        if "reaction" in values:
            entries = entries + forms.mass.values(forms.shaped(values["reaction"]))
        load = forms.load.vector(forms.shaped(values["source"]))
        if forms.lift.any():
            load = load - np.stack([forms.stiffness.pattern.matrix(row) @ forms.lift for row in entries])
        lift = np.tile(forms.lift, (len(entries), 1))
        return Filled(np.ascontiguousarray(entries[:, forms.free_part.places]), load[:, self.free], lift)

    def constant(self, mu: Mu | Array, field: Array | None = None) -> Stability:
        """From the smallest and largest values at the quadrature points: see `stability_of`."""
        return stability_of(self.forms, self.values(mu))


_WANTED = {"diffusion": "a number above zero", "reaction": "a finite number", "source": "a finite number"}


def stability_of(forms: PointForms, values: Mapping[str, Real]) -> Stability:
    """`min a - C max(-c, 0) <= A/X <= max a + C max(c, 0)` with Friedrichs' constant C."""
    low, high = values["diffusion"].min(axis=1), values["diffusion"].max(axis=1)
    size = high.copy()
    if "reaction" in values:
        least, most = values["reaction"].min(axis=1), values["reaction"].max(axis=1)
        low = low + np.minimum(least, 0.0) * forms.friedrichs
        high = high + np.maximum(most, 0.0) * forms.friedrichs
        size = size + np.maximum(np.abs(least), np.abs(most)) * forms.friedrichs
    return Stability(lower=low - forms.slack * size, upper=high + forms.slack * size)
