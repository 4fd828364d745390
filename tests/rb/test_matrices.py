"""A user's matrices: the same answers as the zoo, dense oracles, proofs of constants, refusals with their reasons."""

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rb.affine_cases import Random, corners, energy_error, exact
from tests.rb.compiled_c import STRICTER, Compiled, needs_compiler, rows_of

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.problems.base import Quantity, Stability
from nwidth.problems.min_theta import MinTheta
from nwidth.problems.quantities import Quadratic
from nwidth.rb.comparison import SampledStability, ScaledMinTheta
from nwidth.rb.matrices import from_matrices
from nwidth.spaces.box import Box

RANGES = {"k": (0.1, 10.0), "h": (0.5, 2.0)}
THETA, PHI = ["1", "k", "h * k"], ["1", "h - 1"]


def chain(size, stiffness=1.0):
    """Springs in a row, both ends loose: constants are in the kernel."""
    main = np.full(size, 2.0)
    main[[0, -1]] = 1.0
    return stiffness * sp.diags_array([main, -np.ones(size - 1), -np.ones(size - 1)], offsets=[0, 1, -1], format="csr")


def given_terms(seed=0, size=12, terms=3, loads=2, spread=10.0):
    return Random(size=size, terms=terms, loads=loads, seed=seed, spread=spread).terms()


def made(terms=None, coefficients=(THETA, PHI), parameters=RANGES, **options):
    terms = given_terms() if terms is None else terms
    free = options.pop("free", terms.free)
    return from_matrices(
        list(terms.matrices), list(terms.loads), coefficients, parameters=parameters, free=free, **options
    )


def dense_constants(problem, mu):
    """Smallest and largest eigenvalue of the pencil (A(mu), X) on the free dofs."""
    free, x = problem.terms().free, problem.space.energy.matrix.toarray()
    theta, _ = problem.coefficients(mu)
    ends = []
    for row in theta:
        a = sum(t * m.toarray() for t, m in zip(row, problem.terms().matrices, strict=True))
        ends.append(la.eigvalsh(a[np.ix_(free, free)], x[np.ix_(free, free)])[[0, -1]])
    return np.array(ends).T


def test_the_thermal_block_from_its_matrices_is_the_thermal_block():
    zoo = nw.problems.get("thermal_block", resolution=16)
    terms, names = zoo.terms(), zoo.parameters.names
    problem = from_matrices(
        list(terms.matrices), terms.loads, (list(names), ["1"]), sum(terms.matrices), parameters=zoo.parameters,
        free=np.flatnonzero(terms.free), outputs={"mean": terms.loads[0]},
    )  # fmt: skip
    fitter = nw.rb.Greedy(tol=1e-4, training=40)
    ours, theirs = (nw.certify(fitter.fit(problem=p), p) for p in (problem, zoo))
    mu = zoo.parameters.sample(range(20), 7)
    a, b = ours.predict(mu), theirs.predict(mu)
    assert isinstance(a.guarantee, nw.Rigorous) and ours.surrogate.modes == theirs.surrogate.modes
    np.testing.assert_allclose(a.field, b.field, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(a.bound, b.bound, rtol=1e-3)
    np.testing.assert_allclose(a.outputs["mean"].values, b.outputs["mean"].values, rtol=1e-10)


def test_prescribed_values_become_loads():
    """-(k u')' = h on (0, 1), u(0) = 2, u(1) = 5: quadratic, and linear elements have it at the nodes."""
    size, step = 33, 1 / 32
    load = np.full(size, step)
    lift = np.zeros(size)
    lift[[0, -1]] = 2.0, 5.0
    problem = from_matrices(
        [chain(size, 1 / step)], [load], (["k"], ["h"]), parameters=RANGES, free=np.arange(1, size - 1), lift=lift
    )
    x = np.linspace(0, 1, size)
    mu = problem.parameters.sample(range(5), 0)
    expected = 2 + 3 * x + mu["h"][:, None] / (2 * mu["k"][:, None]) * x * (1 - x)
    np.testing.assert_allclose(nw.solve(problem, mu).field, expected, rtol=1e-11)
    certified = nw.certify(nw.rb.Greedy(tol=1e-9, training=20).fit(problem=problem), problem)
    assert certified.surrogate.modes == len(problem.terms().loads) == 2  # the load, and what the prescribed values do
    np.testing.assert_allclose(certified.predict(mu).field, expected, rtol=1e-11)


def test_prescribed_values_of_two_materials_against_a_dense_solve():
    terms = given_terms(size=8, terms=3, loads=1)
    lift = np.zeros(9)
    lift[[0, 3]] = 1.5, -2.0
    free = np.setdiff1d(np.arange(9), [0, 3])
    load = terms.loads[0] + 1.0
    problem = from_matrices(terms.matrices, [load], (THETA, ["h"]), parameters=RANGES, free=free, lift=lift)

    def theta_phi(mu):
        return np.stack([1 + 0 * mu["k"], mu["k"], mu["h"] * mu["k"]], axis=1), mu["h"][:, None]

    coded = from_matrices(
        terms.matrices, [load], theta_phi,
        parameters=RANGES, free=free, lift=lift,
    )  # fmt: skip
    mu = problem.parameters.sample(range(4), 0)
    rows = []
    for k, h in rows_of(mu, ("k", "h")):
        a = sum(t * m.toarray() for t, m in zip((1, k, h * k), terms.matrices, strict=True))
        u = lift.copy()
        u[free] = np.linalg.solve(a[np.ix_(free, free)], (h * load - a @ lift)[free])
        rows.append(u)
    for p in (problem, coded):
        np.testing.assert_allclose(nw.solve(p, mu).field, rows, rtol=1e-10)
        reduced = nw.rb.Greedy(tol=1e-10, training=40).fit(problem=p)
        np.testing.assert_allclose(reduced.predict(mu).field, rows, rtol=1e-7)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 25), st.integers(1, 3), st.floats(1.0, 1e6), st.booleans(), st.integers(0, 10**6))
