"""Bounds of parabolic problems against solutions in extended precision: they hold, and are not much too large."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rb.evolution_cases import RandomEvolution, exact, mass_error, space_time_error

import nwidth as nw
from nwidth.certificates.parabolic import EvolutionCertificate
from nwidth.certificates.parabolic_dual import DualEvolutionCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.online.wrappers import Certified
from nwidth.problems.min_theta import MinTheta
from nwidth.rb import parabolic
from nwidth.rb.pod_greedy import PODGreedy

SCHEMES = ("implicit-euler", "crank-nicolson")


def certified(problem, modes, **options):
    reduced = PODGreedy(tol=None, max_size=modes, training=4, modes=2, **options).fit(problem=problem)
    count = len(problem.terms().matrices)
    return EvolutionCertificate.build(reduced, anchors=np.array([[0.2] * count, [5.0] * count]))


def trajectory(certificate, mu):
    """Levels and points of all steps, dofs `(B, K, N)`."""
    surrogate, weight = certificate.surrogate, certificate.problem.stepping.weight
    found = list(surrogate.stream(mu))
    levels = np.concatenate([piece.levels for piece in found], axis=1)
    before = np.concatenate([found[0].start[:, None], levels[:, :-1]], axis=1)
    lift = certificate.problem.terms().lift
    levels, before = (c.astype(np.longdouble) @ surrogate.basis + lift for c in (levels, before))
    return levels, weight * levels + (1 - weight) * before


def output_errors(problem, points, answer):
    """`(s, B, T)` of the stored levels."""
    here = points[:, problem.stepping.every - 1 :: problem.stepping.every]
    names = problem.quantities().items()
    return np.stack([np.abs(here @ q.functional + q.offset - answer.outputs[name].values) for name, q in names])


def limits(answer):
    return np.stack([output.limit for output in answer.outputs.values()])


problems = st.builds(
    RandomEvolution,
    size=st.integers(3, 16),
    terms=st.integers(1, 3),
    seed=st.integers(0, 1000),
    count=st.integers(1, 30),
    dt=st.floats(-3, 1).map(lambda e: 10**e),
    scheme=st.sampled_from(SCHEMES),
    spread=st.floats(0, 4).map(lambda e: 10**e),
    starts=st.integers(0, 2),
)


@settings(max_examples=40)
@given(problem=problems, share=st.floats(0.05, 1.0), window=st.sampled_from([2, 7, 10_000]), seed=st.integers(0, 99))
def test_nothing_breaks_the_bounds(problem, share, window, seed):
    certificate = certified(problem, max(1, int(share * problem.config["size"])))
    mu = problem.parameters.sample(range(3), seed)
    levels, points = exact(problem, mu)
    ours, at_points = trajectory(certificate, mu)
    first = certificate.bound(certificate.surrogate.predict(mu))
    second = DualEvolutionCertificate(certificate, window).bound(certificate.surrogate.predict(mu))
    for answer in (first, second):
        assert isinstance(answer.guarantee, Rigorous)
        assert (mass_error(problem, answer.field - levels) <= answer.stats["in time"]).all()
        assert (space_time_error(problem, mu, ours - levels, at_points - points) <= answer.stats["energy"]).all()
        assert (output_errors(problem, points, answer) <= limits(answer)).all()
        assert (limits(answer) > 0).all() and (answer.stats["in time"] > 0).all()
    assert (limits(second) <= limits(first) * (1 + 1e-8)).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_bounds_are_close(scheme):
    problem = RandomEvolution(size=30, count=40, dt=0.02, scheme=scheme, spread=30.0, starts=0)
    certificate = certified(problem, 16)
    mu = problem.parameters.sample(range(8), 5)
    levels, points = exact(problem, mu)
    ours, at_points = trajectory(certificate, mu)
    answer = DualEvolutionCertificate(certificate).bound(certificate.surrogate.predict(mu))
    energy = space_time_error(problem, mu, ours - levels, at_points - points)
    # theory: √(β/α) <= 5 in the energy norm, times √2 where the load is not resolved
    assert (answer.stats["energy"] <= 5 * np.sqrt(2) * energy).all()
    assert np.median(answer.stats["in time"] / mass_error(problem, answer.field - levels)) < 10
    errors = output_errors(problem, points, answer)
    assert np.median(limits(answer)[0] / np.maximum(errors[0], 1e-16)) < 100, "a compliant output: second order"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_contraction_stays_flat_where_energy_grows(scheme):
    """E never exceeds the largest stationary bound q / √c so far; the energy bound is a sum over time."""
    problem = RandomEvolution(size=20, count=4000, dt=0.05, scheme=scheme, every=100, spread=10.0, starts=0)
    certificate = certified(problem, 5)
    mu = problem.parameters.sample(range(3), 5)
    every = list(certificate.stream(mu))
    error, energy, q = (np.concatenate([getattr(b, n) for _, b in every], axis=1) for n in ("error", "energy", "q"))
    coercive = np.concatenate([certificate.constants.lower(piece.theta) for piece, _ in every], axis=1)
    stationary = np.max(q / np.sqrt(coercive), axis=1)
    assert (error.max(axis=1) <= (1.000001 if scheme == "implicit-euler" else 1.1) * stationary).all()
    assert (energy[:, -1] > 3 * error.max(axis=1)).all() and (np.diff(energy, axis=1) >= 0).all()


def test_the_residual_of_each_step_is_the_dense_one_over_the_root_of_the_constant():
    """One term, A = h(t) X: the constant is h itself, and no bound of it."""
    problem = RandomEvolution(size=14, terms=1, count=12, dt=0.05, spread=10.0)
    certificate = certified(problem, 3)
    mu, terms = problem.parameters.sample(range(4), 5), problem.terms()
    theta, phi = problem.coefficients(mu, problem.stepping.points(0, 12))
    found = np.concatenate([bounds.q for _, bounds in certificate.stream(mu)], axis=1)
    levels, points = (u.astype(float) - terms.lift for u in trajectory(certificate, mu))
    first = next(iter(certificate.surrogate.stream(mu))).start @ certificate.surrogate.basis
    x, mass = terms.matrices[0].toarray(), problem.mass().matrix.toarray()
    change = np.diff(np.concatenate([first[:, None], levels], axis=1), axis=1) / problem.stepping.dt
    rest = (phi @ terms.loads - theta * (points @ x) - change @ mass)[:, :, terms.free]
    inner = x[np.ix_(terms.free, terms.free)]
    dual = np.sqrt(np.einsum("bti,bti->bt", rest, np.linalg.solve(inner, rest[..., None])[..., 0]))
    np.testing.assert_allclose(found, dual / np.sqrt(theta[:, :, 0]), rtol=1e-6)


def test_a_stream_lets_go_of_what_is_past(monkeypatch):
    problem = RandomEvolution(size=12, count=1000, every=100)
    certificate = certified(problem, 4)
    monkeypatch.setattr(parabolic, "_HELD", 1)
    held = []
    for piece, bounds in certificate.stream(problem.parameters.sample(range(2), 1)):
        held += [weakref.ref(piece.levels), weakref.ref(bounds.error)]
        assert sum(ref() is not None for ref in held) <= 4
    assert len(held) == 2 * 63


def test_constant_loads_have_the_stationary_bound_in_the_end():
    class Constant(RandomEvolution):
        def coefficients(self, mu, times):
            theta, phi = super().coefficients(mu, times)
            return np.ones_like(theta), np.ones_like(phi)

    problem = Constant(size=20, count=3000, dt=0.1, every=3000, spread=10.0, starts=0)
    certificate = certified(problem, 4)
    mu = problem.parameters.sample(range(1), 5)
    *_, (piece, bounds) = certificate.stream(mu)
    coercive = certificate.constants.lower(piece.theta)
    np.testing.assert_allclose(bounds.error[:, -1], bounds.q[:, -1] / np.sqrt(coercive[:, -1]), rtol=1e-6)
    levels, _ = exact(problem, mu)
    assert (
        bounds.error[0, -1] < 10 * mass_error(problem, certificate.surrogate.predict(mu).field - levels[:, -1:])[0, 0]
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_full_basis_has_a_bound_near_rounding(scheme):
    problem = RandomEvolution(size=8, scheme=scheme, count=15)
    certificate = certified(problem, 8)
    mu = problem.parameters.sample(range(4), 5)
    answer = DualEvolutionCertificate(certificate).bound(certificate.surrogate.predict(mu))
    levels, _ = exact(problem, mu)
    assert (mass_error(problem, answer.field - levels) <= answer.stats["in time"]).all()
    assert (answer.bound < 1e-10).all() and (limits(answer) > 0).all() and (limits(answer) < 1e-9).all()


def test_the_initial_error_is_counted():
    """A basis of outputs' duals alone: the start is not in it."""
    problem = RandomEvolution(size=20, starts=2)
    certificate = certified(problem, 6)
    surrogate = certificate.surrogate
    first = surrogate.truncate(1)
    short = replace(certificate, surrogate=first)
    mu = problem.parameters.sample(range(4), 2)
    start = first.start(mu) @ first.basis
    truth = problem.starts(mu)[0] @ problem.starts(mu)[1]
    error = mass_error(problem, truth - start)
    assert (error <= short.initial(mu)).all() and (short.initial(mu) < 3 * error).all() and (error > 0.01).all()
    assert (certificate.initial(mu) < 1e-12).all(), "the starts are the first modes"


