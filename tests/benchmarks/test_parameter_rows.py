"""How parameters at equal error are compared."""

import sys
from typing import Any

import pytest
from tests.benchmarks.quick import BENCHMARKS

from nwidth.core.kinds import available

pytestmark = [
    pytest.mark.slow,  # loads neuraloperator
    pytest.mark.skipif(not available("torch"), reason="needs torch"),
]


@pytest.fixture(scope="module")
def rows() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return __import__("_parameter_rows")
    finally:
        sys.path.remove(str(BENCHMARKS))


def points(rows, **sizes):
    return {name: rows.Point(*pair) for name, pair in sizes.items()}


@pytest.fixture
def small(rows):
    return points(rows, a=(100, 0.03), b=(200, 0.01))


def test_the_smallest_plain_network_that_is_as_accurate_counts(rows, small):
    plain = points(rows, tiny=(150, 0.05), like_a=(350, 0.03), large=(900, 0.02), like_b=(800, 0.01))
    assert rows.best_ratio(plain, small) == (4.0, "b", "like_b")
    assert rows.best_ratio(plain, {"a": small["a"]}) == (3.5, "a", "like_a")


def test_where_none_is_as_accurate_the_largest_of_the_sweep_stands_for_it(rows, small):
    plain = points(rows, tiny=(150, 0.05), large=(500, 0.02))
    assert rows.best_ratio(plain, {"b": small["b"]}) == (2.5, "b", None)
    assert rows.best_ratio(plain, small) == (5.0, "a", "large")  # a network that was found counts before a bound


def test_a_plain_network_that_is_smaller_and_better_is_not_hidden(rows, small):
    assert rows.best_ratio(points(rows, better=(50, 0.001)), small)[0] == 0.5
