"""Parabolic problems solved in full, against closed forms, matrix exponentials and themselves."""

import numpy as np
import pytest
import scipy.linalg as sla
from tests.rb.evolution_cases import HeatLine, RandomEvolution, exact

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.problems.parabolic import Stepping
from nwidth.problems.parabolic_signals import Signals
from nwidth.problems.power_module_transient import HEAT_CAPACITY, PowerModuleTransient

SCHEMES = ("implicit-euler", "crank-nicolson")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_sine_decays_by_the_amplification_factor(scheme):
    problem = HeatLine(stepping=Stepping(0.02, 40, scheme, every=4))
    mu = problem.parameters.sample(range(5), 1)
    np.testing.assert_allclose(problem.solve(mu), problem.exact(mu), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("scheme", "order", "error"), [("implicit-euler", 1, 2e-3), ("crank-nicolson", 2, 2e-6)])
def test_orders_of_convergence_against_the_matrix_exponential(scheme, order, error):
    """`M w' + A w = f` with everything constant: w(T) = A⁻¹f + exp(-T M⁻¹A) (w0 - A⁻¹f)."""

    class Constant(RandomEvolution):
        def coefficients(self, mu, times):
            theta, phi = super().coefficients(mu, times)
            return np.ones_like(theta), np.ones_like(phi)

    errors = []
    for count in (200, 400):
        problem = Constant(size=10, spread=5.0, count=count, dt=1.0 / count, scheme=scheme, every=count)
        free, terms = problem.terms().free, problem.terms()
        a = sum(m.toarray() for m in terms.matrices)[np.ix_(free, free)]
        m = problem.mass().matrix.toarray()[np.ix_(free, free)]
        mu = problem.parameters.sample(range(1), 0)
        rest = np.linalg.solve(a, terms.loads.sum(axis=0)[free])
        w = rest + sla.expm(-np.linalg.solve(m, a)) @ (problem.initial(mu)[0][free] - terms.lift[free] - rest)
        errors.append(np.abs(problem.solve(mu)[0, 0][free] - w).max() / np.abs(w).max())
    assert errors[1] < error
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_coefficients_that_vary_are_taken_at_the_points_of_the_steps(scheme):
    problem = RandomEvolution(scheme=scheme, count=20, every=5)
    mu = problem.parameters.sample(range(3), 2)
    levels, _ = exact(problem, mu)
    np.testing.assert_allclose(problem.solve(mu), levels[:, 4::5].astype(float), rtol=0, atol=1e-12)


def test_samples_with_the_same_matrices_march_together_and_change_nothing():
    problem = RandomEvolution()
    mu = problem.parameters.sample(range(4), 2)
    mu["h"], mu["t0"] = mu["h"][[0, 1, 0, 0]], mu["t0"][[0, 1, 0, 0]]
    together = problem.solve(mu)
    for i in range(4):
        np.testing.assert_allclose(problem.solve({n: v[i : i + 1] for n, v in mu.items()})[0], together[i], atol=1e-13)


def test_the_library_solves_and_generates_it():
    problem = RandomEvolution(count=10, every=5)
    runs = nw.generate(problem, 3, seed=4)
    assert runs.fields.shape == (3, 2, 25) and (np.asarray(runs.times) == problem.times).all()
    np.testing.assert_array_equal(nw.solve(problem, problem.parameters.sample(range(3), 4)).field, runs.fields)
    np.testing.assert_allclose(
        runs.outputs["other"], np.asarray(runs.fields) @ problem.quantities()["other"].functional + 3.0, atol=1e-12
    )


@pytest.mark.parametrize("bad", [{"dt": 0.0}, {"count": 0}, {"every": 3}, {"scheme": "explicit"}])
def test_impossible_steps_are_refused(bad):
    with pytest.raises(InputError):
        Stepping(**({"dt": 0.1, "count": 10} | bad))


def test_coefficients_that_do_not_fit_are_refused():
    problem = RandomEvolution()
    mu = problem.parameters.sample(range(2), 0)
    problem.coefficients = lambda mu, times: (np.ones((2, 3, 1)), np.ones((2, len(times), 2)))
    with pytest.raises(InputError, match="coefficients gave θ of shape"):
        problem.solve(mu)
    problem.coefficients = lambda mu, times: (np.full((2, len(times), 2), np.nan), np.ones((2, len(times), 2)))
    with pytest.raises(InputError, match="θ of sample 0 is not finite at t = 0.05"):
        problem.solve(mu)


