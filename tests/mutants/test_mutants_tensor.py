"""Tensors, one line broken at a time: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

SPECTRAL = ("tests/linmaps/test_tensor_fourier.py",)
MAPS = ("tests/linmaps/test_tensor_maps.py",)
PATCHES = ("tests/operators/test_mg_tfno.py",)

MUTANTS = [
    Mutant(
        "the adjoint keeps the sign of imaginary parts",
        "linmaps/spectral_weights.py",
        "return Factors(self.outward.T, real, -imag, self.inward.T)",
        "return Factors(self.outward.T, real, imag, self.inward.T)",
        SPECTRAL,
    ),
    Mutant(
        "imaginary parts are read one row early",
        "linmaps/spectral_weights.py",
        "2 * modes[-1] - 1\n    flat",
        "2 * modes[-1] - 2\n    flat",
        SPECTRAL,
    ),
    Mutant(
        "the gradient of a channel factor counts twice",
        "linmaps/reduced.py",
        "return outward @ grads[0].T, u @ grads[0]",
        "return outward @ grads[0].T, 2 * (u @ grads[0])",
        SPECTRAL,
    ),
    Mutant(
        "a cost without the mixing",
        "linmaps/tensor_fourier.py",
        "return total if sizes.diagonal else total + _mixing(sizes, r_in, r_out)",
        "return total",
        SPECTRAL,
    ),
    Mutant(
        "every mode drops as much as all together",
        "linmaps/decompositions.py",
        "** 2 / max(tensor.ndim - len(keep), 1)",
        "** 2",
        MAPS,
    ),
    Mutant(
        "a train whose cars drop the whole tolerance each",
        "linmaps/decompositions.py",
        "** 2 / max(tensor.ndim - 1, 1)",
        "** 2",
        MAPS,
    ),
    Mutant(
        "the adjoint of a train is the train",
        "linmaps/tensor_train.py",
        "[car.transpose(1, 2) for car in self.cars]",
        "list(self.cars)",
        MAPS,
    ),
    Mutant(
        "a patch answers one node late",
        "operators/patches.py",
        "- starts[patch] + self.margin(n)",
        "- starts[patch] + self.margin(n) - 1",
        PATCHES,
    ),
    Mutant(
        "coarse views are not smoothed",
        "operators/patches.py",
        "return 0.5 * x + 0.25 * (beside[0] + beside[1])",
        "return x",
        PATCHES,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
