"""The comparison: what it measures against NumPy, equal terms, every sort of contestant, tables."""

import csv
import io
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.operators import DeepONet, PODDeepONet, Training, UNet, wrap
from nwidth.problems.poisson import Poisson
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points
from nwidth.study.compare_operators import _norms, answer_times, learned_numbers

BOX = Box(("t", "s"), low=(0.5, 0.0), high=(2.0, 1.0))
X = np.linspace(0, 1, 15)
ONCE = Training(epochs=2)


def at_points(count, seed=0):
    mu = BOX.sample(range(count), seed)
    return Snapshots(BOX, Points((15,), X[:, None]), mu, np.sin(mu["t"][:, None] * X) + mu["s"][:, None] * X**2)


def on_a_grid(count, seed=0):
    problem = Poisson(6)
    mu = problem.parameters.sample(range(count), seed)
    return Snapshots(problem.parameters, problem.space, mu, problem.exact(mu))


def module(out, *shape):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, out), nn.Unflatten(1, (1, *shape)))


@pytest.fixture(scope="module")
def points():
    """A network, a reduced basis and a module of one's own, at points."""
    fitters = {
        "DeepONet": DeepONet(terms=4, width=8, depth=1, trunk_depth=1, training=ONCE),
        "POD-DeepONet": PODDeepONet(modes=5, width=8, depth=1, training=ONCE),
        "own": wrap(module(15, 15), ONCE),
        "POD + regression": nw.rb.PODRegression(),
    }
    return nw.compare(fitters, at_points(24), test=at_points(40, 1), seeds=(0, 1))


def test_every_sort_of_contestant_takes_part(points):
    assert [row.name for row in points.rows] == ["DeepONet", "POD-DeepONet", "own", "POD + regression"]
    for row in points.rows:
        assert len(row.l2) == len(row.seconds) == 2 and min(row.seconds) > 0
        assert row.second == () and points.second == ""
        assert row.batch_ms > 0 and 0 < row.alone_ms < 1e4
    assert points["POD + regression"].error < points["POD-DeepONet"].error < points["own"].error
    assert points["own"].epochs == (2, 2) and points["POD + regression"].epochs == ()
    assert points["POD + regression"].spread < 1e-12 < points["own"].spread


def test_errors_are_means_of_relative_errors(points):
    test = at_points(40, 1)
    for row in points.rows:
        off = points.surrogates[row.name].predict(test.mu).field - test.fields
        expected = np.mean(np.linalg.norm(off, axis=1) / np.linalg.norm(test.fields, axis=1))
        np.testing.assert_allclose(row.l2[0], expected, rtol=1e-9)
        np.testing.assert_allclose(row.spread, np.std(row.l2, ddof=1))


def test_errors_on_a_grid_are_l2_and_h1():
    """Against the trapezoidal rule and differences, written out."""
    runs = on_a_grid(3)
    rng = np.random.default_rng(0)
    off = rng.standard_normal(runs.fields.shape)
    name, errors = _norms(runs.space)
    w = np.full(7, 1 / 6)
    w[[0, -1]] /= 2
    mass = np.multiply.outer(w, w)

    def squares(v):
        l2 = (mass * v**2).sum((1, 2))
        dx, dy = np.diff(v, axis=1) * 6, np.diff(v, axis=2) * 6
        return l2, l2 + (w * dx**2 / 6).sum((1, 2)) + (w[:, None] * dy**2 / 6).sum((1, 2))

    for number, norm in enumerate(("L²", name)):
        found = errors[norm](runs.fields + off, runs.fields)
        np.testing.assert_allclose(found, np.sqrt(squares(off)[number] / squares(runs.fields)[number]), rtol=1e-10)
    assert name == "H1"


def test_on_a_mesh_the_second_norm_is_the_energy():
    space = nw.problems.get("thermal_block", blocks=2, resolution=6).space
    name, errors = _norms(space)
    v, u = (np.random.default_rng(i).standard_normal((2, *space.shape)) for i in (0, 1))
    dofs = [space.inner("energy").apply(space.flatten(a)) for a in (v - u, u)]
    expected = np.sqrt((space.flatten(v - u) * dofs[0]).sum(1) / (space.flatten(u) * dofs[1]).sum(1))
    assert name == "energy"
    np.testing.assert_allclose(errors["energy"](v, u), expected)


def test_named_numbers_are_compared_in_units_of_their_spread():
    runs, test = at_points(30), at_points(20, 1)
    runs, test = (replace(r, outputs={"peak": r.fields.max(axis=1)}) for r in (runs, test))
    numbers = [replace(r, space=Points((0,)), fields=np.empty((len(r), 0))) for r in (runs, test)]
    fitters = {"pod": nw.rb.PODRegression(), "own": wrap(module(15, 15), ONCE)}
    both = nw.compare(fitters, runs, test=test, seeds=(0,))
    found = both.surrogates["pod"].predict(test.mu).outputs["peak"].values
    expected = np.abs(found - test.outputs["peak"]).mean() / test.outputs["peak"].std()
    np.testing.assert_allclose(both["pod"].outputs["peak"], [expected])
    assert both["own"].outputs == {} and "peak error [% of spread]" in str(both)
    alone = nw.compare({"pod": nw.rb.PODRegression()}, numbers[0], test=numbers[1], seeds=(0,))
    np.testing.assert_allclose(alone["pod"].outputs["peak"], [expected])
    assert alone["pod"].l2 == () and np.isnan(alone["pod"].error)


