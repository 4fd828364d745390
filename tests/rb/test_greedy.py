"""The greedy loop against dense solutions and against itself."""

import numpy as np
import pytest
from tests.rb.affine_cases import Random, energy_error, exact

from nwidth.certificates.reduced import ReducedCertificate
from nwidth.core.errors import InputError, WorkError
from nwidth.problems.base import Affine
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Run
from nwidth.testing.dense import DenseProblem


@pytest.fixture(scope="module")
def block():
    return ThermalBlock(resolution=16)


@pytest.fixture(scope="module")
def basis(block):
    return Greedy(tol=1e-4, training=60).fit(problem=block)


def same(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loads", ["each", "sum"])
def test_the_full_basis_is_the_full_order_solution(loads):
    problem = Random(size=12)
    reduced = Greedy(tol=None, max_size=12, training=40, loads=loads).fit(problem=problem)
    assert reduced.modes == 12
    mu = problem.parameters.sample(range(20), 5)
    u = exact(problem, mu)
    assert (energy_error(problem, mu, u, reduced.predict(mu).field) < 1e-12 * energy_error(problem, mu, u, 0 * u)).all()


def test_basis_is_orthonormal_in_the_energy_product_and_vanishes_where_values_are_prescribed(block, basis):
    inner = block.space.inner("energy")
    gram = basis.basis @ inner.apply(basis.basis).T
    assert np.abs(gram - np.eye(basis.modes)).max() < 1e-12
    assert (basis.basis[:, ~block.terms().free] == 0).all()


def test_the_tolerance_holds_on_the_training_set_for_the_true_error(block, basis):
    mu = block.parameters.sample(range(60), 0)
    u = exact(block, mu)
    error = energy_error(block, mu, u, basis.predict(mu).field)
    size = energy_error(block, mu, u, 0 * u)
    assert (error <= 1e-4 * size).all()
    assert error.max() > 1e-7 * size.max()  # the loop stopped when it was done


def test_bounds_fall_and_each_parameter_is_chosen_once(basis):
    bounds, chosen = basis.history["bound"], basis.history["chosen"]
    assert bounds[-1] <= 1e-4 < bounds[-2]
    assert len(set(chosen.tolist())) == len(chosen) == basis.modes
    assert basis.history["mu.mu_1"].shape == chosen.shape


def test_the_truncated_basis_answers_as_the_smaller_one_would(block, basis):
    """The residual's basis is ordered too: the bound of a truncated model is that of a fit which stopped there."""
    small = Greedy(tol=None, max_size=5, training=60).fit(problem=block)
    cut = basis.truncate(5)
    mu = block.parameters.sample(range(30), 9)
    ours, theirs = (ReducedCertificate.build(b, block).bound(b.predict(mu)) for b in (cut, small))
    same(ours.field, theirs.field)
    same(ours.bound, theirs.bound)
    same(ours.outputs["mean"].values, theirs.outputs["mean"].values)
    same(ours.outputs["mean"].limit, theirs.outputs["mean"].limit)
    assert cut.residual.rows.shape[1] < basis.residual.rows.shape[1]


def test_truncation_refuses_more_than_there_is(basis):
    with pytest.raises(InputError, match="choose a number from 1 to"):
        basis.truncate(basis.modes + 1)


def test_every_load_is_solved_so_that_sums_of_loads_need_no_more_modes():
    problem = Random(size=40, loads=2)
    mu = problem.parameters.sample(range(1), 0)
    reduced = Greedy(tol=None, max_size=2, training=mu).fit(problem=problem)
    again = mu | {"p0": np.array([0.3]), "p1": np.array([-0.9])}
    u = exact(problem, again)
    assert energy_error(problem, again, u, reduced.predict(again).field) < 1e-12 * energy_error(
        problem, again, u, 0 * u
    )


def test_snapshots_provide_the_training_parameters(block, basis):
    mu = block.parameters.sample(range(60), 0)
    runs = Snapshots(block.parameters, block.space, mu, np.zeros((60, block.space.size)))
    again = Greedy(tol=1e-4).fit(runs, block)
    np.testing.assert_array_equal(again.history["chosen"], basis.history["chosen"])


@pytest.mark.parametrize("kind", ["absolute", "space"])
def test_absolute_selection_lowers_the_absolute_bound(block, kind):
    reduced = Greedy(tol=1e-5, training=60, error=kind).fit(problem=block)
    mu = block.parameters.sample(range(60), 0)
    difference = exact(block, mu) - reduced.predict(mu).field
    in_space = block.space.inner("energy").norm(difference.astype(np.float64))
    error = in_space if kind == "space" else energy_error(block, mu, difference, 0 * difference)
    assert error.max() <= 1e-5 and error.max() > 1e-8


def test_a_tolerance_that_is_missed_is_an_error_that_says_what_was_reached(block):
    with pytest.raises(WorkError, match=r"with 3 modes and misses tol = 1e-06; raise max_size \(now 3\)"):
        Greedy(tol=1e-6, max_size=3, training=40).fit(problem=block)


def test_a_tolerance_below_rounding_is_an_error(block):
    with pytest.raises(WorkError, match="out of reach"):
        Greedy(tol=1e-15, max_size=60, training=40).fit(problem=block)


def test_a_training_set_of_one_ends_when_it_is_represented(block):
    one = block.parameters.sample(range(1), 0)
    assert Greedy(tol=None, max_size=10, training=one).fit(problem=block).modes == 1


def test_progress_shows_the_bound_and_changes_nothing(block, capsys):
    fitter = Greedy(tol=None, max_size=4, training=20)
    quiet, loud = fitter.fit(problem=block), fitter.fit(problem=block, run=Run(progress=True, threads=1))
    np.testing.assert_array_equal(quiet.history["chosen"], loud.history["chosen"])
    assert "greedy search" in capsys.readouterr().err


def test_room_for_fewer_modes_than_loads_is_refused():
    problem = Random(size=5, loads=3)
    with pytest.raises(InputError, match="max_size is 2, and one step solves 3 loads"):
        Greedy(tol=None, max_size=2, training=10).fit(problem=problem)
    assert Greedy(tol=None, max_size=2, training=10, loads="sum").fit(problem=problem).modes == 2


def test_a_problem_that_is_not_affine_is_refused():
    with pytest.raises(InputError, match="needs an Affine problem, got DenseProblem"):
        Greedy().fit(problem=DenseProblem())


@pytest.mark.parametrize("bad", [{"tol": 0.0}, {"max_size": 0}, {"training": 0}, {"loads": "both"}, {"error": "no"}])
def test_impossible_configurations_are_refused(bad):
    with pytest.raises(InputError):
        Greedy(**bad)


class Unknown(Affine):
    """The same equation without a stability constant."""

    def __init__(self, inner):
        self._inner = inner

    parameters = property(lambda self: self._inner.parameters)
    space = property(lambda self: self._inner.space)

    def terms(self):
        return self._inner.terms()

    def coefficients(self, mu):
        return self._inner.coefficients(mu)


def test_without_a_stability_constant_there_is_a_basis_and_no_certificate():
    problem = Unknown(Random())
    reduced = Greedy(tol=1e-2, training=40).fit(problem=problem)
    assert np.isinf(reduced.predict(problem.parameters.sample(range(3), 1)).bound).all()
    with pytest.raises(InputError, match="a stability constant is missing"):
        ReducedCertificate.build(reduced)
    with pytest.raises(InputError, match="inherit nwidth's Storable"):
        reduced.to_parts()
