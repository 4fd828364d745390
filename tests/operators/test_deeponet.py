"""DeepONet: its formula, where it answers, what it learns on points, meshes and grids, files, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.operators.conftest import averaged_runs, poisson_runs

from nwidth.core.errors import InputError
from nwidth.core.storable import fingerprint
from nwidth.io.model import load, save
from nwidth.operators import DeepONet, Frame, Training
from nwidth.operators.branch import Sensors
from nwidth.operators.deeponet import coordinates_of
from nwidth.problems.poisson import Poisson
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.spaces.torus import Torus
from nwidth.surrogates.training import Encoding

TRAINING = Training(epochs=150, batch=16, rate=5e-3)
SMALL = DeepONet(terms=12, width=32, depth=1, trunk_depth=2, training=TRAINING)
ONCE = replace(SMALL, training=Training(epochs=1))
BOX = Box(("t", "s"), low=(0.5, 0.0), high=(2.0, 1.0))


def waves(x, count, seed=0, names=("u",), dtype="float64"):
    """Two components of a wave at points x `(N, 1)` (the second with names ("u", "v"))."""
    mu = BOX.sample(range(count), seed)
    t, s = mu["t"][:, None], mu["s"][:, None]
    fields = np.sin(2 * t * x[:, 0]) + s * x[:, 0] ** 2
    if len(names) == 2:
        fields = np.stack([fields, 5 + np.cos(t * x[:, 0])], axis=1)
    if dtype == "complex128":
        fields = fields * np.exp(1j * s)
    return Snapshots(BOX, Points(fields.shape[1:], x, names=names, type=dtype), mu, fields)


def network(snapshots, fitter=SMALL):
    encoding = Encoding.of(snapshots, layout=fitter.layout)
    frame = Frame.of(snapshots, encoding)
    torch.manual_seed(0)
    return fitter.architecture(frame).build(frame).double()


def error(surrogate, runs):
    return np.linalg.norm(surrogate.predict(runs.mu).field - runs.fields) / np.linalg.norm(runs.fields)


LINE = np.linspace(-1, 3, 24)[:, None]


@pytest.fixture(scope="module")
def fitted():
    return SMALL.fit(waves(LINE, 64), seed=0)


@pytest.mark.parametrize("fourier", [0, 5])
def test_the_network_is_its_formula(fourier):
    """Sum by sum in NumPy, two components, from the network's parameters alone."""
    runs = waves(LINE, 4, names=("u", "v"))
    net = network(runs, replace(SMALL, fourier=fourier, scale=0.7))
    with torch.no_grad():
        net.bias += torch.tensor([0.3, -2.0])
    x = np.random.default_rng(0).standard_normal((3, 2))

    def perceptron(layers, v):
        for number, layer in enumerate(layers):
            v = v @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
            if number < len(layers) - 1:
                v = torch.nn.functional.gelu(torch.from_numpy(v)).numpy()
        return v

    branch, trunk = ([m for m in part.modules() if isinstance(m, torch.nn.Linear)] for part in (net.branch, net.trunk))
    z = 2 * (LINE + 1) / 4 - 1
    waved = z @ net.trunk.frequencies.numpy()
    b = perceptron(branch, x).reshape(3, 2, 12)
    t = perceptron(trunk, np.concatenate([z, np.sin(waved), np.cos(waved)], axis=1)).reshape(24, 2, 12)
    expected = np.zeros((3, 2, 24))
    for c in range(2):
        for k in range(12):
            expected[:, c] += b[:, c, k, None] * t[None, :, c, k] / np.sqrt(12)
        expected[:, c] += net.bias[c].item()
    np.testing.assert_allclose(net(torch.from_numpy(x)).detach(), expected, rtol=1e-11, atol=1e-12)


def test_it_learns_at_points(fitted):
    runs = waves(LINE, 16, seed=1)
    varied = np.linalg.norm(runs.fields - runs.fields.mean(axis=0)) / np.linalg.norm(runs.fields)
    assert error(fitted, runs) < 0.15 < 0.4 * varied


