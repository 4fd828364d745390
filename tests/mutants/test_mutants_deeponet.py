"""U-Net, DeepONet, POD-DeepONet and the comparison, one line broken at a time: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

UNET = ("tests/operators/test_unet.py",)
DEEPONET = ("tests/operators/test_deeponet.py",)
POD = ("tests/operators/test_pod_deeponet.py",)
COMPARE = ("tests/study/test_compare_operators.py",)

MUTANTS = [
    Mutant(
        "doubling that moves everything by half a cell",
        "operators/unet.py",
        "both = torch.stack([x, (x + right) / 2], dim=number + 1)",
        "both = torch.stack([(x + right) / 2, x], dim=number + 1)",
        UNET,
    ),
    Mutant(
        "a ring that ends at a wall",
        "operators/unet.py",
        'tuple("circular" if is_periodic(axis) else padding for axis in axes)',
        "tuple(padding for axis in axes)",
        UNET,
    ),
    Mutant(
        "cells that are taken for nodes",
        "operators/places.py",
        "first = float(places(axis, old)[0])",
        "first = 0.0",
        UNET,
    ),
    Mutant(
        "a mirror that repeats the wall",
        "operators/unet.py",
        'inner = 1 if mode == "reflect" and n > 1 else 0',
        "inner = 0",
        UNET,
    ),
    Mutant(
        "points scaled by the wrong box",
        "operators/deeponet.py",
        "unit = (points - self.low) / np.subtract(self.high, self.low)",
        "unit = (points - points.min(axis=0)) / np.ptp(points, axis=0)",
        DEEPONET,
    ),
    Mutant(
        "components that share their terms",
        "operators/deeponet.py",
        'torch.einsum("bcp,cpn->bcn", coefficients, basis)',
        'torch.einsum("bcp,pn->bcn", coefficients, basis[0])',
        DEEPONET,
    ),
    Mutant(
        "a trunk that extrapolates in silence",
        "operators/deeponet.py",
        "if not bool(((unit > -1e-9) & (unit < 1 + 1e-9)).all()):",
        "if False:",
        DEEPONET,
    ),
    Mutant(
        "modes without the mass",
        "operators/pod_modes.py",
        "weighted = product(centred)",
        "weighted = centred",
        POD,
    ),
    Mutant(
        "a regression that is judged on the rows it saw",
        "operators/pod_modes.py",
        "left = _rms((centred - u @ (damping[:, None] * inside)) / (1 - leverage[:, None]))",
        "left = _rms(centred - u @ (damping[:, None] * inside))",
        POD,
    ),
    Mutant(
        "modes that the bubble bends",
        "operators/pod_deeponet.py",
        "if not self.divides:",
        "if True:",
        POD,
    ),
    Mutant(
        "a branch in units of the mode",
        "operators/pod_deeponet.py",
        "return linear + self.spread * self.branch(x)",
        "return linear + self.branch(x)",
        POD,
    ),
    Mutant(
        "one seed measured for all",
        "study/compare_operators.py",
        "answers = [e.surrogate.predict(runs.mu) for e in entries]",
        "answers = [entries[0].surrogate.predict(runs.mu) for e in entries]",
        COMPARE,
    ),
    Mutant(
        "a time without the field",
        "study/compare_operators.py",
        "np.asarray(surrogate.predict(checked).field)",
        "surrogate.predict(checked)",
        COMPARE,
    ),
    Mutant(
        "basis vectors that count nothing",
        "study/compare_operators.py",
        "return (parameters_of(surrogate) or 0) + sum(b.numel() for b in taken)",
        "return parameters_of(surrogate)",
        COMPARE,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
