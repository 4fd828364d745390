"""A refiner that is prepared once: routes, both bounds, the error before, deadlines."""

import numpy as np
import pytest
from tests.solvers.exact_cases import Exact

import nwidth as nw
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.errors import InputError, WorkError
from nwidth.core.guarantee import Rigorous
from nwidth.core.prediction import Source, uncertified
from nwidth.online.refine import Refiner, refine
from nwidth.problems.advection_diffusion import AdvectionDiffusion
from nwidth.problems.darcy import Darcy
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers import guaranteed
from nwidth.solvers.direct import Direct
from nwidth.solvers.guaranteed import Guaranteed
from nwidth.solvers.multigrid import Multigrid
from nwidth.solvers.riesz_cg import RieszCG

PROBLEM = Darcy(16)
MU = PROBLEM.parameters.sample(range(6), 0)
EXACT = Exact(PROBLEM, MU)
NORM = EXACT.error(0 * EXACT.u)


def answers(noise, problem=PROBLEM, mu=MU, exact=EXACT, seed=0):
    """Noise that vanishes at the boundary, smooth enough for a surrogate's."""
    rows = np.random.default_rng(seed).normal(size=exact.u.shape) * exact.free
    fields = (exact.u + noise * np.abs(exact.u).max() * rows).astype(np.float64).reshape(-1, *problem.space.shape)
    return uncertified(mu, fields, problem.space, np.ones(len(fields), bool))


def holds(answer, exact=EXACT):
    error = exact.error(answer.field)
    return (answer.lower <= error).all() and (error <= answer.bound).all() and isinstance(answer.guarantee, Rigorous)


@pytest.mark.parametrize("solver", [None, RieszCG(), Multigrid(), Direct(), Guaranteed(patience=0)], ids=str)
def test_every_solver_reaches_the_tolerance_and_tells_the_error_before(solver):
    refiner = Refiner(PROBLEM, solver)
    for noise, rtol in ((1e-2, 1e-2), (1e-1, 1e-5), (1e-3, 1e-8)):
        begin = answers(noise)
        answer = refiner.refine(begin, rtol)
        assert holds(answer) and (EXACT.error(answer.field) <= rtol * NORM).all() and answer.stats["met"].all()
        before = EXACT.error(begin.field)
        assert (answer.stats["before_lower"] <= before).all() and (before <= answer.stats["before_upper"]).all()
        if rtol < 1e-4:
            np.testing.assert_allclose(answer.stats["before_lower"], before, rtol=1e-3)
            np.testing.assert_allclose(answer.stats["before_upper"], before, rtol=1e-3)


def test_a_prepared_refiner_answers_as_the_function_does():
    refiner, begin = Refiner(PROBLEM), answers(1e-2)
    for rtol in (1e-2, 1e-6):
        first, second = refiner.refine(begin, rtol), nw.refine(begin, PROBLEM, rtol)
        np.testing.assert_array_equal(first.field, second.field)
        np.testing.assert_array_equal(first.bound, second.bound)


class Counting(Multigrid):
    """Multigrid that notes how many samples it is given."""

    def solve(self, state, mu, x0=None, stop=None):
        SEEN.append(len(mu["a"]))
        return super().solve(state, mu, x0, stop)


SEEN: list[int] = []


def test_each_sample_goes_where_it_is_cheaper():
    refiner = Refiner(PROBLEM, Guaranteed(other=Counting()))
    SEEN.clear()
    near = answers(1e-4)
    assert (refiner.refine(near, 0.5).source == Source.SURROGATE).all() and not SEEN  # good enough as they are
    refiner.refine(near, 2e-3)
    assert not SEEN  # a step or two
    refiner.refine(near, 1e-6)
    assert SEEN == [6]  # more than multigrid costs
    SEEN.clear()
    certified = ResidualCertificate(PROBLEM).bound(near)
    assert refiner.refine(certified, 1e-6).stats["iterations"].max() < 8 and SEEN == [6]
    SEEN.clear()
    refiner.refine(certified, 2e-3)
    assert not SEEN
    mixed = np.where(np.arange(6)[:, None, None] < 3, near.field, answers(1.0).field)
    SEEN.clear()
    both = uncertified(MU, mixed, PROBLEM.space, np.ones(6, bool))
    assert holds(refiner.refine(both, 2e-3)) and SEEN == [3]


def test_a_long_batch_of_unknown_answers_is_judged_by_its_first():
    problem = Darcy(8)
    mu = problem.parameters.sample(range(20), 1)
    exact = Exact(problem, mu)
    refiner = Refiner(problem, Guaranteed(other=Counting()))
    SEEN.clear()
    answer = refiner.refine(answers(0.1, problem, mu, exact), 1e-6)
    assert SEEN == [20] and holds(answer, exact) and (answer.stats["iterations"] > 0).all()
    assert (answer.source == Source.REFINED).all()


