"""Predictions put together: of each output the smaller guaranteed limit is kept, with the value that it belongs to."""

from dataclasses import replace

import numpy as np
import pytest

import nwidth as nw
from nwidth.bounds.outputs import problem_outputs
from nwidth.core.guarantee import Estimate, Rigorous, Statistical
from nwidth.core.prediction import Output, Source, uncertified
from nwidth.online.join import with_smaller_limits
from nwidth.spaces.grid import Grid

GRID = Grid((4,))
PROVEN = Rigorous("energy norm", ("reduction",))


def answer(values, limit, guarantee=PROVEN, name="mean"):
    bare = uncertified({"t": np.zeros(2)}, np.zeros((2, *GRID.shape)), GRID, np.ones(2, dtype=bool))
    return replace(bare, guarantee=guarantee, outputs={name: Output(np.array(values), np.array(limit), "m")})


def test_every_output_has_the_smaller_of_two_limits():
    """The truth is 2: dual limits (0.1, 0.5) at 2.05 and 2.4, then those of a refined field (0.3, 0.2) at 1.8, 2.1."""
    kept = with_smaller_limits(answer([2.05, 2.4], [0.1, 0.5]), answer([1.8, 2.1], [0.3, 0.2]))
    np.testing.assert_array_equal(kept.outputs["mean"].values, [2.05, 2.1])
    np.testing.assert_array_equal(kept.outputs["mean"].limit, [0.1, 0.2])
    assert kept.outputs["mean"].unit == "m"


@pytest.mark.parametrize(
    "weak", [Statistical("mass", 0.9, 20), Estimate("energy norm", "a constant")], ids=["90 %", "guess"]
)
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_a_limit_without_a_proof_replaces_nothing(weak, first):
    before, after = answer([0.0] * 2, [0.1] * 2), answer([1.0] * 2, [0.3] * 2)
    before, after = (replace(before, guarantee=weak), after) if first else (before, replace(after, guarantee=weak))
    assert with_smaller_limits(before, after) is after


def test_other_outputs_stay_as_they_are():
    after = answer([1.0] * 2, [0.3] * 2)
    assert with_smaller_limits(answer([0.0] * 2, [0.1] * 2, name="peak"), after).outputs == after.outputs


def test_a_router_keeps_limits_that_are_smaller_than_those_of_the_refined_field():
    """A reduced basis whose outputs have dual bases: their limits are products of two small numbers."""
    problem = nw.rb.with_stability(nw.problems.get("anisotropic", resolution=16))
    certified = nw.certify_outputs(nw.rb.Greedy(tol=3e-2).fit(problem=problem), tol=1e-6)
    mu = problem.parameters.sample(range(20), seed=1)
    bare, routed = certified.predict(mu), nw.Refining(certified, problem, 1e-3).predict(mu)
    refined = routed.source == Source.REFINED
    assert refined.sum() >= 5
    exact = problem_outputs(problem, mu, nw.solve(problem, mu).field, np.zeros(20))
    for name, output in routed.outputs.items():
        assert (np.abs(output.values - exact[name].values) <= output.limit * (1 + 1e-9)).all()
        assert (output.limit <= bare.outputs[name].limit).all()
        alone = nw.refine(bare, problem, 1e-3).outputs[name].limit  # a prediction does not say of which problem it is
        assert (output.limit[refined] < 0.5 * alone[refined]).all()
