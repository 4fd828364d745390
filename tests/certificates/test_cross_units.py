"""Cross-conformal limits without a field: units that are stated beforehand are covered, others are said not to be."""

import numpy as np
import pytest
from tests.certificates.conformal_cases import Quadratic, runs, without_fields

from nwidth.certificates.cross_conformal import CrossConformalCertificate, cross_calibrate
from nwidth.certificates.quantities import TOGETHER
from nwidth.core.errors import InputError

UNITS = {"peak": 2.0, "mean": 0.5}


def test_the_words_say_that_every_run_trains():
    _, certificate = cross_calibrate(Quadratic(), runs(20, 1), 0.8)
    assert "every run trains, and is unseen by the fit that it calibrates" in str(certificate.guarantee)
    assert "not covered" not in str(certificate.guarantee)


def test_units_from_the_same_runs_are_said_not_to_be_covered():
    _, certificate = cross_calibrate(Quadratic(), without_fields(runs(20, 1)), 0.8)
    assert "the largest is not covered" in str(certificate.guarantee)


def test_stated_units_are_used_covered_and_kept():
    data, fresh = without_fields(runs(20, 1)), without_fields(runs(400, 2))
    surrogate, certificate = cross_calibrate(Quadratic(), data, 0.8, units=UNITS)
    assert certificate.spread == UNITS and "not covered" not in str(certificate.guarantee)
    answer = certificate.bound(surrogate.predict(fresh.mu))
    errors = [np.abs(o.values - fresh.outputs[n]) / UNITS[n] for n, o in answer.outputs.items()]
    assert np.mean(np.max(errors, axis=0) <= answer.bound) > 0.8
    largest = np.max([certificate.residuals[n] / UNITS[n] for n in UNITS], axis=0)
    np.testing.assert_allclose(certificate.residuals[TOGETHER], largest, rtol=1e-9)
    parts = certificate.to_parts()
    again = CrossConformalCertificate.from_parts(parts.config, parts.arrays, parts.children)
    assert again.guarantee == certificate.guarantee and again.spread == UNITS


@pytest.mark.parametrize("units", [{"peak": 1.0}, {"peak": 1.0, "mean": 0.0}, {"peak": 1.0, "mean": np.inf}])
def test_units_that_are_none_are_refused(units):
    with pytest.raises(InputError, match="above zero for each of peak, mean"):
        cross_calibrate(Quadratic(), without_fields(runs(20, 1)), 0.8, units=units)
