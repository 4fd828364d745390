"""Where limits stop: open levels, tables of another problem, data of another batch, a single unknown."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.bounds.nonsymmetric_cases import RandomLinear

import nwidth as nw
from nwidth.bounds.grid_residual import GridResidual
from nwidth.bounds.metric import Metric
from nwidth.bounds.nonsymmetric import FaceConstants
from nwidth.bounds.resonances import Resonances
from nwidth.bounds.step_systems import Matrix, StepSystem
from nwidth.certificates.linear_residual import LinearResidualCertificate
from nwidth.core.errors import InputError
from nwidth.core.prediction import uncertified
from nwidth.problems.base import Outputs, Quantity
from nwidth.problems.darcy import Darcy
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.problems.grid_transport import GridTransport
from nwidth.problems.parabolic import Stepping
from nwidth.solvers.direct import Direct
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.testing.dense import DenseProblem


def answers(fields, problem, mu):
    return uncertified(mu, fields, problem.space, np.ones(len(fields), bool))


class Open(GridDiffusion, Outputs):
    """Periodic in both directions: solutions have no level."""

    parameters = Box(("a",), 1.0, 2.0)
    space = Grid((12, 12), boundary="periodic")

    def coefficient(self, mu):
        return np.asarray(mu["a"]).reshape(-1, 1, 1) * np.ones((1, 12, 12))

    def source(self, mu):
        wave = np.sin(2 * np.pi * self.space.points()[:, 0]).reshape(12, 12)
        return np.tile(wave, (len(mu["a"]), 1, 1))

    def boundary(self, mu):
        return np.zeros((len(mu["a"]), 12, 12))

    def quantities(self):
        unit = np.eye(144)
        return {
            "mean": Quantity(np.full(144, 1 / 144)),
            "point": Quantity(unit[5]),
            "difference": Quantity(unit[40] - unit[100]),
            "almost": Quantity(unit[40] - (1 + 1e-9) * unit[100]),
        }


def test_a_quantity_that_sees_an_open_level_has_no_limit():
    problem, mu = Open(), {"a": np.array([1.5])}
    u = nw.solve(problem, mu).field
    shaken = u + 1e-3 * np.random.default_rng(0).normal(size=u.shape)
    given = nw.certify_fields(shaken + 1000.0, problem, mu)
    limits = {name: output.limit[0] for name, output in given.outputs.items()}
    assert np.isinf([limits["mean"], limits["point"], limits["almost"]]).all() and np.isfinite(given.bound).all()
    values = {name: u.ravel() @ q.functional for name, q in problem.quantities().items()}
    assert abs(given.outputs["difference"].values[0] - values["difference"]) <= limits["difference"] < 0.1
    refined = nw.refine(given, problem, 1e-3)
    assert np.isinf(refined.outputs["mean"].limit).all() and np.isfinite(refined.outputs["difference"].limit).all()


def table(problem, low=4.0, high=100.0):
    shape = problem.space.shape
    return Resonances.build(problem, {"k": np.ones(1), "n": np.ones((1, *shape))}, low, high)


def test_a_table_of_resonances_belongs_to_its_energy_product(tmp_path):
    plane = nw.problems.get("helmholtz", resolution=9, lowest=2.0, highest=10.0)
    solid = nw.problems.get("helmholtz", resolution=5, dim=3, lowest=2.0, highest=10.0)
    found = table(plane)
    assert len(found.mass) == len(table(solid).mass) == 64  # as many unknowns: nothing else tells them apart
    with pytest.raises(InputError, match=r"another energy product .*build them for this problem"):
        LinearResidualCertificate.build(solid, found)
    nw.save(found, tmp_path / "table")
    again = nw.load(tmp_path / "table")
    mu = {"k": np.linspace(4.0, 9.0, 20), "n": np.ones((20, *plane.space.shape))}
    np.testing.assert_array_equal(again.prepare(plane)(mu).above, found.prepare(plane)(mu).above)
    with pytest.raises(InputError, match="another energy product"):
        again.prepare(solid)
    parts = found.to_parts()
    old = Resonances.from_parts({}, parts.arrays, {})
    with pytest.raises(InputError, match="unnamed energy product"):
        old.prepare(plane)


@dataclass(frozen=True)
class Reacting(Darcy):
    """A reaction in a class that has none."""

    def reaction(self, mu):
        return np.full((len(np.asarray(mu["a"])), *self.space.shape), 500.0)


@dataclass(frozen=True)
class Blown(Darcy):
    """A velocity in a class that has none."""

    def velocity(self, mu):
        batch, n = len(np.asarray(mu["a"])), self.resolution
        return np.ones((batch, n + 2, n + 1)), np.zeros((batch, n + 1, n + 2))


@pytest.mark.parametrize("kind", [Reacting, Blown], ids=lambda k: k.__name__)
def test_diffusion_refuses_what_its_products_would_leave_out(kind):
    problem = kind(8, modes=4)
    mu = problem.parameters.sample(range(2), 0)
    one = {"a": mu["a"][:1]}
    calls = {
        "systems": lambda: problem.systems(mu),
        "stencils": lambda: problem.stencils(mu),
        "assemble": lambda: problem.assemble(one),
        "constant": lambda: problem.constant(mu),
        "limits": lambda: nw.certify_fields(np.zeros((2, 9, 9)), problem, mu),
        "solve": lambda: nw.solve(problem, mu),
        "direct": lambda: Direct().solve(Direct().prepare(problem), mu),
    }
    assert GridResidual.of(problem) is None
    for call in calls.values():
        with pytest.raises(InputError, match=r"defines a (reaction|velocity).*inherit GridTransport"):
            call()


BASE = np.concatenate([np.ones((2, 9, 9)), 1e3 * np.ones((3, 9, 9))])


@dataclass(frozen=True)
class Wrong(Darcy):
    """Sources or boundary values for another batch, or that are no numbers."""

    what: str = "source"
    fault: str = "rows"

    def _given(self, name, mu):
        good = np.broadcast_to(0.0, (len(np.asarray(mu["a"])), 9, 9))
        if name != self.what or self.fault == "none":
            return good
        if self.fault == "rows":
            return BASE[:2]
        bad = np.array(good)
        bad[3, 0, 4] = np.nan if self.fault == "nan" else np.inf
        return bad

    def source(self, mu):
        return self._given("source", mu)

    def boundary(self, mu):
        return self._given("boundary", mu)


@pytest.mark.parametrize("fault", ["rows", "nan", "infinite"])
@pytest.mark.parametrize("what", ["source", "boundary"])
def test_data_of_another_batch_or_that_are_no_numbers_are_refused(what, fault):
    problem = Wrong(8, modes=4, what=what, fault=fault)
    mu = problem.parameters.sample(range(5), 0)
    assert GridResidual.of(problem) is not None  # by the compiled loops, that is
    words = "2 rows for 5 samples" if fault == "rows" else r"sample 3 is (nan|inf) at node"
    for call in (
        lambda: nw.certify_fields(np.zeros((5, 9, 9)), problem, mu),
        lambda: problem.systems(mu),
        lambda: problem.stencils(mu),
    ):
        with pytest.raises(InputError, match=f"{what}.*{words}"):
            call()
    good = replace(problem, fault="none")
    with pytest.raises(InputError, match="3 fields for 5 parameters"):
        GridResidual.of(good).bounds(mu, np.zeros((3, 9, 9)))


class Small(GridTransport, Outputs):
    """Two cells in each direction: a single unknown."""

    parameters = Box(("m",), 1.0, 2.0)

    def __init__(self, cells=2, speed=0.0):
        self._cells, self._speed = cells, speed

    @property
    def space(self):
        return Grid((self._cells, self._cells))

    def _nodes(self, mu):
        return len(mu["m"]), self._cells + 1, self._cells + 1

    def coefficient(self, mu):
        return np.asarray(mu["m"]).reshape(-1, 1, 1) * np.ones(self._nodes(mu))

    def source(self, mu):
        return np.ones(self._nodes(mu))

    def velocity(self, mu):
        """Towards the middle, where it ends: a divergence below zero."""
        batch, n, _ = self._nodes(mu)
        x = (np.arange(n + 1) - 0.5) / self._cells
        inwards = -self._speed * (x - 0.5).reshape(1, -1, 1) * np.ones((batch, 1, n))
        return inwards, np.zeros((batch, n, n + 1))

    def quantities(self):
        edge = np.zeros((self._cells + 1, self._cells + 1))
        edge[0] = 1.0
        return {"edge": Quantity(edge.ravel())}


def test_a_single_unknown_has_a_bound():
    problem, mu = Small(), {"m": np.array([1.0, 2.0])}
    exact = np.zeros((2, 3, 3))
    exact[:, 1, 1] = 0.25 / 4 / mu["m"]  # volume over the sum of four faces
    answer = LinearResidualCertificate.build(problem, FaceConstants()).bound(answers(0.5 * exact, problem, mu))
    error = np.sqrt(4 * mu["m"]) * 0.5 * exact[:, 1, 1]
    np.testing.assert_allclose(answer.bound, error, rtol=1e-9)
    assert (error <= answer.bound).all() and (answer.lower <= error).all() and not answer.reason.any()


def test_a_flow_that_converges_is_told_what_exists_and_limits_nothing():
    problem, mu = Small(16, speed=5e3), {"m": np.array([1.0])}
    answer = LinearResidualCertificate.build(problem, FaceConstants()).bound(
        answers(np.zeros((1, 17, 17)), problem, mu)
    )
    assert np.isinf(answer.bound[0]) and "InfSupConstants()" in answer.reason[0]
    assert np.isinf(answer.outputs["edge"].limit[0])  # on held nodes alone: no part of the error, but no NaN either
    with pytest.raises(InputError, match=r"InfSupConstants\(\)"):
        FaceConstants().prepare(DenseProblem(size=4))


class Known(InnerProduct):
    """The product 2 v·w, which knows its rounding and has a rough map of its own."""

    lambda_min = 2.0

    def apply(self, v):
        return 2.0 * v

    def riesz(self, r):
        return r / 2.0

    def riesz_roughly(self, r):
        return 0.499 * r

    def rounding(self, size):
        return 1e-15


def test_a_real_product_given_with_complex_vectors_keeps_what_it_knows(monkeypatch):
    problem = RandomLinear(12, shape="complex symmetric")
    monkeypatch.setattr(type(problem.space), "inner", lambda space, kind: Known())
    real = Metric.of(problem.space).real
    assert real.rounding(13) == 1e-15
    np.testing.assert_array_equal(real.riesz_roughly(np.ones((1, 13))), np.full((1, 13), 0.499))


def test_the_energy_of_a_difference_of_terms_counts_both():
    """A = X + 3 X given as θ = (1, -3) on (X, -X): a negative coefficient on a term that is not positive."""
    size, steps = 20, 6
    x = sp.csr_array(sp.diags_array([2.0, -1.0, -1.0], offsets=[0, 1, -1], shape=(size, size)))
    rng, nothing = np.random.default_rng(0), np.zeros((steps + 1, size))
    system = StepSystem(
        Matrix.of(sp.csr_array(sp.eye_array(size))),
        (Matrix.of(x), Matrix.of(sp.csr_array(-x))),
        np.tile([1.0, -3.0], (steps, 1)),
        rng.normal(size=(steps, size)),
        np.ones(size, bool),
        nothing,
        np.zeros(size),
        0.0,
        np.zeros(steps),
        Stepping(0.1, steps),
    )
    w = rng.normal(size=(steps + 1, size))
    exact = 4.0 * np.einsum("kn,kn->k", w[1:], w[1:] @ x.toarray())
    assert (system.energy(w) >= exact).all()
    np.testing.assert_allclose(system.energy(w), exact, rtol=1e-10)