def test_proven_constants_enclose_the_spectrum_whatever_the_product(size, terms, spread, own, seed):
    given = given_terms(seed, size, terms, 1, spread)
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size + 1, size + 1))
    product = root @ root.T + 0.1 * np.eye(size + 1) if own else None
    problem = made(given, (THETA[:terms], PHI[:1]), product=product)
    mu = problem.parameters.sample(range(10), 1)
    mu = {n: np.concatenate([mu[n], corners(problem)[n]]) for n in mu}
    found = problem.constant(mu)
    low, high = dense_constants(problem, mu)
    assert found.proven and isinstance(problem.stability, ScaledMinTheta if own else MinTheta)
    assert (found.lower <= low * (1 + 1e-9)).all() and (found.upper >= high * (1 - 1e-9)).all()
    assert (found.lower > 0).all()
    middle = problem.parameters.from_unit(np.full((1, 2), 0.5))
    if not own:  # at its reference the comparison is exact
        np.testing.assert_allclose(problem.constant(middle).lower, 1.0, rtol=1e-4)
    x = problem.space.energy
    free = given.free
    smallest = la.eigvalsh(x.matrix.toarray()[np.ix_(free, free)])[0]
    assert 0 < x.lambda_min <= smallest * (1 + 1e-9)
    assert x.lambda_min >= 0.9 * smallest


@settings(max_examples=10, deadline=None)
@given(
    st.integers(4, 25), st.integers(1, 3), st.integers(1, 2), st.integers(1, 6), st.booleans(), st.integers(0, 10**6)
)
def test_bounds_hold_for_fields_and_outputs(size, terms, loads, modes, own, seed):
    given = given_terms(seed, size, terms, loads, 1e3)
    rng = np.random.default_rng(seed)
    functional = rng.normal(size=size + 1)
    product = sp.diags_array(rng.uniform(0.5, 2.0, size + 1)) if own else None
    problem = made(given, (THETA[:terms], PHI[:loads]), product=product, lift=given.lift, outputs={"s": functional})
    reduced = nw.rb.Greedy(tol=None, max_size=modes * len(problem.terms().loads), training=20).fit(problem=problem)
    mu = problem.parameters.sample(range(10), 2)
    mu = {n: np.concatenate([mu[n], corners(problem)[n]]) for n in mu}
    answer = nw.certify(reduced, problem).predict(mu)
    u = exact(problem, mu)
    assert (energy_error(problem, mu, u, answer.field) <= answer.bound).all()
    truth = u @ functional.astype(u.dtype)
    assert (np.abs((truth - answer.outputs["s"].values).astype(float)) <= answer.outputs["s"].limit).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(-12, 12), st.integers(-12, 12), st.booleans())
