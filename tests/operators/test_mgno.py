"""The multigrid operator: the conformance suite, its boundaries, what it learns and what it does elsewhere."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from tests.linmaps.test_multigrid import classical, numpy_cycle
from tests.operators.conftest import averaged_runs

from nwidth.core.errors import InputError
from nwidth.operators import MgNO, Training
from nwidth.operators.frame import Frame
from nwidth.operators.mgno import MgNOArchitecture, MultigridNetwork, ends_of
from nwidth.operators.places import axes_of, resample
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.spaces.torus import Torus
from nwidth.surrogates.training import Encoding
from nwidth.testing.operators import OperatorConformance

SMALL = MgNO(width=6, layers=2, training=Training(epochs=15, rate=5e-3))


class TestMgNO(OperatorConformance):
    def fitter(self, training):
        return MgNO(width=4, layers=2, training=training)

    @pytest.mark.slow
    def test_onnx(self):
        super().test_onnx()

    @pytest.mark.slow
    def test_torch_export(self):
        super().test_torch_export()


def network(space, channels=(1, 1), elsewhere="as is", **sizes):
    torch.manual_seed(0)
    encoding = Encoding(("a",), "channels", len(space.shape))
    fitter = replace(MgNO(width=4, layers=2, elsewhere=elsewhere), **sizes)
    frame = Frame(channels, space, encoding)
    return fitter.architecture(frame).build(frame).double()


def error(surrogate, runs):
    return np.linalg.norm(surrogate.predict(runs.mu).field - runs.fields) / np.linalg.norm(runs.fields - 2.1)


def test_it_learns(averaged):
    """Unseen fields, relative to what varies: a fifth of the untrained error, and below 10 %."""
    unseen = averaged_runs(12, 24, seed=5)
    untrained = replace(SMALL, training=Training(epochs=0)).fit(averaged, seed=0)
    trained = SMALL.fit(averaged, seed=0)
    assert error(trained, unseen) < min(0.1, error(untrained, unseen) / 5)
    boundary = trained.predict(unseen.mu).field[:, 0]
    np.testing.assert_array_equal(boundary, 2.1)


@pytest.mark.parametrize(
    ("space", "ends"),
    [
        (Grid((8, 9)), (("zero", "zero"), ("zero", "zero"))),
        (Grid((8, 9), boundary=(("neumann", "dirichlet"), "periodic")), (("mirror", "zero"), ("periodic", "periodic"))),
        (Grid((8,), boundary="robin"), (("mirror", "mirror"),)),
        (Torus((7, 8, 9)), (("periodic", "periodic"),) * 3),
    ],
)
def test_the_space_decides_what_lies_beyond_the_ends(space, ends):
    assert ends_of(space, axes_of(space, space.dim)) == ends
    net = network(space)
    assert all(cycle.ends == ends for cycle in net.cycles)
    x = torch.randn(2, 1, *space.shape, dtype=torch.float64)
    assert net(x).shape == x.shape


def test_on_a_torus_there_is_no_first_point():
    """Moved by a point of the coarsest grid (8 of 16), in goes out moved."""
    net = network(Torus((16, 16)), depth=4)
    x = torch.randn(1, 1, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(net(x.roll((8, 8), (2, 3))), net(x).roll((8, 8), (2, 3)))
    assert not torch.allclose(net(x.roll(3, 2)), net(x).roll(3, 2))


@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (64,), (5, 12), (33, 17), (4, 5, 6)])
def test_any_size_in_one_to_three_dimensions(shape):
    space = Torus(shape) if min(shape) > 2 else None
    for ends in ("zero", "mirror", "periodic"):
        sizes = MgNOArchitecture(shape, 4, 2, 3, (1, 1), 3, "as is")
        net = MultigridNetwork((2, 3), ("node",) * len(shape), ((ends, ends),) * len(shape), sizes)
        y = net(torch.randn(2, 3, *shape))
        assert y.shape == (2, 2, *shape) and bool(torch.isfinite(y).all())
    assert space is None or network(space, channels=(2, 1))(torch.randn(1, 1, *shape).double()).shape == (1, 2, *shape)


def test_grids_go_down_to_three_points_at_most():
    assert network(Grid((64, 64))).cycles[0].depth == 6  # 65, 32, 16, 8, 4, 2
    assert network(Grid((64,), boundary="neumann")).cycles[0].depth == 6  # 65, 33, 17, 9, 5, 3
    assert network(Grid((64, 64)), depth=2).cycles[0].depth == 2


def test_a_linear_network_is_a_step_of_a_multigrid_solver():
    """With the textbook's stencils, and values so large that GELU is the identity, a layer is a V-cycle for -Δu = f."""
    n, depth = 31, 4
    sizes = MgNOArchitecture((n, n), 1, 1, depth, (2, 1), 3, "as is")
    net = MultigridNetwork((1, 1), ("node", "node"), (("zero", "zero"),) * 2, sizes).double()
    with torch.no_grad():
        net.cycles[0].load_state_dict(classical(depth, 2, n).state_dict())
        for point, value in ((net.lift, 1.0), (net.pointwise[0], 0.0), (net.project, 1.0)):
            point.weight.fill_(value)
            point.bias.zero_()
        net.pointwise[0].bias.fill_(40.0)
        net.project.bias.fill_(-40.0)
        f = np.random.default_rng(0).standard_normal((n, n))
        found = net(torch.tensor(f)[None, None])[0, 0].numpy()
    expected = numpy_cycle(f, 1 / (n + 1), depth)
    np.testing.assert_allclose(found, expected, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(9,), (9, 12), (5, 6, 7)])
def test_every_end_exports(shape, tmp_path):
    """Mirrors and periodic axes read values by index; onnxruntime gives the same to 1e-5."""
    ends = ((("mirror", "zero"),), (("periodic", "periodic"),), (("mirror", "mirror"),))
    sizes = MgNOArchitecture(shape, 4, 2, 3, (1, 1), 3, "as is")
    torch.manual_seed(0)
    net = MultigridNetwork((1, 2), ("node",) * len(shape), tuple(e[0] for e in ends[: len(shape)]), sizes).eval()
    x = torch.randn(3, 2, *shape)
    path = tmp_path / "net.onnx"
    torch.onnx.export(net, (x,), path, dynamo=True, input_names=["x"], dynamic_shapes=({0: torch.export.Dim("batch")},))
    session = onnxruntime.InferenceSession(str(path))
    for batch in (1, 5):
        x = torch.randn(batch, 2, *shape)
        expected = net(x).detach().numpy()
        np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], expected, atol=1e-5 * np.abs(expected).max())


def test_elsewhere_it_answers_through_the_grid_it_was_trained_on():
    space = Grid((8, 8))
    net = network(space, elsewhere="resample")
    x = torch.randn(1, 1, 17, 17, dtype=torch.float64)
    axes = axes_of(space, 2)
    expected = resample(net.on_its_grid(x[..., ::2, ::2]), axes, (17, 17))
    torch.testing.assert_close(net(x), expected)
    net.elsewhere = "as is"
    assert not torch.allclose(net(x), expected)


def test_bad_sizes_are_refused():
    for options, match in (({"kernel": 2}, "odd"), ({"smoothing": (0, 1)}, "1 or more"), ({"elsewhere": "x"}, "as is")):
        with pytest.raises(InputError, match=match):
            MgNO(**options)
    with pytest.raises(InputError, match="4 axes"):
        MgNO().architecture(Frame((1, 1), Points((3, 3, 3, 3)), Encoding(("a",), "channels", 4)))
