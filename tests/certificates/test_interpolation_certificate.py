"""The bound with the interpolation error inside, against extended-precision solutions with the true coefficients."""

from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certificates.non_affine_cases import Plate, corners, energy_error, exact, output_errors

import nwidth as nw
from nwidth.certificates.interpolation import InterpolationCertificate
from nwidth.certificates.interpolation_error import Query, everywhere
from nwidth.certificates.reduced import ReducedCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.core.prediction import Reduced
from nwidth.core.storable import Parts
from nwidth.online.wrappers import Certified
from nwidth.problems.functions import Bump, Function
from nwidth.problems.moving_bump import MovingBump
from nwidth.problems.non_affine import Coefficients
from nwidth.problems.reciprocal_distance import ReciprocalDistance
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy
from nwidth.rb.interpolation.problem import separated

RIGOROUS = ("everywhere", "box")


def reduced(problem, modes, loads="sum"):
    return Greedy(tol=None, max_size=modes, training=40, loads=loads).fit(problem=problem)


def certified(surrogate, rule, **options):
    options = {"levels": 10, "order": 6} | options
    return Certified(surrogate, InterpolationCertificate.build(surrogate, error=rule, **options))


def check(problem, mu, answer):
    """The bounds of field and outputs hold."""
    u = exact(problem, mu)
    error = energy_error(problem, mu, u, problem.space.flatten(answer.field))
    assert np.isfinite(answer.bound).all() and (answer.bound > 0).all()
    assert (error <= answer.bound).all()
    for name, size in output_errors(problem, u, answer).items():
        limit = answer.outputs[name].limit
        assert (limit > 0).all() and (size <= limit).all(), name
    return error


@pytest.fixture(scope="module")
def plate():
    return Plate(resolution=8)


@pytest.fixture(scope="module")
def fine(plate):
    return separated(plate, 150, 1e-7)


@pytest.fixture(scope="module")
def queries(plate):
    random, corner = plate.parameters.sample(range(25), 3), corners(plate.parameters)
    return {name: np.concatenate([random[name], corner[name]]) for name in random}


@settings(max_examples=25)
@given(
    resolution=st.integers(3, 6),
    terms=st.integers(1, 30),
    modes=st.integers(1, 12),
    degree=st.integers(1, 2),
    height=st.sampled_from([-0.7, 0.5, 20.0]),
    width=st.sampled_from([0.2, 0.5]),
    rule=st.sampled_from(RIGOROUS),
    seed=st.integers(0, 1000),
)
def test_bounds_hold_for_fields_and_outputs(resolution, terms, modes, degree, height, width, rule, seed):
    problem = Plate(resolution, degree, height, width)
    small = separated(problem, 60, tol=None, max_size=terms, seed=seed)
    mu = problem.parameters.sample(range(8), seed + 1)
    answer = certified(reduced(small, modes), rule, levels=4, order=3).predict(mu)
    usable = np.isfinite(answer.bound)  # one term may lose definiteness, and then says so
    assert (answer.reason[~usable] == "the reduced matrix is not positive definite to rounding").all()
    if usable.any():
        part = answer.take(np.flatnonzero(usable))
        check(problem, part.mu, part)


class Even(Plate):
    """a = 2 everywhere and no reaction: A = 2 X, and only the source moves."""

    kind = "testing-even-plate"

    def __init__(self, resolution=6):
        super().__init__(resolution)
        self.functions = Coefficients(Bump(2.0, 0.0, 0.3), source=Bump(0.5, 2.0, 0.3))


@pytest.mark.parametrize("rule", RIGOROUS)
def test_where_a_multiple_of_the_reference_is_the_operator_the_bound_is_the_error(rule):
    """Less what it says of rounding and of the interpolation: a constant a part in a thousand too large shows."""
    problem = Even()
    small = separated(problem, 80, 1e-9)
    mu = problem.parameters.sample(range(10), 4)
    answer = certified(reduced(small, 2), rule).predict(mu)
    error = check(problem, mu, answer)
    added = answer.stats["floor"] + answer.stats["interpolation"]
    np.testing.assert_allclose(answer.bound - added, error, rtol=1e-5)
    assert (added < 0.01 * error).all()


@pytest.mark.parametrize("rule", RIGOROUS)
@pytest.mark.parametrize("terms", [2, 5, 10, 20])
def test_where_the_interpolation_dominates_the_bound_needs_its_term(plate, fine, queries, rule, terms):
    """The same basis, bounded with and without the interpolation error: without it, it is no bound."""
    coarse = fine.truncate(**dict.fromkeys(fine.parts, terms))
    surrogate = reduced(coarse, 30)
    answer = certified(surrogate, rule).predict(queries)
    error = check(plate, queries, answer)
    without = ReducedCertificate.build(surrogate).bound(surrogate.predict(queries))
    assert isinstance(without.guarantee, Estimate), "and it does not pass for one"
    missed = error > without.bound
    assert missed.mean() > (0.9 if terms < 20 else 0.5)
    assert np.median(answer.bound / error) < (12 if rule == "everywhere" else 150)
    assert (answer.stats["interpolation"] < answer.bound).all()