def test_units_do_not_matter(matrix_digits, product_digits, own):
    """Pascal or gigapascal: the same constants, scaled."""
    terms, a, x = given_terms(size=10), 10.0**matrix_digits, 10.0**product_digits
    product = sp.diags_array(np.arange(1.0, 12.0)) if own else None
    plain = made(terms, product=product)
    scaled = from_matrices(
        [a * m for m in terms.matrices], terms.loads, (THETA, PHI), x * product if own else None,
        parameters=RANGES, free=terms.free,
    )  # fmt: skip
    mu = plain.parameters.sample(range(5), 0)
    ratio = a / x if own else 1.0
    np.testing.assert_allclose(scaled.constant(mu).lower, ratio * plain.constant(mu).lower, rtol=1e-5)
    assert scaled.constant(mu).proven
    size = x if own else a
    np.testing.assert_allclose(scaled.space.energy.lambda_min, size * plain.space.energy.lambda_min, rtol=1e-5)


def test_semidefinite_terms_that_live_on_parts_are_proven():
    """Two chains joined by a spring: each term has a kernel, their sum has none on the free dofs."""
    left, right = chain(6), chain(5)
    matrices = [sp.block_diag([left, sp.csr_array((4, 4))]), sp.block_diag([sp.csr_array((5, 5)), right])]
    problem = from_matrices(matrices, [np.ones(10)], (["k", "h"], ["1"]), parameters=RANGES, free=np.arange(1, 10))
    assert isinstance(problem.stability, MinTheta)
    mu = corners(problem)
    assert (problem.constant(mu).lower <= dense_constants(problem, mu)[0]).all()
    assert problem.constant(mu).proven


def test_a_term_that_is_slightly_indefinite_is_paid_for():
    """The comparison counts the defect of each term: still a proof, with a smaller constant."""
    terms = given_terms(size=10, terms=2, loads=1)
    skewed = sp.csr_array(terms.matrices[1] - 1.8 * sp.eye_array(11))
    assert la.eigvalsh(skewed.toarray())[0] < -0.5
    for product in (None, np.eye(11)):
        problem = from_matrices(
            [50 * terms.matrices[0], skewed], terms.loads, (["1", "k"], ["1"]), product,
            parameters={"k": (0.5, 1.5)}, free=terms.free,
        )  # fmt: skip
        mu = problem.parameters.sample(range(20), 0)
        mu = {"k": np.concatenate([mu["k"], [0.5, 1.5]])}
        found, (low, high) = problem.constant(mu), dense_constants(problem, mu)
        assert found.proven
        assert (found.lower <= low).all() and (found.upper >= high).all() and (found.lower > 0.3 * low).all()


