"""Numbers as people read them; above all, a limit is never rounded down."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nwidth.reports.words import (
    at_most,
    count,
    duration,
    exact,
    factor,
    percent,
    plural,
    quantity,
    round_up,
    significant,
)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (21234, "21,000"), (0.00078, "0.00078"), (1.55, "1.6"), (99.6, "100"), (9.96, "10"), (3e-9, "3.0·10⁻⁹"),
     (-0.25, "-0.25"), (math.inf, "∞")],
)  # fmt: skip
def test_two_significant_digits_without_exponents(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (9e-6, "9.0 µs"),
        (0.19, "190 ms"),
        (1.0, "1.0 s"),
        (0.9999, "1.0 s"),
        (9.996e-4, "1.0 ms"),
        (9.94e-4, "990 µs"),
        (138.0, "2.3 min"),
        (4e-9, "4.0 ns"),
    ],
)
def test_durations_in_the_unit_that_suits_them(seconds, text):
    assert plain(duration(seconds)) == text


@given(st.floats(1e-12, 1e9))
def test_a_limit_is_rounded_up_by_less_than_one_step(value):
    rounded = round_up(value)
    assert value * (1 - 1e-15) <= rounded <= value * 1.1 * (1 + 1e-12)


def test_a_shown_limit_is_never_below_the_limit():
    assert plain(at_most(0.000712, "K")) == "0.00072 K"
    assert plain(at_most(0.0008, "K", 1)) == "0.0008 K"
    assert plain(quantity(0.000712, "K")) == "0.00071 K"


def test_chosen_numbers_gain_no_digits():
    assert [exact(v) for v in (0.8, 15.0, 20_000.0, 1e-5)] == ["0.8", "15", "20,000", "1e-05"]


def test_small_words():
    assert plain(percent(0.0812)) == "8.1 %"
    assert plain(factor(21111.0)) == "21,000 x"
    assert count(math.inf) == "never" and count(17742.0) == "17,742"
    assert plural(1, "run") == "1 run" and plural(3, "run") == "3 runs"
