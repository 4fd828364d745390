"""Non-affine problems made affine: terms, coefficients, rounding, storage."""

import numpy as np
import pytest
from tests.certificates.non_affine_cases import LONG, Plate, wide

import nwidth as nw
from nwidth.core.errors import InputError, WorkError
from nwidth.problems.moving_bump import MovingBump
from nwidth.problems.reciprocal_distance import ReciprocalDistance
from nwidth.rb.interpolation.problem import separated


@pytest.fixture(scope="module")
def plate():
    return Plate(6)


@pytest.fixture(scope="module")
def small(plate):
    return separated(plate, 100, 1e-6)


def test_the_affine_solution_approaches_the_true_one(plate, small):
    mu = plate.parameters.sample(range(10), 4)
    u = nw.solve(plate, mu).field
    errors = []
    for terms in (5, 15, 40):
        cut = small.truncate(**{role: min(terms, part.terms) for role, part in small.parts.items()})
        errors.append(np.abs(nw.solve(cut, mu).field - u).max() / np.abs(u).max())
    assert errors[0] > 10 * errors[1] > 100 * errors[2] and errors[2] < 1e-4


def test_coefficients_come_from_the_points_alone_and_are_sorted_by_role(plate, small):
    mu = plate.parameters.sample(range(6), 4)
    theta, phi = small.coefficients(mu)
    values, parts = plate.values(mu), small.by_role(theta, phi)
    count = sum(small.parts[role].terms for role in ("diffusion", "reaction"))
    assert theta.shape[1] == count == len(small.terms().matrices)
    assert phi.shape[1] == small.parts["source"].terms + count == len(small.terms().loads)
    for role, part in small.parts.items():
        found = parts[role] @ part.basis
        np.testing.assert_allclose(found[:, part.points], values[role][:, part.points], rtol=1e-9)
        assert np.abs(found - values[role]).max() < 1e-4 * np.abs(values[role]).max()


def test_rounding_of_the_assembly_stays_below_its_bound(plate, small):
    """Against the same sums in extended precision."""
    forms, free = plate.forms, plate.forms.free
    matrices, loads = small.rounding
    terms, lift = small.terms(), plate.forms.lift.astype(LONG)
    modes = [(role, mode) for role in ("diffusion", "reaction") for mode in small.parts[role].basis]
    for i in range(0, len(modes), 7):
        role, mode = modes[i]
        form = forms.stiffness if role == "diffusion" else forms.mass
        exact = form.pattern.matrix(wide(form._map) @ mode.astype(LONG))
        change = (exact - terms.matrices[i].astype(LONG)).astype(float).toarray()[np.ix_(free, free)]
        assert 0 < np.linalg.norm(change, 2) <= matrices[i]
        row = i + small.parts["source"].terms
        error = (-(exact @ lift) - terms.loads[row]).astype(float)[free]
        assert np.linalg.norm(error) <= loads[row]
    for i, mode in enumerate(small.parts["source"].basis[:5]):
        error = (wide(forms.load._map) @ mode.astype(LONG) - terms.loads[i]).astype(float)
        assert np.linalg.norm(error) <= loads[i]


def test_decay_on_the_case_of_the_literature():
    """The test case of Grepl, Maday, Nguyen and Patera (2007): exponential decay, Lebesgue constants of order one."""
    mu = ReciprocalDistance(8).parameters
    axis = -np.geomspace(0.01, 1.0, 20)
    grid = {name: column.ravel() for name, column in zip(mu.names, np.meshgrid(axis, axis), strict=True)}
    part = separated(ReciprocalDistance(24), grid, 1e-5).parts["reaction"]
    relative = part.errors / part.errors[0]
    assert part.terms < 45
    eights = relative[8::8]
    assert (eights[1:] < eights[:-1] / 3).all()
    assert 1 < part.lebesgue < 20


def test_as_a_problem_of_its_own_it_promises_no_more_than_an_estimate(plate, small):
    mu = plate.parameters.sample(range(3), 0)
    ours, true = small.constant(mu), plate.constant(mu)
    assert not ours.proven and true.proven
    np.testing.assert_array_equal(ours.lower, true.lower)
    assert list(small.quantities()) == ["mean", "end"]


def test_a_saved_problem_has_the_same_coefficients(small, plate, tmp_path):
    nw.save(small, tmp_path / "small.nwidth")
    again = nw.load(tmp_path / "small.nwidth", kinds=[Plate])
    mu = plate.parameters.sample(range(3), 0)
    for ours, theirs in zip(small.coefficients(mu), again.coefficients(mu), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_cannot_be_is_refused(small):
    with pytest.raises(InputError, match="there is no convection"):
        small.truncate(convection=3)
    with pytest.raises(WorkError, match="miss tol = 1e-09"):
        separated(MovingBump(6), 50, 1e-9, max_size=4)