class TestWithoutAProof:
    """A term that is far from semidefinite: no theorem here, and no promise."""

    @staticmethod
    def problem(**options):
        terms = given_terms(size=10, terms=2, loads=1)
        skewed = sp.csr_array(terms.matrices[1] - 4.0 * sp.eye_array(11))
        return from_matrices(
            [3 * terms.matrices[0], skewed], terms.loads, (["1", "k"], ["1"]),
            parameters={"k": (0.5, 1.5)}, free=terms.free, **options,
        )  # fmt: skip

    def test_the_answer_is_an_estimate_and_says_what_is_missing(self):
        problem = self.problem()
        assert isinstance(problem.stability, SampledStability)
        assert "A_terms[1] is not positive semidefinite" in problem.stability.missing
        assert "stability=nw.rb.successive_constraints" in problem.stability.missing
        certified = nw.certify(nw.rb.Greedy(tol=1e-3, training=20).fit(problem=problem), problem)
        answer = certified.predict(problem.parameters.sample(range(5), 0))
        assert isinstance(certified.guarantee, nw.Estimate)
        assert isinstance(answer.guarantee, nw.Estimate) and answer.guarantee == certified.guarantee
        assert "a proven stability constant: A_terms[1] is not positive semidefinite" in str(answer.guarantee)
        assert np.isfinite(answer.bound).all()

    def test_the_estimated_constant_is_close_and_never_below_the_true_one(self):
        problem = self.problem()
        mu = problem.parameters.sample(range(30), 4)
        low, high = dense_constants(problem, mu)
        found = problem.constant(mu)
        assert not found.proven
        assert (found.lower >= low * (1 - 1e-9)).all() and (found.upper <= high * (1 + 1e-9)).all()
        np.testing.assert_allclose(found.lower, low, rtol=0.02)

    def test_successive_constraints_prove_what_min_theta_cannot(self, tmp_path):
        problem = self.problem(stability=nw.rb.successive_constraints)
        reduced = nw.rb.Greedy(tol=1e-3, training=20).fit(problem=problem)
        certified = nw.certify(reduced, problem)
        mu = problem.parameters.sample(range(10), 3)
        answer = certified.predict(mu)
        assert isinstance(answer.guarantee, nw.Rigorous)
        assert (problem.constant(mu).lower <= dense_constants(problem, mu)[0]).all()
        u = exact(problem, mu)
        assert (energy_error(problem, mu, u, answer.field) <= answer.bound).all()
        nw.save(certified, tmp_path / "m.nwidth")
        np.testing.assert_array_equal(nw.load(tmp_path / "m.nwidth").predict(mu).bound, answer.bound)
        assert "Guaranteed." in nw.rb.to_c(certified)

    def test_a_constant_of_your_own_is_used(self):
        class Known(MinTheta):
            kind = "testing-known"

            def constants(self, theta):
                return Stability(np.full(len(theta), 0.25), np.full(len(theta), 4.0))

        for known in (Known(np.ones(2), 0.0), lambda problem: Known(np.ones(2), 0.0)):
            problem = self.problem(stability=known)
            mu = problem.parameters.sample(range(3), 0)
            np.testing.assert_array_equal(problem.constant(mu).lower, 0.25)
            reduced = nw.rb.Greedy(tol=1e-3, training=20).fit(problem=problem)
            assert isinstance(nw.certify(reduced, problem).predict(mu).guarantee, nw.Rigorous)
        with pytest.raises(InputError, match="stability is a float; give a ThetaStability"):
            self.problem(stability=0.5)
        with pytest.raises(InputError, match="stability is a dict; give a ThetaStability"):
            self.problem(stability=lambda problem: {})

    def test_a_coefficient_that_changes_sign_is_named(self):
        terms = given_terms(size=10, terms=2, loads=1)
        problem = from_matrices(
            [20 * terms.matrices[0], terms.matrices[1]], terms.loads, (["1", "k - 1"], ["1"]),
            parameters={"k": (0.5, 1.5)}, free=terms.free,
        )  # fmt: skip
        assert "the coefficient of A_terms[1] is" in problem.stability.missing

    def test_outside_where_nothing_is_proven_the_bound_is_infinite(self):
        problem = one(coefficients=(["k - 0.9"], ["1"]), outputs={"s": np.ones(20)})
        certified = nw.certify(nw.rb.Greedy(tol=1e-6, training=5).fit(problem=problem), problem)
        for k in (np.array([0.5]), np.array([1.5, 0.5])):
            answer = certified.predict({"k": k})
            assert (np.isinf(answer.bound) == (k < 0.9)).all()
            assert (np.isinf(answer.outputs["s"].limit) == (k < 0.9)).all()
            assert all(bool(reason) == (value < 0.9) for reason, value in zip(answer.reason, k, strict=True))

    def test_an_indefinite_problem_is_refused(self):
        terms = given_terms(size=10, terms=2, loads=1)
        with pytest.raises(InputError, match=r"A is not positive definite for the coefficients θ"):
            from_matrices(
                terms.matrices,
                terms.loads,
                (["1", "-k"], ["1"]),
                np.eye(11),
                parameters={"k": (5.0, 90.0)},
                free=terms.free,
            )


