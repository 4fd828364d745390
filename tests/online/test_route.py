"""Routing: every answer within the tolerance, by the way that the costs say; no plan is a guess."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

import nwidth as nw
from nwidth.bounds.residual import reference_norm, relative_bound
from nwidth.core.prediction import Prediction, Reduced, Source, uncertified
from nwidth.core.solution import Status
from nwidth.core.storable import Parts, fingerprint
from nwidth.core.validation import as_mu
from nwidth.online.costs import CostModel, Line, decades_of, measure_line, measure_slope
from nwidth.online.join import joined
from nwidth.online.route import Mix, Router
from nwidth.problems.darcy import Darcy
from nwidth.solvers.direct import Direct
from nwidth.solvers.guaranteed import Guaranteed
from nwidth.solvers.multigrid import Multigrid
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.surrogates.base import Surrogate

PROBLEM = Darcy(16, modes=8)
MU = PROBLEM.parameters.sample(range(40), seed=0)
DIRECT = Direct()
EXACT = DIRECT.solve(DIRECT.prepare(PROBLEM), MU).field
RTOL = 1e-3


@dataclass(frozen=True)
class Noisy(Surrogate):
    """The solution plus an error whose size is told by the query itself: its first nodal coefficient's row number."""

    kind: ClassVar[str] = "test-noisy"
    low: float = 1e-8
    high: float = 1e-1
    asked: ClassVar[list[int]] = []

    @property
    def parameters(self):
        return PROBLEM.parameters

    @property
    def space(self):
        return PROBLEM.space

    def predict(self, mu):
        a = as_mu(mu, ("a",))["a"]
        self.asked.append(len(a))
        rows = [int(np.flatnonzero((MU["a"] == x).all(axis=(1, 2)))[0]) for x in a]
        size = np.geomspace(self.low, self.high, len(EXACT))[rows]
        rough = np.random.default_rng(0).standard_normal(EXACT.shape[1:])
        fields = EXACT[rows] * (1 + size[:, None, None] * rough)
        return uncertified({"a": a}, fields, self.space, self.parameters.contains({"a": a}))

    def to_parts(self):
        return Parts({"low": self.low, "high": self.high}, {}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(**config)


def certified(low=1e-8, high=1e-1):
    return nw.certify(Noisy(low, high), PROBLEM)


def costs(excess, *, limited=1.0, bare=1.0, warm=(1.0, 1.0), cold=(1.0, 1.0), fixed=0.0, decade=0.0):
    lines = {n: tuple(Line(fixed, each, decade, 1.0) for each in v) for n, v in (("warm", warm), ("cold", cold))}
    return CostModel(
        rtol=RTOL,
        bare=Line(0.0, bare),
        limited=Line(0.0, limited),
        excess=np.sort(np.asarray(excess, dtype=float)),
        solvers=("Guaranteed", "Multigrid"),
        machine={},
        warm=lines["warm"],
        cold=tuple(replace(line, decade=0.0) for line in lines["cold"]),
    )


def check(answer: Prediction, rows=slice(None), rtol=RTOL):
    """The limits hold, and so does the tolerance, against a direct solve."""
    v, u = (PROBLEM.space.flatten(np.asarray(x)) for x in (answer.field, EXACT[rows]))
    systems = PROBLEM.systems(answer.mu)
    error, norm = np.sqrt(systems.energy(v - u)), np.sqrt(systems.energy(u))
    assert (error <= answer.bound * (1 + 1e-9) + 1e-12 * norm).all()
    assert (error <= rtol * norm).all() and (answer.stats["relative"] <= rtol).all()
    assert isinstance(answer.guarantee, nw.Rigorous)
    np.testing.assert_array_equal(answer.mu["a"], MU["a"][rows])


def test_without_costs_what_misses_is_refined():
    refining = nw.Refining(certified(), PROBLEM, RTOL)
    answer = refining.predict(MU)
    check(answer)
    good = refining._router._relative(refining.certified.predict(MU)) <= RTOL
    assert 5 < good.sum() < 35
    np.testing.assert_array_equal(answer.source == Source.SURROGATE, good)
    np.testing.assert_array_equal(answer.source == Source.REFINED, ~good)
    assert (answer.stats["iterations"][good] == 0).all() and (answer.stats["iterations"][~good] > 0).all()
    assert Mix.of(answer) == Mix(int(good.sum()), int((~good).sum()), 0)
    assert "by the surrogate alone" in str(Mix.of(answer))
    np.testing.assert_array_equal(answer.field[good], refining.certified.predict(MU).field[good])


@pytest.mark.parametrize(
    ("given", "sources"),
    [
        ({"limited": 5.0, "bare": 5.0, "cold": (9.0, 2.0)}, {Source.FULL_ORDER}),
        ({"limited": 5.0, "bare": 1.0, "warm": (9.0, 1.0), "cold": (9.0, 9.0)}, {Source.REFINED}),
        ({"limited": 0.1, "bare": 0.1, "warm": (3.0, 9.0), "cold": (9.0, 9.0)}, {Source.SURROGATE, Source.REFINED}),
        ({"limited": 0.1, "bare": 0.1, "warm": (9.0, 9.0), "cold": (9.0, 2.0)}, {Source.SURROGATE, Source.FULL_ORDER}),
    ],
    ids=["solve", "refine", "accept and refine", "accept and solve"],
)
def test_each_plan_meets_the_tolerance(given, sources):
    model = costs(np.geomspace(1e-4, 1e4, 16) if len(sources) > 1 else np.geomspace(1e2, 1e5, 16), **given)
    low = 1e-8 if len(sources) > 1 else 1e-2
    refining = nw.Refining(certified(low), PROBLEM, RTOL, costs=model)
    Noisy.asked.clear()
    answer = refining.predict(MU)
    check(answer)
    assert {Source(s) for s in answer.source} == sources
    assert sum(Noisy.asked) == (0 if sources == {Source.FULL_ORDER} else len(EXACT))


def test_hard_queries_are_solved_and_easy_ones_refined():
    """Warm costs rise with the decades above the tolerance: beyond where they cross the plain solve's, it is solved."""
    model = costs(np.geomspace(1e-4, 1e4, 16), limited=0.01, warm=(1.0, 50.0), cold=(50.0, 2.0), decade=1.0)
    refining = nw.Refining(certified(), PROBLEM, RTOL, costs=model)
    answer = refining.predict(MU)
    check(answer)
    excess = refining._router._relative(refining.certified.predict(MU)) / RTOL
    # 1 + (decades - 1) < 2 up to 100 times the tolerance
    np.testing.assert_array_equal(answer.source == Source.REFINED, (excess > 1) & (excess < 100))
    np.testing.assert_array_equal(answer.source == Source.FULL_ORDER, excess > 100)


def test_a_batch_that_is_harder_than_expected_is_noticed_early():
    """The sample promised easy queries; a probe of 16 shows otherwise, and the rest is solved without being asked."""
    promised = costs(np.full(16, 0.1), limited=1.0, warm=(9.0, 9.0), cold=(9.0, 1.5))
    refining = nw.Refining(certified(1e-1, 2e-1), PROBLEM, RTOL, costs=promised)
    Noisy.asked.clear()
    answer = refining.predict(MU)
    check(answer)
    assert Noisy.asked == [16] and (answer.source == Source.FULL_ORDER).all()
    Noisy.asked.clear()
    check(refining.predict({"a": MU["a"][:20]}), slice(20))
    assert Noisy.asked == [20]  # too few for a probe


def test_costs_of_plans_by_hand():
    model = costs([0.5, 0.5, 0.5, 100.0], limited=0.3, bare=0.2, warm=(4.0, 2.0), cold=(8.0, 3.0), fixed=1.0)
    assert model.costs(40) == pytest.approx(
        {"accept": 40 * 0.3 + 10 * 2.0 + 1, "refine": 40 * 0.2 + 40 * 2.0 + 1, "solve": 40 * 3.0 + 1}
    )
    assert model.plan(40) == "accept"
    assert model.plan(40, np.full(5, 1e9)) == "refine"
    dear = costs([2.0], warm=(4.0, 2.0), cold=(8.0, 3.0), fixed=2.0)
    np.testing.assert_array_equal(dear.choose(np.array([10.0, np.inf])), [3, 3])  # one fixed cost less
    split = costs([2.0], warm=(4.0, 2.0), cold=(8.0, 3.0))
    np.testing.assert_array_equal(split.choose(np.array([10.0, np.inf])), [1, 3])
    assert not len(model.choose(np.empty(0))) and Line(1.0, 1.0)(0) == 0.0
    np.testing.assert_allclose(decades_of(np.array([0.1, 1.0, 1e3, np.inf])), [0, 0, 3, 16])


def test_measured_costs_are_those_of_the_work():
    """A clock that counts what is done, in place of seconds."""
    clock, calls = [0.0], []

    def work(mu, rows):
        calls.append(len(rows))
        clock[0] += 3.0 + np.sum(mu["x"])

    x = np.repeat([1.0, 2.0, 0.5], [3, 3, 2])
    line = measure_line(work, {"x": np.full(5, 2.0)}, np.arange(5), 2, lambda: clock[0])
    assert (line.fixed, line.each) == pytest.approx((3.0, 2.0)) and calls == [5, 1, 5, 1]
    measure_line(lambda mu, rows: calls.append(0), {"x": x}, np.arange(8), 2, lambda: clock[0])
    assert calls[4:] == [0] * 40  # work that takes no time is repeated ten times as often
    sloped = measure_slope(work, {"x": x}, np.repeat([10.0, 1e3, 0.5], [3, 3, 2]), 1, lambda: clock[0])
    assert (sloped.decade, sloped.usual) == pytest.approx((0.5, 2.0))
    assert sloped.single(np.array([1.0, 3.0])) == pytest.approx(sloped.each + np.array([-0.5, 0.5]))
    assert sloped.single(np.array([0.0])) == pytest.approx(sloped.each - 0.5)  # no guess below what was measured
    assert Line(0.0, 1.0, 1.0, 9.0).single(np.array([0.0])) == pytest.approx(0.1)
    alike = measure_slope(work, {"x": x}, np.full(8, 0.5), 1, lambda: clock[0])
    assert alike.decade == 0.0 and alike.each > 0


def test_measured_here_and_now_and_stored(tmp_path):
    refining = nw.Refining(certified(), PROBLEM, RTOL).measured(MU, repeats=1)
    model = refining.costs
    assert model.solvers == ("Guaranteed", "Multigrid") and len(model.excess) == 40 and model.machine["system"]
    assert all(line.each > 0 for line in (model.bare, model.limited, *model.warm, *model.cold))
    check(refining.predict(MU))
    nw.save(refining, tmp_path / "refining.nwidth")
    again = nw.load(tmp_path / "refining.nwidth", kinds=[Noisy])
    assert fingerprint(again) == fingerprint(refining) and again.costs.costs(9) == model.costs(9)
    check(again.predict(MU))
    plain = nw.Refining(certified(), PROBLEM, RTOL)
    nw.save(plain, tmp_path / "plain.nwidth")
    assert nw.load(tmp_path / "plain.nwidth", kinds=[Noisy]).costs is None


def test_a_file_without_costs_or_atol_still_loads():
    plain = nw.Refining(certified(), PROBLEM, RTOL)
    parts = plain.to_parts()
    again = nw.Refining.from_parts({"rtol": RTOL}, parts.arrays, parts.children)
    assert again.rtol == RTOL and again.costs is None and again.atol is None


def test_what_does_not_fit_is_refused():
    model = costs([1.0])
    with pytest.raises(nw.InputError, match="measured for rtol = 0.001, not 0.01"):
        nw.Refining(certified(), PROBLEM, 1e-2, costs=model).predict(MU)
    with pytest.raises(nw.InputError, match="measured for Guaranteed, Multigrid, not RieszCG"):
        nw.Refining(certified(), PROBLEM, RTOL, RieszCG(), model).predict(MU)
    with pytest.raises(nw.InputError, match="relative tolerance"):
        nw.Refining(certified(), PROBLEM, 2.0)
    with pytest.raises(nw.InputError, match="give rtol alone"):
        nw.Refining(certified(), PROBLEM, RTOL, atol=0.1)
    with pytest.raises(nw.InputError, match="coverage is for calibrated limits"):
        nw.Refining(certified(), PROBLEM, RTOL).coverage(None)


class Failing(RieszCG):
    """Gives every second sample up."""

    def solve(self, state, mu, x0=None, stop=None):
        found = super().solve(state, mu, x0, stop)
        return replace(found, status=np.where(np.arange(len(found.status)) % 2, Status.MAX_ITERATIONS, found.status))


def test_where_a_solver_fails_the_first_one_steps_in():
    fitted = certified(1e-1, 2e-1)
    model = replace(costs(np.full(4, 1e2), warm=(9.0, 1.0), cold=(9.0, 9.0)), solvers=("Guaranteed", "Failing"))
    router = Router(fitted, fitted.surrogate, PROBLEM, RTOL, (Guaranteed(), Failing()), model)
    check(router.answer(MU))
    alone = Router(fitted, fitted.surrogate, PROBLEM, RTOL, (Failing(),))
    with pytest.raises(nw.WorkError, match="20 of 40 answers missed"):
        alone.answer(MU)


def test_fields_that_are_not_finite_are_solved():
    class Broken(Noisy):
        def predict(self, mu):
            answer = super().predict(mu)
            answer.values[3] = np.nan
            return answer

    answer = nw.Refining(nw.certify(Broken(), PROBLEM), PROBLEM, RTOL).predict(MU)
    check(answer)
    assert answer.source[3] == Source.REFINED


@pytest.mark.parametrize("solver", [RieszCG(), Multigrid(), Direct()], ids=["cg", "multigrid", "direct"])
def test_a_solver_of_choice(solver):
    check(nw.Refining(certified(), PROBLEM, RTOL, solver).predict(MU))


def test_an_empty_batch():
    empty = {"a": MU["a"][:0]}
    for model in (None, costs([2.0])):
        assert len(nw.Refining(certified(), PROBLEM, RTOL, costs=model).predict(empty)) == 0


def test_joined_predictions_keep_order_and_the_weakest_promise():
    answer = nw.Refining(certified(), PROBLEM, RTOL).predict(MU)
    parts = [answer.take(np.arange(1, 40, 2)), answer.take(np.arange(0, 40, 2))]
    back = joined(parts, np.concatenate([np.arange(1, 40, 2), np.arange(0, 40, 2)]))
    for name in ("field", "bound", "source", "inside"):
        np.testing.assert_array_equal(getattr(back, name), getattr(answer, name))
    np.testing.assert_array_equal(back.stats["relative"], answer.stats["relative"])
    weak = replace(parts[0], guarantee=nw.Estimate("none"), lower=None)
    mixed = joined([weak, parts[1]])
    assert isinstance(mixed.guarantee, nw.Estimate) and (mixed.lower[: len(weak)] == 0).all()


def test_a_reduced_basis_is_judged_from_its_coefficients():
    """The same relative bounds as from the fields, and answers that stay reduced where all are accepted."""
    problem = nw.problems.get("thermal_block", resolution=8)
    basis = nw.rb.Greedy(tol=None, max_size=12).fit(problem=problem)
    mu = problem.parameters.sample(range(12), seed=1)
    refining = nw.Refining(nw.certify(basis, problem), problem, 1e-3)
    answer = refining.certified.predict(mu)
    found = refining._router._relative(answer)
    systems, v = problem.systems(mu), problem.space.flatten(answer.field)
    np.testing.assert_allclose(found, relative_bound(answer.bound, reference_norm(systems, v)), rtol=1e-6)
    routed = refining.predict(mu)
    np.testing.assert_array_equal(routed.source == Source.SURROGATE, found <= 1e-3)
    loose = nw.Refining(refining.certified, problem, 0.9).predict(mu)
    assert isinstance(loose.values, Reduced) and (loose.stats["relative"] <= 0.9).all()


def test_a_problem_without_symmetry_is_refined_in_its_own_way():
    problem = nw.problems.get("advection_diffusion", resolution=12)
    mu = problem.parameters.sample(range(4), seed=0)
    runs = nw.generate(problem, 30, seed=1)
    certified = nw.certify(nw.rb.PODRegression(modes=3).fit(runs), problem)
    refining = nw.Refining(certified, problem, 1e-6)
    answer, truth = refining.predict(mu), DIRECT.solve(DIRECT.prepare(problem), mu).field
    np.testing.assert_allclose(answer.field, truth, atol=1e-4 * np.abs(truth).max())
    assert (answer.source == Source.REFINED).all() and isinstance(answer.guarantee, nw.Rigorous)
    with pytest.raises(nw.InputError, match="costs are for problems with a stability constant"):
        nw.Refining(certified, problem, RTOL, costs=costs([1.0]))
    with pytest.raises(nw.InputError, match="nothing to measure"):
        refining.measured()


def test_costs_are_measured_on_draws_that_no_training_has_seen():
    """The first draws of a seed are what people train on, and there a surrogate is better than it is."""
    asked = []

    def flat(mu):
        asked.append(mu["a"])
        return np.zeros((len(mu["a"]), *PROBLEM.space.shape))

    refining = nw.Refining(nw.certify(nw.from_function(flat, PROBLEM), PROBLEM), PROBLEM, RTOL)
    refining.measured(count=3, repeats=1)
    first = {a.tobytes() for a in PROBLEM.parameters.sample(range(100), 0)["a"]}
    assert asked and not any(a.tobytes() in first for batch in asked for a in batch)
