"""The residual certificate: both ends of the interval, L2, the fast way on grids, big meshes, refusals with reasons."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rb.affine_cases import Random, energy_error, exact

import nwidth as nw
from nwidth.bounds.grid_residual import GridResidual
from nwidth.bounds.residual import energy_bounds
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Rigorous
from nwidth.core.prediction import uncertified
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Stability
from nwidth.problems.darcy import Darcy
from nwidth.problems.elasticity import Elasticity
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.surrogates.function import FunctionSurrogate
from nwidth.testing.dense import DenseProblem

LONG = np.longdouble


def bare(problem, mu, fields):
    return uncertified(mu, fields, problem.space, np.ones(len(fields), bool))


def errors(problem, mu, fields) -> np.ndarray:
    """Energy norms of the errors of fields that carry the prescribed values, from direct solves refined twice."""
    found = []
    for i in range(len(fields)):
        system = problem.assemble({name: values[i : i + 1] for name, values in mu.items()})
        free = system.free
        a = sp.csc_array(sp.csr_array(system.matrix)[free][:, free])
        factor = sla.splu(a)
        w = factor.solve(system.load[free])
        w += factor.solve(system.load[free] - a @ w)
        e = w - (problem.space.flatten(fields[i : i + 1])[0] - system.lift)[free]
        found.append(np.sqrt(e @ (a @ e)))
    return np.array(found)


def disturbed(problem, mu, size, seed=0):
    u = problem.space.flatten(nw.solve(problem, mu).field)
    noise = np.random.default_rng(seed).normal(size=u.shape)
    return problem.space.unflatten(u + size * np.abs(u).max() * noise)


PROBLEMS = {
    "grid": Darcy(resolution=12),
    "grid, harmonic": Darcy(resolution=12, face="harmonic"),
    "brick": Darcy(resolution=6, dim=3, modes=4),
    "mesh": ThermalBlock(blocks=2, resolution=10),
    "elasticity": Elasticity(resolution=4),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_true_error_lies_in_the_interval_and_the_interval_is_as_narrow_as_the_theory_says(name):
    problem = PROBLEMS[name]
    mu = problem.parameters.sample(range(4), seed=0)
    stability = problem.constant(mu)
    kappa = stability.upper / stability.lower
    for size in (1.0, 1e-3):
        fields = disturbed(problem, mu, size)
        answer = ResidualCertificate(problem).bound(bare(problem, mu, fields))
        error = errors(problem, mu, answer.field)
        low, high = answer.interval
        assert (low <= error * (1 + 1e-9)).all() and (error <= high).all()
        # multigrid and single precision may cost a thousandth
        assert (high <= 1.001 * (kappa + 1) / (2 * np.sqrt(kappa)) * error).all()
        assert (high <= 1.002 * (kappa + 1) / (2 * np.sqrt(kappa)) * low).all()


@pytest.mark.parametrize("name", PROBLEMS)
def test_l2_limits_hold_from_both_sides_and_say_which_norm(name):
    problem = PROBLEMS[name]
    mu = problem.parameters.sample(range(3), seed=1)
    fields = disturbed(problem, mu, 1e-2)
    certificate = ResidualCertificate(problem, "l2")
    answer = certificate.bound(bare(problem, mu, fields))
    u = nw.solve(problem, mu, stop=None).field
    mass = problem.space.inner("mass")
    error = mass.norm(problem.space.flatten(answer.field - u))
    assert (answer.lower <= error * (1 + 1e-4)).all() and (error <= answer.bound * (1 + 1e-6)).all()
    assert answer.guarantee == Rigorous("L2 norm", ("reduction", "algebraic", "round-off")) == certificate.guarantee
    energy = ResidualCertificate(problem).bound(bare(problem, mu, fields))
    for word, output in answer.outputs.items():
        np.testing.assert_array_equal(output.values, energy.outputs[word].values)
        # limits of outputs come from the energy bound, which the fast way finds with another Riesz map
        np.testing.assert_allclose(output.limit, energy.outputs[word].limit, rtol=1e-6)


def test_certify_takes_the_word_for_the_norm_and_a_file_keeps_it(tmp_path):
    problem = ThermalBlock(blocks=2, resolution=10)
    runs = nw.generate(problem, 12, seed=0)
    learned = nw.rb.PODRegression().fit(runs)
    certified = nw.certify(learned, problem, norm="l2")
    mu = problem.parameters.sample(range(3), seed=1)
    nw.save(certified, tmp_path / "a.nwidth")
    again, before = nw.load(tmp_path / "a.nwidth").predict(mu), certified.predict(mu)
    assert before.guarantee.norm == "L2 norm" == again.guarantee.norm
    np.testing.assert_allclose(again.bound, before.bound, rtol=1e-9)
    np.testing.assert_allclose(again.lower, before.lower, rtol=1e-9)
    old = ResidualCertificate.from_parts({}, {}, {"problem": problem})
    assert (old.norm, old.riesz) == ("energy", "auto"), "files of earlier versions"
    for word, wrong in (("norm", "h2"), ("riesz", "lanczos")):
        with pytest.raises(InputError, match=wrong):
            ResidualCertificate(problem, **{word: wrong})


@pytest.mark.parametrize("law", ["two-valued", "log-normal"])
@pytest.mark.parametrize("case", ["rough", "huge", "tiny", "zero", "wrong boundary", "float32", "no numbers"])
def test_the_fast_way_on_a_grid_says_what_the_general_one_says(law, case):
    problem = Darcy(resolution=20, law=law, lengths=(1.0, 1.5))
    mu = problem.parameters.sample(range(5), seed=0)
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(5, 21, 21))
    scale = {"huge": 1e170, "tiny": 1e-170, "zero": 0.0}.get(case, 1.0)
    fields *= scale
    if case != "wrong boundary":
        fields[:, [0, -1]], fields[:, :, [0, -1]] = 0.0, 0.0
    if case == "float32":
        fields = fields.astype(np.float32)
    if case == "no numbers":
        fields[2, 3, 4], fields[3, 0, 0] = np.nan, np.inf
    certificate = ResidualCertificate(problem)
    assert certificate.fast is not None
    answer = certificate.bound(bare(problem, mu, fields))
    general = replace(certificate)
    object.__setattr__(general, "fast", None)
    expected = general.bound(bare(problem, mu, fields))
    np.testing.assert_array_equal(answer.field, expected.field)
    np.testing.assert_array_equal(answer.reason, expected.reason)
    np.testing.assert_allclose(answer.bound, expected.bound, rtol=1e-7)
    np.testing.assert_allclose(answer.lower, expected.lower, rtol=1e-7)
    assert (answer.bound >= answer.lower).all() and (answer.bound > 0).all()
    assert (np.isinf(answer.bound) == [case == "no numbers" and i == 2 for i in range(5)]).all()


def test_the_fast_way_counts_inhomogeneous_boundary_values_and_sources():
    problem = nw.problems.get("poisson", resolution=16)
    mu = problem.parameters.sample(range(4), seed=0)
    fields = disturbed(problem, mu, 0.1)
    certificate = ResidualCertificate(problem)
    assert certificate.fast is not None
    answer = certificate.bound(bare(problem, mu, fields))
    systems, inner = problem.systems(mu), problem.space.inner("energy")
    v = systems.impose(problem.space.flatten(fields))
    expected = energy_bounds(systems, v, inner, problem.constant(mu))
    np.testing.assert_allclose(answer.bound, expected.upper, rtol=1e-7)
    np.testing.assert_allclose(answer.lower, expected.lower, rtol=1e-7)
    np.testing.assert_array_equal(problem.space.flatten(answer.field), v)


def test_the_fast_way_is_for_problems_as_they_stand():
    class Own(Darcy):
        def constant(self, mu, field=None):
            known = super().constant(mu)
            return Stability(known.lower / 2, known.upper)

    assert GridResidual.of(Darcy(resolution=8)) is not None
    for other in (Own(resolution=8), Darcy(resolution=8, face="harmonic"), Darcy(resolution=8, dim=1), DenseProblem()):
        assert GridResidual.of(other) is None


@dataclass(frozen=True)
class Closed(GridDiffusion):
    """`-∇·(a ∇u) = f` with no flux through the boundary; f sums to `total`."""

    total: float = 0.0
    parameters = Box(("a",), low=(1.0,), high=(4.0,))

    @cached_property
    def space(self):
        return Grid((10, 8), 1.0, "neumann")

    def coefficient(self, mu):
        x = self.space.points()[:, 0].reshape(self.space.shape)
        return 1 + (mu["a"][:, None, None] - 1) * x

    def source(self, mu):
        f = np.cos(np.pi * self.space.points()[:, 0]).reshape(self.space.shape) + self.total
        return np.broadcast_to(f, (len(mu["a"]), *self.space.shape))

    def boundary(self, mu):
        return np.zeros((len(mu["a"]), *self.space.shape))


def test_where_nothing_fixes_the_level_loads_must_balance_and_the_energy_is_bounded_up_to_constants():
    mu = {"a": np.array([1.0, 4.0])}
    closed = Closed()
    u = nw.solve(closed, mu).field
    noise = np.random.default_rng(0).normal(size=u.shape)
    answer = ResidualCertificate(closed).bound(bare(closed, mu, u + noise + 7.0))
    error = np.sqrt(closed.systems(mu).energy(closed.space.flatten(noise)))
    assert (answer.lower <= error * (1 + 1e-6)).all() and (error <= answer.bound * (1 + 1e-6)).all()
    assert (answer.bound <= 1.26 * error).all()
    open_ = Closed(total=0.1)
    refused = ResidualCertificate(open_).bound(bare(open_, mu, u))
    assert np.isinf(refused.bound).all() and "do not balance" in refused.reason[0] and (refused.lower == 0).all()
    with pytest.raises(InputError, match="up to a constant"):
        ResidualCertificate(closed, "l2")


def test_a_constant_that_a_quotient_disproves_gives_no_limit_and_the_reason():
    class Wrong(DenseProblem):
        def constant(self, mu, field=None):
            known = super().constant(mu)
            return Stability(100 * known.lower, known.upper)

    problem, mu = Wrong(contrast=10.0), {"t": np.array([0.0, 1.0])}
    answer = ResidualCertificate(problem).bound(bare(problem, mu, np.zeros((2, 13))))
    assert np.isinf(answer.bound).all() and "constant is wrong" in answer.reason[0] and (answer.lower == 0).all()


def test_no_constant_above_zero_gives_no_limit_and_the_reason():
    class Lost(DenseProblem):
        def constant(self, mu, field=None):
            known = super().constant(mu)
            return Stability(np.where(mu["t"] > 0, known.lower, 0.0), known.upper)

    problem, mu = Lost(), {"t": np.array([0.0, 1.0])}
    answer = ResidualCertificate(problem).bound(bare(problem, mu, np.zeros((2, 13))))
    assert np.isinf(answer.bound[0]) and "no stability constant" in answer.reason[0]
    assert np.isfinite(answer.bound[1]) and answer.reason[1] == ""


def test_refined_answers_leave_the_old_lower_bound_behind():
    problem = Darcy(resolution=12)
    mu = problem.parameters.sample(range(3), seed=0)
    answer = ResidualCertificate(problem).bound(bare(problem, mu, disturbed(problem, mu, 0.1)))
    better = nw.refine(answer, problem, 1e-3)
    assert (better.bound < answer.lower).all()
    assert better.lower is None or (better.lower <= better.bound).all()


@pytest.mark.parametrize("name", ["mesh", "elasticity"])
def test_multigrid_for_the_riesz_map_costs_a_hundredth_and_stays_a_bound(name):
    pytest.importorskip("pyamg")
    problem = PROBLEMS[name]
    mu = problem.parameters.sample(range(3), seed=0)
    for size in (1.0, 1e-6):
        fields = disturbed(problem, mu, size)
        exact_map = ResidualCertificate(problem, riesz="factor").bound(bare(problem, mu, fields))
        found = ResidualCertificate(problem, riesz="multigrid").bound(bare(problem, mu, fields))
        error = errors(problem, mu, found.field)
        assert (error <= found.bound).all() and (found.lower <= error * (1 + 1e-9)).all()
        assert (found.bound <= 1.02 * exact_map.bound).all() and (found.lower >= 0.9 * exact_map.lower).all()
        for word, output in found.outputs.items():
            assert (output.limit <= 1.05 * exact_map.outputs[word].limit).all()
    inner = ResidualCertificate(problem, riesz="multigrid").inner
    r = np.random.default_rng(0).normal(size=(2, problem.space.size))
    np.testing.assert_allclose(inner.riesz(r), problem.space.inner("energy").riesz(r), atol=1e-9 * np.abs(r).max())


def test_multigrid_for_the_riesz_map_needs_a_matrix():
    pytest.importorskip("pyamg")
    assert ResidualCertificate(PROBLEMS["grid"], riesz="multigrid").fast is not None, "a grid has its transform"


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 200),
    terms=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    spread=st.floats(0, 7),
    exponent=st.sampled_from([-16, -14, -8, -1, 0, 6, 12]),
)
def test_random_positive_definite_problems_are_bounded_or_refused(size, terms, seed, spread, exponent):
    """Against extended precision; with condition numbers up to 1e7 in each term the bound may be loose, never wrong."""
    problem = Random(size=size, terms=terms, seed=seed, spread=10.0**spread)
    mu = problem.parameters.sample(range(2), seed=seed)
    u = exact(problem, mu)
    noise = np.random.default_rng(seed).normal(size=u.shape) * problem.terms().free
    fields = (u + 10.0**exponent * np.abs(u).max() * noise).astype(np.float64)
    given = FunctionSurrogate(lambda _: fields, problem.parameters, problem.space)
    certified = Certified(given, ResidualCertificate(problem))
    answer = certified.predict(mu)
    error = energy_error(problem, mu, u, answer.field)
    refused = np.isinf(answer.bound)
    assert (answer.reason[refused] != "").all() and (answer.reason[~refused] == "").all()
    assert (answer.bound >= error).all() and (answer.bound > 0).all()
    assert (answer.lower <= error).all()
    assert spread > 5 or not refused.any()
