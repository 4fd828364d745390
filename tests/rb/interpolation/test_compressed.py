"""Fewer coordinates for a residual: never below it, close to it where queries are."""

import numpy as np
import pytest
from tests.certificates.non_affine_cases import Plate

from nwidth.rb.greedy import Greedy
from nwidth.rb.interpolation.compressed import compressed
from nwidth.rb.interpolation.problem import separated


@pytest.fixture(scope="module")
def surrogate():
    affine = separated(Plate(20), 100, 1e-5)
    return Greedy(tol=None, max_size=10, training=60, loads="sum").fit(problem=affine)


def factors(surrogate, mu):
    theta, phi = surrogate.problem.coefficients(mu)
    c = surrogate.predict(mu).values.coefficients
    functionals = np.zeros((len(c), len(surrogate.model.functionals)))
    return np.concatenate([phi, functionals, -(c[:, :, None] * theta[:, None, :]).reshape(len(c), -1)], axis=1)


def norms(residual, z):
    return np.linalg.norm(z @ residual.rows, axis=1) * residual.gain, np.abs(z) @ residual.defects


@pytest.mark.parametrize("share", [0.3, 0.02])
def test_queries_pay_the_share_and_save_coordinates(surrogate, share):
    small = compressed(surrogate, share)
    z = factors(surrogate, surrogate.parameters.sample(range(200), 9))
    whole, ours = norms(surrogate.residual, z), norms(small, z)
    assert (sum(ours) >= whole[0] * (1 - 1e-9)).all()
    assert np.median(sum(ours) / whole[0]) < 1 + 1.5 * share + 1e-6
    assert small.rows.shape[1] < 0.75 * surrogate.residual.rows.shape[1]


def test_it_is_a_bound_for_any_factors(surrogate):
    """Also for those that no query has."""
    small, rng = compressed(surrogate, 0.1), np.random.default_rng(0)
    for scale in (1.0, 1e-6):
        z = rng.normal(size=(200, len(small.rows))) * np.exp(rng.normal(scale=4, size=len(small.rows))) * scale
        assert (sum(norms(small, z)) >= norms(surrogate.residual, z)[0] * (1 - 1e-9)).all()
    rows = np.eye(len(small.rows))
    assert (sum(norms(small, rows)) >= norms(surrogate.residual, rows)[0] * (1 - 1e-9)).all()


def test_what_is_not_worth_it_stays(surrogate):
    assert compressed(surrogate, 1e-30) is surrogate.residual
