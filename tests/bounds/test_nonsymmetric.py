"""Coercivity, continuity and skewness read off the faces of a matrix, against dense eigenvalues."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounds.nonsymmetric_cases import ends_of_symmetric_part, matrices

from nwidth.bounds.metric import energy_matrix, energy_stencils
from nwidth.bounds.nonsymmetric import FaceConstants, field_of_values
from nwidth.core.errors import InputError
from nwidth.problems.advection_diffusion import AdvectionDiffusion
from nwidth.problems.darcy import Darcy
from nwidth.problems.grid_stencil_systems import multiply
from nwidth.problems.helmholtz import Helmholtz
from nwidth.spaces.grid import Grid
from nwidth.testing.dense import DenseProblem
from nwidth.testing.equilibrated_references import GivenGrid

CASES = [
    {},
    {"scheme": "central"},
    {"centring": "cell", "walls": True},
    {"flow": "uniform"},
    {"flow": "uniform", "dim": 3, "scheme": "central"},
    {"flow": "uniform", "boundary_type": ("dirichlet", ("robin", "neumann"))},
    {"flow": "uniform", "boundary_type": ("robin", "dirichlet"), "centring": "cell", "reaction_rate": 3.0},
    {"boundary_type": (("neumann", "dirichlet"), "robin"), "walls": True},
]


class Converging(AdvectionDiffusion):
    """A flow into the middle: its divergence is negative everywhere."""

    strength = 1.0

    def velocity(self, mu):
        x, y = (axis.faces for axis in self.space.directions)
        n = self.space.shape[0]
        return (
            np.broadcast_to(self.strength * (0.5 - x)[:, None], (1, n + 1, n)),
            np.broadcast_to(self.strength * (0.5 - y)[None, :], (1, n, n + 1)),
        )


def constants(problem, mu):
    inner = problem.space.inner("energy")
    return field_of_values(problem.stencils(mu), energy_stencils(problem.space), inner.lambda_min)


@settings(max_examples=30, deadline=None)
@given(
    case=st.sampled_from(CASES), log_peclet=st.floats(-1, 4), resolution=st.integers(3, 7), seed=st.integers(0, 1000)
)
def test_the_constants_enclose_the_dense_ones(case, log_peclet, resolution, seed):
    problem = AdvectionDiffusion(resolution, peclet=10.0**log_peclet, **case)
    mu = problem.parameters.sample(range(2), seed)
    found, x = constants(problem, mu), energy_matrix(problem.space)
    for i, (a, *_) in enumerate(matrices(problem, mu)):
        low, high, skew = ends_of_symmetric_part(a, x)
        room = 1e-11 * (abs(low) + high)
        assert found.lower[i] <= low + room and high <= found.upper[i] + room and skew <= found.skew[i] + room


def test_without_upwinding_the_coercivity_is_the_diffusion_itself():
    """The dense eigenvalue is a = 1 / Pe; 1 % more would not be a bound."""
    problem = AdvectionDiffusion(8, peclet=40.0, scheme="central")
    mu = problem.parameters.sample(range(3), 0)
    found = constants(problem, mu)
    np.testing.assert_allclose(found.lower, 1 / 40, rtol=1e-9)
    for a, *_ in matrices(problem, mu):
        assert ends_of_symmetric_part(a, energy_matrix(problem.space))[0] == pytest.approx(1 / 40, rel=1e-9)


def test_a_symmetric_problem_gives_its_own_constants():
    """At a corner two ends are summed, which can only be sharper."""
    problem = Darcy(12, law="log-normal", modes=8)
    mu = problem.parameters.sample(range(3), 0)
    found, own = constants(problem, mu), problem.constant(mu)
    assert (found.lower >= own.lower * (1 - 1e-9)).all() and (found.upper <= own.upper * (1 + 1e-9)).all()
    np.testing.assert_allclose(found.lower, own.lower, rtol=0.2)
    np.testing.assert_allclose(found.upper, own.upper, rtol=0.2)
    assert (found.skew < 1e-9).all()


def test_the_constants_are_those_of_the_faces_where_one_node_has_them_all():
    """All faces of a node have the smallest (largest) coefficient: its unit vector attains it, and no more is true."""
    a = np.full((2, 8, 7), 2.0)
    a[0, 3, 2:5], a[0, 2:5, 3] = 0.5, 0.5
    a[1, 3, 2:5], a[1, 2:5, 3] = 32.0, 32.0
    problem = GivenGrid(Grid((7, 6), (1.0, 1.3)))
    mu = {"a": a, "f": 0 * a, "g": 0 * a}
    found, x = constants(problem, mu), energy_matrix(problem.space)
    own = problem.constant(mu)
    for constant in (found, own):
        np.testing.assert_allclose([constant.lower[0], constant.upper[1]], [0.5, 32.0], rtol=1e-9)
    for i, (matrix, *_) in enumerate(matrices(problem, mu)):
        low, high, _ = ends_of_symmetric_part(matrix, x)
        for constant in (found, own):
            assert constant.lower[i] <= low * (1 + 1e-12) and high <= constant.upper[i] * (1 + 1e-12)


def test_the_unit_stencils_are_the_energy_product():
    for case in CASES:
        space = AdvectionDiffusion(5, **case).space
        x, inner = energy_stencils(space), space.inner("energy")
        v = np.random.default_rng(0).normal(size=(1, *x.shape))
        field = np.zeros((1, *space.shape))
        field[(slice(None), *space.free_box)] = v.reshape(field[(slice(None), *space.free_box)].shape)
        mine = multiply(x, np.ascontiguousarray(v)).ravel()
        np.testing.assert_allclose(mine, inner.apply(space.flatten(field))[:, space.free][0], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(mine, energy_matrix(space) @ v.ravel(), rtol=1e-12, atol=1e-12)


def test_a_weak_divergence_is_paid_for_and_a_strong_one_refused():
    """λ_min against the mass is about 2π² = 19.7: half the divergence, 1, over that is what α loses."""
    weak = Converging(10, peclet=5.0, scheme="central")
    mu = weak.parameters.sample(range(1), 0)
    found = constants(weak, mu)
    low = ends_of_symmetric_part(matrices(weak, mu)[0][0], energy_matrix(weak.space))[0]
    assert 0.5 * low < found.lower[0] <= low < 1 / 5
    strong = Converging(10, peclet=100.0, scheme="central")
    dual = FaceConstants().prepare(strong)(mu)
    assert np.isinf(dual.above[0]) and dual.below[0] == 0 and "divergence" in dual.reason[0]


def test_an_end_that_lets_in_is_not_called_coercive():
    """Through a Neumann or Robin end the flow may carry in: the dense symmetric part is then indefinite."""
    problem = AdvectionDiffusion(10, flow="uniform", boundary_type=("dirichlet", ("robin", "neumann")))
    mu = {"angle": np.array([-1.5, -1.0])}
    found = constants(problem, mu)
    lows = [ends_of_symmetric_part(a, energy_matrix(problem.space))[0] for a, *_ in matrices(problem, mu)]
    assert max(lows) < 0 and (found.lower <= lows).all()


@pytest.mark.parametrize(
    "problem", [Helmholtz(8), AdvectionDiffusion(6, boundary_type="neumann", reaction_rate=1.0, walls=True)]
)
def test_problems_that_do_not_suit_are_refused(problem):
    with pytest.raises(InputError, match="stencils on a Grid|no end of the grid"):
        FaceConstants().prepare(problem)


def test_a_space_without_a_matrix_is_refused():
    with pytest.raises(InputError, match="no matrix of its energy product"):
        energy_matrix(DenseProblem().space)
