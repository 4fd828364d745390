"""The loosest tolerance that is enough."""

import pytest

from nwidth.study.matching import loosest_residual


@pytest.mark.parametrize(("enough", "expected"), [(1.0, 0.3), (0.004, 0.003), (3e-7, 3e-7), (0.0, 1e-10)])
def test_the_first_tolerance_that_is_enough_is_taken_and_none_is_looser(enough, expected):
    tried = []
    found = loosest_residual(lambda stop: tried.append(stop.value) or stop.value <= enough)
    assert (found.kind, found.value) == ("residual", expected)
    assert tried == sorted(tried, reverse=True) and tried[-1] == expected