def test_it_answers_at_other_points(fitted):
    finer = np.random.default_rng(0).uniform(-1, 3, (50, 1))
    assert error(fitted.at(waves(finer, 1).space), waves(finer, 16, seed=1)) < 0.15


def test_where_points_coincide_answers_do(fitted):
    mu = BOX.sample(range(5), 3)
    moved = fitted.at(Points((3,), LINE[[4, 0, 11]]))
    np.testing.assert_allclose(moved.predict(mu).field, fitted.predict(mu).field[:, [4, 0, 11]], rtol=1e-5)
    back = moved.at(fitted.space)
    np.testing.assert_array_equal(back.predict(mu).field, fitted.predict(mu).field)
    assert moved.module.network.trunk is fitted.module.network.trunk


def test_points_that_it_cannot_answer_at_are_refused(fitted):
    with pytest.raises(InputError, match="a trunk does not extrapolate"):
        fitted.at(Points((2,), np.array([[0.0], [3.5]])))
    with pytest.raises(InputError, match="points in 2 dimensions"):
        fitted.at(Points((2,), np.zeros((2, 2))))
    with pytest.raises(InputError, match="cannot hold the components"):
        fitted.at(Points((2, 3), LINE[:3], names=("u", "v")))
    with pytest.raises(InputError, match=r"PODDeepONet does not"):
        SMALL.fit(replace(waves(LINE, 8), space=Points((24,))))


@pytest.mark.parametrize(("names", "dtype"), [(("u", "v"), "float64"), (("u",), "complex128")])
def test_several_components_and_complex_fields(names, dtype):
    fitter = replace(SMALL, training=replace(TRAINING, epochs=60))
    surrogate = fitter.fit(waves(LINE, 48, names=names, dtype=dtype), seed=0)
    unseen = waves(LINE, 8, seed=1, names=names, dtype=dtype)
    assert surrogate.predict(unseen.mu).field.dtype == np.dtype(dtype)
    assert error(surrogate, unseen) < (0.14 if dtype == "float64" else 0.45)


def test_from_a_grid_to_its_refinements_and_to_points():
    """Scalars in, a field on a grid out: the trunk knows no grid."""
    grid = Grid((16,), 2.0, boundary="neumann")

    def on_grid(space, count, seed):
        found = waves(space.points(), count, seed)
        return Snapshots(BOX, space, found.mu, found.fields.reshape(count, *space.shape))

    fitter = replace(SMALL, training=Training(epochs=100, batch=16, rate=5e-3, loss="l2"))
    surrogate = fitter.fit(on_grid(grid, 48, 0), seed=0)
    here = error(surrogate, on_grid(grid, 16, 1))
    assert here < 0.15
    for space in (Grid((33,), 2.0, boundary="neumann"), Points((40,), np.linspace(0.1, 1.9, 40)[:, None])):
        runs = on_grid(space, 16, 1) if isinstance(space, Grid) else waves(space.points(), 16, 1)
        moved = surrogate.at(space)
        assert moved.predict(runs.mu).field.shape == (16, *space.shape)
        assert error(moved, runs) < 1.3 * here


def test_the_box_of_a_periodic_grid_closes():
    torus = Torus((6, 5), (2.0, 1.0))
    runs = Snapshots(BOX, torus, BOX.sample(range(3), 0), np.random.default_rng(0).standard_normal((3, 6, 5)))
    net = network(runs)
    assert net.trunk.periodic == (True, True)
    ends = torch.tensor([[0.0, 0.25], [1.0, 0.25], [1.0, 1.25]], dtype=torch.float64)
    torch.testing.assert_close(net.trunk(ends[:1]).expand(3, -1), net.trunk(ends))


