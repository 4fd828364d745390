"""Muon: momentum whose every matrix is replaced by a nearly orthogonal one (Jordan et al. 2024)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

#: The quintic `a s + b s³ + c s⁵` of the iteration.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """`B ← μ B + G`, `W ← (1 - η λ) W - 0.2 η √max(m, n) O(G + μ B)` for parameters that are stacks of matrices.

    O is `orthogonalised`. The factor makes the update as large as AdamW's, so that rates and weight decay carry over
    (Liu et al. 2025). A parameter `(..., m, n)` is a stack: spectral weights `(frequencies, C_in, C_out)` are
    orthogonalised frequency by frequency, each being a map between channels of its own. In a group with `flat=True`
    parameters `(m, ...)` are one matrix, as the kernels of convolutions are.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "flat": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[parameter], group["momentum"]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].mul_(momentum).add_(gradient)
        stack = as_matrices(gradient + momentum * state["momentum"], group["flat"])
        size = 0.2 * math.sqrt(max(stack.shape[-2:]))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(orthogonalised(stack).reshape(parameter.shape), alpha=group["lr"] * size)


def as_matrices(weight: Tensor, flat: bool) -> Tensor:
    """A parameter as a stack of matrices `(..., m, n)`, or as one with the first axis as rows."""
    return weight.flatten(1) if flat else weight


def orthogonalised(matrices: Tensor) -> Tensor:
    """`U f(S) Vᵀ` of each matrix `U S Vᵀ` of a stack, with f(S) between 0.68 and 1.21 unless S is tiny.

    Five steps `X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X` from `X / ‖X‖_F`: products only, in the precision of the input.
    """
    a, b, c = _QUINTIC
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-12)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT
