"""What a POD-DeepONet takes from its training fields: modes, coefficients, and a linear fit of these to the input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.spaces.base import FunctionSpace

#: Rows `(B, M)` times the matrix of an inner product.
Product: TypeAlias = Callable[[Array], Array]

#: Singular values below this part of the largest are rounding: of the data, or of a Gram matrix.
_NOISE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-7}
#: Regularisations that are tried, relative to the largest eigenvalue.
_RIDGES = np.concatenate([[0.0], 10.0 ** np.arange(-14, 5)])


def mass_of(space: FunctionSpace, complex_fields: bool) -> Product:
    """The space's mass form on encoded rows `(B, M)`; the Euclidean product where it has none."""
    try:
        inner = space.inner("mass")
    except InputError:
        return lambda rows: rows
    if not complex_fields:
        return inner.apply
    return lambda rows: np.concatenate([inner.apply(part) for part in np.split(rows, 2, axis=1)], axis=1)


@dataclass(frozen=True)
class Modes:
    """`y ≈ mean + c @ modes`: modes `(n, M)` orthonormal in the product, coefficients `(B, n)` of the training rows."""

    mean: Array
    modes: Array
    coefficients: Array


def modes_of(rows: Array, product: Product, most: int) -> Modes:
    """The first `most` POD modes of rows `(B, M)`, fewer where fewer rise above the noise (Sirovich 1987).

    From the eigenvectors of the Gram matrix of the rows, orthonormalised once more. Raises InputError where the
    rows do not vary in this product.
    """
    noise = _NOISE[rows.dtype]
    values = rows.astype(np.float64)
    mean = values.mean(axis=0)
    centred = values - mean
    weighted = product(centred)
    gram = centred @ weighted.T
    eigenvalues, vectors = np.linalg.eigh((gram + gram.T) / 2)
    sigma = np.sqrt(np.maximum(eigenvalues[::-1], 0.0))
    count = min(most, int((sigma > noise * sigma[0]).sum())) if sigma[0] > 0 else 0
    if count == 0:
        raise InputError("the training fields do not vary in the mass product of their space; there are no modes")
    modes = (vectors[:, ::-1][:, :count] / sigma[:count]).T @ centred
    overlap = np.linalg.cholesky(modes @ product(modes).T)
    modes = np.linalg.solve(overlap, modes)
    return Modes(mean, modes, weighted @ modes.T)


@dataclass(frozen=True)
class Linear:
    """`c ≈ shift + matrix @ f`, and what that leaves of every coefficient on a row that was left out (rms)."""

    matrix: Array
    shift: Real
    left: Real


def linear_fit(features: Array, targets: Array) -> Linear:
    """Ridge regression of targets `(B, n)` on features `(B, F)`, regularised by the leave-one-out error in closed form.

    `ε_i = r_i / (1 - h_ii)` with the hat matrix H. No slope at all is one of the choices.
    """
    f_mean, t_mean = features.mean(axis=0), targets.mean(axis=0)
    u, s, vt = np.linalg.svd(features - f_mean, full_matrices=False)
    keep = s > 1e-12 * s.max(initial=1e-300)
    u, s, vt = u[:, keep], s[keep], vt[keep]
    centred = targets - t_mean
    inside = u.T @ centred
    rows = len(features)
    best = Linear(np.zeros((targets.shape[1], features.shape[1])), t_mean, _rms(centred * rows / max(rows - 1, 1)))
    for ridge in _RIDGES:
        damping = s**2 / (s**2 + ridge * s[0] ** 2) if len(s) else s
        leverage = 1 / rows + (u**2) @ damping
        if leverage.max() > 1 - 1e-6:
            continue  # a row that fits itself says nothing about others
        left = _rms((centred - u @ (damping[:, None] * inside)) / (1 - leverage[:, None]))
        if np.linalg.norm(left) < np.linalg.norm(best.left):
            matrix = ((damping / s)[:, None] * inside).T @ vt
            best = Linear(matrix, t_mean - matrix @ f_mean, left)
    return best


def _rms(values: Array) -> Real:
    return np.sqrt(np.mean(values**2, axis=0))
