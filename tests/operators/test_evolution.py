"""Surrogates in time against the heat equation, whose step is diagonal in Fourier space."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.operators.evolution_cases import TAU, ExactArchitecture, ExactStep, heat_runs, heated, relative, unscaled

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.core.storable import fingerprint
from nwidth.io.model import load, save
from nwidth.operators import FNO, Evolving, StorableModule, Training
from nwidth.problems.burgers import Burgers
from nwidth.problems.heat import Heat
from nwidth.rb import PODRegression
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.levels import final, on_nodes, windowed
from nwidth.spaces.box import Box
from nwidth.spaces.complex_grid import ComplexGrid
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.spaces.torus import Torus

TINY = FNO(2, 6, 2, training=Training(epochs=1))
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


@pytest.mark.parametrize("oldest", [False, True])
def test_recorded_frames_are_a_start(oldest):
    """Three frames in, the later ones out, the protocol of the usual flow tables; each frame has its place."""
    runs = heat_runs(5, times=TAU * np.arange(6))
    part = windowed(runs, 3)
    np.testing.assert_array_equal(part.mu["frames"], runs.fields[:, :3])
    np.testing.assert_allclose(part.times, TAU * np.arange(3, 6))
    surrogate = unscaled(Evolving(ExactStep(window=3, oldest=oldest), window=3).fit(part))
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


def test_the_clock_is_an_input():
    """Heating with cos t: the same state goes on differently at another time."""
    runs = heat_runs(4, forced=True)
    surrogate = unscaled(Evolving(ExactStep(clock=True), clock=True, initial="u0").fit(runs))
    fresh = heat_runs(3, seed=1, forced=True)
    np.testing.assert_allclose(surrogate.predict(fresh.mu).field, fresh.fields, atol=1e-13)


def test_a_problem_says_where_it_starts(tmp_path):
    problem = Heat(8, dim=1, levels=(0.0, 0.25, 0.5))
    mu = problem.parameters.sample(range(6), 0)
    runs = Snapshots(problem.parameters, problem.space, mu, problem.exact(mu), times=problem.times)
    surrogate = Evolving(TINY).fit(runs, problem)
    assert surrogate.module.boundary == "free"  # the ends change with time
    fresh = problem.parameters.sample(range(3), 1)
    np.testing.assert_array_equal(surrogate.predict(fresh).field[:, 0], problem.initial(fresh))
    save(surrogate, tmp_path / "heat.nwidth")
    again = load(tmp_path / "heat.nwidth")
    np.testing.assert_array_equal(again.predict(fresh).field, surrogate.predict(fresh).field)


def frames_alone(fields, space, times, count):
    """Runs that have no parameters but their first frames."""
    label = Box(("run",), low=(0.0,), high=(1e3,))
    runs = Snapshots(label, space, {"run": np.arange(len(fields))}, fields, times=times)
    part = windowed(runs, count)
    return replace(part, parameters=part.parameters.parts[0], mu={"frames": part.mu["frames"]})


def rods(count, same, seed=0):
    """A rod between two temperatures, recorded from time zero: they differ from run to run unless `same`."""
    rng, x, times = np.random.default_rng(seed), np.linspace(0, 1, 13), np.array([0.0, 0.1, 0.2, 0.3])
    low, high = (np.ones(count), np.full(count, 2.5)) if same else rng.uniform(1, 3, (2, count))
    k = np.arange(1, 4)
    decay, sines = np.exp(-0.1 * np.outer(times, (np.pi * k) ** 2)), np.sin(np.pi * np.outer(k, x))
    waves = np.einsum("bk,tk,kx->btx", rng.standard_normal((count, 3)), decay, sines)
    waves[..., [0, -1]] = 0
    lines = low[:, None] + (high - low)[:, None] * x
    lines[:, -1] = high
    return frames_alone(lines[:, None] + waves, Grid((12,)), times, 1)


@pytest.mark.parametrize(("same", "scheme"), [(False, "rollout"), (True, "rollout"), (True, "lead-time")])
def test_ends_that_stay_as_they_are_are_exact(same, scheme):
    surrogate = Evolving(TINY, scheme).fit(rods(8, same))
    assert surrogate.module.boundary == "fixed"
    fresh = rods(5, same, seed=1)
    found = surrogate.predict(fresh.mu).field
    np.testing.assert_array_equal(found[..., [0, -1]], fresh.fields[..., [0, -1]])
    assert (found[..., 1:-1] != fresh.fields[..., 1:-1]).all()


@pytest.mark.parametrize(
    "space", [Points((2, 6, 5), names=("u", "v")), ComplexGrid((5, 6)), Torus((4, 5, 6))], ids=repr
)
def test_fields_of_every_kind_march(space, tmp_path):
    rng = np.random.default_rng(0)
    fields = rng.standard_normal((4, 4, *space.shape)).astype(space.dtype)
    if space.dtype.kind == "c":
        fields = fields + 1j * rng.standard_normal(fields.shape)
    runs = frames_alone(fields, space, np.arange(4.0), 2)
    surrogate = Evolving(TINY, window=2, unroll=2).fit(runs)
    found = surrogate.at_times([1.0, 2.0, 3.0, 4.0]).predict(runs.mu).field
    assert found.shape == (4, 4, *space.shape) and found.dtype == space.dtype
    np.testing.assert_array_equal(found[:, 0], fields[:, 1])
    np.testing.assert_allclose(found[:, 1:3], surrogate.predict(runs.mu).field, rtol=1e-12)


def test_one_query_is_the_same_in_any_batch():
    surrogate = Evolving(TINY, "lead-time", initial="u0").fit(heat_runs(6))
    mu = heat_runs(5, seed=1).mu
    whole = surrogate.predict(mu).field
    single = np.concatenate([surrogate.predict(mu["u0"][i : i + 1]).field for i in range(5)])
    np.testing.assert_allclose(single, whole, atol=1e-5)
    assert surrogate.predict(mu["u0"][:0]).field.shape == (0, 5, 24)


def test_equal_seeds_give_equal_surrogates():
    evolving = Evolving(TINY, unroll=2, noise=0.01, initial="u0")
    one, two, other = (evolving.fit(heat_runs(6), seed=seed) for seed in (0, 0, 1))
    assert fingerprint(one) == fingerprint(two) != fingerprint(other)


LEARNING = FNO(6, 8, 2, training=Training(epochs=20, batch=16, rate=1e-2, loss="l2"))


def amplification(surrogate):
    """What the step from zero to τ makes of the waves 1 to 5."""
    k, x = np.arange(1, 6), np.arange(24) / 24
    waves = 0.3 * np.cos(2 * np.pi * k[:, None] * x)
    after = surrogate.at_times([TAU]).predict(waves).field[:, 0]
    return np.sum(after * waves, axis=1) / np.sum(waves**2, axis=1)


def slowly(*values):
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize("options", [{}, *slowly({"window": 2}, {"noise": 0.01}, {"unroll": 3})], ids=str)
def test_a_trained_step_is_the_heat_flow(options):
    """Rollouts are as good as the step that they consist of: errors of a damped equation do not pile up."""
    surrogate = Evolving(LEARNING, initial="u0", **options).fit(heat_runs(64))
    exact = np.exp(-0.02 * (2 * np.pi * np.arange(1, 6)) ** 2 * TAU)
    np.testing.assert_allclose(amplification(surrogate), exact, atol=0.05)
    fresh = heat_runs(16, seed=1)
    errors = relative(surrogate.predict(fresh.mu).field, fresh.fields).mean(axis=0)
    assert errors[0] < 0.015 and errors[-1] < 0.015


@pytest.mark.slow
def test_lead_times_are_learned_and_interpolated():
    surrogate = Evolving(LEARNING, "lead-time", initial="u0").fit(heat_runs(64))
    between = TAU * np.array([1.5, 2.5, 3.5])
    fresh = heat_runs(16, seed=1, times=between)
    assert relative(surrogate.predict(fresh.mu).field, heat_runs(16, seed=1).fields).mean() < 0.05
    assert relative(surrogate.at_times(between).predict(fresh.mu).field, fresh.fields).mean() < 0.05


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Evolving(TINY, "rollouts"), "scheme is 'rollouts'"),
        (lambda: Evolving(PODRegression()), "expected an operator on a grid"),
        (lambda: Evolving(nw.wrap(torch.nn.Identity(), trained=True)), "still to be trained"),
        (lambda: Evolving(TINY, window=0), "window is 0; expected 1 frame or more"),
        (lambda: Evolving(TINY, noise=1.5), "noise is 1.5"),
        (lambda: Evolving(TINY, pushforward=True), "True only with unroll=2 or more"),
        (lambda: Evolving(TINY, "lead-time", unroll=2), "belong to a rollout"),
        (lambda: Evolving(TINY).fit(), "learns from trajectories"),
        (lambda: Evolving(TINY).fit(final(heat_runs(3))), "learns from trajectories"),
        (lambda: Evolving(TINY).fit(heat_runs(3)), r"'u0' may be it.*initial='u0'"),
        (lambda: Evolving(TINY, initial="v").fit(heat_runs(3)), "'v' is no parameter; there are u0"),
        (lambda: Evolving(TINY, initial="problem").fit(heat_runs(3)), "needs a problem in time"),
        (lambda: Evolving(TINY, initial="nu").fit(heat_runs(3, nu=(0.1, 0.2))), "expected 1 frame"),
        (lambda: Evolving(TINY, unroll=9, initial="u0").fit(heat_runs(3)), "the runs have 5; take fewer"),
        (lambda: Evolving(TINY, unroll=2, initial="u0").fit(heat_runs(3, times=[1, 2, 4])), "needs equal steps"),
        (lambda: Evolving(TINY, initial="u0").fit(wrong_start()), "not the state that the runs hold at time 0"),
        (lambda: FNO().fit(heat_runs(3)), "nw.operators.Evolving"),
    ],
)
def test_what_makes_no_sense_is_refused(make, match):
    with pytest.raises(InputError, match=match):
        make()


def wrong_start():
    runs = heat_runs(3, times=[0.0, 0.1])
    return replace(runs, mu={"u0": 2 * runs.mu["u0"]})


@pytest.mark.parametrize(
    ("scheme", "times", "match"),
    [
        ("rollout", [0.15], r"0.15 lies between the steps of a rollout, 0 \+ n · 0.1"),
        ("lead-time", [0.3, 0.6], "0.6 is beyond 0.5, the last one trained on"),
        ("rollout", [0.2, 0.1], "increasing"),
    ],
)
def test_times_without_an_answer_are_refused(scheme, times, match):
    surrogate = Evolving(TINY, scheme, initial="u0").fit(heat_runs(3))
    with pytest.raises(InputError, match=match):
        surrogate.at_times(times)


def test_limits_for_every_stored_time_hold(tmp_path):
    """Burgers end to end: trajectories, a rollout, limits from unseen runs, an answer with a limit for each time."""
    problem = Burgers(0.05, resolution=32, solver_resolution=128, modes=16, levels=(0.1, 0.2, 0.3, 0.4))
    runs = on_nodes(nw.generate(problem, 160, seed=0))
    train, holdout, test = runs.split(80, 40, 40)
    surrogate = Evolving(FNO(8, 8, 2, training=Training(epochs=8, batch=16))).fit(train, problem)
    certified = nw.certify(surrogate, holdout=holdout, level=0.9)
    answer = certified.predict(test.mu)
    errors = np.sqrt(np.mean((answer.field - test.fields) ** 2, axis=2))
    limits = answer.stats["in time"]
    size = np.sqrt(np.mean(np.asarray(test.fields) ** 2))
    assert limits.shape == (40, 4) and (limits[0] > 0).all() and limits.max() < size
    assert ((errors <= limits).mean(axis=0) > 0.75).all()
    assert (errors > 0.2 * limits).mean() > 0.5
    save(certified, tmp_path / "burgers.nwidth")
    np.testing.assert_array_equal(load(tmp_path / "burgers.nwidth").predict(test.mu).stats["in time"], limits)


class Stencils(StorableModule):
    """A user's own network: periodic convolutions."""

    kind = "test-stencils"

    def __init__(self, channels):
        super().__init__()
        self.channels = channels
        self.first = torch.nn.Conv1d(channels, 8, 5, padding=2, padding_mode="circular")
        self.last = torch.nn.Conv1d(8, 1, 5, padding=2, padding_mode="circular")

    def config(self):
        return {"channels": self.channels}

    def forward(self, x):
        return self.last(torch.nn.functional.gelu(self.first(x)))


def test_a_module_of_ones_own_marches(tmp_path):
    training = Training(epochs=3, batch=8, loss="l2")
    surrogate = Evolving(nw.wrap(Stencils(2), training), window=2, initial="u0").fit(heat_runs(16))
    fresh = heat_runs(5, seed=1)
    found = surrogate.predict(fresh.mu).field
    assert relative(found, fresh.fields)[:, 0].mean() < 0.4
    save(surrogate, tmp_path / "own.nwidth")
    np.testing.assert_array_equal(load(tmp_path / "own.nwidth", kinds=[Stencils]).predict(fresh.mu).field, found)