@pytest.mark.parametrize("role", ["diffusion", "reaction", "source"])
@pytest.mark.parametrize("rule", RIGOROUS)
def test_every_function_has_its_own_term(plate, fine, queries, role, rule):
    """One function interpolated badly, the others well."""
    coarse = fine.truncate(**{role: 3})
    surrogate = reduced(coarse, 30)
    answer = certified(surrogate, rule).predict(queries)
    error = check(plate, queries, answer)
    without = answer.bound - answer.stats["interpolation"]
    assert (error > without).mean() > 0.9


@pytest.mark.parametrize("rule", RIGOROUS)
def test_bounds_fall_with_the_terms_to_that_of_the_basis_alone(plate, fine, queries, rule):
    worst = []
    for terms in (4, 8, 16, 32):
        coarse = fine.truncate(**{role: min(terms, part.terms) for role, part in fine.parts.items()})
        worst.append(float(certified(reduced(coarse, 30), rule).predict(queries).bound.max()))
    assert all(a > 2 * b for a, b in pairwise(worst))


def test_where_the_basis_dominates_the_effectivity_is_that_of_theory(plate, fine, queries):
    answer = certified(reduced(fine, 5), "everywhere").predict(queries)
    error = check(plate, queries, answer)
    stability = plate.constant(queries)
    limit = np.sqrt(stability.upper / stability.lower)
    assert (answer.bound <= 1.01 * limit * error + 3 * answer.stats["interpolation"]).all()


def test_down_to_rounding(queries):
    """All modes and all terms: what is left is rounding, and the bound knows."""
    problem = Plate(resolution=4)
    full = separated(problem, 200, tol=None, max_size=100)
    answer = certified(reduced(full, 20), "everywhere").predict(queries)
    error = check(problem, queries, answer)
    size = energy_error(problem, queries, exact(problem, queries), 0 * problem.space.flatten(answer.field))
    assert (error < 1e-9 * size).all() and (answer.bound < 1e-7 * size).all()
    assert (answer.stats["floor"] > 0).all() and (answer.stats["floor"] < 1e-9 * size).all()


def test_one_more_point_is_an_estimate_and_can_be_wrong():
    problem = ReciprocalDistance(resolution=10)
    coarse = separated(problem, 200, 1e-6).truncate(reaction=5, source=5)
    mu = problem.parameters.sample(range(60), 5)
    answer = certified(reduced(coarse, 20), "next point").predict(mu)
    assert answer.guarantee == Estimate("energy norm", "the interpolation error at all points but the next one")
    error = energy_error(problem, mu, exact(problem, mu), problem.space.flatten(answer.field))
    assert 0 < (error > answer.bound).mean() < 0.9
    assert (error < 5 * answer.bound).mean() > 0.95, "of use all the same"


def test_the_case_of_the_literature_with_interpolated_reaction_and_source():
    problem = ReciprocalDistance(resolution=10)
    whole = separated(problem, 200, 1e-6)
    mu = problem.parameters.sample(range(30), 5)
    for terms in (4, 12, whole.parts["source"].terms):
        coarse = whole.truncate(reaction=terms, source=terms)
        answer = certified(reduced(coarse, 12), "everywhere").predict(mu)
        error = check(problem, mu, answer)
        assert np.median(answer.bound / error) < 1.5
        assert isinstance(answer.guarantee, Rigorous)


def test_the_promise_in_words(plate, fine):
    own = certified(reduced(fine, 4), "everywhere")
    assert own.guarantee == Rigorous("energy norm", ("reduction", "interpolation", "round-off"))
    assert "Counted: reduction, interpolation, rounding" in str(own.guarantee)


def test_outside_the_box_only_the_full_comparison_goes_on(plate, fine, queries):
    surrogate = reduced(fine, 20)
    mu = {"mu_1": np.array([0.5, 0.9]), "mu_2": np.array([0.5, 0.95])}
    boxed, full = (certified(surrogate, rule).predict(mu) for rule in ("box", "everywhere"))
    assert np.isfinite(boxed.bound[0]) and np.isinf(boxed.bound[1]) and np.isinf(boxed.outputs["mean"].limit[1])
    assert boxed.reason[1] == "outside the box of parameters for which the interpolation error was bounded"
    check(plate, mu, full)


class Counted(Bump):
    """Remembers at how many points it was asked."""

    asked: ClassVar[list[int]] = []

    def values(self, points, mu):
        self.asked.append(len(points))
        return super().values(points, mu)