def test_signals_hold_their_values_to_the_end_of_each_piece():
    signals = Signals(("h",), 1.0, 2.0, pieces=3, length=0.1)
    values = np.array([[1.0, 1.5, 2.0]])
    times = np.array([0.001, 0.1, 0.1 + 1e-9, 0.3 * (1 - 1e-16), 0.05 + 0.1, 3 * 0.1])
    np.testing.assert_array_equal(signals.at(values, times), [[1.0, 1.0, 1.5, 2.0, 1.5, 2.0]])
    with pytest.raises(InputError, match="which last 0.3"):
        signals.at(values, np.array([0.31]))


def test_signals_are_drawn_by_sample_and_checked_at_all_times(tmp_path):
    signals = Signals(("h", "p"), (1.0, -1.0), (100.0, 1.0), log=(True, False), pieces=50, length=0.1)
    mu = signals.sample(range(40), 3)
    np.testing.assert_array_equal(signals.sample([7], 3)["h"][0], mu["h"][7])
    assert mu["h"].shape == (40, 50) and np.median(mu["h"]) == pytest.approx(10.0, rel=0.1)
    assert np.corrcoef(mu["h"].ravel(), mu["p"].ravel())[0, 1] == pytest.approx(0.0, abs=0.1)
    assert signals.contains(mu).all()
    mu["p"][5, 17] = 1.1
    assert np.flatnonzero(~signals.contains(mu)).tolist() == [5]
    parts = signals.to_parts()
    assert Signals.from_parts(parts.config, parts.arrays, {}) == signals
    with pytest.raises(InputError, match=r"give \(B, 50\)"):
        signals.contains({name: v[:, :3] for name, v in mu.items()})


@pytest.fixture(scope="module")
def module():
    return PowerModuleTransient(dt=50.0, count=20, every=20, piece=1000.0)


def test_the_transient_ends_in_the_stationary_state_of_the_power_module(module):
    drawn = module.parameters.sample(range(2), 5)
    still = {name: values.reshape(2) for name, values in drawn.items()}
    still |= {"k_solder": np.full(2, 50.0), "k_chip_solder": np.full(2, 50.0)}
    expected = nw.solve(module.module, still).field
    np.testing.assert_allclose(module.solve(drawn)[:, -1], expected, atol=1e-6)


def test_it_warms_up_by_the_energy_that_is_put_in(module):
    """Before heat reaches the coolant: ∫ ρc (T - 40) = (P1 + P2) t, less what the bottom lets out."""
    fast = PowerModuleTransient(dt=1e-3, count=5, every=5)
    mu = fast.parameters.sample(range(1), 0) | {"h": np.full((1, 1), 1e3)}
    heat = (fast.mass().matrix @ (fast.solve(mu)[0, 0] - 40.0)).sum()
    assert heat == pytest.approx(5e-3 * float(mu["P1"][0, 0] + mu["P2"][0, 0]), rel=1e-6)


def test_the_mass_is_the_heat_capacity_of_the_stack(module):
    """Volumes by hand: aluminium, grease, copper, solder, ceramic and track over 64 x 42 mm, two chips of 12 x 14."""
    base = [5.0 * HEAT_CAPACITY["aluminium"], 0.1 * HEAT_CAPACITY["k_interface"], 3.3 * HEAT_CAPACITY["copper"]]
    base += [0.2 * HEAT_CAPACITY["k_solder"], 0.63 * HEAT_CAPACITY["aluminium nitride"]]
    chips = 0.1 * HEAT_CAPACITY["k_chip_solder"] + 0.2 * HEAT_CAPACITY["silicon"]
    total = 1e-9 * (64 * 42 * sum(base) + 2 * 12 * 14 * chips)
    matrix, ones = module.mass().matrix, np.ones(len(module.space.nodes))
    # cells along 42 mm are 2 mm wide, so that the edges of the chips are grid lines
    assert ones @ (matrix @ ones) == pytest.approx(total, rel=1e-12)
    assert np.linalg.eigvalsh(matrix.toarray()[:400, :400])[0] >= module.mass().lambda_min


def test_impossible_transients_are_refused(module):
    with pytest.raises(InputError, match="choose piece >= dt"):
        PowerModuleTransient(piece=0.001)
    mu = module.parameters.sample(range(2), 0)
    mu["h"][1, 0] = 0.0
    with pytest.raises(InputError, match="h is 0.0 in row 1"):
        module.solve(mu)
