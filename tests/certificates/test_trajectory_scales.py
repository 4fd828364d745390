"""Limits in time do not depend on the units of the data, nor on what else is asked in the same call."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.certificates.stepped_cases import prediction
from tests.rb.evolution_cases import RandomEvolution

import nwidth as nw
from nwidth.bounds.step_systems import exact_lengths, lengths
from nwidth.certificates.parabolic_residual import SpaceTimeCertificate
from nwidth.core.errors import InputError
from nwidth.core.prediction import uncertified
from nwidth.problems.base import Stable
from nwidth.problems.evolution import LinearEvolution
from nwidth.problems.heat import Heat
from nwidth.problems.parabolic import Stepping
from nwidth.problems.stepped import Stepped
from nwidth.spaces.trajectories import Trajectories

HEAT = Heat(8)
SCALES = (1e-170, 1e-300, 1e160, 1e280)


class Scaled(LinearEvolution, Stable):
    """Heat with its start times one factor, and its loads and boundary values times another."""

    def __init__(self, start, loads):
        self.factor, self.loads = start, loads

    parameters = property(lambda self: HEAT.parameters)
    space = property(lambda self: HEAT.space)
    times = property(lambda self: HEAT.times)

    def initial(self, mu):
        return self.factor * np.asarray(HEAT.initial(mu))

    def marching(self, mu):
        own, k = HEAT.marching(mu), self.loads
        return replace(own, load=lambda t: k * own.load(t), lift=lambda t: k * own.lift(t))

    def constant(self, mu, field=None):
        return HEAT.constant(mu)


def of_level(problem, mu, difference):
    """`‖e^k‖_M` in extended precision, which has the range for it, `(B, K)`."""
    one = {name: values[:1] for name, values in mu.items()}
    mass = sp.csr_array(problem.problem.marching(one).mass).toarray().astype(np.longdouble)
    e = difference.astype(np.longdouble).reshape(*difference.shape[:2], -1)
    return np.sqrt(np.sum(e * (e @ mass), axis=2))


@pytest.mark.parametrize("sweeps", [0, 1, 2])
@pytest.mark.parametrize("scheme", ["implicit-euler", "crank-nicolson"])
def test_the_same_limits_in_any_units(scheme, sweeps):
    found = []
    for scale in (1.0, *SCALES):
        problem = Stepped(Scaled(scale, scale), Stepping(0.05, 6, scheme))
        mu = problem.parameters.sample(range(3), 0)
        truth = problem.solve(mu)
        answer = SpaceTimeCertificate(problem, sweeps).bound(prediction(problem, mu, 0.5 * truth))
        error = of_level(problem, mu, truth - answer.field)
        assert (answer.stats["in time"] >= error * (1 - 1e-9)).all(), f"at {scale:g}"
        assert (answer.stats["at least in time"] <= error * (1 + 1e-9)).all()
        found.append((answer.stats["in time"] / error).astype(float))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-6)


@pytest.mark.parametrize("sweeps", [0, 1])
@pytest.mark.parametrize("scale", [1e-170, 1e160])
def test_the_same_for_matrices_that_all_samples_share(sweeps, scale):
    class Small(RandomEvolution):
        def terms(self):
            own = super().terms()
            return replace(own, loads=scale * own.loads, lift=scale * own.lift)

        def starts(self, mu):
            psi, g = super().starts(mu)
            return psi, scale * g

    bounds = []
    for problem in (RandomEvolution(size=10, count=8), Small(size=10, count=8)):
        mu = problem.parameters.sample(range(3), 0)
        fields = 0.9 * problem.solve(mu)
        bounds.append(SpaceTimeCertificate(problem, sweeps).bound(prediction(problem, mu, fields)))
    np.testing.assert_allclose(bounds[1].bound / scale, bounds[0].bound, rtol=1e-6)
    np.testing.assert_allclose(bounds[1].stats["energy"] / scale, bounds[0].stats["energy"], rtol=1e-6)


@pytest.mark.parametrize("sweeps", [0, 1])
def test_levels_that_have_died_out_are_still_limited(sweeps):
    """The squares of an error late on are nothing beside the first levels, and nothing at all in float64."""
    problem = Stepped(Scaled(1.0, 0.0), Stepping(1e6, 40, "implicit-euler"))
    mu = problem.parameters.sample(range(2), 0)
    truth = problem.solve(mu)
    assert 0 < np.abs(truth[:, -1]).max() < 1e-220
    wrong = np.zeros_like(truth)
    wrong[:, -2:, 1:-1, 1:-1] = 1e-200
    answer = SpaceTimeCertificate(problem, sweeps).bound(prediction(problem, mu, truth + wrong))
    error = of_level(problem, mu, wrong)[:, -2:]
    assert (answer.stats["in time"][:, -2:] >= error * (1 - 1e-9)).all()
    assert (answer.stats["at least in time"][:, -2:] <= error * (1 + 1e-9)).all()


def test_lengths_never_lose_what_is_small():
    rows = np.array([[3.0, 4.0], [3e-200, 4e-200], [3e200, 4e200], [0.0, 0.0]])
    np.testing.assert_allclose(exact_lengths(rows), [5.0, 5e-200, 5e200, 0.0], rtol=1e-15)
    assert (lengths(rows[:2]) >= [5.0 * (1 - 1e-15), 5e-200]).all()


@pytest.mark.parametrize(
    "problem", [Stepped(Heat(4), Stepping(0.1, 3)), RandomEvolution(size=6, count=3)], ids=["grid", "matrices"]
)
def test_no_trajectory_is_answered_with_no_limit(problem):
    mu = problem.parameters.sample(range(0), 0)
    certificate = SpaceTimeCertificate(problem, 0)
    space = Trajectories(problem.space, problem.times)
    answer = certificate.bound(uncertified(mu, np.zeros((0, *space.shape)), space, np.zeros(0, dtype=bool)))
    assert answer.bound.shape == (0,) and answer.stats["in time"].shape == (0, 3) and answer.field.shape[0] == 0
    one = problem.parameters.sample(range(1), 0)
    assert set(answer.outputs) == set(certificate.bound(prediction(problem, one, problem.solve(one))).outputs)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -5.0])
def test_one_parameter_that_is_none_has_no_limit_and_takes_no_other_with_it(strange):
    problem = Stepped(Heat(4), Stepping(0.1, 3))
    mu = problem.parameters.sample(range(3), 0)
    wrong = {name: values.copy() for name, values in mu.items()}
    wrong["conductivity"][1] = strange
    surrogate = nw.from_function(lambda query: np.zeros((3, 3, 5, 5)), problem)
    certified = nw.certify(surrogate, problem)
    alone, beside = certified.predict(mu), certified.predict(wrong)
    assert np.isinf(beside.bound).tolist() == [False, True, False]
    assert ("refuses this parameter" if strange != np.inf else "too large") in beside.reason[1]
    np.testing.assert_array_equal(beside.bound[[0, 2]], alone.bound[[0, 2]])
    inside = replace(prediction(problem, wrong, np.zeros((3, 3, 25))), inside=np.ones(3, dtype=bool))
    if np.isfinite(strange):
        with pytest.raises(InputError, match="heat needs"):  # said to be inside: somebody is wrong about the set
            certified.certificate.bound(inside)
    else:
        assert np.isinf(certified.certificate.bound(inside).bound).tolist() == [False, True, False]
