"""Two-dimensional flow: the equation against an independent form of it, exact and fine solutions, generation."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.problems.navier_stokes import NavierStokes
from nwidth.solvers.etdrk4 import ETDRK4

pytest.importorskip("torch")

SMALL = NavierStokes(1e-3, resolution=16, solver_resolution=32, levels=(0.0, 0.5, 2.0))


def convective_form(n, viscosity, forcing):
    """∂t ŵ of `-v·∇w + ν Δw + f` with full complex transforms, and the mask of the modes that are kept."""
    k = 2 * np.pi * np.fft.fftfreq(n, 1 / n)
    k0, k1 = np.meshgrid(k, k, indexing="ij")
    k2 = k0**2 + k1**2
    kept = (abs(k0) < 2 * np.pi * n / 3) & (abs(k1) < 2 * np.pi * n / 3)
    x = np.arange(n) / n
    angle = 2 * np.pi * (x[:, None] + x)
    force = np.fft.fft2(forcing * (np.sin(angle) + np.cos(angle)))
    field = lambda c: np.fft.ifft2(c).real  # noqa: E731

    def slope(w):
        psi = w / np.where(k2 > 0, k2, 1)
        transport = field(1j * k1 * psi) * field(1j * k0 * w) - field(1j * k0 * psi) * field(1j * k1 * w)
        return np.where(kept, force - np.fft.fft2(transport), 0) - viscosity * k2 * w

    return slope, kept


def marched(problem, w0):
    """The initial state to the stored times, by a general solver of ordinary differential equations."""
    n = problem.solver_resolution
    slope, kept = convective_form(n, problem.viscosity, problem.forcing)
    w = np.where(kept, np.fft.fft2(w0), 0).ravel()

    def right(t, y):
        change = slope((y[: n * n] + 1j * y[n * n :]).reshape(n, n)).ravel()
        return np.concatenate([change.real, change.imag])

    y = np.concatenate([w.real, w.imag])
    found = solve_ivp(right, (0, problem.times[-1]), y, "DOP853", problem.times, rtol=1e-10, atol=1e-10)
    return np.stack([np.fft.ifft2((s[: n * n] + 1j * s[n * n :]).reshape(n, n)).real for s in found.y.T])


def relative(fields, exact):
    return np.sqrt(((fields - exact) ** 2).sum((-2, -1)) / (exact**2).sum((-2, -1)))


def test_agrees_with_an_independent_form_of_the_equation():
    mu = SMALL.parameters.sample(range(2), 0)
    found = nw.solve(SMALL, mu)
    for i in range(2):
        expected = marched(SMALL, mu["w0"][i])[:, ::2, ::2]
        assert relative(found.field[i, 1:], expected[1:]).max() < 1e-6
        np.testing.assert_array_equal(found.field[i, 0], mu["w0"][i, ::2, ::2])
        assert relative(found.field[i, 2], found.field[i, 0]) > 0.1


@pytest.mark.parametrize("wave", [1, 2])
def test_the_vortices_of_taylor_and_green_decay(wave):
    """w = cos(2πmx) cos(2πmy) exp(-8π²m² ν t) solves the equation without force."""
    problem = replace(SMALL, viscosity=0.01, forcing=0.0, levels=(0.5, 1.0))
    x = np.arange(32) / 32
    w0 = np.cos(2 * np.pi * wave * x[:, None]) * np.cos(2 * np.pi * wave * x)
    found = nw.solve(problem, {"w0": w0[None]}, ETDRK4(dt=0.25, check=False))
    decay = np.exp(-8 * np.pi**2 * wave**2 * 0.01 * problem.times)
    np.testing.assert_allclose(found.field[0], decay[:, None, None] * w0[::2, ::2], atol=1e-13)


def test_the_force_alone_drives_its_own_wave():
    """From rest v·∇w vanishes for all times: w = f (1 - exp(-8π² ν t)) / (8π² ν)."""
    found = nw.solve(SMALL, {"w0": np.zeros((1, 32, 32))})
    x = np.arange(16) / 16
    angle = 2 * np.pi * (x[:, None] + x)
    rate = 8 * np.pi**2 * 1e-3
    growth = (1 - np.exp(-rate * SMALL.times)) / rate
    expected = growth[:, None, None] * 0.1 * (np.sin(angle) + np.cos(angle))
    np.testing.assert_allclose(found.field[0], expected, atol=1e-13)


def test_fourth_order_and_absolute_error_in_time():
    problem = replace(SMALL, solver_resolution=64, levels=(4.0,), modes=31)
    mu = {"w0": 3 * problem.parameters.sample(range(2), 0)["w0"]}
    fine = nw.solve(problem, mu, ETDRK4(dt=1 / 256, check=False)).field
    steps = (1 / 16, 1 / 32, 1 / 64)
    errors = [relative(nw.solve(problem, mu, ETDRK4(dt=h, check=False)).field, fine).max() for h in steps]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert abs(orders[-1] - 4) < 0.4, errors
    assert 1e-10 < errors[-1] < 1e-7


def test_grids_agree_on_a_smooth_flow():
    coarse = NavierStokes(5e-3, 16, 32, levels=(1.0,), modes=10)
    fine = replace(coarse, solver_resolution=96)
    fields = [nw.solve(p, p.parameters.sample(range(2), 0)).field for p in (coarse, fine)]
    assert relative(*fields).max() < 1e-4


def test_settings_of_the_standard_data_sets():
    problem = NavierStokes()
    assert (problem.viscosity, problem.solver_resolution, problem.resolution) == (1e-3, 256, 64)
    assert problem.times.tolist() == list(range(1, 51))
    assert NavierStokes(1e-5, levels=range(1, 21)).times[-1] == 20


def test_generation_and_another_resolution():
    runs = nw.generate(SMALL, 2, seed=1)
    assert runs.fields.shape == (2, 3, 16, 16)
    assert np.asarray(runs.mu["w0"]).shape == (2, 32, 32)
    assert (np.asarray(runs.status) == 1).all()
    thin = nw.generate(SMALL.at(8), 2, seed=1)
    np.testing.assert_array_equal(np.asarray(thin.fields), np.asarray(runs.fields)[..., ::2, ::2])


def test_round_trip_and_a_changed_problem_is_noticed():
    parts = SMALL.to_parts()
    config = json.loads(json.dumps(parts.config))
    assert NavierStokes.from_parts(config, parts.arrays, parts.children) == SMALL
    for name, value in {"viscosity": 1.1e-3, "forcing": 0.2, "gamma": 2.6}.items():
        with pytest.raises(InputError, match="not the same problem any more"):
            NavierStokes.from_parts({**config, name: value}, parts.arrays, parts.children)


def test_bad_input_is_named():
    for make, message in [
        (lambda: NavierStokes(-1.0), "must not be negative"),
        (lambda: NavierStokes(resolution=48), "does not divide"),
        (lambda: nw.solve(SMALL, {"w0": np.zeros((1, 16, 16))}), "expected"),
    ]:
        with pytest.raises(InputError, match=message):
            make()
