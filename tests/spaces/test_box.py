"""Boxes of scalars: draws, the unit cube, and what is said of a row outside."""

import json

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.spaces.box import Box

BOX = Box(("k", "h"), low=(0.8, 1e3), high=(6, 2e4), units=("W/mK", ""), log=(False, True))


def test_a_draw_depends_on_seed_and_index_alone():
    batch = BOX.sample(range(1000), seed=3)
    scattered = BOX.sample([700, 3, 255, 256], seed=3)
    for name in BOX.names:
        np.testing.assert_array_equal(batch[name][[700, 3, 255, 256]], scattered[name])
    assert not np.isclose(batch["k"], BOX.sample(range(1000), seed=4)["k"]).any()
    assert len(np.unique(batch["k"])) == 1000


def test_draws_are_uniform_on_each_scale():
    unit = BOX.to_unit(BOX.sample(range(20_000), seed=0))
    assert BOX.contains(BOX.sample(range(20_000), seed=0)).all()
    quantiles = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(np.quantile(unit, quantiles, axis=0), np.stack([quantiles] * 2, 1), atol=0.012)
    assert abs(np.corrcoef(unit.T)[0, 1]) < 0.025


def test_unit_cube_and_back():
    unit = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [0.25, 1.5]])
    mu = BOX.from_unit(unit)
    np.testing.assert_allclose(mu["k"], [0.8, 6.0, 3.4, 2.1], rtol=1e-15)
    np.testing.assert_allclose(mu["h"], [1e3, 2e4, 1e3 * np.sqrt(20), 1e3 * 20**1.5], rtol=1e-14)
    np.testing.assert_allclose(BOX.to_unit(mu), unit, atol=1e-14)
    assert BOX.contains(mu).tolist() == [True, True, True, False]


def test_corners_are_inside_whatever_the_rounding():
    rng = np.random.default_rng(0)
    low = rng.uniform(1e-3, 1, 200)
    box = Box([f"p{i}" for i in range(200)], low, low * rng.uniform(1.01, 100, 200), log=True)
    assert box.contains(box.from_unit(np.array([[0.0] * 200, [1.0] * 200]))).all()


def test_describe_names_the_parameter_the_side_and_the_range():
    mu = {"k": np.array([1.0, 7.0, np.nan, 0.5]), "h": np.array([25_000.0, 2e4, 1e3, 20_000.001])}
    assert BOX.describe(mu).tolist() == [
        "h = 25,000 is above your range 1,000-20,000",
        "k = 7 is above your range 0.8-6 W/mK",
        "k is not a finite number; your range is 0.8-6 W/mK",
        "k = 0.5 is below your range 0.8-6 W/mK; h = 20,000.001 is above your range 1,000-20,000",
    ]
    assert BOX.contains(mu).tolist() == [False] * 4
    signed = Box("t", -5, 5)
    assert signed.describe({"t": np.array([0.0, 6.0])}).tolist() == ["", "t = 6 is above your range -5 to 5"]


def test_round_trip_through_json():
    config, arrays, children = BOX.to_parts()
    again = Box.from_parts(json.loads(json.dumps(config)), arrays, children)
    assert again == BOX
    np.testing.assert_array_equal(again.sample([5], 1)["h"], BOX.sample([5], 1)["h"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box(()), "at least one name"),
        (lambda: Box(("a", "a")), "all different"),
        (lambda: Box("a", 2.0, 1.0), "a ranges from 2 to 1"),
        (lambda: Box("a", 0.0, np.inf), "finite"),
        (lambda: Box("a", 0.0, 1.0, log=True), "logarithmic"),
        (lambda: Box(("a", "b"), low=(0.0, 0.0, 0.0)), "low has 3 entries for 2 names"),
        (lambda: BOX.contains({"k": np.ones(2)}), "missing ['h']"),
        (lambda: BOX.contains({"k": np.ones((2, 1)), "h": np.ones((2, 1))}), "one number per query"),
        (lambda: BOX.from_unit(np.ones((3, 3))), "expected (B, 2)"),
        (lambda: BOX.to_unit({"k": np.ones(2), "h": np.array([1.0, -1.0])}), "h is -1 in row 1"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError) as caught:
        make()
    assert message in str(caught.value)
