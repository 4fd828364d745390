"""The 1-D problem on which residual formulas differ, its residuals in extended precision, and a basis that reaches the
last digits: what `estimator_floor.py` compares its contestants with. Nothing here uses the code that is measured."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import nwidth as nw
from nwidth.core.arrays import Array, Real
from nwidth.problems.base import Affine

LONG = np.longdouble


def line(cells: int) -> Affine:
    """`-u'' + mu u = 1` on (0, 1), u = 0 at the ends, P1 on equal cells, mu in [1, 1000]; X at mu = 1."""
    h = 1 / cells
    inside, off = np.ones(cells + 1), np.ones(cells)
    inside[[0, -1]] = 0.5
    stiffness = sp.diags_array([-off / h, 2 * inside / h, -off / h], offsets=[-1, 0, 1])
    mass = sp.diags_array([off * h / 6, inside * (2 * h / 3), off * h / 6], offsets=[-1, 0, 1])
    return nw.rb.from_matrices(
        [stiffness, mass],
        [h * inside],
        (["1", "mu"], ["1"]),
        product=stiffness + mass,
        parameters={"mu": (1.0, 1000.0)},
        free=np.arange(1, cells),
        # Friedrichs: |u'|² >= π² |u|²; the smallest eigenvalue of the mass matrix is above h/3
        lambda_min=(1 - 1e-6) * np.pi**2 * h / 3,
    )


@dataclass(frozen=True, eq=False)
class Reference:
    """Exact operators in extended precision, each solve refined until only its last digits are in doubt."""

    problem: Affine

    def __post_init__(self) -> None:
        terms = self.problem.terms()
        x = self.problem.space.inner("energy").matrix
        object.__setattr__(self, "free", np.flatnonzero(terms.free))
        object.__setattr__(self, "parts", [_wide(sp.csr_array(m)[terms.free][:, terms.free]) for m in terms.matrices])
        object.__setattr__(self, "x", _wide(sp.csr_array(x)))
        object.__setattr__(self, "load", terms.loads[0, terms.free].astype(LONG))

    def residual(self, theta: Real, coefficients: Real, basis: Real) -> Array:
        """`f - A(mu) (c @ basis)` on the free dofs, `(B, n)`."""
        fields = coefficients.astype(LONG) @ basis[:, self.free].astype(LONG)
        rows = [
            self.load - sum(t * (m @ v) for t, m in zip(row, self.parts, strict=True))
            for row, v in zip(theta.astype(LONG), fields, strict=True)
        ]
        return np.array(rows)

    def dual_norm(self, r: Array) -> Real:
        """`‖r‖_{X⁻¹}`, `(B,)`."""
        factor = sla.splu(self.x.astype(np.float64).tocsc())
        return np.array([float(np.sqrt(row @ _refined(factor, self.x, row))) for row in r])

    def errors(self, theta: Real, residuals: Array) -> tuple[Array, Real]:
        """`e = A⁻¹ r` and its energy norm `√(r · e)` for each residual: the error that belongs to it."""
        e = np.empty_like(residuals)
        for i, (row, r) in enumerate(zip(theta.astype(LONG), residuals, strict=True)):
            matrix = sp.csr_array(sum(t * m for t, m in zip(row, self.parts, strict=True)))
            e[i] = _refined(sla.splu(matrix.astype(np.float64).tocsc()), matrix, r)
        return e, np.sqrt(np.einsum("bn,bn->b", residuals, e)).astype(np.float64)

    def basis(self, theta: Real, phi: Real, size: int, galerkin: Callable[[Real, Real, Real], Real]) -> Real:
        """Modes `(size, N)` from the largest true residual over training coefficients: each is the error there, known
        to its last digits however small it is, made orthonormal in X."""
        inner, basis = self.problem.space.inner("energy"), np.zeros((0, len(self.problem.terms().lift)))
        while len(basis) < size:
            coefficients = galerkin(basis, theta, phi)
            residuals = self.residual(theta, coefficients, basis)
            worst = [int(np.argmax(self.dual_norm(residuals)))]
            vector = np.zeros((1, basis.shape[1]))
            vector[0, self.free] = self.errors(theta[worst], residuals[worst])[0][0].astype(np.float64)
            for _ in range(3):
                vector = vector / inner.norm(vector)
                vector = vector - inner.apply(vector) @ basis.T @ basis
            basis = np.concatenate([basis, vector / inner.norm(vector)])
        return basis


def _wide(matrix: sp.csr_array) -> sp.csr_array:
    return sp.csr_array((matrix.data.astype(LONG), matrix.indices, matrix.indptr), shape=matrix.shape)


def _refined(factor: sla.SuperLU, matrix: sp.csr_array, r: Array) -> Array:
    """`A⁻¹ r` by refinement in extended precision; `r` may be far below the smallest scale of float64 factors."""
    scale = np.abs(r).max() or LONG(1)
    z, target = np.zeros(len(r), dtype=LONG), r / scale
    for _ in range(5):
        z = z + factor.solve((target - matrix @ z).astype(np.float64))
    return z * scale


@dataclass(frozen=True, eq=False)
class PlainOrthonormal:
    """The estimator of Buhr, Engwer, Ohlberger and Rave (2014) as published: Gram-Schmidt over all representatives,
    each projected three times, none left out. A value, without its rounding."""

    rows: Real

    @classmethod
    def of(cls, problem: Affine, basis: Real) -> "PlainOrthonormal":
        """One row of coordinates for the load and for each term of each mode, modes slow."""
        terms, inner = problem.terms(), problem.space.inner("energy")
        parts = [m @ v for v in basis for m in terms.matrices]
        functionals = np.array([*terms.loads, *parts]) * terms.free
        w = np.zeros((0, basis.shape[1]))
        for vector in inner.riesz(functionals):
            for _ in range(3):
                vector = vector / inner.norm(vector[None])[0]
                vector = vector - inner.apply(vector[None])[0] @ w.T @ w
            w = np.concatenate([w, vector[None] / inner.norm(vector[None])[0]])
        return cls(functionals @ w.T)

    def norms(self, theta: Real, phi: Real, coefficients: Real) -> tuple[Real, Real]:
        """Norm, and zeros."""
        products = -(coefficients[:, :, None] * theta[:, None, :]).reshape(len(theta), -1)
        norm = np.linalg.norm(np.concatenate([phi, products], axis=1) @ self.rows, axis=1)
        return norm, np.zeros_like(norm)
