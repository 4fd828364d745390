"""The interpolation of products as published (Casenave, Ern and Lelièvre 2014, E₄): a reference next to nwidth's form.

`‖r(mu)‖² = Σ_r λ_r(mu) V_r` with V_r the squares at chosen training parameters and λ from the products ζ_k ζ_l at as
many chosen pairs (k, l): empirical interpolation of the products, without and with its remainder.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from nwidth.core.arrays import Array, Real


@dataclass(frozen=True, eq=False)
class Products:
    """`functions (m, P)` over pairs, unit lower triangular at `magic`; their squares `values (m,)`; weights of pairs
    `(P,)`."""

    functions: Real
    magic: Array
    values: Real
    weights: Real

    @classmethod
    def of(cls, theta: Real, phi: Real, coefficients: Real, squares: Real, sizes: Real) -> "Products":
        """From training coefficients and their squares known accurately; `sizes (K,)` bound the single functionals."""
        rest = _products(theta, phi, coefficients)
        pairs = np.triu_indices(len(sizes))
        weights = sizes[pairs[0]] * sizes[pairs[1]] * np.where(pairs[0] == pairs[1], 1.0, 2.0)
        squares, floor = squares.copy(), 4e-16 * (np.abs(rest) @ weights).max()
        functions, magic, values = list[Real](), list[int](), list[float]()
        while len(magic) < len(rest):
            left = np.abs(rest) @ weights
            worst = int(np.argmax(left))
            if left[worst] <= floor:
                break
            place = int(np.argmax(np.abs(rest[worst]) * weights))
            q, value = rest[worst] / rest[worst, place], squares[worst] / rest[worst, place]
            q[magic], q[place] = 0.0, 1.0
            functions, magic, values = [*functions, q], [*magic, place], [*values, value]
            squares -= rest[:, place] * value
            rest -= np.outer(rest[:, place], q)
            rest[:, magic] = 0.0
        return cls(np.array(functions), np.array(magic), np.array(values), weights)

    def squares(self, theta: Real, phi: Real, coefficients: Real) -> tuple[Real, Real]:
        """`Σ λ V` and the remainder of the products, both `(B,)`."""
        table = _products(theta, phi, coefficients)
        triangle = self.functions[:, self.magic].T
        b = solve_triangular(triangle, table[:, self.magic].T, lower=True, unit_diagonal=True).T
        return b @ self.values, np.abs(table - b @ self.functions) @ self.weights

    @property
    def points(self) -> int:
        """m."""
        return len(self.magic)


def _products(theta: Real, phi: Real, coefficients: Real) -> Real:
    """`ζ_k ζ_l` for k <= l, `(B, K (K + 1) / 2)`."""
    modes = -(coefficients[:, :, None] * theta[:, None, :]).reshape(len(theta), -1)
    zeta = np.concatenate([phi, modes], axis=1)
    first, second = np.triu_indices(zeta.shape[1])
    return zeta[:, first] * zeta[:, second]
