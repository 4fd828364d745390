"""Mutants of training and export: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

LOSSES = ("tests/surrogates/test_losses.py",)
OPTIMISERS = ("tests/surrogates/test_optimisers.py",)
PROCESSES = ("tests/surrogates/test_processes.py",)
TRAINING = "surrogates/training"

MUTANTS = [
    Mutant(
        "ends of a grid that count whole",
        f"{TRAINING}/quadrature.py",
        "return [h / 2, *[h] * (n - 2), h / 2]",
        "return [h, *[h] * (n - 2), h]",
        LOSSES,
    ),
    Mutant(
        "a torus with an end", f"{TRAINING}/quadrature.py", "v.roll(-1, axis) - v if", "v.roll(-1, axis) * 0 if", LOSSES
    ),
    Mutant(
        "an H1 norm without values",
        f"{TRAINING}/losses.py",
        "total = rule.integrate(v.square())",
        "total = 0 * rule.integrate(v.square())",
        LOSSES,
    ),
    Mutant(
        "a dual norm without the identity",
        f"{TRAINING}/negative.py",
        "symbol = 1.0 + sum",
        "symbol = 1e-9 + sum",
        LOSSES,
    ),
    Mutant(
        "half a gradient of the dual norm",
        f"{TRAINING}/negative.py",
        "2 * grads[0][:, None]",
        "grads[0][:, None]",
        LOSSES,
    ),
    Mutant(
        "momentum without a look ahead",
        f"{TRAINING}/muon.py",
        "gradient + momentum * state",
        "0 * gradient + momentum * state",
        OPTIMISERS,
    ),
    Mutant(
        "updates that do not know their shape",
        f"{TRAINING}/muon.py",
        "0.2 * math.sqrt(max(stack.shape[-2:]))",
        "0.2",
        OPTIMISERS,
    ),
    Mutant(
        "a mean of the wrong weight",
        f"{TRAINING}/average.py",
        "lerp_(parameter, 1 - decay)",
        "lerp_(parameter, decay)",
        OPTIMISERS,
    ),
    Mutant(
        "the mean is not what is kept",
        f"{TRAINING}/loop.py",
        "nullcontext() if self.average is None",
        "nullcontext() if True",
        OPTIMISERS,
    ),
    Mutant(
        "gradients that are not clipped",
        f"{TRAINING}/loop.py",
        "if self.config.clip is not None:",
        "if self.config.clip is None:",
        OPTIMISERS,
    ),
    Mutant(
        "states in another order in memory",
        f"{TRAINING}/trees.py",
        "dense.stride()",
        "dense.contiguous().stride()",
        OPTIMISERS,
    ),
    Mutant(
        "samples that two processes see",
        f"{TRAINING}/processes.py",
        "rows[self.rank :: self.count]",
        "rows[self.rank :]",
        PROCESSES,
    ),
    Mutant(
        "sums of one type of number",
        f"{TRAINING}/processes.py",
        "for parts in kinds.values():",
        "for parts in list(kinds.values())[:1]:",
        PROCESSES,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
