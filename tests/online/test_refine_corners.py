"""Corners of refinement: what nothing drives, the answer zero, black boxes, nobody to answer, another equation."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.core.prediction import Source, uncertified
from nwidth.online.refine import Refiner, refine
from nwidth.problems.base import BlackBox
from nwidth.problems.darcy import Darcy
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.direct import Direct
from nwidth.solvers.guaranteed import Guaranteed
from nwidth.solvers.multigrid import Multigrid
from nwidth.solvers.riesz_cg import RieszCG


@dataclass(frozen=True)
class Idle(Darcy):
    """Without a source where the coefficient is small in the first corner."""

    def source(self, mu):
        a = np.asarray(mu["a"])
        return np.where(a[:, :1, :1] > 5.0, 1.0, 0.0) * np.ones(self.space.shape)


@dataclass(frozen=True)
class Level(Darcy):
    """Another value on the boundary, and with it another load."""

    def boundary(self, mu):
        return np.full((len(np.asarray(mu["a"])), *self.space.shape), 2.0)


PROBLEM = Idle(12, modes=8)
MU = PROBLEM.parameters.sample(range(12), 0)
STILL = MU["a"][:, 0, 0] < 5.0
DRIVEN = Darcy(12, modes=8)
SOLVERS = [None, RieszCG(), Multigrid(), Direct(), Guaranteed(patience=0)]


def answers(fields, problem=PROBLEM, mu=MU):
    return uncertified(mu, fields, problem.space, np.ones(len(fields), bool))


def bumps(size):
    x = np.sin(np.pi * np.linspace(0, 1, 13))
    return size * np.outer(x, x) * np.ones((len(MU["a"]), 1, 1))


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("size", [0.0, 0.1])
def test_what_nothing_drives_is_solved_by_its_lift_and_keeps_nobody_else_waiting(solver, size):
    assert 2 < STILL.sum() < 10
    answer = Refiner(PROBLEM, solver).refine(answers(bumps(size)), 1e-6)
    assert answer.stats["met"].all() and np.isfinite(answer.bound).all()
    assert (answer.field[STILL] == 0.0).all() and (answer.bound[STILL] < 1e-100).all()
    assert (answer.source[STILL] == (Source.REFINED if size or solver == Direct() else Source.SURROGATE)).all()
    truth = nw.solve(DRIVEN, {"a": MU["a"][~STILL]}).field
    np.testing.assert_allclose(answer.field[~STILL], truth, atol=1e-6)


@pytest.mark.parametrize("solver", [None, Multigrid()], ids=str)
def test_a_router_passes_what_nothing_drives(solver):
    surrogate = nw.from_function(lambda mu: bumps(1e-3)[: len(mu["a"])], PROBLEM)
    answer = nw.Refining(nw.certify(surrogate, PROBLEM), PROBLEM, 1e-4, solver=solver).predict(MU)
    assert (answer.field[STILL] == 0.0).all() and (answer.field[~STILL] != 0.0).any(axis=(1, 2)).all()
    assert (answer.source == Source.REFINED).all() and (answer.stats["relative"] <= 1e-4).all()


def test_the_answer_zero_has_its_bound_however_late_it_is():
    """No relative error, but a bound: that of the certificate."""
    refiner = Refiner(DRIVEN)
    answer = refiner.refine(answers(bumps(0.0), DRIVEN), 1e-4, deadline=0.0)
    known = nw.certify(nw.from_function(lambda mu: bumps(0.0), DRIVEN), DRIVEN).predict(MU)
    np.testing.assert_allclose(answer.bound, known.bound, rtol=1e-2)
    assert not answer.stats["met"].any() and (answer.source == Source.SURROGATE).all()


def test_an_empty_batch_stays_empty():
    empty = {"a": MU["a"][:0]}
    for solver in (None, RieszCG(), Multigrid()):
        answer = Refiner(DRIVEN, solver).refine(answers(bumps(0.0)[:0], DRIVEN, empty), 1e-4)
        assert len(answer) == 0 and answer.field.shape == (0, 13, 13)


@dataclass(frozen=True)
class Program(BlackBox):
    """Somebody's program."""

    parameters = DRIVEN.parameters
    space = DRIVEN.space

    def solve(self, mu):
        return nw.solve(DRIVEN, mu).field


@pytest.mark.parametrize("option", [{"deadline": 0.01}, {"solver": RieszCG()}], ids=str)
def test_a_black_box_says_that_it_takes_its_time(option):
    with pytest.raises(InputError, match="its own solver"):
        refine(answers(bumps(0.0), DRIVEN), Program(), 1e-4, **option)


def test_limits_that_were_proven_for_another_equation_are_refused():
    surrogate = nw.from_function(lambda mu: bumps(0.01)[: len(mu["a"])], DRIVEN)
    certified, few = nw.certify(surrogate, DRIVEN), {"a": MU["a"][:2]}
    others = {
        "load": Level(12, modes=8),
        "coefficients": replace(DRIVEN, face="harmonic"),
        "grid": replace(DRIVEN, resolution=16),
    }
    for other in others.values():
        with pytest.raises(InputError, match=r"proven for Darcy, not for this .*Certify the surrogate"):
            nw.Refining(certified, other, 0.9).predict(few)
    assert len(nw.Refining(certified, replace(DRIVEN), 0.9).predict(few)) == 2


def test_a_reduced_basis_too():
    block = ThermalBlock(2, resolution=8)
    certified = nw.certify(nw.rb.Greedy(max_size=4, tol=None).fit(problem=block), block)
    mu = block.parameters.sample(range(3), 1)
    with pytest.raises(InputError, match="their unknowns or parameters differ"):
        nw.Refining(certified, ThermalBlock(2, resolution=10), 1e-3).predict(mu)
    assert len(nw.Refining(certified, ThermalBlock(2, resolution=8), 1e-3).predict(mu)) == 3
