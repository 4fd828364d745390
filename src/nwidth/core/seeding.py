"""Random numbers that depend on (seed, index) alone, so that sample i is the same in any order and any process."""

import numpy as np


def generator(seed: int, *key: int) -> np.random.Generator:
    """A generator for the stream `(seed, *key)`; equal keys give equal streams, different keys independent ones."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=key)))
