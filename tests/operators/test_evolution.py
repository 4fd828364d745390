"""Surrogates in time against the heat equation, whose step is diagonal in Fourier space."""

import numpy as np
import pytest
from tests.operators.evolution_cases import TAU, ExactArchitecture, ExactStep, heat_runs, heated, relative, unscaled

from nwidth.core.errors import InputError
from nwidth.io.model import load, save
from nwidth.operators import FNO, Evolving, Training
from nwidth.snapshots.levels import windowed
from nwidth.spaces.torus import Torus

TIMES = TAU * np.arange(1, 6)


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("nu", [None, (0.01, 0.05)])
def test_the_exact_step_rolls_out_to_the_exact_trajectory(window, residual, nu):
    """Whatever marches, shifts windows and carries parameters must add nothing to the step."""
    operator = ExactStep(window=window, residual=residual, nu=nu is not None)
    evolving = Evolving(operator, window=window, residual=residual, initial="u0")
    surrogate = unscaled(evolving.fit(heat_runs(6, nu=nu)))
    fresh = heat_runs(7, seed=1, nu=nu)
    found = surrogate.predict(fresh.mu)
    assert found.field.shape == (7, 5, 24) and found.space.shape == (5, 24)
    np.testing.assert_allclose(found.field, fresh.fields, atol=1e-13)


def test_an_error_of_the_step_grows_as_its_powers():
    """A gain of 1 + ε makes the answer after n steps (1 + ε)^n times the true one."""
    surrogate = unscaled(Evolving(ExactStep(residual=False), residual=False, initial="u0").fit(heat_runs(4)))
    surrogate.module.network.gain.data.fill_(1.01)
    fresh = heat_runs(3, seed=2)
    ratios = surrogate.predict(fresh.mu).field / fresh.fields
    np.testing.assert_allclose(ratios, np.broadcast_to((1.01 ** np.arange(1, 6))[:, None], ratios.shape), rtol=1e-9)


@pytest.mark.parametrize("residual", [True, False])
def test_lead_times_are_reached_in_one_step(residual):
    operator = ExactStep(residual=residual, nu=True, lead=True)
    evolving = Evolving(operator, "lead-time", residual=residual, initial="u0")
    surrogate = unscaled(evolving.fit(heat_runs(6, nu=(0.01, 0.05))))
    fresh = heat_runs(5, seed=1, nu=(0.01, 0.05))
    np.testing.assert_allclose(surrogate.predict(fresh.mu).field, fresh.fields, atol=1e-13)
    between = np.array([0.0, 0.03, 0.17, 0.5])
    expected = heated(fresh.mu["u0"], fresh.mu["nu"].reshape(-1), between)
    np.testing.assert_allclose(surrogate.at_times(between).predict(fresh.mu).field, expected, atol=1e-13)


def test_steps_of_unequal_length_are_an_input():
    times = TAU * np.array([1.0, 2.0, 2.5, 5.0])
    surrogate = Evolving(ExactStep(residual=False, lead=True), residual=False, initial="u0").fit(
        heat_runs(5, times=times)
    )
    fresh = heat_runs(4, seed=1, times=times)
    np.testing.assert_allclose(unscaled(surrogate).predict(fresh.mu).field, fresh.fields, atol=1e-13)
    part = surrogate.at_times(times[[0, 2]]).predict(fresh.mu).field
    np.testing.assert_allclose(part, fresh.fields[:, [0, 2]], atol=1e-13)


def test_a_rollout_goes_on_after_the_trained_times():
    surrogate = unscaled(Evolving(ExactStep(), initial="u0").fit(heat_runs(4)))
    fresh = heat_runs(3, seed=1, times=[0.0, 0.2, 1.1])
    longer = surrogate.at_times([0.0, 0.2, 1.1])
    np.testing.assert_allclose(longer.predict(fresh.mu).field, fresh.fields, atol=1e-13)
    np.testing.assert_array_equal(longer.times, [0.0, 0.2, 1.1])


def test_recorded_frames_are_a_start():
    """Three frames in, the later ones out: the protocol of the usual flow tables."""
    runs = heat_runs(5, times=TAU * np.arange(6))
    part = windowed(runs, 3)
    np.testing.assert_array_equal(part.mu["frames"], runs.fields[:, :3])
    np.testing.assert_allclose(part.times, TAU * np.arange(3, 6))
    surrogate = unscaled(Evolving(ExactStep(window=3), window=3).fit(part))
    fresh = windowed(heat_runs(4, seed=1, times=TAU * np.arange(6)), 3)
    found = surrogate.predict(fresh.mu)
    np.testing.assert_allclose(found.field, fresh.fields, atol=1e-13)
    assert surrogate.parameters.contains(part.mu).all()
    assert not surrogate.parameters.contains({"frames": 30 * part.mu["frames"]}).any()


def test_the_state_at_time_zero_is_answered_as_it_is():
    runs = heat_runs(4, times=TAU * np.arange(4))
    surrogate = Evolving(ExactStep()).fit(runs)  # recognised: a parameter equals the stored state
    found = surrogate.predict(heat_runs(3, seed=1).mu).field
    np.testing.assert_array_equal(found[:, 0], heat_runs(3, seed=1).mu["u0"])
    assert found.shape[1] == 4


def test_a_resolution_of_its_own():
    surrogate = unscaled(Evolving(ExactStep(), initial="u0").fit(heat_runs(4)))
    fine = surrogate.at(Torus((48,)))
    fresh = heat_runs(3, seed=1, points=48)
    assert fine.predict(fresh.mu).inside.all()
    np.testing.assert_allclose(fine.predict(fresh.mu).field, fresh.fields, atol=1e-13)


@pytest.mark.parametrize("scheme", ["rollout", "lead-time"])
def test_files_hold_everything(tmp_path, scheme):
    operator = ExactStep(window=2, lead=scheme == "lead-time", nu=True)
    surrogate = Evolving(operator, scheme, window=2, initial="u0").fit(heat_runs(5, nu=(0.01, 0.05)))
    save(surrogate, tmp_path / "heat.nwidth")
    again = load(tmp_path / "heat.nwidth", kinds=[ExactArchitecture])
    mu = heat_runs(3, seed=1, nu=(0.01, 0.05)).mu
    np.testing.assert_array_equal(again.predict(mu).field, surrogate.predict(mu).field)
    np.testing.assert_array_equal(again.times, surrogate.times)


def test_one_query_is_the_same_in_any_batch():
    surrogate = Evolving(FNO(3, 6, 2, training=Training(epochs=1)), "lead-time", initial="u0").fit(heat_runs(6))
    mu = heat_runs(5, seed=1).mu
    whole = surrogate.predict(mu).field
    single = np.concatenate([surrogate.predict(mu["u0"][i : i + 1]).field for i in range(5)])
    np.testing.assert_allclose(single, whole, atol=1e-5)
