"""Exported operators answer as the surrogates do, and say so when they cannot."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tests.operators.conftest import averaged_runs, poisson_runs
from tests.operators.evolution_cases import heat_runs
from tests.operators.test_measuring import measured_runs
from torch import nn

import nwidth as nw
from nwidth.core.errors import InputError, WorkError
from nwidth.core.storable import Parts
from nwidth.linmaps import TruncatedFourier
from nwidth.linmaps.transform import FFTTransform
from nwidth.operators.boundary import transfinite as expected_transfinite
from nwidth.operators.physical import PhysicalModule, transfinite
from nwidth.problems.poisson import Poisson
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points

ONCE = nw.Training(epochs=1)


@pytest.fixture(scope="module")
def averager():
    return nw.operators.FNO(modes=4, width=4, layers=1, training=ONCE).fit(averaged_runs(12, 12), seed=0)


@pytest.fixture(scope="module")
def poisson():
    problem = Poisson(12)
    return nw.operators.FNO(modes=4, width=4, layers=1, training=ONCE).fit(poisson_runs(problem, 12), problem, seed=0)


def test_the_file_answers_as_the_surrogate_with_exact_boundary_values(averager, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    written = nw.operators.to_onnx(averager, tmp_path / "fno.onnx")
    assert written.error < 1e-5 and written.opset == 20
    assert written.inputs == {"a": (None, 13, 13)} and written.output == (None, 13, 13)
    assert [p.name for p in tmp_path.iterdir()] == ["fno.onnx"]
    session = runtime.InferenceSession(written.path)
    assert [(i.name, i.shape[1:], i.type) for i in session.get_inputs()] == [("a", [13, 13], "tensor(float)")]
    mu = averager.parameters.sample(range(7), seed=5)
    (found,) = session.run(["fields"], {"a": mu["a"].astype(np.float32)})
    expected = averager.predict(mu).field
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    on_boundary = ~averager.space.free.reshape(13, 13)
    assert (found[:, on_boundary] == np.float32(2.1)).all()


def test_boundary_values_that_depend_on_the_parameters_are_an_input(poisson):
    program = nw.operators.to_exported_program(poisson)
    mu = poisson.parameters.sample(range(3), seed=9)
    given = Poisson(12).boundary(mu)
    inside = np.zeros_like(given)
    inside[:, 1:-1, 1:-1] = 77.0  # what stands inside is not read
    inputs = {name: torch.from_numpy(values).float() for name, values in mu.items()}
    with torch.no_grad():
        found = program.module()(inputs | {"boundary": torch.from_numpy(given + inside)[:, None].float()}).numpy()
    np.testing.assert_allclose(found, poisson.predict(mu).field, rtol=0, atol=1e-6)
    edge = np.s_[:, 0, :]
    np.testing.assert_array_equal(found[edge], given.astype(np.float32)[edge])


@pytest.mark.parametrize("shape", [(5,), (4, 6), (3, 4, 5)])
def test_transfinite_interpolation_of_tensors_is_that_of_arrays(shape):
    traces = np.random.default_rng(0).standard_normal((2, 3, *shape))
    np.testing.assert_allclose(
        transfinite(torch.from_numpy(traces)), expected_transfinite(traces, len(shape)), atol=1e-14
    )


@dataclass(frozen=True)
class Anything(ParameterSpace):
    """Parameters of all shapes."""

    names: tuple[str, ...] = ()

    def sample(self, indices, seed):
        raise InputError("nothing to draw from")

    def contains(self, mu):
        return np.ones(len(mu["s"]), dtype=bool)

    def to_parts(self):
        return Parts({"names": self.names}, {}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(tuple(config["names"]))


@pytest.mark.parametrize("layout", ["vector", "channels"])
def test_scalars_vectors_and_fields_go_in_by_name(layout):
    """The module agrees with `predict` for every way of putting parameters in."""
    rng, grid = np.random.default_rng(1), Grid((6, 7), boundary="neumann")
    mu = {"s": rng.random(8), "v": rng.random((8, 3)), "a": rng.random((8, *grid.shape))}
    if layout == "vector":
        del mu["a"]
    fields = rng.random((8, 1, 1)) + sum(values.reshape(8, -1).sum(axis=1) for values in mu.values())[:, None, None]
    runs = Snapshots(Anything(tuple(mu)), grid, mu, fields * np.ones(grid.shape))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, grid.size), nn.Unflatten(1, (1, *grid.shape)))
    kernel = nn.Conv2d(5, 1, 3, padding=1)
    surrogate = nw.wrap(net if layout == "vector" else kernel, nw.Training(epochs=1)).fit(runs, seed=0)
    assert surrogate.encoding.layout == layout
    module = PhysicalModule.of(surrogate, mu)
    with torch.no_grad():
        found = module(module.inputs(surrogate, mu)).numpy()
    np.testing.assert_allclose(found, surrogate.predict(mu).field, rtol=1e-5)
    nw.operators.to_exported_program(surrogate, mu)
    with pytest.raises(InputError, match="nothing to draw from"):
        nw.operators.to_exported_program(surrogate)


def test_complex_fields_come_out_as_channels():
    t = np.linspace(0.5, 2.0, 20)
    fields = np.exp(1j * t[:, None] * np.linspace(0.2, 1.0, 12))
    runs = Snapshots(Box(("t",), low=(0.5,), high=(2.0,)), Points((12,), type="complex128"), {"t": t}, fields)
    surrogate = nw.wrap(nn.Sequential(nn.Linear(1, 24), nn.Unflatten(1, (2, 12))), ONCE).fit(runs, seed=0)
    program = nw.operators.to_exported_program(surrogate)
    with torch.no_grad():
        found = program.module()({"t": torch.tensor([0.7, 1.1, 1.9])}).numpy()
    expected = surrogate.predict({"t": np.array([0.7, 1.1, 1.9])}).field
    np.testing.assert_allclose(found[:, 0] + 1j * found[:, 1], expected, rtol=1e-5)


def test_the_surrogate_itself_is_left_alone(averager):
    before = {name: value.clone() for name, value in averager.module.state_dict().items()}
    trained = [p.requires_grad for p in averager.module.parameters()]
    nw.operators.to_exported_program(averager)
    assert [p.requires_grad for p in averager.module.parameters()] == trained
    assert all(torch.equal(before[name], value) for name, value in averager.module.state_dict().items())


def test_another_grid_is_exported_from_the_surrogate_there(averager, tmp_path):
    path = nw.operators.to_pt2(averager.at(Grid((9, 9))), tmp_path / "fno.pt2")
    program = torch.export.load(path)
    found = program.module()({"a": torch.ones(2, 10, 10)})
    assert found.shape == (2, 10, 10)


def test_what_is_missed_is_an_error(averager, tmp_path):
    with pytest.raises(WorkError, match=r"deviates from the surrogate by .*more than tol=1.0e-12"):
        nw.operators.to_pt2(averager, tmp_path / "fno.pt2", tol=1e-12)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["rollout", "lead-time", "numbers"])
def test_the_network_inside_is_exported_where_there_is_more_around_it(kind):
    small = nw.operators.FNO(modes=4, width=4, layers=1, training=ONCE)
    if kind == "numbers":
        runs, fitter = measured_runs(12), nw.operators.Measuring(small)
    else:
        runs, fitter = heat_runs(12), nw.operators.Evolving(small, kind, initial="u0")
    surrogate = fitter.fit(runs, seed=0)
    x = torch.randn(3, surrogate.module.channels[1], *surrogate.nodes)
    with torch.no_grad():
        found, expected = nw.operators.to_exported_program(surrogate).module()({"x": x}), surrogate.module(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_where_the_surrogate_uses_an_fft_the_program_uses_products():
    """Real arithmetic; and the tables that all transforms share hold numbers afterwards."""
    runs = heat_runs(12, points=128)
    last = Snapshots(runs.parameters, runs.space, runs.mu, runs.fields[:, -1])
    surrogate = nw.operators.FNO(modes=41, width=2, layers=1, training=ONCE).fit(last, seed=0)
    chosen = next(m for m in surrogate.module.modules() if isinstance(m, TruncatedFourier))
    assert isinstance(chosen.transform((128,)), FFTTransform)
    program = nw.operators.to_exported_program(surrogate)
    assert not [node for node in program.graph.nodes if "fft" in str(node.target)]
    x = torch.randn(2, 1, 128)
    by_products = TruncatedFourier((1, 1), (41,), (128,), method="matrix")
    by_products.load_state_dict({name: torch.ones_like(p) for name, p in by_products.named_parameters()})
    by_fft = TruncatedFourier((1, 1), (41,), (128,), method="fft")
    by_fft.load_state_dict(by_products.state_dict())
    torch.testing.assert_close(by_products(x), by_fft(x), rtol=0, atol=1e-4)


class Counting(nn.Module):
    """Looks at the number of samples as a number."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 169)

    def forward(self, x):
        return self.layer(x) + torch.zeros(len(x), 169)


def test_a_network_that_fixes_its_batch_is_refused_with_the_reason():
    runs = poisson_runs(Poisson(12), 8)
    points = Snapshots(runs.parameters, Points((169,)), runs.mu, runs.fields.reshape(8, 169))
    surrogate = nw.wrap(Counting(), ONCE).fit(points, seed=0)
    with pytest.raises(WorkError, match=r"Counting cannot be exported for any size of a batch: .* x.shape\[0\]"):
        nw.operators.to_exported_program(surrogate)


def test_what_is_no_operator_is_refused(averager):
    with pytest.raises(InputError, match="a str is no neural operator"):
        nw.operators.to_exported_program("model")
    with pytest.raises(InputError, match="give two or more"):
        nw.operators.to_exported_program(averager, averager.parameters.sample(range(1), seed=0))


def test_without_the_packages_the_extra_is_named(averager, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'nwidth\[export\]'"):
        nw.operators.to_onnx(averager, tmp_path / "fno.onnx")
