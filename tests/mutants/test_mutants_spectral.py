"""Fourier layers and their fused operations, one line broken at a time: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

PEER = ("tests/operators/test_peer.py",)
FUSED = ("tests/operators/test_pointwise.py",)

MUTANTS = [
    Mutant(
        "weights at mirrored frequencies taken as they stand",
        "operators/peer.py",
        "(at(k) + at(opposite).conj()) / 2",
        "at(k)",
        PEER,
    ),
    Mutant(
        "the mirror image without the conjugate",
        "operators/peer.py",
        "rows.append(at(k) if k[-1] > 0 else at(opposite).conj())",
        "rows.append(at(k) if k[-1] > 0 else at(opposite))",
        PEER,
    ),
    Mutant(
        "a biased gradient: the last block of rows only",
        "operators/pointwise.py",
        "at_hidden += h.sum(0)",
        "at_hidden = h.sum(0)",
        FUSED,
    ),
    Mutant(
        "an activation whose slope is forgotten",
        "operators/pointwise.py",
        "into[r].mul_(slope)",
        "into[r].mul_(1.0)",
        FUSED,
    ),
    Mutant(
        "a mixing whose imaginary part comes back with the wrong sign",
        "linmaps/fourier.py",
        "torch.stack([g[1:, 1], -g[1:, 0]], dim=1)",
        "torch.stack([g[1:, 1], g[1:, 0]], dim=1)",
        FUSED,
    ),
    Mutant(
        "an addition in place that scales its gradient",
        "linmaps/transform.py",
        "ctx.matrix.T @ flat",
        "2 * ctx.matrix.T @ flat",
        FUSED,
    ),
    Mutant(
        "an export that records the fused operations",
        "operators/pointwise.py",
        "return not recorded and not",
        "return not",
        FUSED,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