def test_crank_nicolson_keeps_an_error_in_fast_modes():
    """Steps that are long for them: the factor of a fast mode is close to -1, and the bound must not shrink faster."""
    problem = RandomEvolution(size=12, count=30, dt=20.0, scheme="crank-nicolson", spread=1e4, starts=2)
    problem.coefficients = lambda mu, times: (
        np.ones((len(mu["h"]), len(times), 2)),
        np.zeros((len(mu["h"]), len(times), 2)),
    )
    certificate = certified(problem, 6)
    short = replace(certificate, surrogate=certificate.surrogate.truncate(1))
    mu = problem.parameters.sample(range(3), 2)
    levels, _ = exact(problem, mu)
    answer = short.bound(short.surrogate.predict(mu))
    error = mass_error(problem, answer.field - levels)
    assert (error <= answer.stats["in time"]).all()
    assert (error[:, -1] > 0.3 * error[:, 0]).all(), "thirty steps hardly damp it"


def test_a_window_forgets_the_past():
    problem = RandomEvolution(size=20, count=400, dt=0.1, every=400, spread=10.0, starts=1)
    certificate = certified(problem, 8)
    mu = problem.parameters.sample(range(3), 2)
    prediction = certificate.surrogate.predict(mu)
    whole, short = (DualEvolutionCertificate(certificate, w).bound(prediction) for w in (400, 40))
    assert (whole.stats["window"] < 400).all(), "the window ends where the past no longer counts"
    assert (limits(short) < 1.5 * limits(whole)).all()


