"""Squares of negative Sobolev norms: errors weighed by how little they oscillate.

`‖v‖_-1 = sup_w (v, w) / ‖w‖_H1`, so that `‖v‖²_-1 = (v, R v)` with the Riesz map R of the H1 product.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.tensors import to_array, to_tensor
from nwidth.spaces.base import FunctionSpace
from nwidth.surrogates.training.quadrature import Axis


def grid_dual_energy(axes: tuple[Axis, ...], grid: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """`‖v‖²_-1` on one grid with `R = (I - Δ_h)⁻¹`, natural (Neumann) conditions where an axis has ends.

    The eigenfunctions of the second difference along each axis (discrete cosines, or cosines and sines of a periodic
    axis) diagonalise R; each axis is one matrix product. `(B, C, *grid)` to `(B,)`; InputError for another grid.
    """
    pairs = [modes(axis, n) for axis, n in zip(axes, grid, strict=True)]
    symbol = 1.0 + sum(np.meshgrid(*(values for values, _ in pairs), indexing="ij"), start=np.zeros(grid))
    weight, analyses = torch.from_numpy(1.0 / symbol), [torch.from_numpy(a) for _, a in pairs]

    def squared(v: Tensor) -> Tensor:
        if tuple(v.shape[2:]) != grid:
            raise InputError(f"this negative Sobolev norm is prepared for the grid {grid}, got {tuple(v.shape[2:])}")
        for analysis in analyses:  # each product moves the transformed axis to the end: once round, all are in place
            v = v.movedim(2, -1) @ analysis.to(v.device, v.dtype).T
        return (v.square() * weight.to(v.device, v.dtype)).flatten(1).sum(dim=1)

    return squared


def modes(axis: Axis, n: int) -> tuple[Real, Real]:
    """Eigenvalues λ `(n,)` of the second difference of n values and the analysis matrix `A (n, n)`.

    `K V = W V Λ`, `A = Vᵀ W` with the widths W, so that `Σ_k (A v)_k² = Σ_i w_i v_i²` and `Σ λ_k (A v)_k²` is the
    square of the differences.
    """
    widths, h = np.array(axis.widths(n)), axis.spacing(n)
    difference = np.eye(n, k=1)[: n - 1] - np.eye(n)[: n - 1]
    if axis.kind == "periodic":
        difference = np.roll(np.eye(n), 1, axis=1) - np.eye(n)
    roots = np.sqrt(widths)
    values, vectors = np.linalg.eigh(difference.T @ difference / h / np.outer(roots, roots))
    return np.maximum(values, 0.0), vectors.T * roots


def dual_energy(space: FunctionSpace) -> Callable[[Tensor], Tensor]:
    """`‖v‖²_-1 = (M v)ᵀ X⁻¹ (M v)` with the mass form M and the Riesz map X⁻¹ of the space's energy form.

    Values at constrained dofs do not count. The Riesz map runs on the host. Raises InputError for a space without an
    energy form.
    """
    mass, energy = space.inner("mass"), space.inner("energy")

    def action(v: Array) -> Array:
        return mass.apply(energy.riesz(mass.apply(v)))

    def squared(v: Tensor) -> Tensor:
        rows = v.reshape(-1, space.size)  # real and imaginary parts are rows of their own
        each: Tensor = _Quadratic.apply(rows, action)
        return each.reshape(len(v), -1).sum(dim=1)

    return squared


class _Quadratic(torch.autograd.Function):
    """`q(v) = vᵀ S v` of each row with a symmetric S that NumPy applies; `dq = 2 (S v) dv`."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, action: Callable[[Array], Array]) -> Tensor:
        """`(B, N)` to `(B,)`."""
        image = to_tensor(action(to_array(v)), v.device, v.dtype)
        ctx.save_for_backward(image)
        return (v * image).sum(dim=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Twice the image, scaled."""
        (image,) = ctx.saved_tensors
        return 2 * grads[0][:, None] * image, None
