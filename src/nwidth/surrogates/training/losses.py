"""Relative errors of every sample in the norms of function spaces; the mean over a batch is the loss."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from nwidth.core.errors import InputError
from nwidth.spaces.base import FunctionSpace
from nwidth.surrogates.training.config import Training
from nwidth.surrogates.training.encoding import Encoding
from nwidth.surrogates.training.negative import dual_energy, grid_dual_energy
from nwidth.surrogates.training.quadrature import Axis, EqualMeasure, GridMeasure, Measure, axes_of, measure_of

#: (prediction, target), both `(B, C, ...)`, to the error of every sample, `(B,)`.
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

#: Added under roots, which have no derivative at zero: an error that is exactly zero has the gradient zero.
_TINY = 1e-30


def loss_for(training: Training, encoding: Encoding, space: FunctionSpace) -> Loss:
    """The loss that `training` names, for fields of this space. Raises InputError where the space lacks the norm."""
    name = training.loss
    if name == "auto":
        name = "h1" if encoding.dim else "l2"
    if name in ("l2", "lp"):
        return relative_lp(2.0 if name == "l2" else training.p, measure_of(space))
    if name == "h-1":
        axes = axes_of(space, encoding.dim)
        squared = grid_dual_energy(axes, encoding.grid_of(space)) if encoding.dim else dual_energy(space)
        return relative(squared)
    if encoding.dim == 0:
        raise InputError("training: loss='h1' needs fields on a grid; use loss='l2', 'h-1' (meshes) or 'auto'")
    return relative_h1(axes_of(space, encoding.dim))


def relative(squared: Callable[[Tensor], Tensor]) -> Loss:
    """`‖v - u‖ / ‖u‖` from the square of a norm, `(B, C, ...)` to `(B,)`."""

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return (squared(prediction - target) / squared(target) + _TINY).sqrt()

    return loss


def relative_lp(p: float = 2.0, measure: Measure | None = None) -> Loss:
    """`‖v - u‖_p / ‖u‖_p`, `‖v‖_p^p = Σ_i w_i |v_i|^p` with a measure's weights w; equal ones without it."""
    rule = measure or EqualMeasure()
    if p == 2:
        return relative(lambda v: rule.integrate(v.square()))

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return (_power(prediction - target, p, rule) / _power(target, p, rule) + _TINY) ** (1 / p)

    return loss


def _power(v: Tensor, p: float, rule: Measure) -> Tensor:
    return rule.integrate(v.abs() ** p)


def relative_h1(axes: tuple[Axis, ...]) -> Loss:
    """`‖v - u‖_H1 / ‖u‖_H1` on a grid, `‖v‖²_H1 = Σ_i w_i |v_i|² + Σ_faces w_f |δ_f v / h_f|²`.

    Differences of neighbours stand for the gradient, so that the error at grid scale counts as it does in the energy
    norm; both sums use the trapezoidal rule on node grids, and the faces of a periodic axis go round. Fields are
    `(B, C, *grid)`, one axis of the domain each.
    """
    rule = GridMeasure(axes)

    def squared(v: Tensor) -> Tensor:
        total = rule.integrate(v.square())
        for number, axis in enumerate(axes):
            h = axis.spacing(v.shape[2 + number])
            total = total + rule.over(axis.differences(v, 2 + number).square(), faces=number) / h**2
        return total

    return relative(squared)
