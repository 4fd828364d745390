"""Triangles with insulated sides: closed forms, finer meshes, and the constant for what is left of the balance."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounds.equilibrated.given_data import errors_on_finer_meshes

import nwidth as nw
from nwidth.bounds.equilibrated.bubbles import turned
from nwidth.bounds.equilibrated.crouzeix_raviart import EdgeProblem, global_flux
from nwidth.bounds.equilibrated.patches import Patches
from nwidth.bounds.equilibrated.triangles import Triangles
from nwidth.core.errors import InputError
from nwidth.core.prediction import uncertified
from nwidth.problems.base import System
from nwidth.problems.cell_data import CellData
from nwidth.testing.equilibrated_references import GivenMesh, random_mesh


@dataclass(frozen=True, eq=False)
class Insulated(GivenMesh):
    """Values are prescribed at the nodes `held (n,)` alone; nothing crosses boundary edges with another end."""

    held: np.ndarray

    @property
    def free(self):
        return ~self.held

    def finer(self, mu):
        """The same problem on the mesh cut once: constant sources only."""
        mesh, (g,) = self.halved(mu["g"])
        pairs = np.sort(self.triangles[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
        edges, counts = np.unique(pairs, axis=0, return_counts=True)
        held = np.concatenate([self.held, (counts == 1) & self.held[edges].all(axis=1)])
        more = {name: np.repeat(mu[name], 4, axis=1) for name in ("a", "f")}
        return Insulated(mesh.nodes, mesh.triangles, held), {**more, "g": g}

    def galerkin(self, mu):
        """The discrete solution of the first sample by one factorisation, `(1, n)`."""
        system = self.assemble(mu)
        inner, u = np.flatnonzero(system.free), system.lift.copy()
        u[inner] += sla.spsolve(sp.csc_array(system.matrix)[inner][:, inner], system.load[inner])
        return u[None]


def boundary(triangles):
    pairs = np.sort(triangles[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
    edges, counts = np.unique(pairs, axis=0, return_counts=True)
    return edges[counts == 1]


def square(n, held):
    """Criss-cross triangles of the unit square; `held(x, y)` says at which boundary edges (by their middles) values are
    prescribed."""
    x, y = np.meshgrid(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1), indexing="ij")
    middle = (np.arange(n) + 0.5) / n
    centre = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 2)
    nodes = np.concatenate([np.stack([x.ravel(), y.ravel()], axis=1), centre])
    index = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    a, b, c, d = (index[i : n + i, j : n + j].ravel() for i, j in ((0, 0), (1, 0), (1, 1), (0, 1)))
    m = (n + 1) ** 2 + np.arange(n * n)
    triangles = np.concatenate([np.stack(t, axis=1) for t in ((a, b, m), (b, c, m), (c, d, m), (d, a, m))])
    edges = boundary(triangles)
    mask = np.zeros(len(nodes), dtype=bool)
    mask[edges[held(*nodes[edges].mean(axis=1).T)]] = True
    return Insulated(nodes, triangles.astype(np.int32), mask)


def bounded(problem, mu, v, flux):
    return nw.total_error(uncertified(mu, v, problem.space, np.ones(len(v), dtype=bool)), problem, flux)


def ones(problem):
    count = len(problem.triangles)
    return {"a": np.ones((1, count)), "f": np.ones((1, count)), "g": np.zeros((1, len(problem.nodes)))}


#: The energy of -Δu = 1 in the unit square: u = x - x²/2 (one side held), x (1 - x) / 2 (two opposite sides), and a
#: quarter of the square of side two with all of its sides held (its series).
ODD = np.arange(1, 4000, 2, dtype=float)
FORMS = {
    "one side": (lambda x, y: x < 1e-9, 1 / 3),
    "two opposite sides": (lambda x, y: (x < 1e-9) | (x > 1 - 1e-9), 1 / 12),
    "a quarter": (
        lambda x, y: (x < 1e-9) | (y < 1e-9),
        4 * (1 / 12 - (16 / np.pi**5 * np.tanh(ODD * np.pi / 2) / ODD**5).sum()),
    ),
}


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("flux", ["local", "global"])
def test_closed_forms(form, flux):
    held, energy = FORMS[form]
    rng = np.random.default_rng(0)
    totals = []
    for n in (4, 8):
        problem = square(n, held)
        mu, areas = ones(problem), problem.geometry[0]
        u = problem.galerkin(mu)
        noise = np.where(problem.free, rng.standard_normal(u.shape), 0.0)
        for v in (u, u + 1e-3 * noise, noise, 0 * u, 1e5 * noise):
            # (∇u, ∇v) = ∫ v for every v that vanishes where values are held
            mean = (areas * v[:, problem.triangles].mean(axis=2)).sum()
            true = np.sqrt(energy - 2 * mean + problem.norm(v, mu)[0] ** 2)
            found = bounded(problem, mu, v, flux)
            assert found.lower[0] <= true * (1 + 1e-9) and true <= found.total[0] * (1 + 1e-9)
            assert found.total[0] <= 1.15 * true
        totals.append(bounded(problem, mu, u, flux).total[0])
    assert np.log2(totals[0] / totals[1]) == pytest.approx(1.0, abs=0.1) and totals[1] < 0.1


def random_sides(rng, inside):
    """Random triangles with values on some of the boundary's edges, and random data."""
    mesh = random_mesh(rng, inside)
    edges = boundary(mesh.triangles)
    mask = np.zeros(len(mesh.nodes), dtype=bool)
    mask[edges[rng.choice(len(edges), rng.integers(1, len(edges) // 2), replace=False)]] = True
    return Insulated(mesh.nodes, mesh.triangles, mask)


def random_values(rng, problem, contrast):
    count = len(problem.triangles)
    return {
        "a": contrast ** rng.random((1, count)),
        "f": rng.standard_normal((1, count)),
        "g": rng.standard_normal((1, len(problem.nodes))),
    }


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    inside=st.integers(1, 15),
    contrast=st.sampled_from([1.0, 4.0, 1e4]),
    kind=st.sampled_from(["solution", "near", "rough", "zero", "huge"]),
    flux=st.sampled_from(["local", "global"]),
)
def test_random_sides_against_finer_meshes(seed, inside, contrast, kind, flux):
    rng = np.random.default_rng(seed)
    problem = random_sides(rng, inside)
    mu = random_values(rng, problem, contrast)
    u = problem.galerkin(mu)
    noise = rng.standard_normal(u.shape)
    v = {"solution": u, "near": u + 1e-3 * noise, "rough": noise, "zero": 0 * u, "huge": 1e9 * noise}[kind]
    found = bounded(problem, mu, v, flux)
    errors = errors_on_finer_meshes(problem, mu, v, Insulated.galerkin)
    slack = 1e-9 * found.norm[0]
    assert errors[-1] <= found.total[0] + slack
    # singular where the conditions meet: an order of a half at least, so that a step halves what is left of the square
    rest = errors[-1] ** 2 + 3 * max(errors[-1] ** 2 - errors[0] ** 2, 0.0)
    assert found.lower[0] <= np.sqrt(rest) + slack
    assert found.discretisation_lower[0] <= found.discretisation[0]


@pytest.mark.parametrize("seed", range(6))
def test_fluxes_are_in_balance_and_nothing_crosses(seed):
    rng = np.random.default_rng(seed)
    problem = random_sides(rng, 8)
    mu = random_values(rng, problem, 10.0)
    mesh = Triangles(problem.nodes, problem.triangles, problem.free)
    data, u = CellData(mu["a"], mu["f"]), problem.galerkin(mu)
    edges = EdgeProblem(mesh)
    local = Patches.of(mesh).flux(u, data)
    fluxes = [local, edges.balanced(Patches.of(mesh).flux(rng.standard_normal(u.shape), data), data)]
    fluxes.append(global_flux(u, data, edges, 0.3, 2)[0])
    assert mesh.natural.any()
    for through in fluxes:
        assert np.abs(mesh.missing(through, data)).max() < 1e-11 * np.abs(through).max()
        flux = turned(u, through, data, mesh, 4)
        assert (flux.through[:, mesh.natural] == 0).all() and (flux.turning[:, mesh.natural] == 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_the_constant_of_what_is_left_is_one(seed):
    """Against the smallest eigenvalue on the mesh cut twice: the quotient of every such w is at least 1 / C_F²."""
    rng = np.random.default_rng(seed)
    problem = random_sides(rng, 5)
    mesh = Triangles(problem.nodes, problem.triangles, problem.free)
    fine, mu = problem, ones(problem)
    for _ in range(2):
        fine, mu = fine.finer(mu)
    areas, _ = fine.geometry
    local = areas[:, None, None] * (np.ones((3, 3)) + np.eye(3)) / 12
    t = fine.triangles
    entries = (local.ravel(), (np.repeat(t, 3, axis=1).ravel(), np.tile(t, (1, 3)).ravel()))
    mass, inner = sp.csr_array(entries, shape=(len(fine.nodes),) * 2).toarray(), np.flatnonzero(fine.free)
    stiff = fine.matrix(np.ones(len(areas))).toarray()
    smallest = la.eigh(stiff[np.ix_(inner, inner)], mass[np.ix_(inner, inner)], eigvals_only=True)[0]
    assert 1 / np.sqrt(smallest) <= mesh.friedrichs <= 40 / np.sqrt(smallest)


def test_what_is_refused():
    problem = square(4, lambda x, y: x < 1e-9)
    mu = ones(problem)
    alone = problem.held.copy()
    alone[np.flatnonzero((problem.nodes == (1, 0.5)).all(axis=1))] = True
    with pytest.raises(InputError, match="1 prescribed nodes lie inside, or alone on the boundary"):
        nw.TotalErrorBound(Insulated(problem.nodes, problem.triangles, alone))

    class Loaded(Insulated):
        def assemble(self, mu):
            """With a flux through the right side."""
            system = super().assemble(mu)
            load = system.load + 0.1 * (self.nodes[:, 0] > 1 - 1e-9)
            return System(system.matrix, load, system.free, system.lift)

    loaded = Loaded(problem.nodes, problem.triangles, problem.held)
    with pytest.raises(InputError, match="loads on the boundary are not known"):
        bounded(loaded, mu, np.zeros((1, len(problem.nodes))), "local")
    # two squares that touch nowhere, one of them without any prescribed value
    nodes = np.concatenate([problem.nodes, problem.nodes + 3.0])
    triangles = np.concatenate([problem.triangles, problem.triangles + len(problem.nodes)])
    free = np.concatenate([problem.free, np.ones(len(problem.nodes), dtype=bool)])
    with pytest.raises(InputError, match="not connected to a side with prescribed values"):
        Triangles(nodes, triangles, free).friedrichs
