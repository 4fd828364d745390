"""A small symmetric problem whose spectrum is known by construction: an oracle for bounds and solvers.

`X = L Lᵀ` and `A(mu) = L Q diag(d(mu)) Qᵀ Lᵀ` with Q orthogonal, so the eigenvalues of X⁻¹A are exactly d(mu).
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu, batch_size
from nwidth.problems.base import Coercive, Outputs, Quantity, Stability, System
from nwidth.spaces.base import FunctionSpace, InnerProduct, ParameterSpace


class Interval(ParameterSpace):
    """One scalar parameter `t` in [0, 1]."""

    kind: ClassVar[str] = "testing-interval"
    names = ("t",)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Uniform draws."""
        return {"t": np.array([generator(seed, i).random() for i in indices])}

    def contains(self, mu: Mu) -> Mask:
        """Whether 0 <= t <= 1."""
        return (mu["t"] >= 0) & (mu["t"] <= 1)

    def to_parts(self) -> Parts:
        """Nothing to store."""
        return Parts({}, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The interval."""
        return cls()


class DenseInner(InnerProduct):
    """A dense X on the free dofs."""

    def __init__(self, matrix: Real, free: Mask):
        self._x, self._free = matrix, free
        self._inverse = np.linalg.inv(matrix)
        self._smallest = float(np.linalg.eigvalsh(matrix)[0]) * (1 - 1e-6)

    @property
    def lambda_min(self) -> float:
        """Smallest eigenvalue by a dense decomposition, shrunk."""
        return self._smallest

    def apply(self, v: Array) -> Array:
        """Dense product."""
        return self._scatter(v[:, self._free] @ self._x)

    def riesz(self, r: Array) -> Array:
        """Dense solve."""
        return self._scatter(r[:, self._free] @ self._inverse)

    def _scatter(self, inner: Array) -> Array:
        out = np.zeros((len(inner), len(self._free)))
        out[:, self._free] = inner
        return out


class DenseSpace(FunctionSpace):
    """`(n,)` nodes; the first is constrained."""

    kind: ClassVar[str] = "testing-dense"

    def __init__(self, matrix: Real):
        self._matrix = matrix
        self.free = np.arange(len(matrix) + 1) > 0

    @property
    def shape(self) -> tuple[int, ...]:
        """One value a node."""
        return (len(self.free),)

    def points(self, mu: Mu | None = None) -> Array:
        """Equispaced."""
        return np.linspace(0, 1, self.size)[:, None]

    def inner(self, kind: str) -> InnerProduct:
        """The same dense form for every kind."""
        return DenseInner(self._matrix, self.free)

    def to_parts(self) -> Parts:
        """The matrix."""
        return Parts({}, {"matrix": self._matrix}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The space again."""
        return cls(arrays["matrix"])


class DenseProblem(Coercive, Outputs):
    """n free dofs, contrast `upper / lower` of the spectrum of X⁻¹A, prescribed value `g` at node 0."""

    def __init__(self, size: int = 12, seed: int = 0, contrast: float = 10.0, g: float = 0.5, load: float = 1.0):
        rng = generator(seed, 0)
        factor = np.tril(rng.normal(size=(size, size)) / size) + np.eye(size)
        self.size, self.g = size, g
        self._root = factor @ np.linalg.qr(rng.normal(size=(size, size)))[0]
        self._spectrum = np.geomspace(1.0, contrast, size) if size > 1 else np.ones(1)
        self._load = load * rng.normal(size=size)
        self._coupling = rng.normal(size=size)
        self._space = DenseSpace(factor @ factor.T)
        self._parameters = Interval()

    @property
    def parameters(self) -> ParameterSpace:
        """t in [0, 1]."""
        return self._parameters

    @property
    def space(self) -> FunctionSpace:
        """n + 1 nodes."""
        return self._space

    def assemble(self, mu: Mu) -> System:
        """Dense, as csr."""
        scale = 1 + float(as_mu(mu, ("t",))["t"][0])
        a = scale * (self._root * self._spectrum) @ self._root.T
        coupling = scale * self._coupling
        corner = 1.0 + coupling @ np.linalg.solve(a, coupling)  # keeps the whole matrix positive definite
        full = np.block([[np.array([[corner]]), coupling[None]], [coupling[:, None], a]])
        lift = np.zeros(self.size + 1)
        lift[0] = self.g
        load = np.concatenate([[0.0], self._load - coupling * self.g])
        return System(sp.csr_matrix(full), load, self._space.free, lift)

    def constant(self, mu: Mu, field: Array | None = None) -> Stability:
        """Known by construction, shrunk by the round-off of the construction."""
        scale = 1 + as_mu(mu, ("t",))["t"]
        ends = self._spectrum[0] * (1 - 1e-9), self._spectrum[-1] * (1 + 1e-9)
        return Stability(scale * ends[0], scale * ends[1])

    def quantities(self) -> dict[str, Quantity]:
        """The mean value."""
        return {"mean": Quantity(np.full(self.size + 1, 1.0 / (self.size + 1)), offset=1.0, unit="K")}

    def exact(self, mu: Mu) -> Array:
        """Solutions `(B, n + 1)` by a dense solve."""
        rows = []
        for i in range(batch_size(mu)):
            s = self.assemble({"t": mu["t"][i : i + 1]})
            w = np.zeros(self.size + 1)
            w[1:] = np.linalg.solve(s.matrix.toarray()[1:, 1:], s.load[1:])
            rows.append(s.lift + w)
        return np.stack(rows)

    def energy_error(self, mu: Mu, u: Array, v: Array) -> Real:
        """`‖u - v‖_A` for dofs `(B, n + 1)`, dense."""
        values = []
        for i in range(batch_size(mu)):
            e = (u - v)[i, 1:]
            a = self.assemble({"t": mu["t"][i : i + 1]}).matrix.toarray()[1:, 1:]
            values.append(np.sqrt(max(e @ a @ e, 0.0)))
        return np.array(values)
