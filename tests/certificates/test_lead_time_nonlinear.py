"""A nonlinear equation in time has no stability constant: any surrogate of it is calibrated per lead time."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from tests.certificates.conformal_cases import deviation

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Statistical
from nwidth.core.prediction import uncertified
from nwidth.core.storable import Parts
from nwidth.problems.burgers import Burgers
from nwidth.spaces.trajectories import Trajectories

BURGERS = Burgers(0.05, resolution=16, solver_resolution=32, modes=8, levels=(0.01, 0.05, 0.2, 0.8))
REPEATS, CALIBRATED, FRESH, LEVEL = 60, 39, 40, 0.8


@dataclass(frozen=True)
class Diffusing(nw.Surrogate):
    """The initial state as it diffuses: Burgers' equation without its nonlinear term, in closed form."""

    kind: ClassVar[str] = "testing-diffusing"
    problem: Burgers = BURGERS

    @property
    def parameters(self):
        return self.problem.parameters

    @property
    def space(self):
        return self.problem.space

    def predict(self, mu):
        k = 2 * np.pi * np.arange(17)
        decay = np.exp(-self.problem.viscosity * k**2 * self.problem.times[:, None])
        fields = np.fft.irfft(decay * np.fft.rfft(mu["u0"])[:, None])[..., ::2]
        return uncertified(mu, fields, Trajectories(self.space, self.problem.times), self.parameters.contains(mu))

    def to_parts(self):
        return Parts({}, {}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls()


def exact_runs(count, seed):
    """Fresh runs from the transform of Cole and Hopf."""
    mu = BURGERS.parameters.sample(range(count), seed)
    return nw.Snapshots(BURGERS.parameters, BURGERS.space, mu, BURGERS.exact(mu), times=BURGERS.times)


def errors(runs):
    """L² norms of the errors at each time, `(n, T)`, by the definition: the domain has length 1."""
    return np.sqrt(np.mean((Diffusing().predict(runs.mu).field - np.asarray(runs.fields)) ** 2, axis=2))


@pytest.fixture(scope="module")
def pool():
    return exact_runs(REPEATS * (CALIBRATED + FRESH), seed=3)


def repeats(pool, **options):
    """Per repeat: limits from some runs `(T,)`, how many made them, and the errors of others, `(n, T)`."""
    for i in range(REPEATS):
        first = i * (CALIBRATED + FRESH)
        rows = np.arange(first, first + CALIBRATED + FRESH)
        certified = nw.certify(Diffusing(), holdout=pool.take(rows[:CALIBRATED]), level=LEVEL, **options)
        fresh = pool.take(rows[CALIBRATED:])
        answer = certified.predict(fresh.mu)
        assert answer.guarantee == certified.guarantee and isinstance(answer.guarantee, Statistical)
        assert (answer.stats["in time"] == answer.stats["in time"][0]).all() and np.isfinite(answer.bound).all()
        yield answer.stats["in time"][0], certified.certificate.calibrated_on, errors(fresh)


def test_without_runs_nothing_is_promised():
    with pytest.raises(InputError, match="holdout"):
        nw.certify(Diffusing(), BURGERS)


def test_fresh_runs_are_covered_at_each_time_by_the_law(pool):
    """At each lead time the hits are beta-binomial: 40 fresh runs, the 32nd of 39 errors is the limit."""
    found = [(limit, count, (error <= limit).sum(axis=0)) for limit, count, error in repeats(pool)]
    limits, counts, hits = (np.array(part) for part in zip(*found, strict=True))
    assert (counts == CALIBRATED).all()
    for time in range(len(BURGERS.times)):
        assert abs(deviation(hits[:, time], FRESH, CALIBRATED, LEVEL)) < 3
    # what is left out has acted for longer, until diffusion has taken all of it
    assert (limits[:, 2] > 3 * limits[:, 0]).all() and (limits[:, 3] < 0.5 * limits[:, 2]).all()


def test_all_times_together_are_covered_by_the_law_of_the_runs_that_calibrate(pool):
    found = list(repeats(pool, together=True))
    hits = [(error <= limit).all(axis=1).sum() for limit, _, error in found]
    assert {count for _, count, _ in found} == {26}, "a third of the runs shapes the profile"
    assert abs(deviation(hits, FRESH, 26, LEVEL)) < 3


def test_each_time_on_its_own_does_not_hold_at_all_times_together(pool):
    apart = [(error <= limit).all(axis=1).sum() for limit, _, error in repeats(pool)]
    assert deviation(apart, FRESH, CALIBRATED, LEVEL) < -4


def test_runs_of_the_solver_give_the_limits_of_the_closed_form():
    """In one call, from generated runs to answers with limits in time; the solver stands on 32 points."""
    pytest.importorskip("torch")
    runs = nw.generate(BURGERS, 40, seed=0)
    certificate = nw.certify(Diffusing(), holdout=runs, level=0.9).certificate
    np.testing.assert_allclose(certificate.limits["field"], np.sort(errors(runs), axis=0)[36], rtol=1e-9)
    closed = nw.Snapshots(BURGERS.parameters, BURGERS.space, runs.mu, BURGERS.exact(runs.mu), times=BURGERS.times)
    limits = nw.certify(Diffusing(), holdout=closed, level=0.9).certificate.limits["field"]
    np.testing.assert_allclose(certificate.limits["field"], limits, rtol=1e-2)