@needs_compiler
@pytest.mark.parametrize("which", ["default", "own", "sampled", "successive"])
def test_every_kind_of_constant_is_saved_and_exported(tmp_path, which):
    if which in ("sampled", "successive"):
        stability = nw.rb.successive_constraints if which == "successive" else None
        problem = TestWithoutAProof.problem(outputs={"mean": np.full(11, 1 / 11)}, stability=stability)
    else:
        problem = made(
            product=np.diag(np.arange(1.0, 14.0)) if which == "own" else None,
            outputs={"s": Quantity(np.ones(13), 1.0, "K")},
        )
    certified = nw.certify(nw.rb.Greedy(tol=None, max_size=4, training=20).fit(problem=problem), problem)
    nw.save(certified, tmp_path / "m.nwidth")
    again = nw.load(tmp_path / "m.nwidth")
    mu = problem.parameters.sample(range(20, 29), 0)
    a, b = certified.predict(mu), again.predict(mu)
    np.testing.assert_array_equal(a.bound, b.bound)
    assert again.surrogate.problem == problem and hash(again.surrogate.problem) == hash(problem)
    assert type(again.surrogate.problem.stability) is type(problem.stability)
    text = nw.rb.to_c(again, tmp_path / "m.c")
    assert ("Guaranteed." in text.partition("*/")[0]) == (which != "sampled")
    names = problem.parameters.names
    model = Compiled(tmp_path / "m.c", len(names), 1, options=("-O2", *STRICTER))
    rows = rows_of(mu, names)
    np.testing.assert_allclose(model.table(rows, "bound"), a.bound, rtol=1e-6, atol=1e-15)
    name = next(iter(a.outputs))
    np.testing.assert_allclose(model.table(rows, "outputs")[:, 0], a.outputs[name].values, rtol=1e-12)


def test_whatever_works_with_a_linear_problem_works_with_these(tmp_path):
    """Refinement, snapshots, regression with its residual bound; and the file says what it holds."""
    problem = made(lift=given_terms().lift)
    reduced = nw.rb.Greedy(tol=None, max_size=5, training=20).fit(problem=problem)
    mu = problem.parameters.sample(range(40, 45), 0)
    refined = nw.refine(nw.certify(reduced, problem).predict(mu), problem, rtol=1e-6)
    u = exact(problem, mu)
    size = energy_error(problem, mu, u, np.tile(problem.terms().lift, (5, 1)))
    assert (energy_error(problem, mu, u, refined.field) <= refined.bound).all() and (refined.bound <= 2e-6 * size).all()
    regression = nw.rb.PODRegression().fit(nw.generate(problem, 30, seed=0), problem, seed=0)
    certified = nw.certify(regression, problem)
    answer = certified.predict(mu)
    assert isinstance(answer.guarantee, nw.Rigorous)
    assert (energy_error(problem, mu, u, answer.field) <= answer.bound).all()
    nw.save(certified, tmp_path / "m.nwidth")
    np.testing.assert_allclose(nw.load(tmp_path / "m.nwidth").predict(mu).bound, answer.bound, rtol=1e-9)
    assert "parameter k: 0.1 to 10" in nw.inspect(tmp_path / "m.nwidth").lines


def test_quadratic_outputs_come_along(tmp_path):
    given = given_terms()
    energy = Quadratic(given.matrices[0], np.arange(13.0), 1.0, "J")
    problem = made(given, outputs={"energy": energy, "end": 1.0 * (np.arange(13) == 12)})
    certified = nw.certify_outputs(nw.rb.Greedy(tol=1e-3, training=20).fit(problem=problem), training=20)
    nw.save(certified, tmp_path / "m.nwidth")
    again = nw.load(tmp_path / "m.nwidth")
    assert again.surrogate.problem == problem
    mu = problem.parameters.sample(range(6), 9)
    answer, u = again.predict(mu), exact(problem, mu)
    truth = energy(u.astype(np.float64))
    output = answer.outputs["energy"]
    assert output.unit == "J" and (np.abs(truth - output.values) <= output.limit + 1e-12 * np.abs(truth)).all()
    assert (np.abs(u[:, 12] - answer.outputs["end"].values) <= answer.outputs["end"].limit).all()
    assert "outputs[1]  energy J" in nw.rb.to_c(again) or "outputs[1] energy J" in nw.rb.to_c(again)
    with pytest.raises(InputError, match="the output 'energy' has shape"):
        made(outputs={"energy": Quadratic(sp.eye_array(3))})


