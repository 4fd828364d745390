"""Diffusion, transport and reaction on grids: every form against dense matrices, orders of convergence, bad input."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.problems.transport_cases import ENDS, Manufactured, RandomTransport, face_shape

from nwidth.core.errors import InputError
from nwidth.problems.grid_range import energy_range
from nwidth.problems.grid_terms import GridTerms
from nwidth.problems.grid_transport import from_stream_function
from nwidth.spaces.grid import Grid
from nwidth.testing.dense_grid import dense_stencils, dense_transport

PAGE = Path(__file__).resolve().parents[2] / "docs" / "grids.md"
MU = {"seed": np.array([3.0, 4.0])}
GRIDS = [Grid((5,), 2.0, (ends,), centring) for ends, centring in product(ENDS, ("node", "cell"))]
GRIDS += [
    Grid((4, 5), (1.0, 3.0), (("dirichlet", "neumann"), "periodic"), "node"),
    Grid((4, 3), (1.0, 3.0), (("robin", "dirichlet"), "periodic"), "cell"),
    Grid((3, 4), (1.0, 3.0), (("robin", "neumann"), ("neumann", "dirichlet")), "node"),
    Grid((3, 4, 3), (1.0, 0.3, 2.0), (("neumann", "dirichlet"), "robin", "periodic"), "node"),
    Grid((3, 3, 4), (1.0, 0.3, 2.0), ("dirichlet", "periodic", ("neumann", "robin")), "cell"),
    Grid((3, 4, 2), (1.0, 0.3, 2.0)),
]
KINDS = [("upwind", True, True), ("central", True, False), ("upwind", False, True)]


def oracle(problem, i):
    """Dense matrix and right-hand side of sample i over all values."""
    terms = problem.terms(MU)
    on_sides = [{(s.axis, s.end): v[i] for s, v in given.items()} for given in (terms.kappa, terms.data)]
    return dense_transport(
        problem.space,
        terms.a[i],
        face=problem.face,
        scheme=problem.scheme,
        velocity=None if terms.velocity is None else [v[i] for v in terms.velocity],
        reaction=None if terms.reaction is None else terms.reaction[i],
        kappa=on_sides[0],
        data=on_sides[1],
        source=terms.source[i],
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_form_against_the_dense_matrix(grid, kind):
    scheme, moving, reacting = kind
    face = "harmonic" if reacting else "arithmetic"
    problem = RandomTransport(grid, scheme, face, moving, reacting or grid.floating)
    systems, stencils, free = problem.systems(MU), problem.stencils(MU), grid.free
    blocks = dense_stencils(stencils)
    v = np.random.default_rng(0).standard_normal((2, grid.size))
    dirty = np.where(free, v, np.nan)
    assert stencils.symmetric == (not moving)
    for i in range(2):
        matrix, rhs = oracle(problem, i)
        atol = 1e-13 * abs(matrix).max()
        one = problem.assemble({"seed": MU["seed"][i : i + 1]})
        lift, w = systems.lift[i], np.where(free, v[i], 0.0)
        load = np.where(free, rhs - matrix @ lift, 0.0)
        block = matrix[np.ix_(free, free)]
        np.testing.assert_allclose(one.matrix.toarray(), matrix, rtol=0, atol=atol)
        np.testing.assert_allclose(blocks[i], block, rtol=0, atol=atol)
        np.testing.assert_allclose(one.load, load, rtol=0, atol=atol)
        np.testing.assert_allclose(systems.load[i], load, rtol=0, atol=atol)
        np.testing.assert_allclose(stencils.load[i].ravel(), load[free], rtol=0, atol=atol)
        np.testing.assert_array_equal(one.lift, lift)
        np.testing.assert_array_equal(problem.lift(MU)[i], lift)
        np.testing.assert_allclose(systems.apply(dirty)[i], np.where(free, matrix @ w, 0), rtol=0, atol=10 * atol)
        expected = np.where(free, abs(matrix) @ abs(w), 0) + abs(load)
        np.testing.assert_allclose(systems.magnitude(dirty)[i], expected, rtol=1e-11, atol=atol)
        assert systems.energy(v)[i] == pytest.approx(v[i] @ matrix @ v[i], abs=10 * atol)
        np.testing.assert_allclose(systems.residual(v)[i], load - np.where(free, matrix @ w, 0), atol=10 * atol)
        taken = systems.take([i])
        np.testing.assert_array_equal(taken.apply(v[i : i + 1])[0], systems.apply(v)[i])
        np.testing.assert_allclose(taken.energy(v[i : i + 1])[0], systems.energy(v)[i], rtol=1e-14)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_all_matrices_of_a_grid_share_one_pattern(grid):
    problem = RandomTransport(grid)
    one, two = (problem.assemble({"seed": np.array([s])}).matrix for s in (1.0, 2.0))
    assert np.shares_memory(one.indices, two.indices) and np.shares_memory(one.indptr, two.indptr)
    assert one.has_canonical_format
    assert not np.shares_memory(one.data, two.data)


ONE = [(ends, centring) for ends in ENDS for centring in ("node", "cell")]


def slopes(make, sizes):
    errors = np.array([make(n).error() for n in sizes])
    return np.log2(errors[:-1] / errors[1:]), errors[-1] * sizes[-1] ** 2, errors[-1]


@pytest.mark.parametrize("speed", [0.0, 3.0])
@pytest.mark.parametrize(("ends", "centring"), ONE, ids=str)
def test_second_order_in_one_dimension(ends, centring, speed):
    """With variable a; with the central scheme, transport and reaction."""
    still = {"speed": speed, "rate": 2.0 if speed else 0.0, "balance": True}
    order, constant, _ = slopes(lambda n: Manufactured(Grid((n,), 1.0, (ends,), centring), **still), (64, 128, 256))
    np.testing.assert_allclose(order[-1], 2.0, atol=0.1)
    assert 0.01 < constant < 12.0


@pytest.mark.parametrize("speed", [0.0, 3.0])
@pytest.mark.parametrize("centring", ["node", "cell"])
@pytest.mark.parametrize(
    "boundary",
    [
        "dirichlet",
        "neumann",
        "robin",
        "periodic",
        ("periodic", ("dirichlet", "robin")),
        (("neumann", "dirichlet"), "neumann"),
    ],
    ids=str,
)
def test_second_order_in_two_dimensions(boundary, centring, speed):
    options = {"speed": speed, "rate": 1.0 if speed else 0.0, "balance": True}
    make = lambda n: Manufactured(Grid((n, n), 1.0, boundary, centring), **options)  # noqa: E731
    order, constant, _ = slopes(make, (16, 32, 64))
    np.testing.assert_allclose(order[-1], 2.0, atol=0.25)
    assert constant < 20.0


@pytest.mark.parametrize("centring", ["node", "cell"])
@pytest.mark.parametrize("boundary", ["dirichlet", (("neumann", "dirichlet"), "periodic", "robin")], ids=str)
def test_second_order_in_three_dimensions(boundary, centring):
    make = lambda n: Manufactured(Grid((n, n, n), 1.0, boundary, centring), speed=1.0, rate=1.0)  # noqa: E731
    order, constant, _ = slopes(make, (6, 12, 24))
    np.testing.assert_allclose(order[-1], 2.0, atol=0.3)
    assert constant < 12.0


@pytest.mark.parametrize("centring", ["node", "cell"])
@pytest.mark.parametrize("boundary", ["dirichlet", "robin", "periodic"])
def test_upwind_is_of_first_order(boundary, centring):
    make = lambda n: Manufactured(Grid((n, n), 1.0, boundary, centring), "upwind", speed=20.0, rate=1.0)  # noqa: E731
    order, _, error = slopes(make, (32, 64, 128))
    assert 0.8 < order[-1] < 1.25
    assert error < 0.2
    assert make(64).error() > 2 * replace(make(64), scheme="central").error()


def test_upwind_keeps_the_signs_of_an_m_matrix_and_central_does_not():
    grid = Grid((6, 6), boundary=("dirichlet", "periodic"), centring="cell")
    up, central = (RandomTransport(grid, s).stencils(MU) for s in ("upwind", "central"))
    assert max(p.max() for p in (up.plus[0], up.plus[2], *(up.minus[d] for d in (0, 2)))) <= 0
    assert max(p.max() for p in (central.plus[0], central.plus[2])) > 0


def test_transport_switched_off_is_diffusion():
    """A velocity of zero gives the symmetric matrix."""
    for scheme, grid in product(("upwind", "central"), GRIDS):
        still = RandomTransport(grid, scheme, moving=False)
        terms = still.terms(MU)
        zero = tuple(np.zeros((2, *face_shape(grid, d))) for d in range(grid.dim))
        moved = replace(terms, velocity=zero, scheme=scheme).stencils()
        np.testing.assert_allclose(dense_stencils(moved), dense_stencils(terms.stencils()), rtol=1e-14)


CLOSED = [
    ("neumann", "node"),
    ("neumann", "cell"),
    ("periodic", "node"),
    ("periodic", "cell"),
    (("periodic", "neumann"), "node"),
]


class Closed(Manufactured):
    """A flow that stays inside: ψ constant along walls."""

    def psi(self, x, y):
        periodic = [d.periodic for d in self.space.directions]
        parts = [np.cos(2 * np.pi * v) if p else np.sin(np.pi * v) for v, p in zip((x, y), periodic, strict=True)]
        return self.speed * np.multiply.outer(*parts)


@pytest.mark.parametrize(("boundary", "centring"), CLOSED, ids=str)
def test_constants_are_found_and_loads_balanced(boundary, centring):
    mu = {"kappa": np.array([1.0, 2.0])}
    grid = Grid((6, 5), (1.0, 2.0), boundary, centring)
    for speed in (0.0, 2.0):
        problem = Closed(grid, speed=speed, balance=True)
        stencils, systems = problem.stencils(mu), problem.systems(mu)
        assert stencils.constants.all()
        matrix = dense_stencils(stencils)[0]
        assert abs(matrix.sum(axis=1)).max() < 1e-12 * abs(matrix).max()
        assert abs(matrix.sum(axis=0)).max() < 1e-12 * abs(matrix).max()
        assert abs(stencils.load.sum(axis=(1, 2, 3))).max() < 1e-12
        assert abs(systems.residual(np.full((2, grid.size), 1e3)).sum(axis=1)).max() < 1e-12
        assert not Closed(grid, speed=speed, rate=1.0).stencils(mu).constants.any()
        loose = replace(problem, balance=False).stencils(mu)
        assert loose.constants.all()
        if boundary == "neumann":
            assert abs(loose.load.sum(axis=(1, 2, 3))).min() > 1e-3  # no solution, and nothing hides it
    for held in ("dirichlet", ("robin", "neumann")):
        assert not Manufactured(Grid((6, 5), 1.0, held, centring)).stencils(mu).constants.any()


def test_a_flow_through_the_walls_of_a_floating_domain_is_named():
    grid = Grid((6, 6), 1.0, "neumann", "cell")
    with pytest.raises(InputError, match="divergence or crosses the boundary"):
        Manufactured(grid, speed=1.0, balance=True).stencils({"kappa": np.ones(1)})


def test_a_stream_function_gives_no_divergence():
    for centring, boundary in product(("node", "cell"), ("neumann", "dirichlet")):
        grid = Grid((5, 7), (1.0, 2.0), boundary, centring)
        psi = np.random.default_rng(0).standard_normal((2, grid.shape[0] + 1, grid.shape[1] + 1))
        b0, b1 = from_stream_function(psi, grid)
        w0, w1 = (d.widths for d in grid.directions)
        assert abs(np.diff(b0, axis=1) * w1 + np.diff(b1, axis=2) * w0[:, None]).max() < 1e-13
        # ψ = y is a uniform flow along the first direction
        faces = grid.directions[1].faces
        b0, b1 = from_stream_function(np.tile(faces, (1, grid.shape[0] + 1, 1)), grid)
        np.testing.assert_allclose(b0, 1.0)
        np.testing.assert_allclose(b1, 0.0, atol=1e-15)


def spoiled(problem, name, change):
    """The problem with one answer changed."""
    original = getattr(type(problem), name)

    def changed(self, mu, *args):
        values = original(self, mu, *args)
        return change(values)

    return type("Spoiled", (type(problem),), {name: changed})(**{f: getattr(problem, f) for f in ("space",)})


def put(index, value):
    def change(values):
        values = np.array(values)
        values[index] = value
        return values

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("coefficient", put((1, 2, 3), np.nan), r"coefficient: sample 1 is nan at node \(2, 3\), x = \(0.5, 0.75\)"),
        ("coefficient", put((0, 2, 3), -1.0), r"coefficient: sample 0 is -1 at node \(2, 3\)"),
        ("reaction", put((1, 0, 3), -1e-9), r"reaction: sample 1 is -1e-09 at node \(0, 3\), x = \(0, 0.75\).*zero or"),
        ("source", put((0, 4, 3), np.inf), r"source: sample 0 is inf at node \(4, 3\)"),
        ("velocity", lambda v: (put((1, 0, 2), np.nan)(v[0]), v[1]), r"velocity across direction 0: sample 1 is nan"),
        ("velocity", lambda v: v[:1], "has 1 arrays; give one per direction of the grid, 2"),
        (
            "velocity",
            lambda v: (v[0], put((slice(None), slice(None), 0), 9.0)(v[1])),
            "first and the last face are one",
        ),
        ("velocity", lambda v: (v[0][:, 1:], v[1]), "expected"),
        ("transfer", put((0, 1), 0.0), r"transfer on the high end of direction 0 \(robin\): sample 0 is 0"),
        ("boundary_data", put((1, 2), np.nan), r"boundary_data on the low end of direction 0 \(dirichlet\): sample 1"),
        ("source", lambda f: f[:1], "source has 1 rows for 2 samples"),
    ],
)
def test_bad_coefficients_are_named(name, change, message):
    problem = RandomTransport(Grid((4, 4), 1.0, (("dirichlet", "robin"), "periodic")))
    with pytest.raises(InputError, match=message):
        spoiled(problem, name, change).systems(MU)


def test_other_bad_input():
    class NoTransfer(Manufactured):
        def transfer(self, mu, side):
            return super(Manufactured, self).transfer(mu, side)

    with pytest.raises(InputError, match="define transfer"):
        NoTransfer(Grid((4, 4), 1.0, "robin")).systems({"kappa": np.ones(1)})
    with pytest.raises(InputError, match="one parameter, got 2"):
        RandomTransport().assemble(MU)
    with pytest.raises(InputError, match="the grid has 3"):
        from_stream_function(np.zeros((1, 5, 5)), Grid((4, 4, 4)))
    with pytest.raises(InputError, match="2 systems"):
        RandomTransport().systems(MU).apply(np.zeros((3, 25)))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_range_of_the_coefficients_bounds_the_spectrum(grid):
    """low X <= A <= high X for random coefficients (contrast 1e4) and κ, by dense eigenvalues, sides of any length."""
    problem = RandomTransport(grid, moving=False, reacting=False)
    kappa = {(s.axis, s.end): np.full(s.shape, 1 / grid.directions[s.axis].length) for s in grid.sides}
    free = np.ix_(grid.free, grid.free)
    values, vectors = np.linalg.eigh(dense_transport(grid, np.ones(grid.shape), kappa=kappa)[0][free])
    kept = vectors[:, int(grid.floating) :] / np.sqrt(values[int(grid.floating) :])
    random = problem.terms(MU)
    even = replace(random, a=np.ones_like(random.a))  # here the Robin ends decide
    for terms in (random, even):
        low, high = energy_range(terms)
        for i in range(2):
            given = {(s.axis, s.end): v[i] for s, v in terms.kappa.items()}
            matrix = dense_transport(grid, terms.a[i], kappa=given)[0][free]
            found = np.linalg.eigvalsh(kept.T @ matrix @ kept)
            assert low[i] <= found[0] * (1 + 1e-9)
            assert high[i] >= found[-1] * (1 - 1e-9)
            assert high[i] < 30 * found[-1] and low[i] > found[0] / 30
    with pytest.raises(InputError, match="no transport and no reaction"):
        energy_range(RandomTransport(grid).terms(MU))


def test_the_problem_of_the_documentation_runs():
    """Pure conduction is linear; a flow symmetric about the middle keeps u + u(turned) = 1 and carries more heat."""
    found = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1), found)
    answer = found["answer"]
    u = answer.field
    assert answer.converged.all()
    np.testing.assert_allclose(u[0], np.repeat(np.linspace(1, 0, 33)[:, None], 33, axis=1), atol=1e-6)
    np.testing.assert_allclose(u + u[:, ::-1, ::-1], 1.0, atol=1e-6)
    heat = [(u[:, 0] - u[:, 1]).mean(axis=1) * 32, (u[:, -2] - u[:, -1]).mean(axis=1) * 32]
    assert (np.diff(heat[0]) > 1).all()
    np.testing.assert_allclose(heat[0], heat[1], rtol=1e-5)
    assert (u > -1e-6).all() and (u < 1 + 1e-6).all()


@given(
    cells=st.lists(st.integers(3, 5), min_size=1, max_size=3),
    ends=st.lists(st.sampled_from([*ENDS, ("neumann", "robin"), ("neumann", "dirichlet")]), min_size=3, max_size=3),
    centring=st.sampled_from(["node", "cell"]),
    scheme=st.sampled_from(["upwind", "central"]),
    moving=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_stencils_on_any_grid(cells, ends, centring, scheme, moving, seed):
    sides = np.random.default_rng(seed).uniform(0.1, 10.0, len(cells))
    grid = Grid(tuple(cells), tuple(sides), tuple(ends[: len(cells)]), centring)
    problem = RandomTransport(grid, scheme, moving=moving)
    matrix, rhs = oracle(problem, 0)
    stencils, lift = problem.stencils(MU), problem.lift(MU)[0]
    free = grid.free
    atol = 1e-13 * abs(matrix).max()
    np.testing.assert_allclose(dense_stencils(stencils)[0], matrix[np.ix_(free, free)], rtol=0, atol=atol)
    np.testing.assert_allclose(stencils.load[0].ravel(), (rhs - matrix @ lift)[free], rtol=0, atol=atol)


@pytest.mark.parametrize(("dim", "axis"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
def test_the_range_counts_the_face_that_closes_a_periodic_direction(dim, axis):
    """Two large values, first and last of one line: only the face between them has their mean."""
    grid = Grid((4,) * dim, 1.0, tuple("periodic" if d == axis else "dirichlet" for d in range(dim)))
    a = np.ones((1, *grid.shape))
    for end in (0, 3):
        a[(0, *(end if d == axis else 2 for d in range(dim)))] = 9.0
    terms = GridTerms(grid, a, 0 * a, None, None, {}, {}, "arithmetic", "central")
    assert energy_range(terms) == (pytest.approx([1.0]), pytest.approx([9.0]))
