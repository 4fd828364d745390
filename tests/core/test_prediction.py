"""Predictions, outputs and guarantees as values."""

from dataclasses import replace

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous, Statistical, weakest
from nwidth.core.prediction import Output, Reduced, uncertified
from nwidth.core.seeding import generator
from nwidth.core.validation import as_mu, check_batched, check_finite


class Space:
    shape = (2, 3)


def reduced():
    rng = np.random.default_rng(0)
    return Reduced(rng.normal(size=(4, 2)), rng.normal(size=(2, 6)), np.arange(6.0))


def test_reduced_values_become_fields_on_demand_and_survive_selection():
    values = reduced()
    answer = uncertified({"m": np.arange(4.0)}, values, Space(), np.ones(4, bool))
    full = values.coefficients @ values.basis + np.arange(6.0)
    np.testing.assert_allclose(answer.field, full.reshape(4, 2, 3))
    np.testing.assert_allclose(answer.take(np.array([3, 1])).field, full.reshape(4, 2, 3)[[3, 1]])
    assert np.isinf(answer.bound).all() and isinstance(answer.guarantee, Estimate)


def test_a_prediction_needs_one_field_per_query():
    with pytest.raises(InputError, match="one field per query"):
        uncertified({"m": np.arange(3.0)}, reduced(), Space(), np.ones(3, bool))


def test_the_interval_of_the_true_error_is_selected_with_its_samples():
    bare = uncertified({"m": np.arange(3.0)}, np.zeros((3, 2, 3)), Space(), np.ones(3, bool))
    np.testing.assert_array_equal(bare.interval, (np.zeros(3), np.full(3, np.inf)))
    answer = replace(bare, bound=np.array([2.0, 3.0, 4.0]), lower=np.array([1.0, 3.0, 0.0]))
    low, high = answer.take(np.array([2, 0])).interval
    assert low.tolist() == [0.0, 1.0] and high.tolist() == [4.0, 2.0]


def test_a_lower_bound_that_was_left_behind_is_noticed():
    bare = uncertified({"m": np.arange(2.0)}, np.zeros((2, 2, 3)), Space(), np.ones(2, bool))
    answer = replace(bare, bound=np.array([2.0, 3.0]), lower=np.array([1.0, 2.0]))
    for bound in (np.array([2.0, 0.1]), np.array([np.nan, 3.0])):
        with pytest.raises(InputError, match="another field"):
            replace(answer, bound=bound)
    assert replace(answer, bound=np.array([0.1, 0.1]), lower=None).lower is None


def test_a_threshold_is_decided_only_where_the_limit_allows():
    output = Output(np.array([124.0, 124.9995, 125.0005, 126.0, 1.0]), np.array([0.5, 0.001, 0.001, 0.5, np.inf]), "°C")
    assert output.against(125.0).tolist() == ["below", "undecided", "undecided", "above", "undecided"]


def test_the_weakest_promise_speaks_for_a_batch():
    strong, middle, weak = Rigorous("energy norm", ("reduction",)), Statistical("L2", 0.9), Estimate("L2")
    assert weakest([strong, middle, weak]) is weak and weakest([strong, middle]) is middle
    assert weakest([Statistical("L2", 0.9), Statistical("L2", 0.8)]).level == 0.8


def test_sentences_say_what_is_not_counted():
    assert "mesh's own error is not included" in str(Rigorous("energy norm", ("reduction",)))
    assert "mesh's own error" not in str(Rigorous("energy norm", ("reduction", "discretisation")))
    assert "Not for optimised designs" in str(Statistical("L2", 0.9))


def test_an_unbatched_query_is_refused_with_the_call_to_make():
    with pytest.raises(InputError, match=r"mu\[None\]"):
        as_mu({"k": np.float64(3.0)}, ("k",))
    with pytest.raises(InputError, match=r"field\[None\]"):
        check_batched("field", np.zeros((2, 3)), (2, 3))
    with pytest.raises(InputError, match=r"missing \['h'\]"):
        as_mu({"k": np.zeros(1)}, ("k", "h"))
    with pytest.raises(InputError, match="different batch sizes"):
        as_mu({"k": np.zeros(1), "h": np.zeros(2)}, ("k", "h"))


def test_the_first_row_that_is_not_finite_is_named():
    with pytest.raises(InputError, match="row 2"):
        check_finite("temperature", np.array([[0.0], [1.0], [np.nan]]))


def test_an_empty_batch_is_finite():
    check_finite("temperature", np.zeros((0, 4)))


def test_random_streams_depend_on_seed_and_index_alone():
    assert generator(3, 5).random() == generator(3, 5).random()
    draws = {generator(s, i).random() for s in range(10) for i in range(10)}
    assert len(draws) == 100
