"""Residuals of sparse products, as exact as if they were computed with twice the digits.

The sum of products `Σ a_i b_i` is split without error: the rounding of each product (by a fused multiply-add) and of
each addition is kept in a second number. With u the unit roundoff and n products,

    |computed - exact| <= u |exact| + γ_n² Σ |a_i b_i|.

Reference: Ogita, Rump and Oishi, "Accurate sum and dot product", SIAM Journal on Scientific Computing 26 (2005),
proposition 5.5 (Dot2). Unlike the wide type of a machine this is the same everywhere.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from nwidth.core.arrays import Array, Real

# no fast-math here: the algorithm consists of what that would cancel
_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True}


def _fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """`a b + c`, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


_fma: Any = intrinsic(_fused)


@njit(inline="always", **_OPTIONS)
def _add_product(total: float, low: float, a: float, b: float) -> tuple[float, float]:
    """`(total, low)` with a b added: the leading part, and the sum of all that was rounded off."""
    product = a * b
    low_product = _fma(a, b, -product)
    raised = total + product
    part = raised - total
    return raised, low + (((total - (raised - part)) + (product - part)) + low_product)


@njit(**_OPTIONS)
def remainder_squares(
    a_values: Real,
    a_columns: Array,
    a_starts: Array,
    v: Real,
    x_values: Real,
    x_columns: Array,
    x_starts: Array,
    w: Real,
    rows: Array,
) -> Real:
    """`Σ_i (A v - X w)_i²` over the given rows i, for each v and w `(k, N)`, `(k,)`; A and X as compressed rows.

    Each (A v - X w)_i is as exact as the module says; the squares are summed in float64.
    """
    squares = np.zeros(len(v))
    for k in range(len(v)):
        for i in rows:
            total, low = 0.0, 0.0
            for e in range(a_starts[i], a_starts[i + 1]):
                total, low = _add_product(total, low, a_values[e], v[k, a_columns[e]])
            for e in range(x_starts[i], x_starts[i + 1]):
                total, low = _add_product(total, low, -x_values[e], w[k, x_columns[e]])
            squares[k] += (total + low) * (total + low)
    return squares
