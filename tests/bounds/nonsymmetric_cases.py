"""Linear problems without symmetry whose solutions are known to extended precision, and dense oracles."""

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.bounds.metric import energy_matrix
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.problems.base import Linear, System
from nwidth.spaces.algebraic import Algebraic
from nwidth.spaces.box import Box
from nwidth.spaces.factor import restricted
from nwidth.spaces.mesh import Form

WIDE = {False: np.longdouble, True: np.clongdouble}


class RandomLinear(Linear):
    """`(1 + t) A u = f`, `A = L M Lᵀ`, `X = L Lᵀ`: the singular values of A against X are those of M, random between
    `least` and 10. `shape` of M: "general", "symmetric" or "complex symmetric". The first dof is prescribed."""

    def __init__(self, size=12, seed=0, shape="general", least=0.1):
        rng = np.random.default_rng(seed)
        self.size, self.shape = size, shape
        root = np.tril(rng.normal(size=(size, size)) / size) + np.eye(size)
        values = np.concatenate([[least], rng.uniform(least, 10.0, size=size - 1)])
        self.a, self.x = root @ _middle(rng, values, shape) @ root.T, root @ root.T
        self.x = (self.x + self.x.T) / 2
        if shape != "general":
            self.a = (self.a + self.a.T) / 2
        self.load = rng.normal(size=size) + (1j * rng.normal(size=size) if shape == "complex symmetric" else 0)
        self.coupling = rng.normal(size=size)
        self._smallest = float(np.linalg.eigvalsh(self.x)[0]) * (1 - 1e-6)
        self.parameters = Box(("t",), 0.0, 1.0)
        self.space = self._space()

    parameters = None
    space = None

    def _space(self):
        whole = np.zeros((self.size + 1,) * 2)
        whole[0, 0], whole[1:, 1:] = 1.0, self.x
        kind = ComplexAlgebraic if self.shape == "complex symmetric" else Algebraic
        return kind(np.arange(self.size + 1) > 0, Form(sp.csr_array(whole), self._smallest))

    def assemble(self, mu):
        scale = 1.0 + float(as_mu(mu, ("t",))["t"][0])
        whole = np.zeros((self.size + 1,) * 2, dtype=self.a.dtype)
        whole[0, 0], whole[1:, 1:] = 1.0, scale * self.a
        load = np.concatenate([[0.0], self.load - 0.5 * self.coupling])
        lift = np.zeros(self.size + 1, dtype=self.a.dtype)
        lift[0] = 0.5
        return System(sp.csr_array(whole), load, self.space.free, lift)


class ComplexAlgebraic(Algebraic):
    """The same with complex values."""

    @property
    def dtype(self):
        return np.dtype(np.complex128)

    def inner(self, kind):
        from nwidth.spaces.complex_grid import _Parts

        return _Parts(super().inner(kind))


def _middle(rng, values, shape):
    size = len(values)
    q, p = (np.linalg.qr(rng.normal(size=(size, size)))[0] for _ in range(2))
    if shape == "general":
        return (q * values) @ p.T
    if shape == "symmetric":
        return (q * (values * rng.choice([-1.0, 1.0], size=size))) @ q.T
    unitary = np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))[0]
    return (unitary * values) @ unitary.T  # Takagi: U Σ Uᵀ is symmetric with the singular values Σ


def matrices(problem, mu):
    """Free parts of the matrices, loads and lifts of a batch."""
    systems = [problem.assemble(select(mu, slice(i, i + 1))) for i in range(batch_size(mu))]
    return [(restricted(sp.csr_array(s.matrix), s.free), s.load[s.free], s.lift, s.free) for s in systems]


def exact(problem, mu):
    """Dofs `(B, N)` in extended precision: float64 factors, residuals and sums in the wide type."""
    rows = []
    for a, f, lift, free in matrices(problem, mu):
        wide_type = WIDE[np.iscomplexobj(a.data) or np.iscomplexobj(f)]
        factor, wide = sla.splu(a.tocsc()), a.astype(wide_type)
        narrow = np.complex128 if np.iscomplexobj(a.data) else np.float64
        w, f = np.zeros(len(f), dtype=wide_type), f.astype(wide_type)
        for _ in range(10):
            w = w + factor.solve((f - wide @ w).astype(narrow)).astype(wide_type)
        full = lift.astype(wide_type)
        full[free] += w
        rows.append(full)
    return np.stack(rows)


def error(problem, mu, u, v, norm):
    """`‖u - v‖` in extended precision, `(B,)`, over the free dofs."""
    x, found = energy_matrix(problem.space), []
    for i, (a, *_, free) in enumerate(matrices(problem, mu)):
        e = (u[i] - v[i].astype(u.dtype))[free]
        form = (x if norm == "gradient norm" else a).astype(u.dtype)
        found.append(np.sqrt(max((np.conj(e) @ (form @ e)).real, 0)))
    return np.array(found, dtype=np.float64)


def ends_of_symmetric_part(a, x):
    """Smallest and largest eigenvalue of the symmetric part against X, and the norm of the skew part, dense."""
    a, x = a.toarray(), x.toarray()
    values = la.eigh((a + a.T) / 2, x, eigvals_only=True)
    return values[0], values[-1], singular_values((a - a.T) / 2, x)[-1]


def singular_values(a, x):
    """Of `L⁻¹ A L⁻ᵀ` with `X = L Lᵀ`, dense, ascending."""
    root = la.cholesky(x.toarray() if sp.issparse(x) else x, lower=True)
    a = a.toarray() if sp.issparse(a) else a
    half = la.solve_triangular(root, a, lower=True)
    return la.svdvals(la.solve_triangular(root, half.T, lower=True))[::-1]
