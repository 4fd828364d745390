"""The periodic cell against dense matrices, closed forms, an independent solver, and its own orders of convergence."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import root

from nwidth.core.errors import InputError, WorkError
from nwidth.problems.cell_path import Cell, Stepping
from nwidth.problems.j2 import J2
from nwidth.problems.periodic_cell import Green, force_of, stiffness_times, strain
from nwidth.spaces.discs import Discs

MATRIX, DISC = J2(70.0, 0.3, 0.1, 2.0, 0.3), J2(400.0, 0.3)
FINE = Stepping(tol=1e-11)


def shear(*values):
    return [np.array([0.0, 0.0, v]) for v in values]


def packed(rng, n):
    return rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))


def homogeneous(n, material):
    tangent = np.zeros((5, n, n))
    tangent[0], tangent[1] = material.bulk - 2 * material.shear / 3, material.shear
    return tangent


def products(tangent, u):
    out = np.empty_like(u)
    energy = stiffness_times(tangent, u, np.empty((3, *u.shape)), out)
    return out, energy


def dense_strain(n):
    """B as a matrix `(3 n², 2 n²)` from the definition: mean differences over the four corners of each pixel."""
    B = np.zeros((3, n, n, 2, n, n))
    for i in range(n):
        for j in range(n):
            for di, dj in ((0, 0), (1, 0), (0, 1), (1, 1)):
                d = 0.5 * n * np.array([2 * di - 1, 2 * dj - 1])
                a, b = (i + di) % n, (j + dj) % n
                B[0, i, j, 0, a, b] += d[0]
                B[1, i, j, 1, a, b] += d[1]
                B[2, i, j, 0, a, b] += 0.5 * d[1]
                B[2, i, j, 1, a, b] += 0.5 * d[0]
    return B.reshape(3 * n * n, 2 * n * n)


@pytest.mark.parametrize("n", [3, 4, 7])
def test_strain_and_force_against_the_dense_matrix(n):
    rng = np.random.default_rng(n)
    u, B = packed(rng, n), dense_strain(n)
    parts = np.concatenate([u.real.ravel(), u.imag.ravel()])
    np.testing.assert_allclose(strain(u, [0.1, 0.2, 0.3]).ravel(), B @ parts + np.repeat([0.1, 0.2, 0.3], n * n))
    sigma, force = rng.standard_normal((3, n, n)), np.empty((n, n), complex)
    force_of(sigma, force)
    weights = np.repeat([1.0, 1.0, 2.0], n * n)  # σ : ε counts the shear twice
    dense = B.T @ (weights * sigma.ravel())
    np.testing.assert_allclose(np.concatenate([force.real.ravel(), force.imag.ravel()]), dense, atol=1e-12 * n)


@pytest.mark.parametrize("n", [5, 6])
def test_green_is_the_pseudo_inverse_of_the_homogeneous_stiffness(n):
    material = J2(90.0, 0.2)
    tangent, green, size = homogeneous(n, material), Green(n, material.bulk, material.shear), 2 * n * n
    columns = []
    for k in range(size):
        e = np.zeros(size)
        e[k] = 1
        out, _ = products(tangent, (e[: n * n] + 1j * e[n * n :]).reshape(n, n))
        columns.append(np.concatenate([out.real.ravel(), out.imag.ravel()]))
    inverse = np.linalg.pinv(np.array(columns), rcond=1e-10)
    force = packed(np.random.default_rng(0), n)
    expected = inverse @ np.concatenate([force.real.ravel(), force.imag.ravel()])
    found = green(force)
    np.testing.assert_allclose(np.concatenate([found.real.ravel(), found.imag.ravel()]), expected, atol=1e-12)


def test_the_stiffness_is_symmetric_and_its_energy_is_right():
    rng = np.random.default_rng(1)
    tangent = homogeneous(7, MATRIX)
    tangent[2:] = rng.standard_normal((3, 7, 7))
    u, v = packed(rng, 7), packed(rng, 7)
    (Ku, energy), (Kv, _) = products(tangent, u), products(tangent, v)
    np.testing.assert_allclose(np.vdot(v, Ku).real, np.vdot(u, Kv).real, rtol=1e-12)
    np.testing.assert_allclose(energy, np.vdot(u, Ku).real, rtol=1e-12)


def test_a_homogeneous_cell_is_its_material():
    mean = np.array([0.01, -0.003, 0.002])
    state, (step,) = Cell(np.zeros((7, 7)), (DISC,)).path([mean])
    lam, mu = DISC.bulk - 2 * DISC.shear / 3, DISC.shear
    np.testing.assert_allclose(step.mean_stress, lam * (mean[0] + mean[1]) * np.array([1, 1, 0]) + 2 * mu * mean)
    assert not state.u.any() and step.krylov == ()


@pytest.mark.parametrize("axis", [0, 1])
def test_an_elastic_laminate_is_exact(axis):
    n, layers = 9, 3
    phase = np.zeros((n, n), int)
    phase[(slice(None),) * axis + (slice(0, layers),)] = 1
    soft = J2(70.0, 0.3)
    f = layers / n
    # in series: 2 G ε_12 and (K + 4G/3) ε_nn are the same in all layers
    stress = Cell(phase, (soft, DISC), FINE).path(shear(0.002))[1][0].mean_stress
    np.testing.assert_allclose(stress, [0, 0, 2 * 0.002 / (f / DISC.shear + (1 - f) / soft.shear)], atol=1e-12)
    normal = np.zeros(3)
    normal[axis] = 0.001
    p_wave = [m.bulk + 4 * m.shear / 3 for m in (soft, DISC)]
    stress = Cell(phase, (soft, DISC), FINE).path([normal])[1][0].mean_stress
    np.testing.assert_allclose(stress[axis], 0.001 / (f / p_wave[1] + (1 - f) / p_wave[0]), rtol=1e-10)


def test_a_plastic_laminate_is_exact():
    n, f = 9, 1 / 3
    phase = np.zeros((n, n), int)
    phase[:, :3] = 1
    state, steps = Cell(phase, (MATRIX, DISC), FINE).path(shear(0.001, 0.004))
    # one shear stress τ in all layers; the matrix follows its own hardening line beyond yield
    hard, root3 = MATRIX.kinematic + MATRIX.isotropic, np.sqrt(3)
    # ε_12 = f τ/2G_d + (1-f) (τ/2G_m + √3/2 p),  τ = (σ_y + (C + H) p)/√3
    compliance = f / (2 * DISC.shear) + (1 - f) / (2 * MATRIX.shear)
    p = (0.004 - compliance * MATRIX.limit / root3) / (compliance * hard / root3 + (1 - f) * root3 / 2)
    np.testing.assert_allclose(steps[-1].mean_stress[2], (MATRIX.limit + hard * p) / root3, rtol=1e-9)
    np.testing.assert_allclose(state.accumulated, np.where(phase == 1, 0.0, p), atol=1e-10)


def test_one_step_against_an_independent_solver():
    """All by dense matrices, formulas in full tensors, and scipy's root finder without derivatives."""
    n = 3
    phase = np.zeros((n, n), int)
    phase[0, 0] = phase[1, 2] = 1
    B, mean = dense_strain(n), np.array([0.001, 0.0, 0.004])

    def stresses(parts):
        e = (B @ parts).reshape(3, -1) + mean[:, None]
        sigma, p = np.empty_like(e), np.zeros(n * n)
        for k, (e11, e22, e12) in enumerate(e.T):
            m = (MATRIX, DISC)[phase.ravel()[k]]
            full = np.array([[e11, e12, 0], [e12, e22, 0], [0, 0, 0]])
            trial = 2 * m.shear * (full - np.trace(full) / 3 * np.eye(3))
            q = np.sqrt(1.5 * np.sum(trial**2))
            if q > m.limit:
                p[k] = (q - m.limit) / (3 * m.shear + m.kinematic + m.isotropic)
            s = m.bulk * np.trace(full) * np.eye(3) + trial * (1 - 3 * m.shear * p[k] / q)
            sigma[:, k] = s[0, 0], s[1, 1], s[0, 1]
        return sigma, p

    weights = np.repeat([1.0, 1.0, 2.0], n * n)
    hold = np.kron(np.eye(2), np.ones((n * n, n * n)))  # holds the mean displacement
    answer = root(lambda u: B.T @ (weights * stresses(u)[0].ravel()) + hold @ u, np.zeros(2 * n * n), tol=1e-13)
    assert answer.success
    sigma, p = stresses(answer.x)
    state, (step,) = Cell(phase, (MATRIX, DISC), FINE).path([mean])
    assert (p > 0).sum() >= 5, "mostly plastic"
    np.testing.assert_allclose(state.accumulated.ravel(), p, rtol=1e-7, atol=1e-11)
    np.testing.assert_allclose(step.mean_stress, sigma.mean(axis=1), rtol=1e-8)