def test_what_lies_before_the_window_is_counted():
    """No loads, and a start that is orthogonal to the basis: the residual vanishes, and yet there is an error."""
    problem = RandomEvolution(size=12, count=20, dt=0.01, spread=10.0, starts=2)
    first, second = problem._starts
    image = problem.mass().matrix @ first
    problem._starts[1] -= (image @ second) / (image @ first) * first
    problem.coefficients = lambda mu, times: (
        np.ones((len(mu["h"]), len(times), 2)),
        np.zeros((len(mu["h"]), len(times), 2)),
    )
    certificate = certified(problem, 6)
    cut = replace(certificate, surrogate=certificate.surrogate.truncate(1))
    missed = np.argmax(cut.surrogate.model.start_defects) == np.arange(2)
    mu = problem.parameters.sample(range(3), 2) | {f"s{k}": np.full(3, float(missed[k])) for k in range(2)}
    answer = DualEvolutionCertificate(cut, window=2).bound(cut.surrogate.predict(mu))
    error = output_errors(problem, exact(problem, mu)[1], answer)
    assert (error <= limits(answer)).all() and error.max() > 0.1 * limits(answer).max()


def test_without_coercivity_there_is_no_limit():
    problem = RandomEvolution(size=12)
    certificate = certified(problem, 4)
    mu = problem.parameters.sample(range(3), 2)
    mu["h"][1, 2] = -1.0
    for kind in (certificate, DualEvolutionCertificate(certificate)):
        answer = kind.bound(certificate.surrogate.predict(mu))
        assert np.isinf(answer.bound).tolist() == [False, True, False]
        assert "no coercivity" in answer.reason[1] and not np.isnan(limits(answer)).any()
        assert np.isfinite(answer.stats["in time"][1, :8]).all(), "before that step it is as good as ever"


