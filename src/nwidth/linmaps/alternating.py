"""Sums of outer products that approximate a tensor, by alternating least squares."""

from functools import reduce
from math import prod

import torch
from torch import Tensor

from nwidth.linmaps.base import Goal

_SWEEPS = 200
_STALL = 1e-6


def alternating(tensor: Tensor, goal: Goal, numbers_per_term: int) -> list[Tensor]:
    """Factors `(n_j, terms)` of `T ≈ Σ_t a_t1 ∘ ... ∘ a_td` (Carroll and Chang 1970), norms shared evenly.

    With a tolerance, terms are added (1, 2, 3, 4, 6, 8, 12, ...) until it is met or as many numbers as the tensor has
    are spent. The iteration finds a good sum, not always the best.
    """
    if goal.budget is not None:
        return _fit(tensor, max(1, goal.budget // numbers_per_term), 0.0, goal.seed)[0]
    terms, best = 1, _fit(tensor, 1, goal.tol or 0.0, goal.seed)
    while best[1] > (goal.tol or 0.0) and (terms + 1) * numbers_per_term < tensor.numel():
        terms = terms + max(1, terms // 2)
        best = min(best, _fit(tensor, terms, goal.tol or 0.0, goal.seed), key=lambda pair: pair[1])
    return best[0]


def _fit(tensor: Tensor, terms: int, tol: float, seed: int) -> tuple[list[Tensor], float]:
    """Factors with so many terms and their relative error."""
    factors = _start(tensor, terms, seed)
    norm = float(torch.linalg.vector_norm(tensor))
    error = float("inf")
    for _ in range(_SWEEPS):
        for axis in range(tensor.ndim):
            others = factors[:axis] + factors[axis + 1 :]
            unfolded = tensor.movedim(axis, 0).reshape(tensor.shape[axis], -1)
            solution = torch.linalg.lstsq(_columns(others), unfolded.T, driver="gelsd").solution
            factors[axis] = solution.T
        factors = _balanced(factors)
        previous, error = error, _error(tensor, factors) / (norm or 1.0)
        if error <= tol or error > previous * (1 - _STALL):
            break
    return factors, error


def _start(tensor: Tensor, terms: int, seed: int) -> list[Tensor]:
    """Leading left singular vectors along every axis, and random vectors where there are too few."""
    generator = torch.Generator().manual_seed(seed)
    factors = []
    for axis, size in enumerate(tensor.shape):
        unfolded = tensor.movedim(axis, 0).reshape(size, -1)
        u = torch.linalg.eigh(unfolded @ unfolded.T).eigenvectors.flip(1)[:, :terms]
        more = torch.randn(size, terms - u.shape[1], generator=generator, dtype=torch.float64)
        factors.append(torch.cat([u, more.to(tensor.device)], dim=1))
    return factors


def _columns(factors: list[Tensor]) -> Tensor:
    """Column by column the Kronecker product of the factors' columns, `(Π n_j, terms)`."""
    return reduce(lambda a, b: (a[:, None] * b[None]).flatten(0, 1), factors)


def _balanced(factors: list[Tensor]) -> list[Tensor]:
    """The same sum with every factor of a term equally long."""
    lengths = [torch.linalg.vector_norm(f, dim=0).clamp_min(1e-300) for f in factors]
    mean = prod(lengths, start=torch.ones_like(lengths[0])) ** (1 / len(factors))
    return [f * (mean / length) for f, length in zip(factors, lengths, strict=True)]


def _error(tensor: Tensor, factors: list[Tensor]) -> float:
    return float(torch.linalg.vector_norm(tensor.flatten() - _columns(factors).sum(dim=1)))
