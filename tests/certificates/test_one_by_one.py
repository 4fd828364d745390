"""One query by one compiled call: the same answer as in a batch, and the same refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rb.affine_cases import Random, energy_error, exact

import nwidth as nw
from nwidth.certificates.one_by_one import OneByOne
from nwidth.certificates.reduced import ReducedCertificate
from nwidth.core.errors import InputError
from nwidth.core.expressions import Expression
from nwidth.core.validation import select
from nwidth.problems.formulas import Formulas
from nwidth.problems.min_theta import MinTheta, ThetaStable
from nwidth.problems.power_module import PowerModule
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy


class Written(Random, Formulas, ThetaStable):
    """The random problem with its coefficients as formulas."""

    @property
    def stability(self):
        return MinTheta(np.ones(self.config["terms"]), 1e-10)

    def formulas(self):
        names = self.parameters.names
        each = [Expression.parse(name, names) for name in names]
        return tuple(each[: self.config["terms"]]), tuple(each[self.config["terms"] :])


def fitted(problem, modes):
    basis = Greedy(tol=None, max_size=modes, training=40).fit(problem=problem)
    certificate = ReducedCertificate.build(basis)
    return basis, certificate, OneByOne.of(basis, certificate.residual, certificate.guarantee)


def same(one, many, i):
    """Equal up to what the rounding terms of the limits allow."""
    floor = many.stats["floor"][i]
    np.testing.assert_allclose(one.bound, many.bound[i : i + 1], rtol=1e-9, atol=floor)
    np.testing.assert_allclose(one.stats["floor"], floor, rtol=1e-9)
    np.testing.assert_allclose(one.field[0], many.field[i], rtol=1e-9, atol=1e-9 * np.abs(many.field[i]).max())
    for name, output in one.outputs.items():
        other = many.outputs[name]
        np.testing.assert_allclose(output.values, other.values[i : i + 1], rtol=1e-9, atol=other.limit[i])
        np.testing.assert_allclose(output.limit, other.limit[i : i + 1], rtol=1e-6, atol=2e-14)
        assert output.unit == other.unit
    assert one.inside[0] == many.inside[i] and one.source[0] == many.source[i] and one.reason[0] == many.reason[i]
    assert one.guarantee == many.guarantee and len(one) == 1


@settings(max_examples=40)
@given(
    size=st.integers(4, 30), terms=st.integers(1, 4), loads=st.integers(1, 3), modes=st.integers(1, 12),
    seed=st.integers(0, 10_000), spread=st.sampled_from([1.0, 1e3, 1e7]), kind=st.sampled_from([Random, Written]),
)  # fmt: skip
def test_one_query_is_answered_as_in_a_batch_and_its_limits_hold(size, terms, loads, modes, seed, spread, kind):
    problem = kind(size=size, terms=terms, loads=loads, seed=seed, spread=spread)
    basis, certificate, one = fitted(problem, max(modes, loads))
    mu = problem.parameters.sample(range(6), seed + 1)
    mu["p0"][5] = 2.0  # outside of the range
    many, u = certificate.bound(basis.predict(mu)), exact(problem, mu)
    for i in range(6):
        point = select(mu, slice(i, i + 1))
        answer = one(point)
        same(answer, many, i)
        assert energy_error(problem, point, u[i : i + 1], answer.field)[0] <= answer.bound[0]
        for name, q in problem.quantities().items():
            missed = abs(u[i] @ q.functional.astype(np.longdouble) + q.offset - answer.outputs[name].values[0])
            assert missed <= answer.outputs[name].limit[0]


@pytest.mark.parametrize("problem", [ThermalBlock(3, 12), PowerModule(32)], ids=["thermal_block", "power_module"])
def test_the_problems_at_hand_take_the_short_way(problem):
    certified = nw.certify(Greedy(tol=None, max_size=11, training=40).fit(problem=problem), problem)
    mu = problem.parameters.sample(range(5), 7)
    many = certified.predict(mu)
    one = OneByOne.of(certified.surrogate, certified.surrogate.residual, certified.guarantee)
    for i in range(5):
        point = select(mu, slice(i, i + 1))
        assert one(point) is not None
        same(certified.predict(point), many, i)


@pytest.fixture(scope="module")
def block():
    problem = ThermalBlock(2, 8)
    return nw.certify(Greedy(tol=None, max_size=5, training=40).fit(problem=problem), problem)


def test_what_is_no_single_query_of_numbers_goes_the_usual_way(block):
    mu = {name: np.array([0.5]) for name in block.parameters.names}
    expected = block.predict(mu).bound
    for other in ({n: [0.5] for n in mu}, {n: np.array([0.5], dtype=np.float32) for n in mu}):
        np.testing.assert_allclose(block.predict(other).bound, expected, rtol=1e-9)
    assert len(block.predict({n: np.array([0.5, 0.6]) for n in mu})) == 2
    with pytest.raises(InputError, match="missing"):
        block.predict({"mu_1": np.array([0.5])})
    with pytest.raises(InputError, match="no batch axis"):
        block.predict(mu | {"mu_2": np.array(0.5)})
    with pytest.raises(InputError, match="one array for 4 parameters"):
        block.predict(np.ones(1))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_parameters_without_a_solution_are_refused_as_in_a_batch(block, bad):
    mu = {name: np.array([0.5]) for name in block.parameters.names} | {"mu_3": np.array([bad])}
    with pytest.raises(InputError, match="mu_3"):
        block.predict(mu)


def test_what_all_answers_share_cannot_be_changed(block):
    answer = block.predict({name: np.array([0.5]) for name in block.parameters.names})
    for array in (answer.inside, answer.source, answer.reason):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[0]


def test_a_certified_basis_is_stored_after_it_has_answered(block, tmp_path):
    mu = {name: np.array([0.5]) for name in block.parameters.names}
    before = block.predict(mu)
    nw.save(block, tmp_path / "block.nwidth")
    np.testing.assert_array_equal(nw.load(tmp_path / "block.nwidth").predict(mu).bound, before.bound)
