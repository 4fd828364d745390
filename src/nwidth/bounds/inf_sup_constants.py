"""Where the inf-sup constant of a query comes from: a proof for each, an estimate for each, or a sample of others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.dual_norm import EPS
from nwidth.bounds.dual_residual import Constants, Dual, Norm, Prepared
from nwidth.bounds.inf_sup import Pencil, deviation, inf_sup
from nwidth.bounds.metric import energy_matrix, energy_stencils
from nwidth.bounds.nonsymmetric import field_of_values
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.problems.base import Linear, Systems
from nwidth.problems.stencils import Stencilled
from nwidth.spaces.factor import restricted
from nwidth.spaces.grid import Grid

#: Rounded operations behind one entry of an assembled matrix.
ENTRIES = 32


@dataclass(frozen=True)
class InfSupConstants(Constants):
    """σ of each query from factorisations of its own matrix, see `inf_sup`: for every linear problem, real or complex
    symmetric, on a grid, a mesh or matrices alone.

    With `prove` three factorisations a query (two where the spectrum is symmetric about zero) and a theorem; without,
    one and an estimate. That is more than one solve: to certify at less, prove offline what many queries share
    (`nwidth.bounds.resonances`), or take `SampledInfSup`.
    """

    kind: ClassVar[str] = "inf-sup-constants"
    norm: ClassVar[Norm] = "gradient norm"

    prove: bool = True

    def prepare(self, problem: Linear) -> Prepared:
        work = _Matrices.of(problem)

        def constants(mu: Mu, systems: Systems | None = None) -> Dual:
            mu = as_mu(mu, problem.parameters.names)
            size = batch_size(mu)
            above, reason = np.full(size, np.inf), np.full(size, "", dtype=object)
            for i in range(size):
                try:
                    above[i] = (1 + 4 * EPS) / work.constant(select(mu, slice(i, i + 1)), self.prove)
                except WorkError as error:
                    reason[i] = str(error)
            return Dual(above, work.below(mu), reason, self.norm)

        return constants

    @property
    def missing(self) -> str:
        return "" if self.prove else "a proof of the inf-sup constant: InfSupConstants(prove=True)"

    def to_parts(self) -> Parts:
        return Parts({"prove": self.prove}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(config["prove"])


@dataclass(frozen=True)
class SampledInfSup(Constants):
    """The smallest of `samples` estimated constants, for every query: costs nothing online and proves nothing."""

    kind: ClassVar[str] = "sampled-inf-sup"
    norm: ClassVar[Norm] = "gradient norm"

    value: float
    samples: int

    @classmethod
    def build(cls, problem: Linear, samples: int = 32, seed: int = 0) -> Self:
        """One factorisation for each sample of the problem's own parameters.

        Raises InputError for no samples, WorkError where a sample has no constant.
        """
        if samples < 1:
            raise InputError(f"samples = {samples}; take at least one")
        work, mu = _Matrices.of(problem), problem.parameters.sample(range(samples), seed)
        return cls(min(work.constant(select(mu, slice(i, i + 1)), False) for i in range(samples)), samples)

    def prepare(self, problem: Linear) -> Prepared:
        below = _Matrices.of(problem).below

        def constants(mu: Mu, systems: Systems | None = None) -> Dual:
            mu = as_mu(mu, problem.parameters.names)
            size = batch_size(mu)
            return Dual(np.full(size, 1 / self.value), below(mu), np.full(size, "", dtype=object), self.norm)

        return constants

    @property
    def missing(self) -> str:
        return f"the inf-sup constant of each query: this is the smallest of {self.samples} samples"

    def to_parts(self) -> Parts:
        return Parts({"value": self.value, "samples": self.samples}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(config["value"], config["samples"])


class _Matrices:
    """The matrices of a problem on the free dofs beside that of X; the ordering is found once."""

    def __init__(self, problem: Linear, x: sp.csr_array, lambda_min: float, spread: Callable[[Mu], Real]):
        self._problem, self._x, self._lambda_min, self._spread = problem, x, lambda_min, spread
        self._order: tuple[int, Array] | None = None

    @classmethod
    def of(cls, problem: Linear) -> "_Matrices":
        if not isinstance(problem, Linear):
            raise InputError(f"{type(problem).__name__} is not Linear: an inf-sup constant belongs to a matrix")
        x, lambda_min = energy_matrix(problem.space), problem.space.inner("energy").lambda_min
        if not (isinstance(problem, Stencilled) and isinstance(problem.space, Grid)):
            return cls(problem, x, lambda_min, lambda mu: _deviations(problem, mu, x, lambda_min))
        unit = energy_stencils(problem.space)

        def spread(mu: Mu) -> Real:
            found = field_of_values(problem.stencils(mu), unit, lambda_min)
            return np.maximum(np.abs(found.lower), np.abs(found.upper)) + found.skew

        return cls(problem, x, lambda_min, spread)

    def constant(self, mu: Mu, prove: bool) -> float:
        """σ of one parameter. Raises WorkError where there is none, or no proof."""
        a = _matrix(self._problem, mu)
        if self._order is None or self._order[0] != a.nnz:
            self._order = (a.nnz, Pencil.of(a, self._x).order)
        found = inf_sup(a, self._x, self._lambda_min, prove=prove, entries=ENTRIES, order=self._order[1])
        return found.value

    def below(self, mu: Mu) -> Real:
        """`1 / ‖A‖` in the norms of X: of residuals to errors."""
        return (1 - 16 * EPS) / self._spread(mu)


def _matrix(problem: Linear, mu: Mu) -> sp.csr_array:
    system = problem.assemble(mu)
    return restricted(sp.csr_array(system.matrix), system.free)


def _deviations(problem: Linear, mu: Mu, x: sp.csr_array, lambda_min: float) -> Real:
    rows = (select(mu, slice(i, i + 1)) for i in range(batch_size(mu)))
    return np.array([deviation(_matrix(problem, row), x, lambda_min) for row in rows])