def test_a_query_with_prepared_bounds_asks_for_nothing_but_the_interpolation_points(queries):
    problem = Plate(resolution=6)
    counted = Counted(1.0, 3.0, 0.3)
    problem.functions = Coefficients(counted, Bump(0.5, 2.0, 0.3))
    small = separated(problem, 60, tol=None, max_size=8)
    full, boxed = (certified(reduced(small, 8), rule, levels=4, order=3) for rule in RIGOROUS)
    Counted.asked.clear()
    boxed.predict(queries)
    assert set(Counted.asked) == {8}
    full.predict(queries)
    assert len(problem.forms.points) in Counted.asked


def test_a_saved_certificate_gives_the_same_limits(fine, queries, tmp_path):
    for rule in ("everywhere", "box", "next point"):
        own = certified(reduced(fine, 6), rule, levels=4, order=4)
        nw.save(own, tmp_path / "model.nwidth")
        again = nw.load(tmp_path / "model.nwidth", kinds=[Plate])
        ours, theirs = own.predict(queries), again.predict(queries)
        np.testing.assert_allclose(theirs.bound, ours.bound, rtol=1e-9)
        np.testing.assert_allclose(theirs.outputs["end"].limit, ours.outputs["end"].limit, rtol=1e-9)
        assert theirs.guarantee == ours.guarantee


def test_truncated_bases_have_certificates_of_their_own(plate, fine, queries):
    whole = reduced(fine, 15)
    for modes in (3, 9):
        check(plate, queries, certified(whole.truncate(modes), "everywhere").predict(queries))
    with pytest.raises(InputError, match="another basis"):
        InterpolationCertificate.build(whole).bound(whole.truncate(3).predict(queries))


def test_a_bound_of_zero_is_impossible(plate, fine):
    """A perfect answer still pays for rounding."""
    surrogate = reduced(fine, 20)
    mu = {name: values[:1] for name, values in plate.parameters.sample(range(1), 0).items()}
    prediction = surrogate.predict(mu)
    values = prediction.values
    zeros = replace(prediction, values=Reduced(0 * values.coefficients, values.basis, values.offset))
    answer = InterpolationCertificate.build(surrogate).bound(zeros)
    check(plate, mu, answer)


class Unknown(Function):
    kind = "testing-unknown"

    def values(self, points, mu):
        return 2.0 + np.sin(7 * points[None, :, 0] * mu[:, :1])

    def to_parts(self):
        return Parts({}, {}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls()


def test_what_cannot_be_certified_is_refused_with_the_reason(fine):
    block = ThermalBlock(resolution=8)
    with pytest.raises(InputError, match="whose coefficients are not interpolated"):
        InterpolationCertificate.build(Greedy(tol=None, max_size=3, training=20).fit(problem=block))
    surrogate = reduced(fine, 3)
    with pytest.raises(InputError, match="fit again"):
        InterpolationCertificate.build(surrogate, MovingBump(resolution=8))
    with pytest.raises(InputError, match="choose one of everywhere, box, next point"):
        InterpolationCertificate.build(surrogate, error="full")
    problem = Plate(resolution=4)
    problem.functions = Coefficients(Unknown(), Bump())
    small = reduced(separated(problem, 40, 1e-3), 3)
    with pytest.raises(InputError, match="no closed-form derivatives"):
        InterpolationCertificate.build(small, error="box")
    with pytest.raises(InputError, match="ResidualCertificate"):
        InterpolationCertificate.build(small).bound(
            replace(small.predict(problem.parameters.sample(range(1), 0)), values=np.zeros((1, 25)))
        )


def test_the_weighted_error_is_the_integral_that_it_says(plate, fine, queries):
    """Against scikit-fem's own evaluation of the reduced field at the quadrature points."""
    coarse = fine.truncate(**dict.fromkeys(fine.parts, 6))
    surrogate = reduced(coarse, 8)
    prediction = surrogate.predict(queries)
    theta, phi = coarse.coefficients(queries)
    parts = coarse.by_role(theta, phi)
    found = everywhere(coarse, Query(plate.table(queries), parts, prediction.values))
    basis, values = plate.forms.nodal.basis, plate.values(queries)
    for i in range(0, len(theta), 5):
        error = {role: (values[role][i] - c[i] @ coarse.parts[role].basis).reshape(basis.dx.shape)
                 for role, c in parts.items()}  # fmt: skip
        u = basis.interpolate(prediction.field[i].ravel())
        slope = (basis.dx * error["diffusion"] ** 2 * (u.grad**2).sum(axis=0)).sum() ** 0.5
        rest = (basis.dx * (error["source"] - error["reaction"] * u.value) ** 2).sum() ** 0.5
        assert found.weighted[i] == pytest.approx(slope + 2 / np.pi * rest, rel=1e-9)
        assert found.diffusion[i] == pytest.approx(np.abs(error["diffusion"]).max(), rel=1e-9)