def test_equal_epochs_and_one_problem_for_all():
    fitters = {"unet": UNet(width=2, levels=1), "own": wrap(module(49, 7, 7)), "pod": nw.rb.PODRegression()}
    found = nw.compare(
        fitters, on_a_grid(16), Poisson(6), test=on_a_grid(8, 1), epochs=2, seeds=(0,), rates=(1e-3, 2e-3)
    )
    assert found["unet"].epochs == found["own"].epochs == (2,)
    assert all(s.module.boundary == "given" for n, s in found.surrogates.items() if n != "pod")
    assert found.second == "H1" and all(len(row.second) == 1 for row in found.rows)
    assert "2 epochs each, the best of 2 learning rates, 1 seed" in found.terms


def test_equal_time(points):
    """The clock ends training; what has no epochs fits as it does."""
    fitters = {"own": wrap(module(15, 15), ONCE), "pod": nw.rb.PODRegression()}
    found = nw.compare(fitters, at_points(16), test=at_points(4, 1), budget=0.5, seeds=(0,))
    assert found.surrogates["own"].history.ended == "budget"
    assert found["own"].seconds[0] > 0.4 and found["own"].epochs[0] > 2


def test_the_same_call_gives_the_same_errors(points):
    fitters = {"POD-DeepONet": PODDeepONet(modes=5, width=8, depth=1, training=ONCE)}
    again = nw.compare(fitters, at_points(24), test=at_points(40, 1), seeds=(0, 1))
    assert again["POD-DeepONet"].l2 == points["POD-DeepONet"].l2


def test_checkpoints_of_contestants_do_not_meet(tmp_path):
    fitters = {name: wrap(module(15, 15), ONCE) for name in ("a", "b")}
    nw.compare(fitters, at_points(8), test=at_points(4, 1), seeds=(0, 1), run=nw.Run(workdir=tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a-0", "a-1", "b-0", "b-1"]


def test_parameters_are_real_numbers_that_were_learned(points):
    own, pod = points.surrogates["own"], points.surrogates["POD + regression"]
    assert learned_numbers(own) == points["own"].parameters == 2 * 16 + 16 + 16 * 15 + 15
    net = points.surrogates["POD-DeepONet"].module.network
    modes = len(net.modes)
    branch = 2 * 8 + 8 + 8 * modes + modes
    assert points["POD-DeepONet"].parameters == branch + 15 + modes * (15 + 2 + 1 + 1)
    basis = pod.basis.modes.size + pod.basis.offset.size + pod.basis.singular_values.size
    assert basis < learned_numbers(pod) < basis + 24 * 60
    torch.manual_seed(0)
    complex_one = replace(wrap(ComplexLayer(), ONCE)).fit(at_points(6))
    assert learned_numbers(complex_one) == 2 * (2 * 15)


class ComplexLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 15, dtype=torch.complex64))

    def forward(self, x):
        return (x.to(torch.complex64) @ self.weight).real


def test_tables_and_plain_data(points, tmp_path):
    text = str(points)
    assert text.splitlines()[0] == "24 runs, 40 test runs, each as configured, 2 seeds"
    assert "L² error [%]" in text and " ± " in text and "in a batch [ms]" in text
    rows = list(csv.DictReader(io.StringIO(points.table().csv())))
    np.testing.assert_allclose(float(rows[0]["L² error [%]"]), 100 * points.rows[0].error)
    assert points.to_dict()["rows"][2] == asdict(points.rows[2])
    assert r"\begin{tabular}" in points.table().latex()
    assert len(points.table().write(tmp_path, "own")) == 3


def test_times_are_per_answer_and_need_the_field():
    class Slow:
        parameters, calls = BOX, 0

        def predict(self, mu):
            import time

            class Answer:
                @property
                def field(self):
                    time.sleep(0.01)
                    return np.zeros((len(mu["t"]), 15))

            return Answer()

    alone, together = answer_times({"slow": Slow()}, at_points(10).mu)["slow"]
    assert 10 <= alone < 1000 and 1 <= together < 0.9 * alone


def test_impossible_comparisons_are_refused():
    runs, fitters = at_points(8), {"pod": nw.rb.PODRegression()}
    with pytest.raises(InputError, match="not both"):
        nw.compare(fitters, runs, test=runs, budget=1.0, epochs=2)
    with pytest.raises(InputError, match="0 fitters and 3 seeds"):
        nw.compare({}, runs, test=runs)
    with pytest.raises(InputError, match="as the runs to learn from"):
        nw.compare(fitters, runs, test=on_a_grid(4))
