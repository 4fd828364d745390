"""Learning problems from trajectories: states at stored times, parameter fields on the same nodes."""

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.problems.burgers import Burgers
from nwidth.problems.darcy import Darcy
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.levels import at_time, at_times, final, on_nodes, windowed
from nwidth.spaces.box import Box
from nwidth.spaces.frames import Frames
from nwidth.spaces.grid import Grid
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.torus import Torus


@pytest.fixture(scope="module")
def trajectories():
    problem = Burgers(0.1, resolution=16, solver_resolution=64, levels=(0.0, 0.1, 0.2), modes=20)
    return nw.generate(problem, 3, seed=1)


def test_states_at_stored_times(trajectories):
    np.testing.assert_array_equal(at_time(trajectories, 0.1).fields, trajectories.fields[:, 1])
    np.testing.assert_array_equal(final(trajectories).fields, trajectories.fields[:, 2])
    part = at_times(trajectories, [0.0, 0.2])
    np.testing.assert_array_equal(part.fields, trajectories.fields[:, [0, 2]])
    np.testing.assert_array_equal(part.times, [0.0, 0.2])
    assert at_time(trajectories, 0.1).times is None


def test_states_from_a_store(trajectories, tmp_path):
    stored = trajectories.save(tmp_path / "runs.zarr")
    np.testing.assert_array_equal(final(stored).fields, trajectories.fields[:, 2])
    np.testing.assert_array_equal(on_nodes(stored).mu["u0"], trajectories.mu["u0"][:, ::4])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda runs: at_time(runs, 0.15), "time 0.15 is not stored; the stored times are 0, 0.1, 0.2"),
        (lambda runs: at_times(runs, [0.2, 0.1]), "increasing"),
        (lambda runs: final(final(runs)), "no times"),
    ],
)
def test_what_is_not_there_is_refused(trajectories, call, match):
    with pytest.raises(InputError, match=match):
        call(trajectories)


def test_outputs_follow_their_time(trajectories):
    outputs = {"mean": np.arange(9.0).reshape(3, 3), "cost": np.arange(3.0)}
    runs = Snapshots(
        trajectories.parameters, trajectories.space, trajectories.mu, trajectories.fields, outputs=outputs,
        times=trajectories.times,
    )  # fmt: skip
    part = at_time(runs, 0.2)
    np.testing.assert_array_equal(part.outputs["mean"], [2.0, 5.0, 8.0])
    np.testing.assert_array_equal(part.outputs["cost"], outputs["cost"])


def test_the_initial_state_moves_to_the_stored_nodes(trajectories):
    moved = on_nodes(trajectories)
    assert moved.parameters == trajectories.parameters.at(16)
    # the state at time zero is stored: an independent witness of what the nodes see
    np.testing.assert_allclose(moved.mu["u0"], trajectories.fields[:, 0], atol=1e-13)
    np.testing.assert_allclose(moved.mu["u0"], moved.parameters.sample(range(3), 1)["u0"], atol=1e-13)
    assert on_nodes(moved) is moved


def test_fields_among_other_parameters_and_with_both_ends():
    field = Darcy(16).parameters
    parameters = Joint((Box(("k",), (0.0,), (1.0,)), field))
    mu = parameters.sample(range(2), 0)
    moved = on_nodes(Snapshots(parameters, Grid((8, 8)), mu, np.zeros((2, 9, 9))))
    assert moved.parameters.parts[1] == field.at(8)
    np.testing.assert_array_equal(moved.mu["a"], mu["a"][:, ::2, ::2])
    np.testing.assert_array_equal(moved.mu["k"], mu["k"])


def test_nodes_that_the_field_lacks_are_refused():
    parameters = PeriodicField("u", 16, modes=3, dim=1)
    runs = Snapshots(parameters, Torus((12,)), parameters.sample(range(2), 0), np.zeros((2, 12)))
    with pytest.raises(InputError, match=r"\(16,\) nodes cannot be thinned out to \(12,\)"):
        on_nodes(runs)


def test_frames_become_a_parameter(trajectories, tmp_path):
    part = windowed(trajectories, 2, name="past")
    np.testing.assert_array_equal(part.mu["past"], trajectories.fields[:, :2])
    np.testing.assert_array_equal(part.fields, trajectories.fields[:, 2:])
    frames = part.parameters
    assert frames.names == ("past",) and frames.times == (0.0, 0.1) and frames.contains(part.mu).all()
    outside = {"past": np.stack([np.nan * part.mu["past"][0], 9 * part.mu["past"][1] + 9])}
    assert not frames.contains(outside).any() and not frames.contains({"past": part.mu["past"][:, :1]}).any()
    assert Frames.from_parts(*frames.to_parts()) == frames
    assert part.save(tmp_path / "frames.zarr").mu["past"].shape == (3, 2, 16)
    with pytest.raises(InputError, match="cannot be drawn"):
        frames.sample(range(2), 0)
    for count in (0, 3):
        with pytest.raises(InputError, match="at least one and leave at least one"):
            windowed(trajectories, count)