def test_high_contrast_goes_to_multigrid_and_is_still_bounded():
    problem = Darcy(16, law="log-normal", sigma=3.0)
    mu = problem.parameters.sample(range(4), 1)
    constants, exact = problem.constant(mu), Exact(problem, mu)
    assert (constants.upper / constants.lower).max() > 1e4
    answer = refine(answers(1e-2, problem, mu, exact), problem, 1e-4)
    assert holds(answer, exact) and answer.stats["iterations"].max() < 40


def test_a_mesh_falls_back_to_a_factorisation():
    problem = ThermalBlock(resolution=8)
    mu = problem.parameters.sample(range(5), 0)
    solver = Guaranteed(patience=2)
    solution = solver.solve(solver.prepare(problem), mu, None, nw.Tolerance("energy", 1e-8))
    exact = Exact(problem, mu)
    assert solution.converged.all() and (exact.error(solution.field) <= solution.stats["bound"]).all()
    assert isinstance(solver.prepare(problem).other, Direct)


@pytest.mark.parametrize("solver", [None, RieszCG()], ids=str)
def test_a_deadline_returns_what_has_been_reached(solver):
    refiner, begin = Refiner(PROBLEM, solver), answers(0.1)
    none, much = refiner.refine(begin, 1e-6, deadline=0.0), refiner.refine(begin, 1e-6, deadline=1e4)
    assert holds(none) and not none.stats["met"].any() and (none.stats["iterations"] == 0).all()
    assert (none.source == Source.SURROGATE).all() and (none.bound <= 1.3 * EXACT.error(begin.field)).all()
    assert holds(much) and much.stats["met"].all() and (much.bound < 1e-3 * none.bound).all()


def test_the_time_that_is_left_decides_which_samples_are_begun(monkeypatch):
    now = [0.0]

    class Slow(Multigrid):
        def solve(self, state, mu, x0=None, stop=None):
            now[0] += 10.0
            return super().solve(state, mu, x0, stop)

    for module in ("nwidth.online.refine", guaranteed.__name__, "nwidth.solvers.riesz_cg", "nwidth.solvers.timed"):
        monkeypatch.setattr(f"{module}.perf_counter", lambda: now[0])
    refiner = Refiner(PROBLEM, Guaranteed(other=Slow()))
    before, answer = (refiner.refine(answers(0.1), 1e-8, deadline=seconds) for seconds in (0.0, 35.0))
    assert answer.stats["met"].sum() == 3 and holds(answer)
    farthest = np.argsort(-before.bound / before.stats["norm"])[:3]
    assert answer.stats["met"][farthest].all()


@pytest.mark.parametrize("deadline", [-1.0, np.inf, np.nan])
def test_an_impossible_deadline_is_refused(deadline):
    with pytest.raises(InputError, match="deadline"):
        refine(answers(0.1), PROBLEM, 1e-4, deadline=deadline)
    with pytest.raises(InputError, match="clock"):
        Refiner(PROBLEM, Direct()).refine(answers(0.1), 1e-4, deadline=1.0)


def test_what_is_out_of_reach_is_said_and_a_deadline_returns_it():
    with pytest.raises(WorkError, match="missed rtol"):
        refine(answers(0.1), PROBLEM, 1e-15)
    answer = refine(answers(0.1), PROBLEM, 1e-15, deadline=100.0)
    assert holds(answer) and not answer.stats["met"].any() and (answer.bound < 1e-9 * NORM).all()


def test_problems_of_another_kind_go_where_they_belong():
    problem = AdvectionDiffusion()
    with pytest.raises(InputError, match="symmetric coercive"):
        refine(answers(0.1), problem, 1e-4, deadline=1.0)
    with pytest.raises(InputError, match="stability constant"):
        Refiner(problem)
    with pytest.raises(InputError, match="complex"):
        refine(uncertified(MU, 1j * answers(0.1).field, PROBLEM.space, np.ones(6, bool)), PROBLEM)


def test_multigrid_solves_no_further_than_asked_and_as_far_at_high_contrast():
    for problem in (Darcy(32), Darcy(32, law="log-normal", sigma=2.0)):
        mu, solver = problem.parameters.sample(range(6), 2), Multigrid()
        state = solver.prepare(problem)
        loose, tight = (solver.solve(state, mu, None, nw.Tolerance("energy", rtol)) for rtol in (1e-2, 1e-7))
        assert loose.converged.all() and tight.converged.all()
        assert (loose.stats["iterations"] < tight.stats["iterations"]).all()
        assert (tight.stats["bound"] <= 1.001e-7 * tight.stats["norm"]).all()
    relative = loose.stats["bound"] / loose.stats["norm"]
    assert np.median(relative) > 1e-6
