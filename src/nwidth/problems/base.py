"""A problem is its parameters and its space; everything else is a capability that it inherits.

A capability is an abstract base class, not an attribute name: a structural check would accept any object that
happens to carry the right word.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeGuard

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.spaces.base import FunctionSpace, ParameterSpace


class Problem(ABC):
    """A parametrized equation: what varies and where its solutions live."""

    @property
    @abstractmethod
    def parameters(self) -> ParameterSpace:
        """The set of parameters."""

    @property
    @abstractmethod
    def space(self) -> FunctionSpace:
        """The space of solutions."""


class BlackBox(Problem):
    """A problem that can only be solved: a user's own code or executable."""

    @abstractmethod
    def solve(self, mu: Mu) -> Array:
        """Solutions `(B, *space.shape)`. Raise WorkError where a solve fails."""


@dataclass(frozen=True)
class System:
    """One linear system: `u = lift + w`, w vanishes off `free`, and `A w = load` on the free dofs.

    `matrix` is `(N, N)` over all dofs with no rows or columns cleared (a cleared row destroys symmetry), `load` and
    `lift` are `(N,)`, `free` is a mask `(N,)`. Dirichlet data sit in `lift`, and `load` contains `-A lift`.
    """

    matrix: sp.csr_matrix | sp.csr_array
    load: Real
    free: Mask
    lift: Real


class Systems(ABC):
    """A batch of linear systems that share their free dofs, as products: nothing needs to be assembled.

    Vectors are `(B, N)`; products vanish at constrained dofs and ignore what stands there.
    """

    load: Array
    lift: Array
    free: Mask

    @abstractmethod
    def apply(self, w: Array) -> Array:
        """`A(mu_i) w_i` for every sample, `(B, N)`."""

    @abstractmethod
    def magnitude(self, w: Array) -> Real:
        """`|A| |w| + |load|`, entry by entry `(B, N)`: the scale of round-off in the residual."""

    @abstractmethod
    def take(self, rows: Array | slice) -> "Systems":
        """The chosen samples."""

    @property
    def terms(self) -> int:
        """At least the number of rounded operations behind one entry of the residual (for the round-off term)."""
        return 32

    def energy(self, v: Array) -> Real:
        """`vᵀ A v` of each sample over all dofs, constrained ones included, `(B,)`."""
        w = v - self.lift
        return np.einsum("bn,bn->b", w, self.apply(w))

    def residual(self, v: Array) -> Array:
        """`load - A (v - lift)` on the free dofs, zero elsewhere, for dofs v `(B, N)`."""
        return self.load - self.apply(v - self.lift)

    def impose(self, v: Array) -> Array:
        """v with the prescribed values put at the constrained dofs, `(B, N)`, float64."""
        return np.where(self.free, v, self.lift)


class SparseSystems(Systems):
    """Systems held as one sparse matrix per sample: the reference that every faster form is tested against."""

    def __init__(self, systems: list[System]):
        self._systems = systems
        self.free = systems[0].free
        self.load = np.stack([np.where(s.free, s.load, 0.0) for s in systems])
        self.lift = np.stack([s.lift for s in systems])

    def apply(self, w: Array) -> Array:
        w = np.where(self.free, w, 0.0)
        rows = [s.matrix @ w[i] for i, s in enumerate(self._systems)]
        return np.where(self.free, np.stack(rows), 0.0)

    def magnitude(self, w: Array) -> Real:
        w = np.abs(np.where(self.free, w, 0.0))
        rows = [abs(s.matrix) @ w[i] for i, s in enumerate(self._systems)]
        return np.where(self.free, np.stack(rows), 0.0) + np.abs(self.load)

    @property
    def terms(self) -> int:
        # a row sums its products, minus the load, minus the lift, with entries that were themselves summed
        return 8 + 2 * max(int(np.diff(s.matrix.indptr).max()) for s in self._systems)

    def energy(self, v: Array) -> Real:
        return np.array([v[i] @ (s.matrix @ v[i]) for i, s in enumerate(self._systems)])

    def take(self, rows: Array | slice) -> "SparseSystems":
        index = np.arange(len(self._systems))[rows]
        return SparseSystems([self._systems[i] for i in index])


