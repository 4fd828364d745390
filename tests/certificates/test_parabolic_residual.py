"""Limits of trajectories from anywhere, against steps in extended precision: they hold, and they are close."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certificates.stepped_cases import KINDS, disturbed, errors, prediction
from tests.rb.evolution_cases import RandomEvolution, mass_error, space_time_error
from tests.rb.evolution_cases import exact as affine_exact

import nwidth as nw
from nwidth.bounds.space_time import contraction
from nwidth.certificates.parabolic import EvolutionCertificate
from nwidth.certificates.parabolic_residual import SpaceTimeCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.core.prediction import uncertified
from nwidth.problems.base import Stability, Stable
from nwidth.problems.burgers import Burgers
from nwidth.problems.evolution import LinearEvolution, Marching
from nwidth.problems.heat import Heat
from nwidth.problems.min_theta import MinTheta
from nwidth.problems.parabolic import Stepping
from nwidth.problems.stepped import Stepped
from nwidth.rb.parabolic_kernels import contract
from nwidth.rb.pod_greedy import PODGreedy
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.trajectories import Trajectories

SCHEMES = ("implicit-euler", "crank-nicolson")
kinds = st.sampled_from(KINDS)
schemes = st.sampled_from(SCHEMES)
seeds = st.integers(0, 99)
sizes = st.floats(-9, 0).map(lambda e: 10**e)

random_problems = st.builds(
    RandomEvolution,
    size=st.integers(3, 16),
    terms=st.integers(1, 3),
    seed=st.integers(0, 1000),
    count=st.integers(1, 20),
    dt=st.floats(-3, 1).map(lambda e: 10**e),
    scheme=schemes,
    spread=st.floats(0, 4).map(lambda e: 10**e),
    starts=st.integers(0, 2),
)


@cache
def on_mesh(resolution, elements):
    return Heat(resolution, 2, elements)


def heat(resolution=4, elements="grid", count=10, dt=0.05, scheme="implicit-euler"):
    return Stepped(on_mesh(resolution, elements), Stepping(dt, count, scheme))


def judged(problem, mu, fields, sweeps=1):
    """The answer of the certificate, and the true errors."""
    answer = SpaceTimeCertificate(problem, sweeps).bound(prediction(problem, mu, fields))
    return answer, *errors(problem, mu, answer.field.reshape(fields.shape))


def check_affine(problem, kind, size, sweeps, seed):
    mu = problem.parameters.sample(range(2), seed)
    levels, points = affine_exact(problem, mu)
    fields = disturbed(levels.astype(np.float64), kind, size, seed)
    answer = SpaceTimeCertificate(problem, sweeps).bound(prediction(problem, mu, fields))
    assert isinstance(answer.guarantee, Rigorous)
    error = mass_error(problem, answer.field - levels)
    assert (error <= answer.stats["in time"]).all() and (answer.stats["at least in time"] <= error).all()
    assert (answer.stats["in time"] > 0).all() and (error.max(axis=1) <= answer.bound).all()
    weight, (psi, g) = problem.stepping.weight, problem.starts(mu)
    start = psi.astype(np.longdouble) @ g.astype(np.longdouble) + problem.terms().lift
    before = np.concatenate([start[:, None], answer.field[:, :-1]], axis=1)
    middle = weight * answer.field + (1 - weight) * before
    assert (space_time_error(problem, mu, answer.field - levels, middle - points) <= answer.stats["energy"]).all()
    for name, quantity in problem.quantities().items():
        said = answer.outputs[name]
        assert (np.abs(points @ quantity.functional + quantity.offset - said.values) <= said.limit).all()


def check_heat(elements, resolution, count, dt, scheme, kind, size, sweeps, seed):
    problem = heat(resolution, elements, count, dt, scheme)
    mu = problem.parameters.sample(range(2), seed)
    fields = disturbed(problem.solve(mu).reshape(2, count, -1), kind, size, seed)
    answer, error, energy = judged(problem, mu, fields, sweeps)
    assert isinstance(answer.guarantee, Rigorous)
    assert (error <= answer.stats["in time"]).all() and (answer.stats["at least in time"] <= error).all()
    assert (energy <= answer.stats["energy"]).all() and (answer.bound > 0).all() and np.isfinite(answer.bound).all()
    assert (answer.lower <= error.max(axis=1)).all()


affine = {"problem": random_problems, "kind": kinds, "size": sizes, "sweeps": st.integers(0, 2), "seed": seeds}
heated = {
    "elements": st.sampled_from(["grid", "triangles"]), "resolution": st.integers(2, 3), "count": st.integers(1, 12),
    "dt": st.floats(-3, 1).map(lambda e: 10**e), "scheme": schemes, "kind": kinds, "size": sizes,
    "sweeps": st.integers(0, 2), "seed": seeds,
}  # fmt: skip


@settings(max_examples=25)
@given(**affine)
def test_nothing_breaks_the_limits_of_affine_problems(**case):
    check_affine(**case)


@settings(max_examples=12)
@given(**heated)
def test_nothing_breaks_the_limits_of_heat(**case):
    check_heat(**case)


@pytest.mark.slow
@settings(max_examples=100)
@given(**affine)
def test_nothing_breaks_the_limits_of_affine_problems_at_length(**case):
    check_affine(**case)


@pytest.mark.slow
@settings(max_examples=50)
@given(**heated)
def test_nothing_breaks_the_limits_of_heat_at_length(**case):
    check_heat(**case)


@pytest.mark.parametrize("elements", ["grid", "triangles"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_sweep_forgives_errors_that_jump_from_level_to_level(elements, scheme):
    """Residuals of such errors have the size error / dt: only the swept bound does not grow as dt shrinks."""
    found = {}
    for count in (10, 160):
        problem = heat(4, elements, count, 1.0 / count, scheme)
        mu = problem.parameters.sample(range(4), 3)
        fields = disturbed(problem.solve(mu).reshape(4, count, -1), "jumps", 1e-3, 1)
        for sweeps in (0, 1):
            answer, error, _ = judged(problem, mu, fields, sweeps)
            found[count, sweeps] = np.median(answer.bound / error.max(axis=1))
    assert found[160, 0] > 2.5 * found[10, 0]
    assert found[160, 1] < 1.2 * found[10, 1] and found[160, 1] < 2.0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_where_the_operator_is_the_reference_the_limit_is_the_error(scheme):
    """Slope 0 makes A = κ X: one sweep leaves nothing."""
    problem = heat(5, "grid", 20, 0.02, scheme)
    mu = problem.parameters.sample(range(3), 3) | {"slope": np.zeros(3)}
    fields = disturbed(problem.solve(mu).reshape(3, 20, -1), "rough", 1e-2, 1)
    answer, error, energy = judged(problem, mu, fields)
    np.testing.assert_allclose(answer.stats["in time"], error, rtol=1e-8)
    np.testing.assert_allclose(answer.stats["at least in time"], error, rtol=1e-8)
    np.testing.assert_allclose(answer.stats["energy"], energy, rtol=1e-8)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_steady_error_in_the_slowest_mode_has_its_own_size_as_the_limit(scheme):
    """A = κ X, and an error in the mode that decays slowest: every inequality of the direct limit is an equality."""
    problem = heat(5, "grid", 60, 0.5, scheme)
    mu = problem.parameters.sample(range(2), 3) | {"slope": np.zeros(2)}
    mode = np.prod(np.sin(np.pi * problem.space.points()), axis=1)
    fields = problem.solve(mu).reshape(2, 60, -1) + 1e-3 * mode
    answer, error, _ = judged(problem, mu, fields, sweeps=0)
    # from the second step on the residual is that of a steady error; Crank-Nicolson hardly forgets the first step
    assert (error <= answer.stats["in time"]).all()
    if scheme == "implicit-euler":
        np.testing.assert_allclose(answer.stats["in time"][:, -1], error[:, -1], rtol=1e-6)


def test_each_sweep_gains_a_factor():
    """Contrast 1 + s: the interval around the error shrinks by (β - α) / (β + α) = 3/5 or better in each sweep."""
    problem = heat(5, "grid", 20, 0.02)
    mu = problem.parameters.sample(range(3), 3) | {"slope": np.full(3, 3.0)}
    fields = disturbed(problem.solve(mu).reshape(3, 20, -1), "rough", 1e-2, 1)
    widths = []
    for sweeps in (1, 2, 3, 4):
        stats = judged(problem, mu, fields, sweeps)[0].stats
        widths.append((stats["in time"] - stats["at least in time"]).max(axis=1))
    assert all((after < 0.6 * before).all() for before, after in pairwise(widths))


def test_contraction_is_that_of_the_compiled_kernel():
    rng = np.random.default_rng(0)
    for weight in (1.0, 0.5):
        for dt in (1e-4, 0.1, 10.0):
            q, c, other, jump = 10 ** rng.uniform(-3, 1, size=(4, 1, 50))
            other = other + c
            kernel = contract(np.array([0.3]), q, c, other, jump, dt, weight)[0]
            np.testing.assert_allclose(contraction(0.3, q[0], c[0], other[0], jump[0], dt, weight), kernel, rtol=1e-12)


def test_a_reduced_basis_gets_the_same_promise_from_its_fields():
    """Two certificates that share nothing but the theory: coordinates in a basis, and full fields without sweeps."""
    problem = RandomEvolution(size=20, count=30, starts=1)
    reduced = PODGreedy(tol=None, max_size=5, training=4).fit(problem=problem)
    mu = problem.parameters.sample(range(3), 5)
    own = EvolutionCertificate.build(reduced).bound(reduced.predict(mu))
    ours = SpaceTimeCertificate(problem, 0).bound(reduced.predict(mu))
    np.testing.assert_allclose(ours.stats["in time"], own.stats["in time"], rtol=1e-6)
    np.testing.assert_allclose(ours.stats["energy"], own.stats["energy"], rtol=1e-6)


def test_prescribed_values_are_imposed_and_the_given_start_is_used():
    problem = heat(4)
    mu = problem.parameters.sample(range(2), 0)
    wrong = problem.solve(mu) + 5.0 * ~problem.space.free.reshape(problem.space.shape)
    answer, error, _ = judged(problem, mu, wrong.reshape(2, 10, -1))
    assert error.max() < 1e-12 and (answer.bound < 1e-10).all()
    np.testing.assert_allclose(answer.field, problem.solve(mu), atol=1e-14)


def test_what_is_not_finite_or_not_coercive_has_no_limit():
    problem = RandomEvolution(size=12)
    mu = problem.parameters.sample(range(4), 2)
    fields = problem.solve(mu)
    mu["h"][1, 2] = -1.0
    fields[2, 3, 4] = np.nan
    fields[3] *= 1e308 / np.abs(fields[3]).max()
    for sweeps in (0, 1):
        answer = SpaceTimeCertificate(problem, sweeps).bound(prediction(problem, mu, fields))
        assert np.isfinite(answer.bound[:3]).tolist() == [True, False, False] and answer.bound[3] > 1e305
        assert "no coercivity" in answer.reason[1] and "not finite" in answer.reason[2]
        assert np.isfinite(answer.stats["in time"][1, :8]).all(), "before that step it is as good as ever"
        assert not any(np.isnan(values).any() for values in answer.stats.values())


def test_a_constant_without_proof_makes_an_estimate():
    class Guessed(MinTheta):
        def constants(self, theta):
            return replace(super().constants(theta), proven=False)

    problem = RandomEvolution(size=8)
    problem._terms = replace(problem.terms(), stability=Guessed(np.ones(2), 1e-10))
    mu = problem.parameters.sample(range(2), 2)
    answer = SpaceTimeCertificate(problem).bound(prediction(problem, mu, problem.solve(mu)))
    assert isinstance(answer.guarantee, Estimate) and "a proven stability constant" in str(answer.guarantee)


def test_saved_and_loaded(tmp_path):
    certificate = SpaceTimeCertificate(heat(4, "triangles"), 2)
    mu = certificate.problem.parameters.sample(range(2), 0)
    given = prediction(certificate.problem, mu, np.ones((2, 10, certificate.problem.space.size)))
    nw.save(certificate, tmp_path / "certificate.nwidth")
    again = nw.load(tmp_path / "certificate.nwidth")
    np.testing.assert_array_equal(again.bound(given).bound, certificate.bound(given).bound)


def test_what_cannot_be_bounded_is_refused_with_the_way_out():
    own = Heat(4)
    with pytest.raises(InputError, match=r"name them: Stepped\(problem, Stepping"):
        SpaceTimeCertificate(own)
    with pytest.raises(InputError, match=r"every 2-th level, .* every=1, or calibrate"):
        SpaceTimeCertificate(Stepped(own, Stepping(0.1, 4, every=2)))
    with pytest.raises(InputError, match="no stability estimate in time is known; calibrate"):
        SpaceTimeCertificate(Burgers())
    with pytest.raises(InputError, match="is not a LinearEvolution"):
        Stepped(Burgers(), Stepping(0.1, 4))
    problem = heat(4)
    mu = problem.parameters.sample(range(2), 0)
    certificate, fields = SpaceTimeCertificate(problem), problem.solve(mu)
    with pytest.raises(InputError, match="Calibrate coarser frames on unseen runs"):
        certificate.bound(prediction(problem, mu, fields[:, ::2]))
    with pytest.raises(InputError, match="complex"):
        certificate.bound(prediction(problem, mu, fields + 0j))
    later = Trajectories(problem.space, problem.times + 0.1)
    with pytest.raises(InputError, match=r"ask the surrogate for problem\.times"):
        certificate.bound(uncertified(mu, fields, later, np.ones(2, dtype=bool)))


def test_a_mass_or_matrices_that_break_the_theory_are_refused():
    class Odd(Heat):
        def marching(self, mu):
            system = super().marching(mu)
            scale = 1.0 + float(np.ravel(mu["slope"])[0])
            return Marching(system.mass * scale, system.operator, system.free, system.load, system.lift)

    class Slanted(Heat):
        def marching(self, mu):
            return replace(super().marching(mu), definite=False)

    for kind, message in ((Odd, "the mass depends on the parameter"), (Slanted, "not symmetric and definite")):
        problem = Stepped(kind(4), Stepping(0.1, 3))
        mu = problem.parameters.sample(range(2), 0)
        with pytest.raises(InputError, match=message):
            SpaceTimeCertificate(problem).bound(prediction(problem, mu, np.zeros((2, 3, 25))))


class Guess(nw.Surrogate):
    """Somebody's trajectories: the solution, off by a thousandth."""

    def __init__(self, problem):
        self.problem, self.parameters, self.space = problem, problem.parameters, problem.space

    parameters = None
    space = None

    def predict(self, mu):
        return prediction(
            self.problem, mu, 1.001 * self.problem.solve(mu).reshape(len(next(iter(mu.values()))), -1, self.space.size)
        )

    def to_parts(self):
        raise InputError("nowhere")

    @classmethod
    def from_parts(cls, config, arrays, children):
        raise InputError("nowhere")


