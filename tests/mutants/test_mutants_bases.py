"""Bases and regressions, one line broken at a time: the suite must notice each."""

from pathlib import Path

import pytest
from tests.mutants import test_mutants as harness
from tests.mutants.test_mutants import Mutant

BASES = ("tests/rb/test_pod.py", "tests/rb/test_streaming_pod.py")
GALERKIN = ("tests/rb/test_pod_galerkin.py",)
REGRESSORS = ("tests/rb/test_regressors.py",)

MUTANTS = [
    Mutant(
        "what decompositions drop is not counted",
        "rb/streaming.py",
        "dropped=state.dropped + step.dropped,",
        "dropped=state.dropped,",
        BASES,
    ),
    Mutant(
        "only the last block's loss is counted",
        "rb/streaming.py",
        "dropped=state.dropped + step.dropped,",
        "dropped=step.dropped,",
        BASES,
    ),
    Mutant(
        "the row between the means is forgotten",
        "rb/streaming.py",
        "parts = [rows - mean, between[None]] if count else [rows - mean]",
        "parts = [rows - mean]",
        BASES,
    ),
    Mutant(
        "a mean that counts every block alike",
        "rb/streaming.py",
        "moved = state.mean + (mean - state.mean) * (more / (count + more))",
        "moved = state.mean + (mean - state.mean) / (state.steps + 1)",
        BASES,
    ),
    Mutant(
        "singular values that are left behind by the rotation",
        "rb/streaming_step.py",
        "core[np.arange(len(sigma)), np.arange(len(sigma))] = sigma",
        "core[np.arange(len(sigma)), np.arange(len(sigma))] = 1.0",
        BASES,
    ),
    Mutant(
        "a Gram matrix without what the modes know of the block",
        "rb/streaming_step.py",
        "product[:n, n:] = sigma[:, None] * (image @ modes.conj().T).T",
        "product[:n, n:] = 0.0",
        BASES,
    ),
    Mutant(
        "an energy that the eigenvalues promise but nobody measures",
        "rb/streaming_step.py",
        "dropped = energy(inner, vectors[:, keep:].T @ whole)",
        "dropped = 0.0",
        BASES,
    ),
    Mutant(
        "a pass that begins anew after a kill",
        "rb/streaming.py",
        "for piece in source.pieces(0 if state is None else state.end, block):",
        "for piece in source.pieces(0, block):",
        BASES,
    ),
    Mutant(
        "the bound without what nobody saw",
        "rb/pod_basis.py",
        "return float((np.sqrt(tail[count] + self.unseen) + self.apart) / np.sqrt(total)) if total > 0 else 0.0",
        "return float(np.sqrt(tail[count]) / np.sqrt(total)) if total > 0 else 0.0",
        BASES,
    ),
    Mutant(
        "failed runs enter the basis",
        "rb/streaming_source.py",
        "fields = np.asarray(runs.fields[first:end])[good[first:end]]",
        "fields = np.nan_to_num(np.asarray(runs.fields[first:end]))",
        BASES,
    ),
    Mutant(
        "the second projection is left out",
        "rb/pod_blocks.py",
        "if max(off, deviation) <= _GOAL:",
        "if True:",
        BASES,
    ),
    Mutant(
        "one round of a Gram matrix only",
        "rb/pod_blocks.py",
        "_ROUNDS = 8",
        "_ROUNDS = 1",
        BASES,
    ),
    Mutant(
        "imaginary parts without the product",
        "rb/pod_blocks.py",
        "1j * inner.apply(np.ascontiguousarray(v.imag))",
        "1j * v.imag",
        BASES,
    ),
    Mutant(
        "a checkpoint of any pass",
        "rb/streaming_checkpoint.py",
        "        if differ:",
        "        if False:",
        BASES,
    ),
    Mutant(
        "a randomised basis that reports its estimate of nothing",
        "rb/randomised.py",
        "unseen += energy(inner, part - inside[first : first + _PIECE] @ basis)",
        "unseen += 0.0",
        BASES,
    ),
    Mutant(
        "modes that do not vanish where values are prescribed",
        "rb/pod_galerkin.py",
        "return np.ascontiguousarray(modes * terms.free)",
        "return np.ascontiguousarray(modes + 1e-3 * ~terms.free)",
        GALERKIN,
    ),
    Mutant(
        "Rippa's formula without the diagonal",
        "rb/regressors/rbf.py",
        "return (inverse[:n, :n] @ Y) / np.diag(inverse)[:n, None]",
        "return inverse[:n, :n] @ Y",
        REGRESSORS,
    ),
    Mutant(
        "a likelihood without the determinant",
        "rb/regressors/gaussian_process.py",
        "value = float(np.sum(np.log(np.diag(factor)))) + n / 2",
        "value = n / 2",
        REGRESSORS,
    ),
    Mutant(
        "a deviation that forgets what was observed",
        "rb/regressors/gaussian_process.py",
        "prior - np.sum(known**2, axis=0)",
        "prior",
        REGRESSORS,
    ),
    Mutant(
        "networks judged on the rows that they learned",
        "rb/regressors/network.py",
        "owner = np.argmax(held, axis=0)",
        "owner = np.argmin(held, axis=0)",
        REGRESSORS,
    ),
    Mutant(
        "the worst instead of the best",
        "rb/regressors/choose.py",
        "return min(fits, key=lambda fit: _size(fit[1].loo))",
        "return max(fits, key=lambda fit: _size(fit[1].loo))",
        REGRESSORS,
    ),
    Mutant(
        "a limit without the process's deviation",
        "certificates/difficulty.py",
        'found["deviation"] = np.log(self.deviation(mu) + 1e-300)[:, None]',
        'found["deviation"] = np.zeros((len(size), 1))',
        REGRESSORS,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_suite_notices(mutant: Mutant, tmp_path: Path) -> None:
    harness.test_the_suite_notices(mutant, tmp_path)