def test_newton_converges_quadratically_once_the_plastic_zone_is_known():
    phase = Discs(resolution=25).sample([0], 0)["phase"][0]
    exact = Stepping(tol=1e-13, forcing=1e-10)
    _, steps = Cell(phase, (MATRIX, DISC), exact).path(shear(*np.linspace(0.0005, 0.004, 8)))
    rates = []
    for step in steps[-3:]:  # everything flows
        r = np.array(step.residuals)
        pairs = [(a, b) for a, b in pairwise(r) if 1e-6 < a < 1e-2]
        rates += [np.log(b) / np.log(a) for a, b in pairs]
        assert all(b < 0.2 * a for a, b in pairs)
    assert len(rates) >= 3 and np.median(rates) > 1.7, rates


def test_the_error_of_the_load_steps_is_of_first_order():
    phase = Discs(resolution=25).sample([1], 0)["phase"][0]
    found = {}
    for count in (4, 8, 16, 128):
        found[count] = Cell(phase, (MATRIX, DISC)).path(shear(*np.linspace(0, 0.004, count + 1)[1:]))[0].accumulated
    errors = [np.linalg.norm(found[c] - found[128]) / np.linalg.norm(found[128]) for c in (4, 8, 16)]
    assert errors[0] < 0.02 and errors[-1] < 0.005
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all((orders > 0.7) & (orders < 1.6)), orders


