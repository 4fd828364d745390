"""Radial return against an integrator of the rate equations, a closed form, and its tangent against differences."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from nwidth.core.errors import InputError
from nwidth.problems.j2 import J2, return_map

MATERIAL = J2(70.0, 0.3, 0.1, 2.0, 0.3)


def step(material, strain, plastic, p):
    """One point: stress `(3,)`, tangent as a 3 x 3 matrix on (11, 22, 12 tensor), new state."""
    new = [np.empty((3, 1)), np.empty((5, 1)), np.empty((3, 1)), np.empty(1)]
    old = np.asarray(plastic, float)[:, None], np.array([float(p)])
    return_map(material.row()[None], np.zeros(1, np.int64), np.asarray(strain, float)[:, None], *old, *new)
    stress, (lam, mu, m11, m22, m12), after, p = new[0][:, 0], new[1][:, 0], new[2][:, 0], new[3][0]
    flow = np.array([m11, m22, 2 * m12])
    tangent = np.diag([2 * mu] * 3) - np.outer([m11, m22, m12], flow)
    tangent[:2, :2] += lam
    return stress, tangent, after, p


def follow(material, strains):
    plastic, p, stresses = np.zeros(3), 0.0, []
    for strain in strains:
        stress, _, plastic, p = step(material, strain, plastic, p)
        stresses.append(stress)
    return np.array(stresses), plastic, p


def rates(material, strain_rate):
    """The rate equations of J2 in full tensors: an independent way to the same answer."""
    identity = np.eye(3)

    def dot(t, state):
        plastic, p, strain = state[:9].reshape(3, 3), state[9], state[10:].reshape(3, 3)
        rate = strain_rate(t)
        deviator = strain - np.trace(strain) / 3 * identity
        over = 2 * material.shear * (deviator - plastic) - 2 / 3 * material.kinematic * plastic
        q = np.sqrt(1.5 * np.sum(over**2))
        flow = 1.5 * over / q if q > 0 else np.zeros((3, 3))
        loading = 2 * material.shear * np.sum(flow * rate)
        # a yield surface one part in 10^9 wide: on it or outside, plastic flow while loading
        plastic_now = q >= (material.limit + material.isotropic * p) * (1 - 1e-9) and loading > 0
        hard = 3 * material.shear + material.kinematic + material.isotropic
        pdot = loading / hard if plastic_now else 0.0
        return np.concatenate([(pdot * flow).ravel(), [pdot], rate.ravel()])

    return dot


def tensor(e):
    return np.array([[e[0], e[2], 0.0], [e[2], e[1], 0.0], [0.0, 0.0, 0.0]])


def test_the_rate_equations_on_a_turning_path():
    # straight to shear, then a quarter of a circle into tension: the flow direction turns
    def strain(t):
        if t < 1:
            return 0.004 * t * np.array([0, 0, 1.0])
        a = (t - 1) * np.pi / 2
        return 0.004 * np.array([np.sin(a), -0.4 * np.sin(a), np.cos(a)])

    def rate(t):
        a = (t - 1) * np.pi / 2
        turning = np.pi / 2 * np.array([np.cos(a), -0.4 * np.cos(a), -np.sin(a)])
        return tensor(0.004 * (np.array([0, 0, 1.0]) if t < 1 else turning))

    # to the first yield exactly, then on: the switch is not left to the step control
    first = MATERIAL.limit / np.sqrt(3) / (2 * MATERIAL.shear) / 0.004
    state = np.concatenate([np.zeros(10), tensor(strain(first)).ravel()])
    for a, b in ((first, 1.0), (1.0, 2.0)):
        state = solve_ivp(rates(MATERIAL, rate), (a, b), state, rtol=1e-10, atol=1e-14, max_step=2e-3).y[:, -1]
    exact_p = state[9]
    errors = []
    for count in (40, 80, 160):
        _, plastic, p = follow(MATERIAL, [strain(t) for t in np.arange(1, 2 * count + 1) / count])
        errors.append(
            [abs(p - exact_p) / exact_p, np.abs(tensor(plastic)[:2, :2] - state[:9].reshape(3, 3)[:2, :2]).max()]
        )
        assert abs(plastic[0] + plastic[1] + state[8]) < 1e-5, "no plastic change of volume"
    p_errors, strain_errors = np.array(errors).T
    assert p_errors[-1] < 2e-3 and strain_errors[-1] < 1e-5
    orders = np.log2(p_errors[:-1] / p_errors[1:])
    assert np.all((orders > 0.85) & (orders < 1.15)), orders


def shear_cycles(material, corners):
    """Closed form of simple shear: τ and p piecewise linear, elastic range 2 (σ_y + H p) / √3 after a reversal."""
    tau, back, p, gamma = 0.0, 0.0, 0.0, 0.0
    taus, hardening = [], material.kinematic + material.isotropic
    for corner in corners:
        sign = np.sign(corner - gamma)
        to_yield = sign * (material.limit + material.isotropic * p) / np.sqrt(3) + back - tau
        elastic = to_yield / (2 * material.shear)
        if abs(corner - gamma) > abs(elastic):
            rest = corner - gamma - elastic
            # 2 G (rest - e_p) = hardening stress / √3, p = 2 |e_p| / √3
            dp = 2 / np.sqrt(3) * abs(rest) * 3 * material.shear / (3 * material.shear + hardening)
            p += dp
            back += sign * material.kinematic * dp / np.sqrt(3)
            tau = back + sign * (material.limit + material.isotropic * p) / np.sqrt(3)
        else:
            tau += 2 * material.shear * (corner - gamma)
        gamma = corner
        taus.append(tau)
    return np.array(taus), p


@pytest.mark.parametrize("steps", [1, 7])
def test_cycles_of_simple_shear_are_exact_for_any_step(steps):
    corners = [0.004, -0.004, 0.004, -0.004, 0.0]
    taus, p = shear_cycles(MATERIAL, corners)
    path = np.concatenate(
        [np.linspace(a, b, steps + 1)[1:] for a, b in zip([0.0, *corners[:-1]], corners, strict=True)]
    )
    stresses, _, found = follow(MATERIAL, np.stack([0 * path, 0 * path, path], axis=1))
    np.testing.assert_allclose(stresses[steps - 1 :: steps, 2], taus, rtol=1e-12)
    np.testing.assert_allclose(found, p, rtol=1e-12)
    assert np.abs(stresses[:, :2]).max() < 1e-15


def test_the_elastic_phase_is_hooke():
    e = np.array([0.01, -0.002, 0.004])
    stress, tangent, plastic, p = step(J2(400.0, 0.3), e, np.zeros(3), 0.0)
    lam, mu = 400 * 0.3 / (1.3 * 0.4), 400 / 2.6
    np.testing.assert_allclose(stress, lam * (e[0] + e[1]) * np.array([1, 1, 0]) + 2 * mu * e, rtol=1e-13)
    np.testing.assert_allclose(tangent @ e, stress, rtol=1e-13)
    assert p == 0 and not plastic.any()


@pytest.mark.parametrize("seed", range(4))
def test_the_tangent_is_the_derivative_of_the_stress(seed):
    rng = np.random.default_rng(seed)
    plastic, p = 0.002 * rng.standard_normal(3), 0.003
    e = 0.006 * rng.standard_normal(3)
    _, tangent, _, after = step(MATERIAL, e, plastic, p)
    assert after > p, "this is about plastic steps"
    h = 1e-7
    for j, d in enumerate(np.eye(3) * h):
        difference = (step(MATERIAL, e + d, plastic, p)[0] - step(MATERIAL, e - d, plastic, p)[0]) / (2 * h)
        np.testing.assert_allclose(tangent[:, j], difference, atol=2e-6 * MATERIAL.young)


def test_the_stress_is_on_the_yield_surface_and_flow_is_normal():
    _, _, plastic, p = step(MATERIAL, [0.003, 0.001, 0.005], np.zeros(3), 0.0)
    e = np.array([[0.003, 0.005], [0.005, 0.001]])
    full = np.zeros((3, 3))
    full[:2, :2] = e - np.array([[plastic[0], plastic[2]], [plastic[2], plastic[1]]])
    full[2, 2] = plastic[0] + plastic[1]
    s = 2 * MATERIAL.shear * (full - np.trace(full) / 3 * np.eye(3))
    inner = np.array([[plastic[0], plastic[2], 0], [plastic[2], plastic[1], 0], [0, 0, -plastic[0] - plastic[1]]])
    over = s - 2 / 3 * MATERIAL.kinematic * inner
    q = np.sqrt(1.5 * np.sum(over**2))
    np.testing.assert_allclose(q, MATERIAL.limit + MATERIAL.isotropic * p, rtol=1e-12)
    np.testing.assert_allclose(inner, p * 1.5 * over / q, rtol=1e-12)
    np.testing.assert_allclose(p, np.sqrt(2 / 3 * np.sum(inner**2)), rtol=1e-12)


def test_what_is_refused():
    for wrong in ({"young": -1.0}, {"poisson": 0.5}, {"limit": 0.0}, {"isotropic": -0.1}):
        with pytest.raises(InputError):
            J2(**wrong)
