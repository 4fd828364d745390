"""Small affine problems whose exact solutions are known to extended precision."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.storable import Parts, Storable
from nwidth.problems.base import Affine, AffineTerms, Outputs, Quantity, Stability, Stable
from nwidth.problems.min_theta import min_theta, positive
from nwidth.spaces.box import Box
from nwidth.spaces.mesh import Form, MeshSpace

LONG = np.longdouble


class Random(Affine, Stable, Outputs, Storable):
    """Random semidefinite terms and loads; the first node is prescribed. X = A at all coefficients 1.

    `spread` is the contrast inside each term: large, and the matrices are badly conditioned.
    """

    kind: ClassVar[str] = "testing-random-affine"
    parameters: Any = None
    space: Any = None

    def __init__(self, size: int = 30, terms: int = 3, loads: int = 2, seed: int = 0, spread: float = 10.0):
        self.config = {"size": size, "terms": terms, "loads": loads, "seed": seed, "spread": spread}
        rng = np.random.default_rng(seed)
        free = np.arange(size + 1) > 0
        matrices = [self._term(rng, size + 1, spread) for _ in range(terms)]
        lift = np.where(free, 0.0, 0.7)
        loads_free = rng.normal(size=(loads, size + 1)) * free
        self._terms = AffineTerms(tuple(sp.csr_array(m) for m in matrices), loads_free, free, lift)
        self._functionals = np.concatenate([loads_free[:1], rng.normal(size=(1, size + 1))])
        x = sum(matrices)
        smallest = float(np.linalg.eigvalsh(x[1:, 1:])[0]) * (1 - 1e-6)
        energy = Form(sp.csr_array(x), smallest)
        elements = np.stack([np.arange(size), np.arange(1, size + 1)], axis=1)
        self.space = MeshSpace(np.arange(size + 1.0)[:, None], elements, free, energy, energy, "line")
        names = tuple(f"t{q}" for q in range(terms)) + tuple(f"p{q}" for q in range(loads))
        self.parameters = Box(names, low=[0.1] * terms + [-1.0] * loads, high=[10.0] * terms + [1.0] * loads)

    @staticmethod
    def _term(rng: np.random.Generator, size: int, spread: float) -> Real:
        vectors = np.linalg.qr(rng.normal(size=(size, size)))[0]
        return (vectors * np.geomspace(1.0, spread, size)) @ vectors.T

    def terms(self) -> AffineTerms:
        return self._terms

    def coefficients(self, mu: Mu | Array) -> tuple[Real, Real]:
        count = len(self._terms.matrices)
        theta = positive(mu, self.parameters.names[:count], self.parameters.names)
        return theta, np.stack([np.asarray(mu[name], dtype=float) for name in self.parameters.names[count:]], axis=1)

    def constant(self, mu: Mu | Array, field: Array | None = None) -> Stability:
        theta, _ = self.coefficients(mu)
        return min_theta(theta, np.ones(theta.shape[1]), 1e-10)

    def quantities(self) -> Mapping[str, Quantity]:
        compliant, other = self._functionals
        return {"compliant": Quantity(compliant, unit="K"), "other": Quantity(other, offset=3.0)}

    def to_parts(self) -> Parts:
        return Parts(self.config, {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Random) and self.config == other.config

    def __hash__(self) -> int:
        return hash(tuple(self.config.values()))


def exact(problem: Affine, mu: Mu) -> Array:
    """Dofs `(B, N)` in extended precision: float64 factors, residuals and sums in the wide type."""
    terms, (theta, phi) = problem.terms(), problem.coefficients(mu)
    parts = [wide(sp.csr_array(m)[terms.free][:, terms.free]) for m in terms.matrices]
    rows = []
    for t, p in zip(theta, phi, strict=True):
        factor = sla.splu(sum(x * m.astype(np.float64) for x, m in zip(t, parts, strict=True)).tocsc())
        f = (p.astype(LONG) @ terms.loads.astype(LONG))[terms.free]
        w = np.zeros(len(f), dtype=LONG)
        for _ in range(12):
            residual = f - sum(x.astype(LONG) * (m @ w) for x, m in zip(t, parts, strict=True))
            w = w + factor.solve(residual.astype(np.float64)).astype(LONG)
        full = terms.lift.astype(LONG)
        full[terms.free] += w
        rows.append(full)
    return np.stack(rows)


def energy_error(problem: Affine, mu: Mu, u: Array, v: Array) -> Real:
    """`‖u - v‖_A` in extended precision, `(B,)`."""
    terms, (theta, _) = problem.terms(), problem.coefficients(mu)
    parts = [wide(sp.csr_array(m)) for m in terms.matrices]
    e = (u.astype(LONG) - v.astype(LONG)) * terms.free
    values = [sum(t * (x @ (m @ x)) for t, m in zip(row, parts, strict=True)) for row, x in zip(theta, e, strict=True)]
    return np.sqrt(np.maximum(np.array(values, dtype=LONG), 0)).astype(np.float64)


def wide(matrix: sp.csr_array) -> sp.csr_array:
    """The same entries in extended precision."""
    return sp.csr_array((matrix.data.astype(LONG), matrix.indices, matrix.indptr), shape=matrix.shape)


def corners(problem: Affine) -> dict[str, Array]:
    """Every corner of the parameter box."""
    box = problem.parameters
    grid = np.stack(np.meshgrid(*[[0.0, 1.0]] * len(box.names), indexing="ij"), axis=-1).reshape(-1, len(box.names))
    return box.from_unit(grid)