def test_certify_takes_any_surrogate_of_trajectories():
    problem = heat(4)
    certified = nw.certify(Guess(problem), problem)
    assert isinstance(certified.certificate, SpaceTimeCertificate) and certified.certificate.sweeps == 2
    mu = problem.parameters.sample(range(2), 0)
    answer = certified.predict(mu)
    assert (errors(problem, mu, answer.field.reshape(2, 10, -1))[0] <= answer.stats["in time"]).all()
    triangles = heat(3, "triangles")
    assert nw.certify(Guess(triangles), triangles).certificate.sweeps == 1
    with pytest.raises(InputError, match="name them: Stepped"):
        nw.certify(Guess(problem), problem.problem)


def test_a_grid_with_other_ends_is_certified_without_sweeps():
    """Neumann at one end: the mass has half a volume there, and X is inverted by its eigenvectors."""

    class Insulated(LinearEvolution, Stable):
        space = Grid((6,), 1.0, (("dirichlet", "neumann"),))
        parameters = Box(("kappa",), low=0.5, high=2.0)
        times = np.array([1.0])

        def initial(self, mu):
            return np.asarray(mu["kappa"])[:, None] * np.sin(np.pi / 2 * self.space.points()[:, 0])

        def marching(self, mu):
            ends = np.append(np.full(6, 2.0), 1.0)
            off = np.full(6, -1.0)
            matrix = sp.csr_array(sp.diags_array([off, ends, off], offsets=[-1, 0, 1]) * 6 * float(mu["kappa"][0]))
            mass = sp.csr_array(sp.diags_array(self.space.volumes().ravel()))
            return Marching(mass, matrix, self.space.free, lambda t: np.full(7, np.cos(t) / 6))

        def constant(self, mu, field=None):
            kappa = np.asarray(mu["kappa"], dtype=float)
            return Stability(kappa * (1 - 1e-9), kappa * (1 + 1e-9))

    problem = Stepped(Insulated(), Stepping(0.05, 30))
    mu = problem.parameters.sample(range(3), 0)
    certificate = nw.certify(Guess(problem), problem).certificate
    assert certificate.sweeps == 0
    truth = problem.solve(mu)
    fields = disturbed(truth, "drift", 1e-2, 0)
    answer = certificate.bound(prediction(problem, mu, fields))
    error = np.sqrt(np.sum((answer.field - truth) ** 2 * problem.space.volumes(), axis=2))
    assert (error <= answer.stats["in time"]).all() and (answer.bound < 3 * error.max(axis=1)).all()
    with pytest.raises(InputError, match="use sweeps=0, which needs none"):
        SpaceTimeCertificate(problem, 1).bound(prediction(problem, mu, fields))