def test_problems_from_other_matrices_are_not_equal():
    assert made() == made() and made() != made(given_terms(seed=1)) and made() != 3


def test_a_function_as_coefficients_works_and_cannot_be_stored(tmp_path):
    def theta_phi(mu):
        return np.stack([mu["k"] ** 0, mu["k"], mu["h"] * mu["k"]], axis=1), [[1.0, h - 1] for h in mu["h"]]

    problem, formulas = made(coefficients=theta_phi), made()
    mu = problem.parameters.sample(range(6), 0)
    for a, b in zip(problem.coefficients(mu), formulas.coefficients(mu), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-15)
    certified = nw.certify(nw.rb.Greedy(tol=1e-3, training=20).fit(problem=problem), problem)
    assert isinstance(certified.predict(mu).guarantee, nw.Rigorous)
    with pytest.raises(InputError, match="cannot be stored or exported; give them to from_matrices as text"):
        nw.save(certified, tmp_path / "m.nwidth")
    with pytest.raises(InputError, match="are Python code"):
        nw.rb.to_c(certified)


def test_the_space_has_points_where_they_are_given(tmp_path):
    problem = made(coordinates=np.arange(26.0).reshape(13, 2))
    assert problem.space.points().shape == (13, 2)
    nw.save(problem.space, tmp_path / "s.nwidth")
    again = nw.load(tmp_path / "s.nwidth")
    np.testing.assert_array_equal(again.points(), problem.space.points())
    v = np.random.default_rng(0).normal(size=(2, 13)) * problem.terms().free
    for kind in ("energy", "mass"):
        inner = again.inner(kind)
        np.testing.assert_allclose(inner.riesz(inner.apply(v)), v, atol=1e-10)
    np.testing.assert_allclose(again.inner("mass").norm(v) ** 2, (v**2).mean(axis=1))
    with pytest.raises(InputError, match="without coordinates"):
        made().space.points()


@pytest.mark.parametrize("form", ["dense", "integer", "coo with duplicates", "matrix", "float32"])
def test_matrices_come_in_many_forms(form):
    base = chain(6) + sp.eye_array(6)
    coo = base.tocoo()
    halves = sp.coo_array(
        (np.tile(coo.data / 2, 2), (np.tile(coo.coords[0], 2), np.tile(coo.coords[1], 2))), shape=(6, 6)
    )
    matrix = {
        "dense": base.toarray(), "integer": sp.csc_array(base.astype(int)), "coo with duplicates": halves,
        "matrix": sp.csr_matrix(base), "float32": base.astype(np.float32),
    }[form]  # fmt: skip
    problem = from_matrices([matrix], [np.arange(6)], (["k"], [2]), parameters={"k": (1, 2)})
    np.testing.assert_allclose(
        nw.solve(problem, {"k": np.array([1.5])}).field[0],
        np.linalg.solve(1.5 * base.toarray(), 2.0 * np.arange(6)),
        rtol=1e-11,
    )


def cleared(matrix, rows, columns=False):
    dense = matrix.toarray()
    dense[rows] = 0.0
    if columns:
        dense[:, rows] = 0.0
    dense[rows, rows] = 1.0
    return dense


SPD = (chain(20) + sp.eye_array(20)).tocsr()


def one(a=SPD, f=None, coefficients=(["k"], ["1"]), **options):
    f = np.ones(20) if f is None else f
    return from_matrices([a], [f], coefficients, parameters=options.pop("parameters", {"k": (1, 2)}), **options)


