"""Shifts on a ring: samples moved along the axes of a periodic grid, and all augmentations by their names."""

import numpy as np
import torch
from torch import Tensor

from nwidth.core.errors import InputError
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.torus import Torus
from nwidth.surrogates.training.augment import random_turn


def random_shift(x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Input and output `(B, C, *grid)` of a batch, moved around the torus by the same whole number of nodes per axis.

    Teaches nothing to a network that commutes with shifts by itself (convolutions on the ring, a periodic FNO without
    coordinates); for every other one it is worth as many samples as there are nodes, in the limit.
    """
    axes = tuple(range(2, y.ndim))
    shifts = tuple(int(rng.integers(n)) for n in y.shape[2:])
    return torch.roll(x, shifts, axes), torch.roll(y, shifts, axes)


def augmented(kind: str, x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A batch under what `Training.augment` asks for; nothing is drawn from `rng` where that is nothing."""
    if "square" in kind:
        x, y = random_turn(x, y, y.ndim - 2, rng)
    return random_shift(x, y, rng) if "translate" in kind else (x, y)


def check_shift(kind: str, layout: str, space: FunctionSpace) -> None:
    """InputError where shifting samples makes no sense: off a torus, or where parameters are no fields."""
    if "translate" in kind and (layout != "channels" or not isinstance(space, Torus)):
        raise InputError(
            f"training: augment={kind!r} needs fields and parameters on a Torus, where a shift leads nowhere else; "
            f"these live on a {type(space).__name__}. Use augment='none' or 'square'"
        )
