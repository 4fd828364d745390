"""The Krylov methods that the literature accelerates: GMRES(m) and GCRO-DR, both behind an ILU(0), made as fast here as
Python with compiled kernels and BLAS goes, so that what is compared is the methods.

References: Saad, Schultz 1986 (GMRES); Parks, de Sturler, Mackey, Johnson, Maiti 2006, "Recycling Krylov subspaces for
sequences of linear systems", algorithm 2 of its appendix (GCRO-DR), with the harmonic Ritz vectors of Morgan 2002.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real

#: A product with the preconditioned matrix, `A M⁻¹ v`.
Product = Callable[[Real], Real]


@numba.njit(cache=True, nogil=True)
def _factorise(data: Real, indices: Array, indptr: Array, diagonal: Array) -> None:
    """Incomplete LU factors in place of a matrix in sorted compressed rows; the diagonal is stored inverted."""
    n = len(indptr) - 1
    place = np.full(n, -1, dtype=np.int64)
    for i in range(n):
        begin, end = indptr[i], indptr[i + 1]
        for p in range(begin, end):
            place[indices[p]] = p
        for p in range(begin, diagonal[i]):
            k = indices[p]
            data[p] *= data[diagonal[k]]
            for q in range(diagonal[k] + 1, indptr[k + 1]):
                if place[indices[q]] >= 0:
                    data[place[indices[q]]] -= data[p] * data[q]
        for p in range(begin, end):
            place[indices[p]] = -1
        data[diagonal[i]] = 1.0 / data[diagonal[i]]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _substitute(data: Real, indices: Array, indptr: Array, diagonal: Array, r: Real, z: Real) -> None:
    """`z = U⁻¹ L⁻¹ r`."""
    n = len(indptr) - 1
    for i in range(n):
        total = r[i]
        for p in range(indptr[i], diagonal[i]):
            total -= data[p] * z[indices[p]]
        z[i] = total
    for i in range(n - 1, -1, -1):
        total = z[i]
        for p in range(diagonal[i] + 1, indptr[i + 1]):
            total -= data[p] * z[indices[p]]
        z[i] = total * data[diagonal[i]]


@numba.njit(cache=True, nogil=True)
def _multiply(data: Real, indices: Array, indptr: Array, diagonal: Array, z: Real, r: Real) -> None:
    """`r = L U z`."""
    n = len(indptr) - 1
    for i in range(n):
        total = z[i] / data[diagonal[i]]
        for p in range(diagonal[i] + 1, indptr[i + 1]):
            total += data[p] * z[indices[p]]
        r[i] = total
    for i in range(n - 1, -1, -1):
        total = r[i]
        for p in range(indptr[i], diagonal[i]):
            total += data[p] * r[indices[p]]
        r[i] = total


class IncompleteLU:
    """ILU(0) of a matrix in sorted compressed rows with a full diagonal."""

    def __init__(self, matrix: sp.csr_array):
        self._indices, self._indptr = matrix.indices, matrix.indptr
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        self._diagonal = np.flatnonzero(matrix.indices == rows)
        self._data = matrix.data.copy()
        _factorise(self._data, self._indices, self._indptr, self._diagonal)

    def solve(self, r: Real) -> Real:
        """`M⁻¹ r`."""
        z = np.empty_like(r)
        _substitute(self._data, self._indices, self._indptr, self._diagonal, r, z)
        return z

    def multiply(self, z: Real) -> Real:
        """`M z`."""
        r = np.empty_like(z)
        _multiply(self._data, self._indices, self._indptr, self._diagonal, z, r)
        return r


@dataclass
class Answer:
    """A solution and the products with the matrix that it took."""

    x: Real
    products: int


def gmres(matrix: sp.csr_array, load: Real, rtol: float, restart: int = 40, most: int = 4000) -> Answer:
    """GMRES(restart), preconditioned by ILU(0) from the right, until the true relative residual is `rtol`."""
    ilu = IncompleteLU(matrix)
    target, x, r, products = rtol * float(np.linalg.norm(load)), np.zeros_like(load), load, 0
    while np.linalg.norm(r) > target and products < most:
        cycle = _arnoldi(lambda v: matrix @ ilu.solve(v), r, restart, target, np.empty((0, len(r))))
        x = x + ilu.solve(cycle.y @ cycle.basis[:-1])
        r = load - matrix @ x
        products += len(cycle.y) + 1
    return Answer(x, products)


@dataclass
class _Cycle:
    """`(I - cᵀ c) A M⁻¹ Vᵀ = basisᵀ h`, `c A M⁻¹ Vᵀ = b`, V = basis[:-1], and the coefficients y that minimise the
    residual over V."""

    basis: Real
    h: Real
    b: Real
    y: Real


def _arnoldi(product: Product, r: Real, steps: int, target: float, c: Real) -> _Cycle:
    """At most `steps` of Arnoldi from r, beside the orthonormal rows c, ended where the residual reaches the target."""
    basis, h, b = np.empty((steps + 1, len(r))), np.zeros((steps + 1, steps)), np.zeros((len(c), steps))
    givens, g, triangle = np.zeros((steps, 2)), np.zeros(steps + 1), np.zeros((steps + 1, steps))
    g[0] = np.linalg.norm(r)
    basis[0] = r / g[0]
    k = 0
    while k < steps and abs(g[k]) > target:
        w = product(basis[k])
        if len(c):
            b[:, k] = c @ w
            w -= b[:, k] @ c
        for _ in range(2):  # classical Gram-Schmidt, twice: products of BLAS 2, as orthogonal as the modified form
            dots = basis[: k + 1] @ w
            w -= dots @ basis[: k + 1]
            h[: k + 1, k] += dots
        h[k + 1, k] = np.linalg.norm(w)
        basis[k + 1] = w / h[k + 1, k]
        _rotate(triangle, givens, g, h[:, k], k)
        k += 1
    y = la.solve_triangular(triangle[:k, :k], g[:k], check_finite=False)
    return _Cycle(basis[: k + 1], h[: k + 1, :k], b[:, :k], y)


@numba.njit(cache=True)
def _rotate(triangle: Real, givens: Real, g: Real, column: Real, k: int) -> None:
    """Brings column k of the Hessenberg matrix to triangular form and applies the new rotation to the load."""
    t = triangle[:, k]
    t[: k + 2] = column[: k + 2]
    for i in range(k):
        c, s = givens[i]
        t[i], t[i + 1] = c * t[i] + s * t[i + 1], -s * t[i] + c * t[i + 1]
    radius = np.hypot(t[k], t[k + 1])
    givens[k, 0], givens[k, 1] = t[k] / radius, t[k + 1] / radius
    t[k], t[k + 1] = radius, 0.0
    g[k + 1] = -givens[k, 1] * g[k]
    g[k] = givens[k, 0] * g[k]


@dataclass
class GcroDr:
    """GCRO-DR(size, recycled) for a sequence of systems, preconditioned by ILU(0) from the right: the space of the
    smallest harmonic Ritz vectors is handed on from system to system.

    It is handed on as corrections of the solution, `M⁻¹ u`, not as vectors u that only the old preconditioner can read:
    on Darcy's equation this saves a quarter of the products.
    """

    size: int = 40
    recycled: int = 10
    most: int = 4000
    _space: Real | None = None

    def solve(self, matrix: sp.csr_array, load: Real, rtol: float) -> Answer:
        """The solution of the next system of the sequence, from the space that the last one left."""
        ilu = IncompleteLU(matrix)
        run = _Recycling(lambda v: matrix @ ilu.solve(v), load)
        target, r, x = rtol * float(np.linalg.norm(load)), load, np.zeros_like(load)
        if self._space is not None and self._space.shape[1] == len(load):
            run.take(np.stack([ilu.multiply(z) for z in self._space]), (matrix @ self._space.T).T)
        while run.products < self.most:
            while np.linalg.norm(run.r) > target and run.products < self.most:
                run.cycle(self.size, self.recycled, target)
            x = ilu.solve(run.t)
            r = load - matrix @ x
            if np.linalg.norm(r) <= target:
                break
            run.restart(r)  # the recursive residual was too good
        self._space = np.stack([ilu.solve(u) for u in run.u]) if len(run.u) else None
        return Answer(x, run.products)


class _Recycling:
    """One system `A M⁻¹ t = load`: iterate t, residual r, the recycled rows u with `A M⁻¹ uᵀ = cᵀ`, c orthonormal."""

    def __init__(self, product: Product, load: Real):
        self.product, self.r, self.t = product, load.copy(), np.zeros_like(load)
        self.u, self.c = np.empty((0, len(load))), np.empty((0, len(load)))
        self.products = 0

    def take(self, space: Real, image: Real) -> None:
        """Starts from rows and their images `A M⁻¹ u`: these are made orthonormal, the residual freed of them."""
        self.products += len(space)
        q, triangle = la.qr(image.T, mode="economic", check_finite=False)
        self.c = np.ascontiguousarray(q.T)
        self.u = la.solve_triangular(triangle, space, trans="T", check_finite=False)
        self.restart(self.r)

    def restart(self, r: Real) -> None:
        """Goes on from another residual, freed of what the recycled space can remove."""
        part = self.c @ r
        self.t += part @ self.u
        self.r = r - part @ self.c

    def cycle(self, size: int, recycled: int, target: float) -> None:
        """Arnoldi beside the recycled space, the smallest residual over both, and the space for the next cycle."""
        arnoldi = _arnoldi(self.product, self.r, size - len(self.c), target, self.c)
        self.products += len(arnoldi.y)
        self.t += arnoldi.y @ arnoldi.basis[:-1] - (arnoldi.b @ arnoldi.y) @ self.u
        self.r = self.r - (arnoldi.h @ arnoldi.y) @ arnoldi.basis
        if len(self.u) + len(arnoldi.y) > recycled:
            self._renew(arnoldi, recycled)

    def _renew(self, arnoldi: _Cycle, recycled: int) -> None:
        """The new space: `A M⁻¹ V̂ᵀ = Ŵᵀ G` with V̂ = (u, V), Ŵ = (c, basis); the smallest θ of
        `Gᵀ G p = θ Gᵀ Ŵ V̂ᵀ p`, found as the largest 1/θ of `G⁺ Ŵ V̂ᵀ`."""
        k, steps = len(self.u), len(arnoldi.y)
        scale = 1.0 / np.linalg.norm(self.u, axis=1)
        u = self.u * scale[:, None]
        g = np.zeros((k + steps + 1, k + steps))
        g[:k, :k], g[:k, k:], g[k:, k:] = np.diag(scale), arnoldi.b, arnoldi.h
        cross = np.zeros((k + steps + 1, k + steps))
        cross[:k, :k], cross[k:, :k] = self.c @ u.T, arnoldi.basis @ u.T
        cross[k : k + steps, k:] = np.eye(steps)
        q, triangle = la.qr(g, mode="economic", check_finite=False)
        p = _largest(la.solve_triangular(triangle, q.T @ cross, check_finite=False), recycled)
        q, triangle = la.qr(g @ p, mode="economic", check_finite=False)
        new = p[:k].T @ u + p[k:].T @ arnoldi.basis[:-1]
        self.c = q[:k].T @ self.c + q[k:].T @ arnoldi.basis
        self.u = la.solve_triangular(triangle, new, trans="T", check_finite=False)


def _largest(matrix: Real, count: int) -> Real:
    """A real basis `(n, count)` of the eigenvectors of the eigenvalues largest in modulus."""
    values, vectors = np.linalg.eig(matrix)
    order = np.argsort(-np.abs(values))
    chosen = [part for i in order if values[i].imag >= 0 for part in _real_parts(values[i], vectors[:, i])]
    return la.qr(np.stack(chosen[:count], axis=1), mode="economic")[0]


def _real_parts(value: complex, vector: Array) -> list[Real]:
    """The vector of a real eigenvalue; of a conjugate pair, which is met once, its real and imaginary parts."""
    return [vector.real, vector.imag] if value.imag else [vector.real]


def similar_order(features: Real) -> Array:
    """An order of the rows `(B, P)` in which neighbours are alike: always on to the nearest one that is left."""
    left, order = np.ones(len(features), dtype=bool), [0]
    for _ in range(len(features) - 1):
        left[order[-1]] = False
        distance = np.linalg.norm(features - features[order[-1]], axis=1)
        order.append(int(np.argmin(np.where(left, distance, np.inf))))
    return np.array(order)