class TestRefusals:
    def test_rows_cleared_without_columns(self):
        said = (
            r"product is not symmetric: entry \(\d+, \d+\) is .*2 rows \(0, 19\) hold nothing but their diagonal while "
            r"their columns still hold entries: rows were cleared to prescribe values, columns were not; hand over"
        )
        with pytest.raises(InputError, match=said):
            one(product=cleared(SPD, [0, 19]))
        with pytest.raises(InputError, match=r"A_terms\[0\] is not symmetric.*rows were cleared"):
            one(cleared(SPD, [4]))
        with pytest.raises(InputError, match=r"columns \(4\).*columns were cleared to prescribe values, rows were not"):
            one(cleared(SPD, [4]).T)
        assert one(cleared(SPD, [0, 19], columns=True)).stability  # both: symmetric, and so an equation of its own

    def test_convection(self):
        wind = sp.diags_array([np.ones(19), -np.ones(19)], offsets=[1, -1])
        with pytest.raises(InputError, match="a convection term, for instance, is not one"):
            one(SPD + 0.1 * wind)

    def test_asymmetry_is_measured_and_located(self):
        bad = SPD.tolil()
        bad[3, 7] = 0.25
        with pytest.raises(InputError, match=r"entry \(3, 7\) is 0.25, entry \(7, 3\) is 0, a difference of 8.3e-02"):
            one(bad.tocsr())
        noise = SPD.copy()
        noise.data *= 1 + 1e-15 * np.arange(len(noise.data))
        made = one(noise).terms().matrices[0]
        assert abs(made - made.T).max() == 0

    def test_constants_in_the_kernel(self):
        with pytest.raises(InputError, match=r"constants are in its kernel.*say which dofs are prescribed \(free=\)"):
            one(chain(20))
        with pytest.raises(InputError, match="product is singular: constants are in its kernel"):
            one(product=chain(20))
        assert one(chain(20), free=np.arange(1, 20))

    def test_an_empty_row(self):
        empty = sp.block_diag([chain(18) + sp.eye_array(18), sp.csr_array((2, 2))])
        with pytest.raises(InputError, match=r"2 free dofs \(18, 19\) have an empty row"):
            one(empty)

    def test_an_indefinite_product_with_its_eigenvalue_and_direction(self):
        bad = SPD.toarray()
        bad[5:7, 5:7] += np.array([[0.0, 4.0], [4.0, 0.0]])
        value = la.eigvalsh(bad)[0]
        with pytest.raises(InputError, match=rf"\(X v, v\) = {value:.3g} \(v, v\).*largest at dofs (5, 6|6, 5)"):
            one(product=bad)
        with pytest.raises(InputError, match=r"its diagonal is -1 at dof 2 \(1 such dofs\)"):
            one(product=np.diag(np.where(np.arange(20) == 2, -1.0, 1.0)))

    def test_a_mechanism(self):
        """Two free bodies: the kernel is not constants but one of the parts."""
        loose = sp.block_diag([chain(10) + sp.eye_array(10), chain(10)])
        with pytest.raises(InputError, match=r"singular to rounding.*a rigid motion or an unsupported part"):
            one(loose)

    def test_a_large_matrix_too(self):
        size = 3000
        matrix = chain(size) + sp.eye_array(size) - 1.5 * sp.diags_array((np.arange(size) == 1700).astype(float))
        matrix = sp.csr_array(matrix)
        with pytest.raises(InputError, match=r"is not positive definite.*largest at dofs 1700"):
            from_matrices(
                [matrix - 0.7 * sp.eye_array(size)], [np.ones(size)], (["k"], ["1"]), parameters={"k": (1, 2)}
            )

    def test_a_lambda_min_that_is_too_large(self):
        smallest = la.eigvalsh(SPD.toarray())[0]
        assert one(lambda_min=0.9 * smallest).space.energy.lambda_min == 0.9 * smallest
        with pytest.raises(InputError, match=r"lambda_min is 5, but a vector was found with \(X v, v\) = 1.5 \(v, v\)"):
            one(lambda_min=5.0)
        with pytest.raises(InputError, match="lambda_min is -1"):
            one(lambda_min=-1.0)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"a": SPD * 1j}, r"A_terms\[0\] has type complex128; matrices must be real"),
            ({"a": np.full((20, 20), np.nan)}, r"A_terms\[0\] is not finite at entry \(0, 0\)"),
            ({"a": np.ones((20, 3))}, r"shape \(20, 3\); give a square matrix"),
            ({"a": "K"}, "is a str; give a SciPy sparse matrix"),
            ({"a": sp.csr_array((20, 20))}, r"A_terms\[0\] is zero"),
            ({"f": np.ones(19)}, r"f_terms\[0\] has shape \(19,\); expected \(20,\)"),
            ({"f": np.full(20, np.inf)}, r"f_terms\[0\] is not finite at dof 0"),
            ({"f": np.ones(20) * 1j}, "vectors must be real numbers"),
            ({"coefficients": (["k", "1"], ["1"])}, "2 coefficients .* for 1 A_terms"),
            ({"coefficients": (["k"], [])}, "0 coefficients .* for 1 f_terms"),
            ({"coefficients": "k"}, "give two lists of formulas"),
            ({"coefficients": ("k", "1")}, "give two lists of formulas"),
            ({"coefficients": (["q"], ["1"])}, "'q' in the formula 'q' is not a parameter"),
            ({"coefficients": lambda mu: 1}, r"returned int; return the pair"),
            ({"coefficients": lambda mu: ([[1, 2]], [[1]])}, r"theta of shape \(1, 2\); expected \(B, 1\)"),
            ({"coefficients": lambda mu: ([[np.nan]], [[1]])}, "not finite"),
            ({"parameters": ["k"]}, "give a Box, or a mapping"),
            ({"parameters": {"k": 1.0}}, "give every name its range"),
            ({"parameters": {"k": (2, 1)}}, "the smaller one first"),
            ({"free": np.ones(3, dtype=bool)}, r"a mask has one entry per dof, \(20,\)"),
            ({"free": [1, 20]}, "dof numbers from 0 to 19"),
            ({"free": [0.5]}, "dof numbers from 0 to 19"),
            ({"free": []}, "free must be a mask|free is empty"),
            ({"free": np.zeros(20, dtype=bool)}, "free is empty"),
            ({"lift": np.ones(3)}, r"lift has shape \(3,\)"),
            ({"product": np.eye(3)}, r"product has shape \(3, 3\), the first matrix is over 20 dofs"),
            ({"outputs": {"T": np.ones(2)}}, r"the output 'T' has shape \(2,\)"),
            ({"coordinates": np.ones(20)}, r"coordinates have shape \(20,\)"),
        ],
    )
    def test_what_does_not_fit(self, change, said):
        with pytest.raises(InputError, match=said):
            one(**change)

    def test_lists_that_are_none_and_terms_given_twice(self):
        with pytest.raises(InputError, match="A_terms is a csr_array; give a list of matrices"):
            from_matrices(SPD, [np.ones(20)], (["k"], ["1"]), parameters=RANGES)
        with pytest.raises(InputError, match=r"one load is \[f\]"):
            from_matrices([SPD], np.ones(20), (["k"], ["1"]), parameters=RANGES)
        with pytest.raises(InputError, match=r"A_terms\[0\] and A_terms\[1\] are equal"):
            from_matrices([SPD, SPD.copy()], [np.ones(20)], (["k", "h"], ["1"]), parameters=RANGES)
        with pytest.raises(InputError, match=r"f_terms\[0\] and f_terms\[1\] are equal"):
            from_matrices([SPD], [np.ones(20), np.ones(20)], (["k"], ["1", "h"]), parameters=RANGES)
        with pytest.raises(InputError, match=r"A_terms\[1\] has shape \(3, 3\)"):
            from_matrices([SPD, np.eye(3)], [np.ones(20)], (["k", "h"], ["1"]), parameters=RANGES)


def test_units_and_scales_come_with_a_box():
    box = Box(("k", "h"), (0.1, 1e3), (10.0, 2e4), units=("W/mK", "W/m²K"), log=(False, True))
    problem = made(parameters=box)
    assert problem.parameters is box
    middle = problem.stability.reference
    np.testing.assert_allclose(middle, [1.0, 5.05, 5.05 * np.sqrt(1e3 * 2e4)], rtol=1e-12)
