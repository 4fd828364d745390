"""Affine problems whose coefficients are formulas: they can be stored, exported as C, and evaluated by kernels."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.expressions import Expression
from nwidth.core.programs import program, run
from nwidth.core.validation import as_mu
from nwidth.problems.base import Affine


@dataclass(frozen=True, eq=False)
class Compiled:
    """Coefficients from a table of parameters `(B, P)` in the order of `names`.

    `theta_program` and `phi_program` are what `nwidth.core.programs.run` executes, in other kernels too.
    """

    names: tuple[str, ...]
    theta: tuple[Expression, ...]
    phi: tuple[Expression, ...]
    theta_program: Real
    phi_program: Real

    @classmethod
    def of(cls, theta: Sequence[Expression], phi: Sequence[Expression], names: Sequence[str]) -> "Compiled":
        """Compiled for parameters in this order."""
        return cls(tuple(names), tuple(theta), tuple(phi), program(theta, names), program(phi, names))

    def __call__(self, table: Real) -> tuple[Real, Real]:
        """θ `(B, Q_A)` and φ `(B, Q_f)`. Raises InputError where a formula has no finite value."""
        theta, phi = np.empty((len(table), len(self.theta))), np.empty((len(table), len(self.phi)))
        bad = run(self.theta_program, table, theta)
        if bad >= 0:
            self._refuse("θ", self.theta, table, theta, bad)
        bad = run(self.phi_program, table, phi)
        if bad >= 0:
            self._refuse("φ", self.phi, table, phi, bad)
        return theta, phi

    def _refuse(self, symbol: str, formulas: Sequence[Expression], table: Real, values: Real, row: int) -> None:
        place = int(np.argmin(np.isfinite(values[row])))
        formula = formulas[place]
        used = ", ".join(f"{n} = {table[row, self.names.index(n)]:g}" for n in formula.used)
        raise InputError(
            f"the coefficient {symbol}_{place} = {formula.text} is {values[row, place]} in row {row}"
            f"{f' ({used})' if used else ''}; there is no solution at these parameters"
        )


class Formulas(Affine):
    """An affine problem with scalar parameters whose coefficients are formulas of them."""

    @abstractmethod
    def formulas(self) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        """The formulas of θ (Q_A of them) and φ (Q_f), in the names of the parameters."""

    @cached_property
    def compiled(self) -> Compiled:
        """The formulas as programs."""
        return Compiled.of(*self.formulas(), self.parameters.names)

    def coefficients(self, mu: Mu) -> tuple[Real, Real]:
        """θ `(B, Q_A)` and φ `(B, Q_f)`. Raises InputError where a formula has no finite value."""
        return self.compiled(parameter_table(mu, self.parameters.names))


def parameter_table(mu: Mu | Array, names: Sequence[str]) -> Real:
    """Scalar parameters as one table `(B, P)`, contiguous. Raises InputError for other shapes and complex numbers."""
    checked: Mapping[str, Array] = as_mu(mu, names)
    table = np.empty((len(checked[names[0]]), len(names)))
    for column, (name, values) in enumerate(checked.items()):
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            raise InputError(
                f"{name} has shape {values.shape} and type {values.dtype}; a formula takes one real number per query, "
                "shape (B,)"
            )
        table[:, column] = values
    return table
