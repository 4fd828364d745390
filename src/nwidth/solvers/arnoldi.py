"""The Arnoldi process for `X⁻¹ A` in the inner product of X, for a batch of systems at once.

    X⁻¹ A V_j = V_{j+1} H_j,        V_jᴴ X V_j = I,

so that over all corrections `V_j y` the X⁻¹ norm of the residual is `‖ρ e_1 - H_j y‖₂`: a small least-squares problem,
updated by one rotation a step. Reference: Saad, Iterative Methods for Sparse Linear Systems (2003), section 6.5; in
another inner product Ernst, SIAM J. Matrix Anal. Appl. 21 (2000), section 2.
"""

import numpy as np

from nwidth.bounds.metric import dot
from nwidth.core.arrays import Array
from nwidth.problems.base import Systems
from nwidth.spaces.base import InnerProduct

#: A new direction this small beside its image is rounding: the Krylov space holds the solution.
_BREAKDOWN = 1e-14


class Arnoldi:
    """The state of a batch after `size` steps: basis `(B, m + 1, N)`, the triangular factor of H, its right-hand side.

    `rho (B,)` is the X⁻¹ norm of the residual, as the recurrence has it.
    """

    def __init__(self, systems: Systems, inner: InnerProduct, residual: Array, most: int):
        self._systems, self._inner = systems, inner
        z = inner.riesz(residual)
        self.rho = np.sqrt(np.maximum(dot(residual, z), 0.0))
        self.size, batch, dtype = 0, len(residual), residual.dtype
        self._basis = np.empty((batch, most + 1, residual.shape[1]), dtype=dtype)
        self._basis[:, 0] = z / np.where(self.rho > 0, self.rho, 1.0)[:, None]
        self._triangle = np.zeros((batch, most, most), dtype=dtype)
        self._cosines, self._sines = np.zeros((batch, most)), np.zeros((batch, most), dtype=dtype)
        self._right = np.zeros((batch, most + 1), dtype=dtype)
        self._right[:, 0] = self.rho

    def step(self) -> None:
        """One product with A, one Riesz map, two passes of orthogonalisation."""
        j = self.size
        basis = self._basis[:, : j + 1]
        image = self._systems.apply(self._basis[:, j])
        z = self._inner.riesz(image)
        column = np.zeros((len(z), j + 2), dtype=z.dtype)
        length = np.sqrt(np.maximum(dot(image, z), 0.0))
        for _ in range(2):
            part = np.matmul(np.conj(basis), image[:, :, None])[:, :, 0]
            z = z - np.matmul(part[:, None, :], basis)[:, 0]
            column[:, :-1] += part
            image = self._inner.apply(z)
        left = np.sqrt(np.maximum(dot(image, z), 0.0))
        left = np.where(left > _BREAKDOWN * length, left, 0.0)
        column[:, -1] = left
        self._basis[:, j + 1] = z / np.where(left > 0, left, 1.0)[:, None]
        self._rotate(column)
        self.size += 1

    def _rotate(self, column: Array) -> None:
        """The new column of H through all rotations, and one more that clears its last entry."""
        j = self.size
        for i in range(j):
            c, s = self._cosines[:, i], self._sines[:, i]
            upper = c * column[:, i] + np.conj(s) * column[:, i + 1]
            column[:, i + 1] = -s * column[:, i] + c * column[:, i + 1]
            column[:, i] = upper
        a, b = column[:, j], column[:, j + 1].real
        size, radius = np.abs(a), np.hypot(np.abs(a), b)
        phase = np.where(size > 0, a / np.where(size > 0, size, 1.0), 1.0)
        self._triangle[:, : j + 1, j] = column[:, :-1]
        self._triangle[:, j, j] = phase * radius
        radius = np.where(radius > 0, radius, 1.0)
        self._cosines[:, j], self._sines[:, j] = size / radius, b / radius * np.conj(phase)
        g = self._right[:, j].copy()
        self._right[:, j], self._right[:, j + 1] = self._cosines[:, j] * g, -self._sines[:, j] * g
        self.rho = np.abs(self._right[:, j + 1])

    def correction(self) -> Array:
        """`V y` with the y that makes the residual smallest, `(B, N)`."""
        if not self.size:
            return np.zeros_like(self._basis[:, 0])
        k = self.size
        triangle = self._triangle[:, :k, :k]
        flat = np.einsum("bii->bi", triangle) == 0
        if flat.any():  # the matrix is singular on the Krylov space: leave that direction alone
            triangle = triangle.copy()
            rows, places = np.nonzero(flat)
            triangle[rows, places, places] = np.inf
        y = _back_substituted(triangle, self._right[:, :k])
        return np.matmul(y[:, None, :], self._basis[:, :k])[:, 0]

    def take(self, rows: Array) -> None:
        """Keep the chosen samples only."""
        self._systems = self._systems.take(rows)
        for name in ("rho", "_basis", "_triangle", "_cosines", "_sines", "_right"):
            setattr(self, name, getattr(self, name)[rows])


def _back_substituted(triangle: Array, right: Array) -> Array:
    """`R⁻¹ b` for a batch of upper triangles."""
    y = right.copy()
    for i in range(right.shape[1] - 1, -1, -1):
        y[:, i] /= triangle[:, i, i]
        y[:, :i] -= triangle[:, :i, i] * y[:, i, None]
    return y
