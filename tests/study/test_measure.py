"""Timing that is fair, and facts about the run."""

import numpy as np

from nwidth.study.measure import PACKAGES, Timing, alternate, digest, machine, recorded, versions


def test_contestants_take_turns():
    order = []
    timings = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=3, warm_up=1)
    assert order == ["a", "b"] * 4
    assert {name: len(t.seconds) for name, t in timings.items()} == {"a": 3, "b": 3}, "the warm-up is not counted"


def test_the_median_ignores_one_slow_moment():
    timing = Timing((1.0, 9.0, 2.0))
    assert timing.median == 2.0 and timing.spread == 9.0 and timing.least == 1.0


def test_the_clock_is_the_callers():
    """A clock that only "slow" moves: what is timed lies between its two readings, and nothing else does."""
    now = [0.0]

    def slow():
        now[0] += 3.0

    timings = alternate({"slow": slow, "free": lambda: None}, repeats=2, clock=lambda: now[0])
    assert timings["slow"].seconds == (3.0, 3.0) and timings["free"].seconds == (0.0, 0.0)


def test_what_is_recorded_has_every_part_by_name():
    found = recorded({"a": Timing((1.0, 9.0, 2.0)), "b": Timing((4.0,))})
    assert found["least seconds"] == {"a": 1.0, "b": 4.0}
    assert found["median seconds"] == {"a": 2.0, "b": 4.0} and found["spread"] == {"a": 9.0, "b": 1.0}


def test_a_digest_sees_value_type_and_shape():
    a = np.arange(6.0)
    others = [a + 1e-12, a.astype(np.float32), a.reshape(2, 3)]
    assert digest(a) == digest(a.copy()) and len({digest(x) for x in [a, *others]}) == 4


def test_machine_and_versions_are_complete():
    assert machine()["Processor"] and set(versions()) == {"nwidth", "Python", *PACKAGES}
    assert versions(["no-such-package"])["no-such-package"] == "not installed"