class Linear(Problem):
    """A linear problem, `A(mu) u = f(mu)`: one matrix per parameter is all that must be written."""

    @abstractmethod
    def assemble(self, mu: Mu) -> System:
        """The system of a single parameter (a mapping with batch size 1)."""

    def systems(self, mu: Mu) -> Systems:
        """The systems of a batch; problems with a matrix-free product override this."""
        mu = as_mu(mu, self.parameters.names)
        return SparseSystems([self.assemble(select(mu, slice(i, i + 1))) for i in range(batch_size(mu))])


StabilityKind = Literal["coercive", "inf-sup"]


@dataclass(frozen=True)
class Stability:
    """Bounds of A(mu) against X = space.inner('energy'): `lower X <= A <= upper X`, each `(B,)`.

    `proven` is False for an eigenvalue computed without proof: bounds built on it are estimates.
    `radius` is the distance within which the constant holds (infinite for linear problems).
    """

    lower: Real
    upper: Real
    kind: StabilityKind = "coercive"
    proven: bool = True
    radius: float = np.inf


class Stable(Problem):
    """A problem that knows how stable it is, which is what turns a residual into a bound of the error."""

    @abstractmethod
    def constant(self, mu: Mu, field: Array | None = None) -> Stability:
        """Stability of each sample relative to `space.inner('energy')`; `field` for nonlinear problems."""


class Coercive(Linear, Stable):
    """A linear problem with a stability constant: what residual bounds and refinement need."""


def is_coercive(problem: Problem | None) -> TypeGuard[Coercive]:
    """Whether the problem is both Linear and Stable (by inheriting Coercive, or the two on their own)."""
    return isinstance(problem, Linear) and isinstance(problem, Stable)


@dataclass(frozen=True)
class AffineTerms:
    """`A(mu) = Σ_q θ_q(mu) A_q` and `f(mu) = Σ_q φ_q(mu) f_q` on the free dofs, `u = lift + w`.

    Matrices `(N, N)` symmetric positive semidefinite, not cleared at constrained dofs; loads `(Q_f, N)`.
    """

    matrices: tuple[sp.csr_matrix | sp.csr_array, ...]
    loads: Real
    free: Mask
    lift: Real


class Affine(Linear):
    """A linear problem that separates parameters from space: what reduced bases live on."""

    @abstractmethod
    def terms(self) -> AffineTerms:
        """The parameter-independent matrices and loads."""

    @abstractmethod
    def coefficients(self, mu: Mu) -> tuple[Real, Real]:
        """`θ (B, Q_A)` and `φ (B, Q_f)`."""

    def assemble(self, mu: Mu) -> System:
        """The affine sums of a single parameter."""
        terms, (theta, phi) = self.terms(), self.coefficients(mu)
        matrix = sum(t * a for t, a in zip(theta[0], terms.matrices, strict=True))
        return System(matrix, phi[0] @ terms.loads, terms.free, terms.lift)


class Diffusive(Problem):
    """`-∇·(a ∇u) = f` with `u = g` on the boundary, given by its nodal data on a grid.

    What fast grid solvers and total-error bounds need to know.
    """

    @abstractmethod
    def coefficient(self, mu: Mu) -> Real:
        """Positive nodal coefficient a, `(B, *shape)`."""

    @abstractmethod
    def source(self, mu: Mu) -> Real:
        """Nodal source f, `(B, *shape)`."""

    @abstractmethod
    def boundary(self, mu: Mu) -> Real:
        """Nodal field `(B, *shape)` that carries the data g at the nodes of Dirichlet sides; others are ignored.

        What other sides need (fluxes, Robin data) is `boundary_data` of `GridTransport`.
        """


class Evolution(Problem):
    """A problem in time: fields are trajectories `(B, T, *space.shape)` at `times`."""

    @abstractmethod
    def initial(self, mu: Mu) -> Array:
        """Initial states `(B, *space.shape)`."""

    @property
    @abstractmethod
    def times(self) -> Real:
        """The stored time levels `(T,)`; a solver's own steps are its own affair."""


@dataclass(frozen=True)
class Quantity:
    """A linear quantity of interest, `s(u) = functional · u + offset`, in `unit`; functional `(N,)`."""

    functional: Real
    offset: float = 0.0
    unit: str = ""


class Outputs(Problem):
    """A problem with named quantities of interest."""

    @abstractmethod
    def quantities(self) -> Mapping[str, Quantity]:
        """Name -> linear functional."""


class Resizable(Problem):
    """A problem that exists at any resolution, with the *same* samples: `parameters.sample(i, seed)` agrees."""

    @abstractmethod
    def at(self, resolution: int) -> Problem:
        """The same problem on another grid."""
