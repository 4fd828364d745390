"""Heat in closed form: order in space and time on grids and triangles, the source, generation, storage."""

import json
from dataclasses import replace

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.problems.heat import Heat
from nwidth.solvers.implicit import BDF2, CrankNicolson

MU = {
    "conductivity": np.array([0.2, 1.0, 0.5]),
    "slope": np.array([0.0, 3.0, 1.0]),
    "frequency": np.array([1.0, 4.0, 2.5]),
}


@pytest.mark.parametrize(
    ("options", "sizes", "largest"),
    [
        ({"dim": 1}, (16, 32, 64), 2.0),
        ({"dim": 2}, (8, 16, 32), 0.6),
        ({"dim": 3}, (4, 8, 16), 0.6),
        ({"elements": "triangles"}, (8, 16, 32), 1.2),
    ],
)
def test_second_order_in_space_and_absolute_error(options, sizes, largest):
    errors = []
    for n in sizes:
        problem = Heat(n, **options)
        found = nw.solve(problem, MU, CrankNicolson(accuracy=1e-7))
        assert found.converged.all()
        errors.append(np.abs(found.field - problem.exact(MU)).reshape(3, -1).max(axis=1))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders[-1], 2.0, atol=0.15)
    assert errors[-1].max() < largest / sizes[-1] ** 2
    assert errors[-1].max() > 0.02 * largest / sizes[-1] ** 2


@pytest.mark.parametrize("elements", ["grid", "triangles"])
@pytest.mark.parametrize("method", [CrankNicolson, BDF2])
def test_second_order_in_time(elements, method):
    """Against much smaller steps on the same mesh, whose own error in space does not matter here."""
    problem = Heat(12, elements=elements, levels=(0.5, 1.0))
    fine = nw.solve(problem, MU, CrankNicolson(1 / 1024, check=False, smooth=0)).field
    errors = [
        np.abs(nw.solve(problem, MU, method(h, check=False)).field - fine).max() for h in (1 / 32, 1 / 64, 1 / 128)
    ]
    assert abs(np.log2(errors[1] / errors[2]) - 2) < 0.25, errors
    assert 1e-8 < errors[-1] < 1e-5


@pytest.mark.parametrize("dim", [1, 2])
def test_source_and_solution_satisfy_the_equation(dim):
    """∂t u - ∇·(κ a ∇u) - f by differences of the closed forms, inside."""
    n, h, t = {1: 400, 2: 200}[dim], 1e-4, 0.5
    problem = Heat(n, dim, levels=(t - h, t, t + h))
    u = problem.exact(MU)
    x = np.stack(np.meshgrid(*problem.space.axes(), indexing="ij"), -1)
    for i in range(3):
        kappa, slope, omega = (MU[name][i] for name in ("conductivity", "slope", "frequency"))
        parts = problem._sources(kappa, slope, omega)
        f = np.exp(-t) * parts[0](x) + (1 - t / 2) * parts[1](x) + parts[2](x)
        flux = np.zeros_like(f)
        a = 1 + slope / dim * (x**2).sum(-1)
        for axis in range(dim):
            face = lambda v, axis=axis: 0.5 * (v + np.roll(v, -1, axis))  # noqa: E731
            jump = face(kappa * a) * (np.roll(u[i, 1], -1, axis) - u[i, 1]) * n
            flux += (jump - np.roll(jump, 1, axis)) * n
        residual = ((u[i, 2] - u[i, 0]) / (2 * h) - flux - f)[(slice(1, -1),) * dim]
        assert abs(residual).max() < 300 / n**2
        assert abs(f).max() > 0.1


def test_prescribed_values_and_the_initial_state_are_exact():
    for problem in (Heat(8, levels=(0.0, 1.0)), Heat(8, elements="triangles", levels=(0.0, 1.0))):
        found, exact = nw.solve(problem, MU).field, problem.exact(MU)
        edge = ~problem.space.free
        np.testing.assert_allclose(found.reshape(3, 2, -1)[..., edge], exact.reshape(3, 2, -1)[..., edge], atol=1e-14)
        np.testing.assert_allclose(found[:, 0], problem.initial(MU), atol=1e-14)


def test_no_two_triangles_are_alike():
    space = Heat(8, elements="triangles").space
    corners = space.nodes[space.elements]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]) / 2
    assert abs(areas.sum() - 1) < 1e-12
    assert areas.max() > 1.2 * areas.min()


def test_generation_resizing_and_storage():
    problem = Heat(8)
    runs = nw.generate(problem, 4, seed=3)
    assert "Crank-Nicolson" in runs.provenance["why"]
    assert runs.fields.shape == (4, 4, 9, 9)
    finer = nw.generate(problem.at(16), 4, seed=3)
    np.testing.assert_array_equal(np.asarray(finer.mu["slope"]), np.asarray(runs.mu["slope"]))
    assert abs(np.asarray(finer.fields)[..., ::2, ::2] - np.asarray(runs.fields)).max() < 0.02
    for stored in (problem, Heat(6, elements="triangles")):
        parts = stored.to_parts()
        config = json.loads(json.dumps(parts.config))
        assert Heat.from_parts(config, parts.arrays, parts.children) == stored
        with pytest.raises(InputError, match="not the same problem any more"):
            Heat.from_parts({**config, "resolution": 7}, parts.arrays, parts.children)


def test_bad_input_is_named():
    for make, message in [
        (lambda: Heat(elements="squares"), "choose one of grid, triangles"),
        (lambda: Heat(8, 3, "triangles"), "they need dim=2"),
        (lambda: Heat(1), "at least 2 cells"),
        (lambda: Heat(1, elements="triangles"), "at least 2 cells"),
        (lambda: Heat(8, levels=(2.0, 1.0)), "increasing finite times"),
        (lambda: Heat(8).marching(MU), "one parameter, got 3"),
        (lambda: nw.solve(Heat(8), {**MU, "conductivity": -MU["conductivity"]}), "heat needs κ > 0"),
    ]:
        with pytest.raises(InputError, match=message):
            make()
    assert replace(Heat(8), levels=1.0).levels == (1.0,)
