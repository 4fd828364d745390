"""Named numbers from fields, against functionals that are known exactly."""

import numpy as np
import pytest
import torch

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.io.model import load, save
from nwidth.operators import FNO, Measuring, Training
from nwidth.operators.export import to_exported_program
from nwidth.operators.measuring import Averaged
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.points import Points
from nwidth.spaces.random_field import LogNormalField
from nwidth.spaces.torus import Torus
from nwidth.surrogates.training.quadrature import axes_of

SMALL = FNO(4, 12, 2, training=Training(epochs=25, batch=8, rate=1e-2))
TINY = FNO(2, 4, 1, training=Training(epochs=1))


def measured_runs(count, seed=0, resolution=12):
    """A periodic field g and a scalar k: the numbers k ∫ g², in joule, and 100 + ∫ cos(2πx) g."""
    parameters = Joint((Box(("k",), (0.5,), (1.5,)), PeriodicField("g", resolution, sigma=25.0, modes=3, dim=2)))
    mu = parameters.sample(range(count), seed)
    x = np.arange(resolution) / resolution
    energy = np.asarray(mu["k"]).reshape(count) * np.mean(mu["g"] ** 2, axis=(1, 2))
    wave = 100 + np.mean(np.cos(2 * np.pi * x)[:, None] * mu["g"], axis=(1, 2))
    outputs = {"energy": energy, "wave": wave}
    fields, provenance = np.empty((count, 0)), {"units": {"energy": "J"}}
    return Snapshots(parameters, Points((0,)), mu, fields, outputs=outputs, provenance=provenance)


@pytest.fixture(scope="module")
def surrogate():
    return Measuring(SMALL).fit(measured_runs(160))


def errors(surrogate, runs):
    """Root mean square errors in units of the spread."""
    found = surrogate.predict(runs.mu).outputs
    return {n: np.sqrt(np.mean((found[n].values - v) ** 2)) / np.std(v) for n, v in runs.outputs.items()}


def test_numbers_are_learned_from_fields_and_scalars(surrogate):
    found = errors(surrogate, measured_runs(60, seed=1))
    assert found["energy"] < 0.25 and found["wave"] < 0.15
    prediction = surrogate.predict(measured_runs(3, seed=1).mu)
    assert prediction.field.shape == (3, 0) and prediction.outputs["energy"].unit == "J"
    assert prediction.inside.all() and np.isinf(prediction.outputs["wave"].limit).all()


def test_the_resolution_does_not_matter(surrogate):
    coarse, fine = measured_runs(20, seed=1), measured_runs(20, seed=1, resolution=24)
    a, b = surrogate.predict(coarse.mu).outputs, surrogate.at(Torus((24, 24))).predict(fine.mu)
    assert b.inside.all() and not surrogate.predict(fine.mu).inside.any()
    for name, output in a.items():
        spread = np.std(coarse.outputs[name])
        np.testing.assert_allclose(b.outputs[name].values, output.values, atol=0.06 * spread)


def test_limits_for_numbers(surrogate):
    certified = nw.certify(surrogate, holdout=measured_runs(60, seed=2), level=0.9)
    test = measured_runs(60, seed=3)
    answer = certified.predict(test.mu).outputs
    for name, output in answer.items():
        held = np.abs(output.values - test.outputs[name]) <= output.limit
        assert held.mean() > 0.75 and np.isfinite(output.limit).all()


def test_files_hold_everything(surrogate, tmp_path):
    save(surrogate, tmp_path / "numbers.nwidth")
    again, mu = load(tmp_path / "numbers.nwidth"), measured_runs(4, seed=1).mu
    before, after = surrogate.predict(mu).outputs, again.predict(mu).outputs
    assert list(after) == ["energy", "wave"] and after["energy"].unit == "J"
    for name, output in before.items():
        np.testing.assert_array_equal(after[name].values, output.values)


@pytest.mark.parametrize(
    "space", [Grid((6, 9), (2.0, 1.0)), Torus((8, 5)), Grid((7,), boundary="neumann", centring="cell")]
)
def test_the_average_is_the_quadrature_of_the_space(space):
    values = np.random.default_rng(0).standard_normal((3, 2, *space.shape))
    found = Averaged(torch.nn.Identity(), axes_of(space, len(space.shape)))(torch.from_numpy(values))
    one = np.ones((1, space.size))
    measure = space.inner("mass").apply(one)[0] if isinstance(space, Torus) else space.volumes().ravel()
    expected = values.reshape(3, 2, -1) @ measure / measure.sum()
    np.testing.assert_allclose(found[..., 0], expected, rtol=1e-13, atol=1e-15)


def test_where_parameters_live():
    """On the grid of the answers, on that of their law, or where the user says."""
    field = LogNormalField(resolution=6)
    mu = field.sample(range(4), 0)
    outputs = {"q": np.arange(4.0)}
    on_answers = Snapshots(field, Grid((6, 6), boundary="neumann"), mu, np.zeros((4, 7, 7)), outputs=outputs)
    assert Measuring(TINY).fit(on_answers).grid == on_answers.space
    alone = Snapshots(field, Points((0,)), mu, np.zeros((4, 0)), outputs=outputs)
    assert Measuring(TINY).fit(alone).grid == Grid((6, 6))
    said = Grid((6, 6), boundary="robin")
    assert Measuring(TINY, said).fit(alone).grid == said


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Measuring(TINY).fit(), "there are none"),
        (lambda: Measuring(nw.rb.PODRegression()), "expected an operator on a grid"),
        (lambda: Measuring(FNO(training=Training(loss="l2"))), "use 'auto' and 'none'"),
        (lambda: Measuring(TINY).fit(scalars()), "PODRegression"),
        (lambda: Measuring(TINY, Torus((4, 4))).fit(scalars()), "none of the parameters a"),
        (lambda: Measuring(TINY).fit(scalars(np.ones((3, 2)))), r"'q' has shape \(3, 2\)"),
        (lambda: Measuring(TINY).fit(measured_runs(9)).predict(scalars().mu), "do not match"),
    ],
)
def test_what_makes_no_sense_is_refused(call, match):
    with pytest.raises(InputError, match=match):
        call()


def scalars(values=(1.0, 2.0, 3.0)):
    outputs = {"q": np.asarray(values)}
    return Snapshots(Box(("a",), (0.0,), (1.0,)), Points((0,)), {"a": np.ones(3)}, np.empty((3, 0)), outputs=outputs)


def test_the_network_is_exported(surrogate):
    program = to_exported_program(surrogate)
    x = torch.from_numpy(surrogate.encoding.inputs(measured_runs(3, seed=1).mu, (12, 12))).float()
    found = program.module()({"x": x}).numpy()[:, :, 0].T
    expected = [output.values for output in surrogate.predict(measured_runs(3, seed=1).mu).outputs.values()]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
