"""The test of what is typical: the same answer alone and in a batch, every node looked at, the limit from the rest."""

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.spaces import field_density
from nwidth.spaces.field_density import fit_density

X, Y = np.meshgrid(np.linspace(0, 1, 33), np.linspace(0, 1, 33), indexing="ij")
MODES = np.array([np.cos(np.pi * i * X) * np.cos(np.pi * j * Y) for i in range(4) for j in range(4)])[1:9]


def eight_modes(count, seed, size=0.0):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(count, 8)) * rng.uniform(1, 1 + size, (count, 1))
    return np.einsum("bk,kij->bij", weights, MODES)


def smooth(count, seed, size=0.0):
    """Of squared-exponential covariance: nearly all of it in a few components."""
    rng, x = np.random.default_rng(seed), np.linspace(0, 1, 33)
    values, vectors = np.linalg.eigh(np.exp(-((x[:, None] - x) ** 2) / 0.5))
    root = vectors * np.sqrt(np.maximum(values, 0))
    white = rng.normal(size=(count, 33, 33)) * rng.uniform(1, 1 + size, (count, 1, 1))
    return root @ white @ root.T


def positive(count, seed, size=0.0):
    return np.exp(0.3 * smooth(count, seed, size))


@pytest.mark.parametrize("draw", [eight_modes, smooth, positive])
def test_a_field_is_inside_or_not_whatever_is_asked_with_it(draw):
    """What is left outside of the components was the rounding of a product in single precision, where they hold all."""
    density, queries = fit_density(draw(400, 0)), draw(300, 1, size=1.0)
    together = density.score(queries)
    alone = np.array([density.score(query[None])[0] for query in queries])
    np.testing.assert_allclose(together, alone, rtol=1e-7)
    assert 0.3 < density.typical(queries).mean() < 0.99  # many lie near the limit
    np.testing.assert_array_equal(density.typical(queries[::-1])[::-1], density.typical(queries))


@pytest.mark.parametrize("row", range(0, 120, 17))
def test_every_node_of_the_training_fields_is_looked_at(row):
    fields = np.random.default_rng(0).normal(size=(120, 64, 64)).cumsum(axis=1).cumsum(axis=2)
    assert field_density._thinned((64, 64))[0].step > 1
    for value in (np.nan, np.inf):
        fields[row, 1, 1] = value
        with pytest.raises(InputError, match="not finite"):
            fit_density(fields)


def split_of(count, seed=0):
    order = generator(seed, field_density._STREAM + 1).permutation(count)
    return np.split(order, [count // 2, 3 * count // 4])


@pytest.mark.parametrize("which", [0, 1, 2], ids=["components", "sizes", "limit"])
def test_whether_logarithms_are_taken_is_not_decided_by_the_fields_that_give_the_limit(which):
    """One field in 400 is not positive: the last quarter must not know."""
    fields = positive(400, 0)
    fields[split_of(400)[which][3], 5, 5] = -1.0
    density = fit_density(fields, level=0.95)
    assert density.logarithm == (which == 2)
    assert np.isfinite(density.limit) and density.typical(positive(200, 2)).mean() > 0.93
    p, _ = density.drift(positive(200, 2))
    assert p > 1e-3


def test_a_limit_without_end_is_no_test():
    fields = positive(400, 0)
    fields[split_of(400)[2][:5], 5, 5] = -1.0
    with pytest.raises(InputError, match="not positive"):
        fit_density(fields, level=0.99)


def test_values_beyond_single_precision_are_refused_in_words():
    with pytest.raises(InputError, match="single precision"):
        fit_density(1e-50 * positive(120, 0))


def test_no_fields_are_no_batch():
    density = fit_density(positive(120, 0))
    nothing = positive(1, 0)[:0]
    assert density.score(nothing).shape == (0,) and density.describe(nothing) == []
    with pytest.raises(InputError, match="no fields"):
        density.drift(nothing)
