"""Problems with coefficients at quadrature points: manufactured solutions, dense constants, storage."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg as la
from tests.certificates.non_affine_cases import Plate, corners, exact

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.problems.elastic_body import box_mesh
from nwidth.problems.functions import Bump, Constant, Function, Reciprocal
from nwidth.problems.moving_bump import MovingBump, unit_square
from nwidth.problems.non_affine import Coefficients
from nwidth.problems.point_forms import PointForms
from nwidth.problems.reciprocal_distance import ReciprocalDistance
from nwidth.spaces.nodal import Nodal

CASES = [MovingBump(resolution=6), MovingBump(resolution=4, source="moving", degree=2, height=-0.8),
         ReciprocalDistance(resolution=6), Plate(5), Plate(4, 2)]  # fmt: skip
NAMES = [f"{type(case).__name__}-{i}" for i, case in enumerate(CASES)]


class Manufactured(Function):
    """f of `-∇·(a ∇u) = f` for u = sin πx sin πy and a bump a: `-a Δu - ∇a·∇u`."""

    kind = "testing-manufactured"

    def __init__(self, bump):
        self.bump = bump

    def values(self, points, mu):
        x, y = points.T
        a, t = self.bump.values(points, mu), points[None] - mu[:, None]
        slope = -(a - self.bump.base)[..., None] * t / self.bump.width**2
        gradient = np.pi * np.stack([np.cos(np.pi * x) * np.sin(np.pi * y), np.sin(np.pi * x) * np.cos(np.pi * y)], 1)
        return 2 * np.pi**2 * a * (np.sin(np.pi * x) * np.sin(np.pi * y)) - (slope * gradient).sum(axis=2)

    def to_parts(self):
        raise TypeError

    from_parts = classmethod(lambda cls, *parts: None)


@pytest.mark.parametrize(("degree", "order"), [(1, 2), (2, 3)])
def test_the_solution_converges_to_a_manufactured_one(degree, order):
    errors = []
    for resolution in (8, 16):
        problem = MovingBump(resolution=resolution, degree=degree)
        bump = problem.functions.diffusion
        problem.__dict__["functions"] = Coefficients(bump, Manufactured(bump))
        mu = {"mu_1": np.array([0.4]), "mu_2": np.array([0.7])}
        u = nw.solve(problem, mu).field
        nodes = problem.space.points()
        error = u - np.sin(np.pi * nodes[:, 0]) * np.sin(np.pi * nodes[:, 1])
        errors.append(float(problem.space.inner("mass").norm(error)[0]))
    assert np.log2(errors[0] / errors[1]) > order - 0.25
    assert errors[1] < (6e-3 if degree == 1 else 1e-4)


@pytest.mark.parametrize("problem", CASES, ids=NAMES)
def test_filled_systems_give_the_exact_solution(problem):
    mu = problem.parameters.sample(range(3), 2)
    u = nw.solve(problem, mu).field
    np.testing.assert_allclose(u, exact(problem, mu).astype(float), rtol=1e-8, atol=1e-11)
    assert (u.reshape(3, -1)[:, ~problem.free] == problem.forms.lift[~problem.free]).all()


@pytest.mark.parametrize("problem", CASES, ids=NAMES)
def test_constants_hold_the_spectrum(problem):
    """Against dense generalised eigenvalues; the bound is not idle."""
    mu = {name: np.concatenate([a, b]) for (name, a), b in zip(
        problem.parameters.sample(range(3), 2).items(), corners(problem.parameters).values(), strict=True)}  # fmt: skip
    stability, free = problem.constant(mu), problem.free
    x = problem.space.energy.matrix.toarray()[np.ix_(free, free)]
    filled = problem.fill(mu)
    assert np.linalg.eigvalsh(x)[0] >= problem.space.inner("energy").lambda_min > 0
    for i, values in enumerate(filled.values):
        spectrum = la.eigvalsh(problem.pattern.matrix(values).toarray(), x)
        assert 0 < stability.lower[i] <= spectrum[0] and spectrum[-1] <= stability.upper[i]
        assert stability.lower[i] > 0.3 * spectrum[0]


def test_a_negative_reaction_is_taken_off_the_constant():
    problem = Plate(5)
    sinking = Bump(-0.8, -0.5, 0.3)
    problem.functions = replace(problem.functions, diffusion=Constant(1.0), reaction=sinking)
    mu = problem.parameters.sample(range(4), 0)
    free = problem.free
    x = problem.space.energy.matrix.toarray()[np.ix_(free, free)]
    stability = problem.constant(mu)
    for lower, values in zip(stability.lower, problem.fill(mu).values, strict=True):
        smallest = la.eigvalsh(problem.pattern.matrix(values).toarray(), x)[0]
        assert 0.4 < lower <= smallest < 0.9


def test_matrices_compare_as_their_coefficients_do_point_by_point():
    """`|vᵀ (A - B) w| <= max |a - b| ‖v‖_X ‖w‖_X`, sharp up to the mesh: the heart of every bound here."""
    forms, rng = unit_square(5, 2), np.random.default_rng(0)
    x = forms.stiffness.matrix(forms.stiffness.ones).toarray()[np.ix_(forms.free, forms.free)]
    for _ in range(20):
        change = rng.uniform(-1, 1, size=forms.stiffness.shape)
        d = forms.stiffness.matrix(change).toarray()[np.ix_(forms.free, forms.free)]
        assert np.abs(la.eigvalsh(d, x)).max() <= np.abs(change).max()


def test_norms_of_the_forms_hold_for_all_signs():
    forms = unit_square(3, 2)
    for form, bound in ((forms.stiffness, forms.stiffness_norm), (forms.mass, forms.mass_norm)):
        total = abs(form._map) @ np.ones(form._map.shape[1])
        assert np.linalg.norm(form.pattern.matrix(total).toarray(), 2) <= bound
    assert np.linalg.norm(abs(forms.load._map) @ np.ones(len(forms.weights))) <= forms.load_norm


@pytest.mark.parametrize("problem", CASES[:3], ids=NAMES[:3])
def test_a_saved_problem_is_the_same(problem, tmp_path):
    nw.save(problem, tmp_path / "problem.nwidth")
    assert nw.load(tmp_path / "problem.nwidth") == problem


@pytest.mark.parametrize("function", [Constant(2.0), Bump(1.0, -0.3, 0.2), Reciprocal()])
def test_a_saved_function_is_the_same(function, tmp_path):
    nw.save(function, tmp_path / "function.nwidth")
    assert nw.load(tmp_path / "function.nwidth") == function


def test_names_in_the_zoo():
    assert nw.problems.get("moving-bump", resolution=4) == MovingBump(4)
    assert nw.problems.get("reciprocal_distance", resolution=4) == ReciprocalDistance(4)


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="above -1"):
        MovingBump(height=-1.0)
    with pytest.raises(InputError, match="uniform, moving"):
        MovingBump(source="none")
    problem = Plate(4)
    problem.functions = replace(problem.functions, diffusion=Bump(1.0, -1.5, 0.3))
    with pytest.raises(InputError, match="diffusion of row 0 is not a number above zero"):
        problem.fill(problem.parameters.sample(range(2), 0))
    with pytest.raises(InputError, match="reaction of row 0 is not a finite number"):
        near = ReciprocalDistance(resolution=2)
        with np.errstate(divide="ignore"):
            near.values({f"mu_{i + 1}": near.forms.points[:1, i] for i in range(2)})
    with pytest.raises(InputError, match="one finite number per query"):
        MovingBump(4).fill({"mu_1": np.array([np.nan]), "mu_2": np.array([0.5])})
    nodal = Nodal(box_mesh((1.0, 1.0), (2, 2)), 1, intorder=1)
    with pytest.raises(InputError, match="intorder=2"):
        PointForms(nodal, np.arange(9) > 0, np.zeros(9), 1.0)
    fine = Nodal(box_mesh((1.0, 1.0), (2, 2)), 1, intorder=2)
    with pytest.raises(InputError, match="some dofs must be prescribed"):
        PointForms(fine, np.ones(9, dtype=bool), np.zeros(9), 1.0)


@pytest.mark.parametrize("degree", [1, 2])
def test_fields_and_slopes_at_the_points_give_the_forms_back(degree):
    """`Σ w |∇u|² = uᵀ X u` and `Σ w u² = uᵀ M u`, and a linear field has its slope everywhere."""
    forms = unit_square(4, degree)
    u = np.random.default_rng(0).normal(size=len(forms.free))
    slope = sum((gradient @ u) ** 2 for gradient in forms.gradients)
    assert forms.weights @ slope == pytest.approx(u @ (forms.space.energy.matrix @ u), rel=1e-12)
    assert forms.weights @ (forms.evaluation @ u) ** 2 == pytest.approx(u @ (forms.space.mass.matrix @ u), rel=1e-12)
    linear = forms.space.points() @ [3.0, -2.0]
    for gradient, value in zip(forms.gradients, (3.0, -2.0), strict=True):
        np.testing.assert_allclose(gradient @ linear, value, rtol=1e-11)
    np.testing.assert_allclose(forms.evaluation @ linear, forms.points @ [3.0, -2.0], atol=1e-13)
