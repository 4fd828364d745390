"""How parameters at equal error are compared."""

from _parameter_rows import Point, best_ratio

SMALL = {"a": Point(100, 0.03), "b": Point(200, 0.01)}


def test_the_smallest_plain_network_that_is_as_accurate_counts():
    plain = {
        "tiny": Point(150, 0.05),
        "fits a": Point(350, 0.03),
        "large": Point(900, 0.02),
        "fits b": Point(800, 0.01),
    }
    assert best_ratio(plain, SMALL) == (4.0, "b", "fits b")
    assert best_ratio(plain, {"a": SMALL["a"]}) == (3.5, "a", "fits a")


def test_where_none_is_as_accurate_the_largest_of_the_sweep_stands_for_it():
    plain = {"tiny": Point(150, 0.05), "large": Point(500, 0.02)}
    assert best_ratio(plain, {"b": SMALL["b"]}) == (2.5, "b", None)


def test_a_plain_network_that_is_smaller_and_better_is_not_hidden():
    assert best_ratio({"better": Point(50, 0.001)}, SMALL)[0] == 0.5