def test_a_constant_without_proof_makes_an_estimate():
    class Guessed(MinTheta):
        def constants(self, theta):
            return replace(super().constants(theta), proven=False)

    problem = RandomEvolution(size=12)
    certificate = certified(problem, 4)
    problem._terms = replace(problem.terms(), stability=Guessed(np.ones(2), 1e-10))
    mu = problem.parameters.sample(range(2), 2)
    for kind in (certificate, DualEvolutionCertificate(certificate)):
        assert kind.bound(certificate.surrogate.predict(mu)).guarantee == Estimate(
            "norm of the mass, at each time level", "a proven stability constant"
        )


def test_without_a_constant_there_is_a_basis_and_no_certificate():
    problem = RandomEvolution(size=12)
    problem._terms = replace(problem.terms(), stability=None)
    reduced = PODGreedy(tol=None, max_size=4, training=3).fit(problem=problem)
    assert np.isinf(reduced.predict(problem.parameters.sample(range(2), 1)).bound).all()
    with pytest.raises(InputError, match="a stability constant is missing"):
        EvolutionCertificate.build(reduced)


def test_saved_certificates_and_other_steps(tmp_path):
    problem = RandomEvolution(size=12)
    dual = DualEvolutionCertificate(certified(problem, 5), window=50)
    surrogate = Certified(dual.primal.surrogate, dual)
    nw.save(surrogate, tmp_path / "model.nwidth")
    again = nw.load(tmp_path / "model.nwidth", kinds=[RandomEvolution])
    mu = problem.parameters.sample(range(3), 4)
    ours, theirs = surrogate.predict(mu), again.predict(mu)
    np.testing.assert_array_equal(theirs.bound, ours.bound)
    np.testing.assert_array_equal(limits(theirs), limits(ours))
    longer = RandomEvolution(size=12, count=60, dt=0.02)
    there = longer.parameters.sample(range(2), 4)
    moved = dual.moved_to(longer)
    answer, (levels, points) = moved.bound(moved.primal.surrogate.predict(there)), exact(longer, there)
    assert (mass_error(longer, answer.field - levels) <= answer.stats["in time"]).all()
    assert (output_errors(longer, points, answer) <= limits(answer)).all()


def test_answers_of_another_kind_are_refused():
    problem = RandomEvolution(size=12)
    certificate, other = certified(problem, 4), certified(problem, 3)
    mu = problem.parameters.sample(range(2), 2)
    with pytest.raises(InputError, match="bounds trajectories of its own reduced basis"):
        certificate.bound(other.surrogate.predict(mu))
    with pytest.raises(InputError, match="this basis was built for"):
        EvolutionCertificate.build(certificate.surrogate, RandomEvolution(size=13))
    with pytest.raises(InputError, match="at least 1"):
        DualEvolutionCertificate(certificate, 0)
