"""Residuals, dual residuals and corrections of many queries against dense algebra on full vectors."""

import numpy as np
import pytest
from tests.rb.affine_cases import Random

from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb import many
from nwidth.rb.greedy import Greedy
from nwidth.rb.many import residuals
from nwidth.rb.steps import Steps


def fitted(problem, modes):
    return Greedy(tol=None, max_size=modes, training=40).fit(problem=problem)


def dual_norm(problem, functionals):
    inner = problem.space.inner("energy")
    return inner.dual_norm(np.where(problem.terms().free, functionals, 0.0))


def oracle(problem, basis, mu, coefficients):
    """Norms `(B, 1 + s)` and corrections `(B, s)`: matrices summed, duals solved, residuals mapped, one by one."""
    terms, (theta, phi) = problem.terms(), problem.coefficients(mu)
    functionals = np.stack([q.functional for q in problem.quantities().values()])
    norms, corrections = [], []
    for t, p, c in zip(theta, phi, coefficients, strict=True):
        a = sum(x * m.toarray() for x, m in zip(t, terms.matrices, strict=True))
        rest = p @ terms.loads - a @ (c @ basis.basis)
        z = np.linalg.solve(basis.basis @ a @ basis.basis.T, basis.basis @ functionals.T).T
        duals = functionals - z @ basis.basis @ a
        norms.append(dual_norm(problem, np.vstack([rest, duals])))
        corrections.append(z @ basis.basis @ rest)
    return np.array(norms), np.array(corrections)


@pytest.mark.parametrize("case", ["two loads", "one load", "block"])
@pytest.mark.parametrize("moved", [0.0, 0.3])
def test_norms_and_corrections_are_those_of_full_vectors(case, moved):
    problem = {
        "two loads": Random(size=30, loads=2),
        "one load": Random(size=30, loads=1, seed=3),
        "block": ThermalBlock(resolution=10),
    }[case]
    basis = fitted(problem, 8)
    mu = problem.parameters.sample(range(7), 3)
    theta, phi = problem.coefficients(mu)
    c = basis.predict(mu).values.coefficients
    c = c + moved * np.random.default_rng(0).normal(size=c.shape) * np.abs(c).max()
    found = residuals(basis.model, basis.residual, theta, phi, c)
    norms, corrections = oracle(problem, basis, mu, c)
    np.testing.assert_allclose(found.norm[:, 0], norms[:, 0], rtol=1e-8)
    compliant = case != "two loads"
    if compliant:  # another vector in place of the dual solution: φ = p, so z = c / p, and its residual is r / p
        np.testing.assert_allclose(found.norm[:, 1], norms[:, 0] / np.abs(phi[:, 0]), rtol=1e-8)
    if moved == 0.0 or not compliant:
        np.testing.assert_allclose(found.norm[:, 1:], norms[:, 1:], rtol=1e-8)
    solved = slice(1 if compliant else 0, None)
    np.testing.assert_allclose(found.correction[:, solved], corrections[:, solved], rtol=1e-8, atol=1e-12)
    assert (found.noise > 0).all() and (found.noise < 1e-8 * norms.max()).all()
    assert (found.shift > 0).all()


def test_a_load_that_vanishes_leaves_the_compliant_dual_at_zero():
    problem = Random(size=20, loads=1)
    basis = fitted(problem, 5)
    mu = problem.parameters.sample(range(3), 1)
    mu["p0"][1] = 0.0
    theta, phi = problem.coefficients(mu)
    found = residuals(basis.model, basis.residual, theta, phi, basis.predict(mu).values.coefficients)
    size = dual_norm(problem, problem.quantities()["compliant"].functional[None])
    assert found.norm[1, 0] == 0.0 and found.norm[1, 1] == pytest.approx(size[0], rel=1e-10)
    assert found.correction[1, 0] == 0.0 and np.isfinite(found.norm).all()


def test_pieces_of_a_batch_are_answered_alike(monkeypatch):
    problem = ThermalBlock(resolution=10)
    basis = fitted(problem, 12)
    theta, phi = problem.coefficients(problem.parameters.sample(range(45), 3))
    c = np.random.default_rng(0).normal(size=(45, 12))
    whole = residuals(basis.model, basis.residual, theta, phi, c)
    monkeypatch.setattr(many, "_LEAST", 7)
    monkeypatch.setattr(many, "_CACHED", 0)
    pieces = residuals(basis.model, basis.residual, theta, phi, c)
    for name in ("norm", "noise", "correction", "shift"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("batch", [0, 1, 8, 9, 24, 25, 32, 45])
def test_steps_leave_out_zeros_only(batch):
    """A basis that grows by 2, 0, 1, ... coordinates a mode; batches around the numbers that go side by side."""
    rng = np.random.default_rng(0)
    levels = np.cumsum([3, *([2, 0, 1] * 9)])
    modes, terms, fixed = len(levels) - 1, 2, 3
    rows = rng.normal(size=(fixed + terms * modes, levels[-1]))
    for j in range(modes):
        rows[fixed + terms * j : fixed + terms * (j + 1), levels[j + 1] :] = 0.0
    theta, c = rng.normal(size=(batch, terms)), rng.normal(size=(batch, modes))
    steps = Steps.of(rows, fixed, levels)
    z = -np.einsum("bj,bq->jqb", c, theta).reshape(terms * modes, batch)
    np.testing.assert_allclose(steps.coordinates(theta, c), rows[fixed:].T @ z, rtol=1e-12, atol=1e-13)
    assert steps.table.size < 0.7 * rows[fixed:].size
