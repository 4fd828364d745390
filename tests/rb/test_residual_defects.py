"""The defects of stored coordinates against extended precision: each bounds what its coordinates miss."""

import numpy as np
import pytest
import scipy.linalg
from tests.rb.affine_cases import LONG, Random, wide

from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.orthonormal import extension
from nwidth.rb.residual import ResidualBuilder


def built(problem, modes, seed=0):
    """A builder with modes that come one by one, and its model."""
    terms, inner = problem.terms(), problem.space.inner("energy")
    builder = ResidualBuilder(terms, np.zeros((0, problem.space.size)), inner, modes)
    basis = np.zeros((0, problem.space.size))
    rng = np.random.default_rng(seed)
    for _ in range(modes):
        fresh, new = extension(basis, inner.riesz(rng.normal(size=(1, problem.space.size)) * terms.free), inner)
        builder.add(fresh, new)
        basis = np.concatenate([basis, fresh])
    return builder, builder.model(), basis


def missed(problem, builder, model, basis, rows):
    """`‖functional - X W ρ‖_{X⁻¹}` in extended precision, in the order of the rows."""
    terms, free = problem.terms(), problem.terms().free
    x = wide(problem.space.inner("energy").matrix)
    w = builder._w[: rows.shape[1], free].astype(LONG)
    functionals = [terms.loads[:, free].astype(LONG)]
    for mode in basis:
        functionals += [(wide(a) @ mode.astype(LONG))[None, free] for a in map(type(x), terms.matrices)]
    rest = np.concatenate(functionals) - np.stack([x @ v for v in rows.astype(LONG) @ w])
    factor = scipy.linalg.cho_factor(x.astype(np.float64).toarray())
    values = [float(r @ scipy.linalg.cho_solve(factor, r.astype(np.float64))) for r in rest]
    return np.sqrt(np.maximum(values, 0.0))


@pytest.mark.parametrize("problem", [ThermalBlock(resolution=8), Random(size=25, spread=1e6)], ids=["block", "random"])
def test_a_defect_bounds_what_the_coordinates_miss(problem):
    builder, model, basis = built(problem, 4)
    assert (missed(problem, builder, model, basis, model.rows) <= model.defects).all()
    assert (model.defects < 1e-8 * np.linalg.norm(model.rows, axis=1)).all()


@pytest.mark.parametrize("shift", [1e-9, 1e-4])
def test_coordinates_that_are_off_have_the_defect_of_their_error(shift):
    """Not only rounding: whatever is stored is what is bounded."""
    problem = ThermalBlock(resolution=8)
    builder, model, basis = built(problem, 3)
    rows = model.rows.copy()
    rows[:, 0] += shift
    defects = builder._defects(rows)
    true = missed(problem, builder, model, basis, rows)
    assert (true >= 0.9 * shift).all()
    assert (true <= defects).all()
    constant = np.sqrt(1 / problem.space.inner("energy").lambda_min)  # from the Euclidean norm to that of X⁻¹
    assert (defects <= 3 * constant * true).all()


def test_the_gain_bounds_the_norm_of_a_basis_that_is_not_orthonormal():
    problem = ThermalBlock(resolution=8)
    builder, model, _ = built(problem, 3)
    assert 1 < model.gain < 1 + 1e-6
    builder._w[1] += 0.01 * builder._w[0]
    w = builder._w[: builder._used]
    gram = w @ problem.space.inner("energy").apply(w).T
    assert np.sqrt(np.linalg.eigvalsh(gram)[-1]) <= builder.model().gain <= 1.03