@pytest.mark.parametrize("guess", [True, False])
def test_the_tolerance_is_kept_and_the_guess_does_not_matter(guess):
    phase = Discs(resolution=25).sample([2], 0)["phase"][0]
    path = shear(0.002, 0.004, 0.002, -0.004)
    reference = Cell(phase, (MATRIX, DISC), FINE).path(path)[0].accumulated
    state, steps = Cell(phase, (MATRIX, DISC), Stepping(tol=1e-6, guess=guess)).path(path)
    assert all(s.residuals[-1] <= 1e-6 for s in steps)
    assert np.linalg.norm(state.accumulated - reference) < 1e-4 * np.linalg.norm(reference)


def test_the_field_has_the_symmetries_of_the_cell():
    phase = Discs(resolution=25).sample([3], 0)["phase"][0]
    path = shear(0.004, -0.004)

    def solved(f):
        return Cell(f, (MATRIX, DISC), Stepping(tol=1e-9)).path(path)[0].accumulated

    p = solved(phase)
    turned = (lambda f: f.T, lambda f: f[::-1], lambda f: np.rot90(f), lambda f: np.roll(f, (3, -7), axis=(0, 1)))
    for turn in turned:
        np.testing.assert_allclose(solved(turn(phase)), turn(p), atol=1e-6 * p.max())


def test_what_is_refused_and_what_fails():
    with pytest.raises(InputError, match="square"):
        Cell(np.zeros((3, 4)), (MATRIX,))
    with pytest.raises(InputError, match="materials"):
        Cell(np.ones((5, 5)), (MATRIX,))
    with pytest.raises(InputError):
        Stepping(tol=0.0)
    phase = Discs(resolution=25).sample([0], 0)["phase"][0]
    with pytest.raises(WorkError, match="smaller load steps"):
        Cell(phase, (MATRIX, DISC), Stepping(tol=1e-12, newton=2)).path(shear(0.004))
