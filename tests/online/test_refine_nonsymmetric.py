"""Transport and waves refined to a guaranteed tolerance, by every solver that may do it."""

import numpy as np
import pytest
from tests.bounds.nonsymmetric_cases import RandomLinear, error, exact

import nwidth as nw
from nwidth.bounds.inf_sup_constants import InfSupConstants, SampledInfSup
from nwidth.bounds.resonances import Resonances
from nwidth.core.errors import InputError, WorkError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.core.prediction import Source, uncertified
from nwidth.online.refine_nonsymmetric import (
    NonsymmetricRefiner,
    cheapest,
    needs_nonsymmetric,
    refine_nonsymmetric,
)
from nwidth.problems.advection_diffusion import AdvectionDiffusion
from nwidth.problems.darcy import Darcy
from nwidth.problems.heat import Heat
from nwidth.problems.helmholtz import Helmholtz
from nwidth.solvers.direct import Direct
from nwidth.solvers.gmres import RieszGMRES
from nwidth.solvers.ldlt import BatchedLDLT
from nwidth.solvers.multigrid import Multigrid

TRANSPORT = AdvectionDiffusion(16, peclet=60.0, modes=4)
WAVES = Helmholtz(12, lowest=4.0, highest=8.0, modes=4)
OUTGOING = Helmholtz(10, boundary="absorbing", source="wave", lowest=3.0, highest=6.0, modes=4)
CASES = [
    (TRANSPORT, None),
    (TRANSPORT, RieszGMRES()),
    (TRANSPORT, Multigrid()),
    (WAVES, None),
    (WAVES, RieszGMRES(restart=30)),
    (WAVES, Direct()),
    (OUTGOING, None),
    (OUTGOING, RieszGMRES()),
]


def answers(problem, size=0.1, rows=4, seed=0):
    mu = problem.parameters.sample(range(rows), seed)
    u = exact(problem, mu)
    rng = np.random.default_rng(seed)
    v = u.astype(problem.space.dtype)
    v = v + size * np.abs(v).max() * rng.normal(size=v.shape)
    fields = problem.space.unflatten(v)
    return u, uncertified(mu, fields, problem.space, np.ones(rows, dtype=bool))


@pytest.mark.parametrize(("problem", "solver"), CASES, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("rtol", [1e-2, 1e-6])
def test_every_answer_meets_the_tolerance_with_a_limit_that_holds(problem, solver, rtol):
    u, begin = answers(problem)
    answer = nw.refine(begin, problem, rtol, solver=solver)
    norm = answer.guarantee.norm
    v = problem.space.flatten(answer.field)
    true = error(problem, answer.mu, u, v, norm)
    assert (true <= answer.bound).all() and (answer.lower <= true).all()
    size = error(problem, answer.mu, u, np.where(problem.space.free, 0, u).astype(v.dtype), norm)
    assert (true <= rtol * size).all() and (answer.bound <= rtol * answer.stats["norm"]).all()
    assert isinstance(answer.guarantee, Rigorous) and (answer.source == Source.REFINED).all()


def test_an_answer_that_is_good_enough_is_kept_bit_for_bit():
    for problem in (TRANSPORT, WAVES, OUTGOING):
        _, begin = answers(problem, size=1e-11)
        answer = nw.refine(begin, problem, 1e-3)
        free = problem.space.free
        kept = problem.space.flatten(answer.field)[:, free] == problem.space.flatten(begin.field)[:, free]
        assert kept.all() and (answer.source == Source.SURROGATE).all() and (answer.stats["iterations"] == 0).all()


def test_a_good_surrogate_saves_steps():
    good, bad = (answers(WAVES, size)[1] for size in (1e-5, 0.3))
    refiner = NonsymmetricRefiner(WAVES, solver=RieszGMRES())
    steps = [refiner.refine(begin, 1e-4).stats["iterations"].sum() for begin in (good, bad)]
    assert steps[0] < 0.8 * steps[1]


def test_a_field_that_is_not_finite_is_refined_from_zero():
    u, begin = answers(TRANSPORT)
    begin.values[1, 3, 3] = np.nan
    answer = nw.refine(begin, TRANSPORT, 1e-4)
    true = error(TRANSPORT, answer.mu, u, TRANSPORT.space.flatten(answer.field), "energy norm")
    assert np.isfinite(answer.field).all() and (true <= answer.bound).all()


def test_what_gmres_leaves_the_default_solver_finishes():
    _, begin = answers(WAVES)
    answer = nw.refine(begin, WAVES, 1e-4, solver=RieszGMRES(max_iterations=3))
    assert (answer.bound <= 1e-4 * answer.stats["norm"]).all() and (answer.stats["iterations"] > 3).any()


def test_estimates_and_tables_do_too():
    u, begin = answers(WAVES)
    estimated = refine_nonsymmetric(begin, WAVES, 1e-3, constants=SampledInfSup.build(WAVES, 6))
    assert isinstance(estimated.guarantee, Estimate) and "smallest of 6" in str(estimated.guarantee)
    table = Resonances.build(WAVES, {"k": np.ones(1), "n": begin.mu["n"][:1]}, 16.0, 64.0)
    one = begin.take(slice(0, 1))
    proven = refine_nonsymmetric(one, WAVES, 1e-3, constants=table)
    true = error(WAVES, one.mu, u[:1], WAVES.space.flatten(proven.field), "gradient norm")
    assert isinstance(proven.guarantee, Rigorous) and (true <= proven.bound).all()


def test_any_linear_problem_with_constants_of_its_own():
    problem = RandomLinear(30, 2, "general", 0.3)
    mu = {"t": np.array([0.0, 1.0])}
    u = exact(problem, mu)
    begin = uncertified(mu, np.zeros((2, 31)), problem.space, np.ones(2, dtype=bool))
    answer = refine_nonsymmetric(begin, problem, 1e-6, constants=InfSupConstants())
    assert (error(problem, mu, u, answer.field, "gradient norm") <= answer.bound).all()
    with pytest.raises(InputError, match="no constants come with RandomLinear"):
        refine_nonsymmetric(begin, problem, 1e-6)


def test_without_a_constant_or_below_rounding_there_is_no_answer():
    open_end = AdvectionDiffusion(8, flow="uniform", boundary_type=("dirichlet", ("robin", "neumann")))
    mu = {"angle": np.array([-1.5])}
    begin = uncertified(mu, np.zeros((1, 9, 9)), open_end.space, np.ones(1, dtype=bool))
    with pytest.raises(WorkError, match="no tolerance can be guaranteed for 1 of 1.*coercive"):
        nw.refine(begin, open_end, 1e-3)
    assert (refine_nonsymmetric(begin, open_end, 1e-3, constants=InfSupConstants()).bound > 0).all()
    with pytest.raises(WorkError, match="missed rtol = 1e-15"):
        nw.refine(answers(TRANSPORT)[1], TRANSPORT, 1e-15)
    for rtol in (0.0, 2.0, float("nan")):
        with pytest.raises(InputError, match="rtol"):
            nw.refine(answers(TRANSPORT)[1], TRANSPORT, rtol)


def test_who_is_for_this_and_what_is_chosen():
    assert needs_nonsymmetric(TRANSPORT) and needs_nonsymmetric(WAVES)
    assert (
        not needs_nonsymmetric(Darcy(8, modes=4)) and not needs_nonsymmetric(Heat(8)) and not needs_nonsymmetric(None)
    )
    assert isinstance(cheapest(TRANSPORT), Multigrid) and isinstance(cheapest(WAVES), BatchedLDLT)
    assert isinstance(cheapest(Helmholtz(6, dim=3, modes=4)), RieszGMRES)
