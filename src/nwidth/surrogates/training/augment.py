"""Symmetries of the square: samples turned and mirrored."""

import itertools
import math

import numpy as np
from torch import Tensor


def count(dim: int) -> int:
    """Order of the symmetry group of the d-cube: 2, 8, 48."""
    return 2**dim * math.factorial(dim)


def turned(x: Tensor, number: int, dim: int) -> Tensor:
    """The last `dim` axes of x under symmetry `number`: mirrored along some axes, then permuted."""
    flips, permutation = number % 2**dim, number // 2**dim
    lead = x.ndim - dim
    mirrored = [lead + axis for axis in range(dim) if flips >> axis & 1]
    order = list(itertools.permutations(range(dim)))[permutation]
    return x.flip(mirrored).permute(*range(lead), *(lead + axis for axis in order))


def random_turn(x: Tensor, y: Tensor, dim: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Input and output of a batch under one random symmetry."""
    number = int(rng.integers(count(dim)))
    return turned(x, number, dim), turned(y, number, dim)
