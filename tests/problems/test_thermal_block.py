"""The thermal block against the series solution of Poisson's equation and against pyMOR's matrices."""

import numpy as np
import pytest
from tests.rb.affine_cases import corners

from nwidth.core.errors import InputError
from nwidth.core.kinds import available
from nwidth.problems.thermal_block import ThermalBlock, criss_cross
from nwidth.solvers.choose import solve


def series_mean(terms=401):
    """Mean of u for -Δu = 1, u = 0 on the boundary of the unit square: Σ 64 / (π⁶ m² n² (m² + n²)), m and n odd."""
    m = np.arange(1.0, terms, 2)
    return float((64 / (np.pi**6 * np.outer(m**2, m**2) * np.add.outer(m**2, m**2))).sum())


def series_centre(terms=801):
    """u at the centre: Σ 16 (-1)^((m+n)/2 - 1) / (π⁴ m n (m² + n²)), m and n odd."""
    m = np.arange(1.0, terms, 2)
    sign = np.sin(m * np.pi / 2)
    return float((16 * np.outer(sign, sign) / (np.pi**4 * np.outer(m, m) * np.add.outer(m**2, m**2))).sum())


def mean_and_centre(resolution, kappa=1.0, blocks=2):
    problem = ThermalBlock(blocks, resolution)
    mu = {name: np.array([kappa]) for name in problem.parameters.names}
    field = solve(problem, mu).field[0]
    centre = np.flatnonzero((np.abs(problem.space.points() - 0.5) < 1e-12).all(axis=1))
    return problem.quantities()["mean"].functional @ field, field[centre[0]]


def test_equal_conductivities_converge_to_the_series_of_poissons_equation():
    exact = np.array([series_mean(), series_centre()])
    errors = np.array([np.abs(mean_and_centre(n) - exact) for n in (8, 16, 32, 64)])
    order = np.log2(errors[:-1] / errors[1:])
    assert (order[:, 0] > 1.9).all() and (order[1:, 1] > 1.8).all()
    assert errors[-1, 0] < 1.2e-5 and errors[-1, 1] < 2e-5
    assert series_mean() == pytest.approx(0.035144253, abs=1e-8)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_conductivity_scales_the_solution_whatever_the_blocks(blocks):
    one, five = mean_and_centre(16, 1.0, blocks), mean_and_centre(16, 5.0, blocks)
    np.testing.assert_allclose(np.array(one) / 5, five, rtol=1e-12)
    np.testing.assert_allclose(one, mean_and_centre(16, 1.0, 1), rtol=1e-12)


def test_default_is_the_mesh_of_the_published_benchmark():
    nodes, triangles = criss_cross(100)
    assert nodes.shape == (2, 20_201) and triangles.shape == (3, 40_000)
    a, b, c = (nodes[:, triangles[i]] for i in range(3))
    area = np.cross((b - a).T, (c - a).T) / 2
    np.testing.assert_allclose(area, 0.25e-4, rtol=1e-9)


@pytest.mark.parametrize("blocks", [2, 3])
def test_constants_enclose_the_spectrum_at_corners(blocks):
    problem = ThermalBlock(blocks, 6)
    free, terms = problem.terms().free, [a.toarray() for a in problem.terms().matrices]
    mu = {name: values[:: 2 ** (blocks**2 - 4)] for name, values in corners(problem).items()}
    stability = problem.constant(mu)
    x = problem.space.energy.matrix.toarray()[np.ix_(free, free)]
    root = np.linalg.inv(np.linalg.cholesky(x))
    for theta, low, high in zip(problem.coefficients(mu)[0], stability.lower, stability.upper, strict=True):
        a = sum(t * m for t, m in zip(theta, terms, strict=True))[np.ix_(free, free)]
        spectrum = np.linalg.eigvalsh(root @ a @ root.T)
        assert low <= spectrum[0] * (1 + 1e-12) and spectrum[-1] <= high * (1 + 1e-12)
        # attained: a block larger than one cell holds functions of its own
        assert spectrum[0] <= low * (1 + 1e-7) and spectrum[-1] >= high * (1 - 1e-7)
    assert stability.proven


@pytest.mark.skipif(not available("pymor"), reason="pyMOR is not installed")
@pytest.mark.parametrize("blocks", [2, 3])
def test_matrices_are_those_of_pymor(blocks):
    from pymor.analyticalproblems.thermalblock import thermal_block_problem
    from pymor.core.logger import set_log_levels
    from pymor.discretizers.builtin import discretize_stationary_cg

    set_log_levels({"pymor": "ERROR"})
    fom, data = discretize_stationary_cg(thermal_block_problem((blocks, blocks)), diameter=1 / 10)
    problem = ThermalBlock(blocks, 10)
    mu = problem.parameters.sample(range(1), 3)
    theirs = fom.solve(fom.parameters.parse({"diffusion": problem.coefficients(mu)[0][0]})).to_numpy()
    theirs = theirs.ravel()
    ours = solve(problem, mu).field[0]
    nodes, other = problem.space.points(), data["grid"].centers(2)
    order, theirs_order = (np.lexsort(np.round(p, 9).T) for p in (nodes, other))
    np.testing.assert_allclose(nodes[order], other[theirs_order], atol=1e-12)
    np.testing.assert_allclose(ours[order], theirs[theirs_order], rtol=1e-9, atol=1e-13)


def test_blocks_are_numbered_row_by_row_from_the_lower_left():
    problem = ThermalBlock(2, 8)
    x, y = problem.space.points().T
    for i, (column, row) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        touched = np.unique(problem.terms().matrices[i].nonzero()[0])
        assert (np.abs(x[touched] - 0.25 - 0.5 * column) <= 0.25 + 1e-12).all()
        assert (np.abs(y[touched] - 0.25 - 0.5 * row) <= 0.25 + 1e-12).all()


def test_stored_problem_is_checked_and_impossible_sizes_are_refused():
    problem = ThermalBlock(2, 8)
    config, arrays, _ = problem.to_parts()
    assert ThermalBlock.from_parts(config, arrays, {}) == problem
    with pytest.raises(InputError, match="not the same problem any more"):
        ThermalBlock.from_parts(config, {"check": arrays["check"] * 1.01}, {})
    for blocks, resolution in ((0, 8), (9, 8)):
        with pytest.raises(InputError, match="at least one"):
            ThermalBlock(blocks, resolution)
