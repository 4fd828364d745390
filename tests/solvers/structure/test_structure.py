"""What is found is used, what is not there is not used, and no answer rests on a promise."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.solvers.structure.problems import SIDE, SIZE, Given, Terms, dense_solution, laplacian

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.core.kinds import available
from nwidth.core.solution import Status, Tolerance
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.direct import Direct
from nwidth.solvers.structure.find import find
from nwidth.solvers.structure.solver import Structured

L = laplacian()
RNG = np.random.default_rng(0)
LOADS = RNG.normal(size=(3, SIZE))


def corner(t):
    """A symmetric change of a few entries, of rank 2."""
    change = sp.lil_array((SIZE, SIZE))
    change[10, 10], change[10, 11], change[11, 10], change[40, 40] = t[0], -t[0], -t[0], 3 * t[1]
    change[11, 11] = t[0]
    return sp.csr_array(change)


def dense_rank_one(t):
    """A change of rank 1 that touches many unknowns: b bᵀ, dense in a block."""
    b = np.zeros(SIZE)
    b[20:120] = np.sin(np.arange(100.0))
    return sp.csr_array(t[0] * np.outer(b, b))


def nonsymmetric(t):
    change = sp.lil_array((SIZE, SIZE))
    change[5, 60], change[7, 61] = 2 * t[0], t[1] - 3
    return sp.csr_array(change)


def few_loads(t):
    return t @ LOADS


FOUND = [
    ("fixed matrix: factorised once", Given(lambda t: L)),
    ("fixed matrix, 3 load cases: combined", Given(lambda t: L, few_loads)),
    ("matrix fixed up to a factor: factorised once", Given(lambda t: (1 + t[0]) * L)),
    ("rank-2 change of the matrix: Woodbury", Given(lambda t: L + corner(t))),
    ("rank-2 change of the matrix, 3 load cases: Woodbury", Given(lambda t: (2 + t[2]) * L + corner(t), few_loads)),
    ("rank-1 change of the matrix: Woodbury", Given(lambda t: L + dense_rank_one(t))),
    ("rank-2 change of the matrix: Woodbury", Given(lambda t: L + nonsymmetric(t))),
    ("rank-2 change of the matrix: Woodbury", Given(lambda t: L * (1 + 0.3j) + corner(t))),
    (
        "fixed matrix, 2 load cases: combined",
        Terms([L, L], lambda t: np.array([1.0, 3.0]), LOADS[:2], lambda t: t[:2]),
    ),
    (
        "matrix fixed up to a factor, 1 load case: combined",
        Terms([L, sp.eye_array(SIZE)], lambda t: (1 + t[0]) * np.array([1.0, 0.1]), LOADS[:1], lambda t: t[:1] + 1),
    ),
    (
        "rank-2 change of the matrix, 3 load cases: Woodbury",
        Terms([L, corner([1, 2])], lambda t: np.array([1.0, 1 + t[1]]), LOADS, lambda t: t),
    ),
]


@pytest.mark.parametrize(("note", "problem"), FOUND, ids=[f"{i} {note}" for i, (note, _) in enumerate(FOUND)])
def test_what_is_there_is_found_and_the_answers_are_those_of_a_dense_solve(note, problem):
    problem._space = complex_space(problem) if note and np.iscomplexobj(matrix_of(problem)) else problem.space
    mu = problem.parameters.sample(range(12), 5)
    solution = Structured().solve(Structured().prepare(problem), mu)
    assert solution.note == note
    assert solution.converged.all() and (solution.stats["residual"] < 1e-11).all()
    for i, field in enumerate(solution.field):
        expected = dense_solution(problem, mu, i)
        np.testing.assert_allclose(field, expected, rtol=1e-9, atol=1e-10 * abs(expected).max())
        assert field[3] == 0.5


def matrix_of(problem):
    return problem.assemble(problem.parameters.sample(range(1), 0)).matrix.data


def complex_space(problem):
    class Complex(type(problem.space)):
        dtype = property(lambda self: np.dtype(complex))

    s = problem.space
    return Complex(s.nodes, s.elements, s.free, s.energy, s.mass, s.cell)


def varying(t):
    return sp.csr_array(sp.diags_array(1 + t[0] * np.cos(np.arange(SIZE)) ** 2) @ L)


@pytest.mark.parametrize(
    "problem",
    [
        Given(varying),
        Given(lambda t: L + corner(t) + 1e-7 * t[2] * varying(t)),  # nearly of low rank
        Given(lambda t: L + sp.diags_array(np.where(np.arange(SIZE) < 100, t[0], 0.0))),  # rank 100
        Terms([L, sp.eye_array(SIZE)], lambda t: np.array([1.0, t[1]]), LOADS[:1], lambda t: t[:1]),
        ThermalBlock(2, 12),
    ],
    ids=["all entries", "nearly low rank", "rank 100", "two terms", "thermal block"],
)
def test_what_is_not_there_is_not_found(problem):
    assert find(problem) is None
    mu = problem.parameters.sample(range(3), 1)
    structured, direct = nw.solve(problem, mu, Structured()), nw.solve(problem, mu, Direct())
    np.testing.assert_array_equal(structured.field, direct.field)
    assert structured.note == direct.note


def test_without_structure_two_assemblies_are_spent():
    problem = Given(varying)
    find(problem)
    assert problem.assembled == 2


def later(t, limit=0.99):
    """Nothing of the kind in the probes: only parameters near the edge differ."""
    return t[2] > limit


LATER = {
    "another matrix": lambda t: varying(t) if later(t) else L,
    "one entry": lambda t: L + 0.7 * sp.csr_array(([1.0], ([9], [200])), (SIZE, SIZE)) if later(t) else L,
    "one digit": lambda t: (
        L * (1 + 1e-7 * sp.csr_array(([1.0], ([9], [9])), (SIZE, SIZE)).toarray()) if later(t) else L
    ),
    "a factor": lambda t: 2 * L if later(t) else L,
    "rank grows": lambda t: L + corner(t) + (sp.diags_array(np.arange(SIZE) % 7 * 1.0) if later(t) else 0 * L),
    "another place": lambda t: L + (sp.csr_array(np.diag((np.arange(SIZE) == 99) * 5.0)) if later(t) else corner(t)),
    "a negative factor": lambda t: -L if later(t) else L,
    "a pattern": lambda t: L @ L if later(t) else L,
}


@pytest.mark.parametrize("name", list(LATER))
@pytest.mark.parametrize("load", [None, few_loads], ids=["loads", "few loads"])
def test_a_structure_that_ends_later_is_caught(name, load):
    problem = Given(LATER[name], load)
    state = Structured().prepare(problem)
    assert state.structure is not None
    mu = {"t0": np.linspace(0.1, 0.9, 5), "t1": np.full(5, 0.4), "t2": np.array([0.2, 0.995, 0.5, 0.999, 0.1])}
    solution = Structured().solve(state, mu)
    assert solution.converged.all()
    for i, field in enumerate(solution.field):
        expected = dense_solution(problem, mu, i)
        np.testing.assert_allclose(field, expected, rtol=1e-9, atol=1e-10 * abs(expected).max())
    if name not in ("a factor",):
        assert "for 3 of 5 samples; the others: direct" in solution.note


def test_a_term_that_moves_later_is_caught():
    """The second coefficient is 0.1 in every probe: the matrix looked fixed."""
    problem = Terms([L, sp.eye_array(SIZE)], lambda t: np.array([1.0, 7.0 if later(t) else 0.1]), LOADS, lambda t: t)
    mu = {"t0": np.array([0.1, 0.3]), "t1": np.array([0.2, 0.8]), "t2": np.array([0.995, 0.3])}
    solution = nw.solve(problem, mu, Structured())
    assert "for 1 of 2 samples" in solution.note
    for i, field in enumerate(solution.field):
        np.testing.assert_allclose(field, dense_solution(problem, mu, i), rtol=1e-9, atol=1e-9)


def test_loads_that_leave_the_small_space_are_solved_on_their_own():
    load = lambda t: np.cos(np.arange(SIZE) * t[0]) if later(t) else few_loads(t)  # noqa: E731
    problem = Given(lambda t: L, load)
    mu = {"t0": np.array([0.1, 0.3]), "t1": np.array([0.2, 0.8]), "t2": np.array([0.995, 0.3])}
    solution = nw.solve(problem, mu, Structured())
    assert solution.converged.all() and solution.note.startswith("fixed matrix, 3 load cases")
    for i, field in enumerate(solution.field):
        np.testing.assert_allclose(field, dense_solution(problem, mu, i), rtol=1e-9, atol=1e-10)


def test_a_change_that_makes_the_matrix_singular_is_a_status():
    """t0 = 1 removes the only entry of the last row and column."""

    def build(t):
        chain = sp.lil_array(L)
        chain[0, :], chain[:, 0] = 0.0, 0.0
        chain[0, 0] = 1.0 - t[0]
        return sp.csr_array(chain)

    problem = Given(build)
    mu = {"t0": np.array([0.3, 1.0, 0.5]), "t1": np.zeros(3), "t2": np.zeros(3)}
    solution = nw.solve(problem, mu, Structured())
    assert "rank-1 change" in solution.note
    assert solution.status.tolist() == [Status.CONVERGED, Status.SINGULAR, Status.CONVERGED]


def test_a_singular_fixed_matrix_is_a_status():
    neumann = sp.csr_array(sp.diags_array(np.asarray(L.sum(axis=1))))
    free_standing = sp.csr_array(L - neumann)
    cut = sp.lil_array(free_standing)
    for neighbour in (2, 4, 3 + SIDE):  # dof 3 is prescribed: cut it off, or it would hold the rest
        cut[3, neighbour] = cut[neighbour, 3] = 0.0
        cut[neighbour, neighbour] += -1.0
    problem = Given(lambda t: cut)
    solution = nw.solve(problem, problem.parameters.sample(range(3), 0), Structured())
    assert (solution.status == Status.SINGULAR).all()


def test_a_huge_change_falls_back_where_the_capacitance_is_badly_conditioned():
    problem = Given(lambda t: L + 10.0 ** (9 * t[0]) * corner([1, 0]))
    mu = {"t0": np.array([0.0, 0.5, 1.0]), "t1": np.zeros(3), "t2": np.zeros(3)}
    solution = nw.solve(problem, mu, Structured())
    assert solution.converged.all()
    for i, field in enumerate(solution.field):
        system = problem.assemble({name: values[i : i + 1] for name, values in mu.items()})
        r = (system.load - system.matrix @ (field - system.lift))[system.free]
        assert np.linalg.norm(r) <= 1e-8 * np.linalg.norm(system.load[system.free])


def test_random_changes_of_random_rank(tmp_path):
    rng = np.random.default_rng(3)
    for rank in (1, 3, 9):
        places = rng.choice(SIZE, size=(2, rank), replace=False)
        values = rng.normal(size=rank)

        def build(t, places=places, values=values):
            change = sp.coo_array((values * np.cos(3 * t[0] + np.arange(len(values))), tuple(places)), (SIZE, SIZE))
            return sp.csr_array(L + change)

        problem = Given(build)
        mu = problem.parameters.sample(range(5), 2)
        solution = nw.solve(problem, mu, Structured())
        assert solution.note.startswith(f"rank-{rank - (places == 3).sum()} change") and solution.converged.all()
        for i, field in enumerate(solution.field):
            expected = dense_solution(problem, mu, i)
            np.testing.assert_allclose(field, expected, rtol=1e-8, atol=1e-9 * abs(expected).max())


def test_a_users_code_that_refuses_the_draws_is_no_reason_to_fail():
    def build(t):
        if t[0] != 0.25:
            raise ZeroDivisionError("only 0.25 can be solved")
        return L

    problem = Given(build)
    mu = {"t0": np.full(2, 0.25), "t1": np.zeros(2), "t2": np.zeros(2)}
    assert nw.solve(problem, mu, Structured()).converged.all()
    with pytest.raises(ZeroDivisionError, match="only 0.25"):
        nw.solve(problem, {**mu, "t0": np.array([0.25, 0.5])}, Structured())


@settings(max_examples=25, deadline=None)
@given(
    rank=st.integers(0, 20),
    scaled=st.booleans(),
    cases=st.integers(1, 8),
    ends=st.sampled_from([None, "load", "matrix", "entry"]),
    seed=st.integers(0, 10**6),
)
def test_whatever_is_shared_the_tolerance_is_met_for_the_samples_own_matrix(rank, scaled, cases, ends, seed):
    rng = np.random.default_rng(seed)
    loads, places = rng.normal(size=(cases, SIZE)), rng.choice(SIZE, size=(2, 20))[:, :rank]
    values, strange = rng.normal(size=rank), sp.diags_array(rng.uniform(0, 1, size=SIZE))

    def matrix(t):
        factors = np.cos(1 + np.arange(rank) * t[0])
        a = (1 + scaled * t[1]) * L + sp.coo_array((values * factors, tuple(places)), (SIZE, SIZE))
        if ends == "matrix" and later(t):
            a = a + strange
        if ends == "entry" and later(t):
            a = a + sp.coo_array(([0.3], ([SIZE - 1], [SIZE - 2])), (SIZE, SIZE))
        return sp.csr_array(a)

    def load(t):
        return (
            np.sin(np.arange(SIZE) * t[0]) if ends == "load" and later(t) else np.cos(np.arange(cases) * t[1]) @ loads
        )

    problem = Given(matrix, load)
    mu = {"t0": rng.random(5), "t1": rng.random(5), "t2": np.array([0.1, 0.999, 0.3, 0.995, 0.5])}
    solution = nw.solve(problem, mu, Structured())
    for i, field in enumerate(solution.field):
        system = problem.assemble({name: v[i : i + 1] for name, v in mu.items()})
        r = (system.load - system.matrix @ (field - system.lift))[system.free]
        size = np.linalg.norm(system.load[system.free])
        assert not solution.converged[i] or np.linalg.norm(r) <= 1.001e-8 * size
        dense = sp.csr_array(system.matrix).toarray()[np.ix_(system.free, system.free)]
        assert solution.converged[i] or np.linalg.cond(dense) > 1e7


def test_numbers_that_are_not_finite_are_refused():
    problem = Given(lambda t: L * (np.nan if later(t) else 1.0))
    good = {"t0": np.zeros(2), "t1": np.zeros(2), "t2": np.array([0.1, 0.995])}
    with pytest.raises(InputError, match="holds values that are not finite"):
        nw.solve(problem, good, Structured())
    with pytest.raises(InputError, match="parameter t0: row 1"):
        nw.solve(problem, {**good, "t0": np.array([0.0, np.inf])}, Structured())


def test_an_energy_tolerance_is_checked_and_needs_a_constant():
    block = OneConductivity(2, 10)
    mu = block.parameters.sample(range(4), 0)
    solution = nw.solve(block, mu, Structured(), stop=Tolerance("energy", 1e-6))
    assert solution.converged.all() and solution.note.startswith("matrix fixed up to a factor")
    assert (solution.stats["bound"] <= 1e-6 * solution.stats["norm"]).all() and (solution.stats["bound"] > 0).all()
    direct = nw.solve(block, mu, Direct(), stop=Tolerance("energy", 1e-6))
    np.testing.assert_allclose(solution.field, direct.field, rtol=1e-9, atol=1e-13)
    with pytest.raises(InputError, match="no stability constant"):
        nw.solve(Given(lambda t: L), block_free(), Structured(), stop=Tolerance("energy", 1e-6))


def block_free():
    return {name: np.full(2, 0.5) for name in ("t0", "t1", "t2")}


class OneConductivity(ThermalBlock):
    """All blocks have the first one's conductivity."""

    kind = "testing-one-conductivity"

    def coefficients(self, mu):
        theta, phi = super().coefficients(mu)
        return np.repeat(theta[:, :1], theta.shape[1], axis=1), phi