def test_boundary_values_of_the_problem_are_exact():
    problem, runs = Poisson(8), poisson_runs(Poisson(8), 24)
    surrogate = replace(ONCE, training=Training(epochs=20)).fit(runs, problem)
    for n in (8, 13):
        space = Poisson(n).space
        moved, mu = surrogate.at(space), problem.parameters.sample(range(3), 1)
        on_boundary = ~space.free.reshape(space.shape)
        np.testing.assert_array_equal(moved.predict(mu).field[:, on_boundary], Poisson(n).boundary(mu)[:, on_boundary])
    with pytest.raises(InputError, match="boundary='free' was trained"):
        surrogate.at(Points((1,), np.full((1, 2), 0.5)))


@pytest.mark.parametrize("branch", ["dense", "convolution"])
def test_a_field_is_read_at_sensors_on_every_grid(branch):
    """A bilinear field looks the same at the sensors of all grids: the answers agree where the nodes do."""
    runs = averaged_runs(12, 6)
    net = network(runs, replace(SMALL, branch=branch, sensors=5))

    def field(n):
        x = torch.linspace(0, 1, n, dtype=torch.float64)
        return ((1 + x[:, None]) * (2 - x))[None, None]

    coarse, fine = net(field(13)), net(field(25))
    assert fine.shape == (1, 1, 25, 25)
    torch.testing.assert_close(fine[..., ::2, ::2], coarse, rtol=1e-10, atol=1e-12)


def test_a_field_in_a_row_is_read_as_one_where_its_grid_is_said():
    """Output at points, the parameter a field of its own on 6 x 4 places."""
    values = np.random.default_rng(0).standard_normal((6, 24))
    parameters = Box(tuple(f"a{i}" for i in range(24)), low=(-9.0,) * 24, high=(9.0,) * 24)
    mu = {f"a{i}": values[:, i] for i in range(24)}
    runs = Snapshots(parameters, Points((24,), LINE), mu, values)
    encoding = Encoding.of(runs)
    sensors = Sensors.of(Frame.of(runs, encoding), (6, 4))
    seen = sensors.read(torch.from_numpy(encoding.inputs(mu, ())))
    np.testing.assert_array_equal(seen[:, 0], values.reshape(6, 6, 4))
    assert replace(ONCE, sensors=(6, 4)).fit(runs).architecture.convolution
    assert not ONCE.fit(runs).architecture.convolution
    with pytest.raises(InputError, match="are no fields on"):
        replace(ONCE, sensors=(5, 4)).fit(runs)
    with pytest.raises(InputError, match="needs parameters that are fields"):
        replace(ONCE, branch="convolution").fit(runs)


def test_a_model_file_gives_the_same_answers_also_after_moving(fitted, tmp_path):
    mu = BOX.sample(range(4), 5)
    fields = averaged_runs(8, 6)
    on_fields = replace(ONCE, fourier=3).fit(fields)
    moved = fitted.at(Points((3,), LINE[[4, 0, 11]]))
    for surrogate, given in ((fitted, mu), (moved, mu), (on_fields, fields.mu)):
        save(surrogate, tmp_path / "model.nwidth")
        again = load(tmp_path / "model.nwidth")
        np.testing.assert_array_equal(again.predict(given).field, surrogate.predict(given).field)
        assert fingerprint(again) == fingerprint(surrogate)


def test_equal_seeds_give_equal_surrogates():
    prints = [fingerprint(replace(ONCE, fourier=4).fit(waves(LINE, 8), seed=seed)) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    "wrong",
    [{"terms": 0}, {"width": 0}, {"depth": -1}, {"trunk_depth": 0}, {"branch": "x"}, {"sensors": 1}, {"fourier": -1},
     {"scale": 0.0}, {"boundary": "x"}],
)  # fmt: skip
def test_impossible_sizes_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"DeepONet: {name} is"):
        DeepONet(**wrong)


def test_points_that_move_with_the_parameters_are_refused():
    class Moving(Points):
        def points(self, mu=None):
            return np.zeros((2, 24, 1))

    with pytest.raises(InputError, match="expected \\(N, dim\\)"):
        coordinates_of(Moving((24,)))
