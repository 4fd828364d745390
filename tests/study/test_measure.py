"""Timing that is fair, and facts about the run."""

import numpy as np

from nwidth.study.measure import PACKAGES, Timing, alternate, digest, machine, versions


def test_contestants_take_turns():
    order = []
    timings = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=3, warm_up=1)
    assert order == ["a", "b"] * 4
    assert {name: len(t.seconds) for name, t in timings.items()} == {"a": 3, "b": 3}, "the warm-up is not counted"


def test_the_median_ignores_one_slow_moment():
    timing = Timing((1.0, 9.0, 2.0))
    assert timing.median == 2.0 and timing.spread == 9.0


def test_a_digest_sees_value_type_and_shape():
    a = np.arange(6.0)
    others = [a + 1e-12, a.astype(np.float32), a.reshape(2, 3)]
    assert digest(a) == digest(a.copy()) and len({digest(x) for x in [a, *others]}) == 4


def test_machine_and_versions_are_complete():
    assert machine()["Processor"] and set(versions()) == {"nwidth", "Python", *PACKAGES}
    assert versions(["no-such-package"])["no-such-package"] == "not installed"
