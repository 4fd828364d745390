"""The code broken on purpose, one line at a time: the suite must notice each.

A mutant replaces one expression in a copy of the package and runs the tests that should object. Exit code 1 (tests
failed) is the only accepted outcome: a collection error would prove nothing.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAMPS = count(10)


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


RESIDUAL = ("tests/bounds/test_residual.py", "tests/certificates/test_residual_certificate.py")
CG = ("tests/solvers/test_riesz_cg.py",)
REDUCED = ("tests/certificates/test_reduced_certificate.py",)
LINMAPS = ("tests/linmaps",)
TRAINING = ("tests/surrogates/test_training.py",)
OPERATORS = ("tests/operators/test_fno.py",)

MUTANTS = [
    Mutant(
        "a bound without the stability constant",
        "bounds/residual.py",
        "alpha = np.where(known, stability.lower, 1.0)",
        "alpha = np.ones_like(stability.lower)",
        RESIDUAL,
    ),
    Mutant(
        "a bound without the Riesz map",
        "bounds/dual_norm.py",
        "z = inner.riesz_roughly(r)",
        "z = r",
        RESIDUAL,
    ),
    Mutant(
        "the Riesz map applied twice",
        "bounds/dual_norm.py",
        "z = inner.riesz_roughly(r)",
        "z = inner.riesz(inner.riesz(r))",
        RESIDUAL,
    ),
    Mutant(
        "a bound evaluated in float32",
        "bounds/residual.py",
        "inner, systems.residual(v), noise)",
        "inner, systems.residual(v.astype(np.float32)).astype(np.float32), noise)",
        RESIDUAL,
    ),
    Mutant(
        "a bound for a field that misses the boundary data",
        "problems/base.py",
        "return np.where(self.free, v, self.lift)",
        "return v",
        RESIDUAL,
    ),
    Mutant(
        "no round-off term",
        "bounds/residual.py",
        "return systems.terms * EPS * scale",
        "return 0 * EPS * scale",
        RESIDUAL,
    ),
    Mutant(
        "Gauss-Radau from the wrong end of the spectrum",
        "bounds/gauss_radau.py",
        "self._mu = SHRINK * np.asarray(lower, dtype=np.float64)",
        "self._mu = 30 * np.asarray(lower, dtype=np.float64)",
        CG,
    ),
    Mutant(
        "conjugate gradients that trust the recursive residual",
        "solvers/riesz_cg.py",
        "true = systems.residual(v)",
        "true = 0.1 * run.residual",
        CG,
    ),
    Mutant(
        "an energy bound that takes all of the last step off",
        "bounds/two_sided.py",
        "left = np.maximum(square - gain, 0.0) + noise",
        "left = np.maximum(square - 2 * gain, 0.0) + noise",
        ("tests/bounds/test_two_sided.py",),
    ),
    Mutant(
        "a reduced bound without the coercivity constant",
        "certificates/reduced.py",
        "root = np.sqrt(lower)[:, None]",
        "root = np.ones_like(lower)[:, None]",
        REDUCED,
    ),
    Mutant(
        "a reduced residual that forgets a term",
        "rb/steps.py",
        "np.negative(theta)",
        "np.negative(theta) * (np.arange(theta.shape[1]) > 0)",
        REDUCED,
    ),
    Mutant(
        "a residual basis without the Riesz map",
        "rb/residual.py",
        "self._inner.riesz(functionals)",
        "functionals",
        REDUCED,
    ),
    Mutant(
        "no rounding in the reduced bound",
        "certificates/reduced.py",
        "_no_nan(energies[:, 0] + made)",
        "_no_nan((norm * gain / root)[:, 0])",
        REDUCED,
    ),
    Mutant(
        "an output limit without the dual factor's stability constant",
        "certificates/reduced.py",
        "energies[:, :1] * energies[:, 1:]",
        "energies[:, :1] * energies[:, 1:] * root",
        REDUCED,
    ),
    Mutant(
        "an output without its correction",
        "certificates/reduced.py",
        "model.functionals.T + correction",
        "model.functionals.T + 0.0 * correction",
        REDUCED,
    ),
    Mutant(
        "a Fourier map with a wrong adjoint",
        "linmaps/fourier.py",
        "self.real.mT, -self.imag.mT",
        "self.real.mT, self.imag.mT",
        LINMAPS,
    ),
    Mutant(
        "a Fourier map that drops the mirrored half",
        "linmaps/half_space.py",
        "np.where(r >= 2, 2.0, 1.0)",
        "np.where(r >= 2, 1.0, 1.0)",
        LINMAPS,
    ),
    Mutant(
        "training resumed without the optimiser's state",
        "surrogates/training/loop.py",
        "optimiser.load_state_dict(state)",
        "pass",
        TRAINING,
    ),
    Mutant(
        "validation samples that are trained on",
        "operators/fitting.py",
        "return shuffled[watched:], shuffled[:watched]",
        "return shuffled, shuffled[:watched]",
        OPERATORS,
    ),
    Mutant(
        "boundary values in single precision",
        "operators/surrogate.py",
        "self.module.finish(w.double(), given)",
        "self.module.finish(w, given)",
        OPERATORS,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    copy = tmp_path.parent / "mutants" / "src"
    if not copy.exists():
        shutil.copytree(ROOT / "src" / "nwidth", copy / "nwidth", ignore=shutil.ignore_patterns("__pycache__"))
    target = copy / "nwidth" / mutant.file
    text = target.read_text()
    assert text.count(mutant.old) == 1, f"the mutant no longer fits {mutant.file}: update it"
    # compiled kernels are shared by all mutants of files without any: a cache does not see edits in called files
    cache = tmp_path / "numba" if "njit" in text else copy.parent / "numba"
    with mutated(target, text.replace(mutant.old, mutant.new)):
        own = {"PYTHONPATH": str(copy), "NUMBA_CACHE_DIR": str(cache), "NWIDTH_HYPOTHESIS": "first-failure"}
        result = run(mutant.tests, os.environ | own)
    shutil.rmtree(tmp_path / "numba", ignore_errors=True)
    assert result.returncode == 1, f"survived: {mutant.name}\n{result.stdout[-2000:]}{result.stderr[-2000:]}"


@contextmanager
def mutated(target: Path, text: str) -> Iterator[None]:
    """The file with another text and a time stamp that no other version of it has, so that no bytecode is mistaken."""
    original, stamp = target.read_text(), target.stat()
    target.write_text(text)
    os.utime(target, (stamp.st_atime, stamp.st_mtime + next(STAMPS)))
    try:
        yield
    finally:
        target.write_text(original)
        os.utime(target, (stamp.st_atime, stamp.st_mtime))


def run(tests: tuple[str, ...], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"]
    return subprocess.run(
        [*command, "-o", "addopts=--import-mode=importlib", *tests],
        cwd=ROOT, env=dict(env), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
