"""The three formulas of the residual norm against the residual itself in extended precision."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rb.affine_cases import Random
from tests.rb.residual_cases import Line, snapshots_basis, true_norms

from nwidth.core.errors import InputError
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.estimators import OrthonormalResidual, cheaper, galerkin, residual_estimator
from nwidth.rb.gram import GramResidual
from nwidth.rb.interpolated import InterpolatedResidual, combination
from nwidth.rb.interpolated_build import interpolated_residual
from nwidth.rb.products import Magnitude, magnitude
from nwidth.rb.wide import Functionals, WideForm
from nwidth.spaces.base import InnerProduct


class Case:
    """A problem with a basis, its training coefficients and residuals at other parameters."""

    def __init__(self, problem, mu, chosen, test):
        self.terms, self.inner = problem.terms(), problem.space.inner("energy")
        self.basis = snapshots_basis(problem, chosen)
        self.theta, self.phi = problem.coefficients(mu)
        self.coefficients = galerkin(self.terms, self.basis, self.theta, self.phi)
        self.test = problem.coefficients(test)
        self.answer = galerkin(self.terms, self.basis, *self.test)
        self.load = float(self.inner.dual_norm(self.terms.loads * self.terms.free).max())

    def build(self, **options):
        data = (self.terms, self.inner, self.basis, self.theta, self.phi, self.coefficients)
        return interpolated_residual(*data, **options)

    def true(self, coefficients=None, basis=None):
        coefficients = self.answer if coefficients is None else coefficients
        return true_norms(self.terms, self.inner, self.basis if basis is None else basis, *self.test, coefficients)

    def norms(self, estimator, coefficients=None):
        return estimator.norms(*self.test, self.answer if coefficients is None else coefficients)


def line_case(modes, cells=200):
    places = np.geomspace(1, 1000, 4 * modes + 1)
    chosen, test = np.geomspace(1, 1000, modes), np.geomspace(1.3, 800, 23)
    return Case(Line(cells), {"mu": places}, {"mu": chosen}, {"mu": test})


@pytest.fixture(scope="module")
def line():
    return line_case(6)


@pytest.fixture(scope="module")
def block():
    problem = ThermalBlock(resolution=10)
    sample = problem.parameters.sample
    return Case(problem, sample(range(60), 0), sample(range(5), 1), sample(range(15), 2))


@pytest.mark.parametrize("points", ["few", "all"])
@pytest.mark.parametrize("name", ["line", "block"])
def test_it_follows_the_residual_and_never_falls_below(points, name, request):
    case = request.getfixturevalue(name)
    norm, noise = case.norms(case.build(points=points))
    true = case.true()
    assert (true <= norm + noise).all()
    assert (norm + noise <= 1.2 * true + 1e-10 * case.load).all()


def test_the_value_is_the_residual_far_below_the_root_of_the_machine_precision():
    case = line_case(14)
    true = case.true()
    assert true.max() < 1e-8 * case.load
    norm, noise = case.norms(case.build())
    assert np.abs(norm - true).max() < 1e-13 * case.load
    assert (true <= norm + noise).all() and (noise < 2e-11 * case.load).all()


def test_the_gram_form_ends_near_the_root_of_the_machine_precision():
    case = line_case(14)
    gram = GramResidual.build(case.terms, case.inner, case.basis)
    squares, (norm, noise) = gram.squares(*case.test, case.answer), case.norms(gram)
    assert np.abs(norm - case.true()).max() > 1e-10 * case.load
    assert (squares < 0).any() and (norm[squares < 0] == 0).all() and (noise == 0).all()
    assert "rounding" in gram.missing


def test_the_gram_form_is_right_where_the_residual_is_large(line, block):
    for case in (line, block):
        norm, _ = case.norms(GramResidual.build(case.terms, case.inner, case.basis))
        np.testing.assert_allclose(norm, case.true(), atol=1e-7 * case.load)


@pytest.mark.parametrize("points", ["few", "all"])
def test_coefficients_from_anywhere_are_bounded(block, points):
    """The remainder is computed for the query at hand, so nothing depends on the training set but the sharpness."""
    built, rng = block.build(points=points), np.random.default_rng(3)
    for scale in (1e-8, 1e-3, 1.0, 1e3):
        wrong = block.answer + scale * rng.normal(size=block.answer.shape)
        norm, noise = block.norms(built, wrong)
        true = block.true(wrong)
        assert (true <= norm + noise).all()
        if points == "all":  # every coefficient vector is represented
            assert (norm + noise <= 1.001 * true + 1e-10 * block.load).all()


@settings(max_examples=60)
@given(
    size=st.integers(2, 25),
    terms=st.integers(1, 4),
    loads=st.integers(1, 3),
    modes=st.integers(1, 8),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([1.0, 1e3, 1e6]),
    points=st.sampled_from(["few", "all"]),
    share=st.sampled_from([0.01, 0.5]),
)
def test_the_bound_holds_for_random_problems(size, terms, loads, modes, seed, spread, points, share):
    problem = Random(size=size, terms=terms, loads=loads, seed=seed, spread=spread)
    sample = problem.parameters.sample
    case = Case(problem, sample(range(20), seed), sample(range(modes), seed + 1), sample(range(8), seed + 2))
    built = case.build(points=points, share=share)
    for answer in (case.answer, case.answer * (1 + 1e-6), 0 * case.answer):
        norm, noise = case.norms(built, answer)
        assert (case.true(answer) * (1 - 1e-12) <= norm + noise).all()
        assert np.isfinite(norm + noise).all() and (norm + noise > 0).all()


def test_few_points_are_fewer_and_all_are_all(block):
    few, every = block.build(), block.build(points="all")
    assert few.points < every.points == 1 + 4 * len(block.basis)
    assert few.operations < every.operations


def test_a_smaller_share_takes_more_points_and_leaves_less():
    """Many terms, one parameter: the set of solutions is thinner than the span of the functionals."""
    case = many_terms()
    loose, tight = case.build(share=0.5), case.build(share=0.001)
    assert loose.points < tight.points
    assert case.norms(tight)[1].max() < 0.1 * case.norms(loose)[1].max()


class Curve(Random):
    """Many terms whose coefficients follow one parameter, a thin set."""

    def coefficients(self, mu):
        count, t = len(self.terms().matrices), np.asarray(mu["t0"])[:, None]
        return 1 + t ** (1 + 0.1 * np.arange(count)[None]), np.ones((len(t), len(self.terms().loads)))


def many_terms():
    problem = Curve(size=60, terms=12, loads=1, seed=5)
    draw = [{"t0": np.linspace(0.1, 3.0, count)} for count in (80, 4, 17)]
    return Case(problem, *draw)


def test_the_cheaper_formula_is_chosen_with_its_reason(block):
    case = many_terms()
    thin = residual_estimator(
        case.terms, np.zeros((0, case.basis.shape[1])), case.inner, case.basis, case.theta, case.phi
    )
    assert isinstance(thin.estimator, InterpolatedResidual)
    assert thin.reason.startswith("interpolation: the orthonormal basis takes ")
    assert f"{thin.estimator.operations:,} ({thin.estimator.points} points" in thin.reason
    none = np.zeros((0, block.basis.shape[1]))
    thick = residual_estimator(block.terms, none, block.inner, block.basis, block.theta, block.phi)
    assert isinstance(thick.estimator, OrthonormalResidual) and thick.reason.startswith("orthonormal basis: ")
    for choice, c in ((thin, case), (thick, block)):
        norm, noise = c.norms(choice.estimator)
        assert choice.estimator.missing == ""
        assert (c.true() <= norm + noise).all() and (norm + noise <= 1.2 * c.true() + 1e-9 * c.load).all()


@pytest.mark.parametrize("kind", ["orthonormal", "interpolated"])
def test_a_formula_that_is_asked_for_is_taken(block, kind):
    none = np.zeros((0, block.basis.shape[1]))
    data = (block.terms, none, block.inner, block.basis, block.theta, block.phi)
    choice = residual_estimator(*data, kind=kind)
    assert "asked for" in choice.reason
    assert isinstance(choice.estimator, InterpolatedResidual) == (kind == "interpolated")
    with pytest.raises(InputError, match="choose one of auto, orthonormal, interpolated"):
        residual_estimator(*data, kind="gram")


def test_outputs_need_the_orthonormal_basis():
    case = many_terms()
    choice = residual_estimator(case.terms, case.terms.loads, case.inner, case.basis, case.theta, case.phi)
    assert isinstance(choice.estimator, OrthonormalResidual) and "dual" in choice.reason


def test_both_bounds_agree_where_they_are_sharp(block):
    none = np.zeros((0, block.basis.shape[1]))
    data = (block.terms, none, block.inner, block.basis, block.theta, block.phi)
    one = residual_estimator(*data, kind="orthonormal").estimator
    two = residual_estimator(*data, kind="interpolated").estimator
    np.testing.assert_allclose(block.norms(one)[0], block.norms(two)[0], rtol=0.15)
    assert cheaper(one, two).estimator is (two if two.operations < one.operations else one)


def test_without_the_remainder_it_is_an_estimate_that_says_so_and_costs_less():
    case = many_terms()
    sure, unsure = case.build(), case.build(proven=False)
    assert sure.missing == "" and "remainder" in unsure.missing
    assert unsure.operations < 0.5 * sure.operations
    np.testing.assert_array_equal(case.norms(sure)[0], case.norms(unsure)[0])
    assert unsure.remainder > 0


def test_an_estimate_misses_coefficients_from_elsewhere_and_the_bound_does_not():
    case, rng = many_terms(), np.random.default_rng(0)
    wrong = case.answer + 0.1 * rng.normal(size=case.answer.shape)
    true = case.true(wrong)
    assert (np.add(*case.norms(case.build(proven=False), wrong)) < true).any()
    assert (np.add(*case.norms(case.build(), wrong)) >= true).all()


def test_truncation_is_a_bound_for_the_smaller_basis(block):
    for points in ("few", "all"):
        cut = block.build(points=points).truncate(3, 4)
        fewer = galerkin(block.terms, block.basis[:3], *block.test)
        norm, noise = block.norms(cut, fewer)
        true = block.true(fewer, block.basis[:3])
        assert (true <= norm + noise).all()
        assert points == "few" or (norm + noise <= 1.01 * true + 1e-9).all()
    with pytest.raises(InputError, match="cannot keep"):
        cut.truncate(4, 4)


def test_an_empty_batch_a_single_query_and_pieces_agree(block):
    built = block.build()
    theta, phi = (np.tile(part, (40, 1)) for part in block.test)
    norm, noise = built.norms(theta, phi, np.tile(block.answer, (40, 1)))
    one = built.norms(block.test[0][:1], block.test[1][:1], block.answer[:1])
    np.testing.assert_allclose(norm[0], one[0][0], rtol=1e-9)
    np.testing.assert_allclose(noise[0], one[1][0], rtol=0.05)
    np.testing.assert_allclose(norm[: len(block.answer)], norm[-len(block.answer) :], rtol=1e-6)
    assert built.norms(theta[:0], phi[:0], block.answer[:0])[0].shape == (0,)


def test_coefficients_of_another_basis_are_refused(block):
    with pytest.raises(InputError, match="belongs to 4, 1 and 5"):
        block.build().norms(*block.test, block.answer[:, :3])


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"share": 1.0}, {"points": "some"}])
def test_impossible_options_are_refused(block, bad):
    with pytest.raises(InputError):
        block.build(**bad)


def test_stored_and_restored_it_answers_to_the_last_bit(block):
    none = np.zeros((0, block.basis.shape[1]))
    data = (block.terms, none, block.inner, block.basis, block.theta, block.phi)
    gram = GramResidual.build(block.terms, block.inner, block.basis)
    for one in (
        block.build(),
        block.build(proven=False),
        residual_estimator(*data, kind="orthonormal").estimator,
        gram,
    ):
        again = type(one).from_stored(*one.to_stored())
        np.testing.assert_array_equal(block.norms(one), block.norms(again))
        assert again.missing == one.missing


def test_the_published_system_of_products_has_these_values(line):
    """The square is linear in the products b_i b_j: its values at q_i and q_i + q_j determine H."""
    built = line.build(points="all")
    functionals, form = Functionals(line.terms, line.basis), WideForm(line.inner)
    q = built.functions[:4]
    sums = (q[:, None] + q[None, :]).reshape(16, -1)

    def square(rows):
        return form.inner.dual_norm(functionals.combine(rows)[0].astype(np.float64)) ** 2

    single, pair = square(q), square(sums).reshape(4, 4)
    scale = np.sqrt(np.outer(single, single))
    polarised = (pair - single[:, None] - single[None, :]) / 2
    assert (np.abs(polarised - built.gram[:4, :4]) <= 1e-9 * (scale + pair)).all()


def test_sizes_bound_the_functionals(line, block):
    for case in (line, block):
        functionals = Functionals(case.terms, case.basis)
        sizes, unit = functionals.sizes(case.inner), np.eye(functionals.count)
        residuals = functionals.quick(unit)
        np.testing.assert_allclose(case.inner.dual_norm(residuals), sizes, rtol=1e-6)
        wide, noise = functionals.combine(unit)
        assert (np.linalg.norm((wide - residuals).astype(float), axis=1) <= 1e4 * noise + 1e-14).all()


def test_the_order_of_products_is_that_of_the_rows(block):
    zeta = combination(*block.test, block.answer)
    assert zeta.shape[1] == 1 + 4 * len(block.basis)
    np.testing.assert_allclose(zeta[:, 1 + 4 * 2 + 3], -block.test[0][:, 3] * block.answer[:, 2])


def test_defects_count(block):
    built = block.build()
    norm, noise = block.norms(built)
    more = block.norms(replace(built, defects=built.defects + 1.0))[1]
    assert (more > noise + 0.5 * np.abs(block.test[1]).max() * 1e-6).all() and (norm > 0).all()


def test_a_load_that_vanishes_has_a_residual_that_does(line):
    """No points at all: the bound is the smallest number above zero, and not zero."""
    terms = replace(line.terms, loads=0 * line.terms.loads)
    none = 0 * line.coefficients
    built = interpolated_residual(terms, line.inner, line.basis, line.theta, line.phi, none)
    norm, noise = built.norms(*line.test, 0 * line.answer)
    assert built.points == 0
    assert (norm == 0).all() and (noise > 0).all() and (noise < 1e-300).all()


class Bare(InnerProduct):
    """The same product without its matrix."""

    def __init__(self, inner):
        self._inner = inner

    def apply(self, v):
        return self._inner.apply(v)

    def riesz(self, r):
        return self._inner.riesz(r)

    @property
    def lambda_min(self):
        return self._inner.lambda_min


@magnitude.register
def _bare(inner: Bare) -> Magnitude:
    return magnitude(inner._inner)


def test_a_product_without_a_matrix_is_applied_in_float64_and_its_rounding_counted(block):
    data = (block.basis, block.theta, block.phi, block.coefficients)
    built = interpolated_residual(block.terms, Bare(block.inner), *data)
    norm, noise = block.norms(built)
    true = block.true()
    assert (true <= norm + noise).all() and (norm + noise <= 1.2 * true + 1e-9 * block.load).all()
    assert noise.max() > block.norms(block.build())[1].max()
