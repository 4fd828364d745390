"""Runs known by their parameters: a mark for each, equal where all numbers are equal."""

import hashlib

import numpy as np

from nwidth.core.arrays import Array, Mu
from nwidth.core.validation import batch_size

#: Numbers that are read at a time: parameters that are fields may lie in a store that is larger than memory.
_PIECE = 1_000_000


def marks(mu: Mu) -> tuple[str, ...]:
    """16 hexadecimal digits for the parameters of every run; they do not depend on the order of the names.

    BLAKE2b of the values in double precision: two runs with unlike parameters have the same mark once in 1.8e19 pairs.
    Rows of a store are read in pieces.
    """
    count = batch_size(mu)
    width = sum(int(np.prod(values.shape[1:])) for values in mu.values())
    step = max(1, _PIECE // max(1, width))
    found: list[str] = []
    for first in range(0, count, step):
        last = min(first + step, count)
        tables = [_double(mu[name][first:last]).reshape(last - first, -1) for name in sorted(mu)]
        found += [_mark([table[i] for table in tables]) for i in range(last - first)]
    return tuple(found)


def _double(values: Array) -> Array:
    values = np.asarray(values)
    return values.astype("<c16" if np.iscomplexobj(values) else "<f8") + 0.0  # -0 is 0


def _mark(parts: list[np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part.tobytes())
    return digest.hexdigest()