def test_an_empty_batch_and_a_problem_that_is_not_linear():
    problem = Given(lambda t: L)
    empty = {name: np.zeros(0) for name in problem.parameters.names}
    assert nw.solve(problem, empty, Structured()).field.shape == (0, SIZE)
    with pytest.raises(InputError, match="is not Linear"):
        Structured().prepare(problem.space)


def test_generated_snapshots_say_what_was_used_and_do_not_depend_on_workers():
    problem = OneConductivity(2, 10)
    snapshots = nw.generate(problem, 10, seed=3, chunk=4)
    assert snapshots.provenance["notes"] == ["matrix fixed up to a factor, 1 load case: combined"]
    assert "structure" in snapshots.provenance["why"]
    again = nw.generate(problem, 10, seed=3, chunk=4, workers=2)
    np.testing.assert_array_equal(np.asarray(snapshots.fields), np.asarray(again.fields))


@pytest.mark.parametrize(
    "matrix", [L + nonsymmetric([1, 1]), L - 2.5 * sp.eye_array(SIZE), L + 1j * sp.eye_array(SIZE)]
)
def test_fixed_matrices_of_every_kind_with_real_and_complex_loads(matrix):
    for load in (few_loads, lambda t: few_loads(t) + 1j * t[1], lambda t: np.exp(1j * np.arange(SIZE) * t[0])):
        problem = Given(lambda t: matrix, load)
        problem._space = complex_space(problem)
        mu = problem.parameters.sample(range(3), 5)
        solution = nw.solve(problem, mu, Structured())
        assert solution.note.startswith("fixed matrix") and solution.converged.all()
        for i, field in enumerate(solution.field):
            np.testing.assert_allclose(field, dense_solution(problem, mu, i), rtol=1e-8, atol=1e-9)


@pytest.mark.skipif(not available("pypardiso"), reason="no Pardiso")
@pytest.mark.parametrize("backend", ["superlu", "pardiso"])
def test_both_factorisations_serve(backend):
    problem = FOUND[4][1]
    mu = problem.parameters.sample(range(3), 5)
    solution = nw.solve(problem, mu, Structured(Direct(backend)))
    np.testing.assert_allclose(solution.field[0], dense_solution(problem, mu, 0), rtol=1e-9, atol=1e-10)
