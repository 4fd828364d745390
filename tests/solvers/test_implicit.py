"""Crank-Nicolson and BDF2: order and error against matrix exponentials, rough data, factorisations, failures."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from scipy.integrate import solve_ivp

from nwidth.core.errors import InputError
from nwidth.core.solution import Status, Tolerance
from nwidth.core.validation import as_mu, select
from nwidth.problems.evolution import LinearEvolution, Marching
from nwidth.problems.poisson import Poisson
from nwidth.solvers.choose import explain, solve
from nwidth.solvers.implicit import BDF2, CrankNicolson
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid


def bands(low, middle, up):
    return sp.csr_array(sp.diags_array([low, middle, up], offsets=[-1, 0, 1], shape=(len(middle),) * 2))


METHODS = [CrankNicolson(dt=1.0, smooth=0), CrankNicolson(dt=1.0), BDF2(dt=1.0)]
ORDERS = {"CrankNicolson": 2.0, "BDF2": 2.0}


@dataclass(frozen=True)
class Rod(LinearEvolution):
    """Linear elements on (0, 1): u_t - κ u_xx + c u_x = (1 + t) x, prescribed ends that move, consistent mass."""

    cells: int = 12
    drift: float = 0.0
    levels: tuple[float, ...] = (0.5, 1.0)
    jump: bool = False
    broken: bool = False
    singular: bool = False

    @property
    def parameters(self):
        return Box(("kappa", "height"), low=(0.05, -1.0), high=(1.0, 1.0))

    @property
    def space(self):
        return Grid((self.cells,))

    @property
    def times(self):
        return np.array(self.levels)

    def initial(self, mu):
        (x,) = self.space.axes()
        height = np.asarray(as_mu(mu, ("kappa", "height"))["height"], dtype=float)[:, None]
        return height * (x < 0.5) if self.jump else height * np.sin(np.pi * x) + x

    def marching(self, mu):
        n, (x,) = self.cells, self.space.axes()
        (kappa,) = as_mu(mu, ("kappa", "height"))["kappa"]
        ones = np.ones(n + 1)
        ends = np.where((x == 0) | (x == 1), 0.5, 1.0)
        mass = bands(ones[1:] / 6 / n, ends * 4 / 6 / n, ones[1:] / 6 / n)
        stiffness = bands(-ones[1:] * n, 2 * ends * n, -ones[1:] * n)
        transport = bands(-0.5 * ones[1:], 0 * ones, 0.5 * ones[1:])
        load = mass @ x
        size = -1.0 if self.singular else 1.0
        return Marching(
            0 * mass if self.singular else mass,
            size * 0 * stiffness if self.singular else kappa * stiffness + self.drift * transport,
            self.space.free,
            load=lambda t: np.full(n + 1, np.nan) if self.broken and t > 0.3 else (1 + t) * load,
            lift=None if self.jump else lambda t: np.cos(3 * t) * x,
            definite=self.drift == 0,
        )


MU = {"kappa": np.array([0.1, 0.7, 0.7]), "height": np.array([1.0, -0.5, 0.8])}


def oracle(problem, mu, tolerance=1e-11):
    """The ordinary differential equations of the free dofs, by a general stiff solver: `(B, T, n)`."""
    out = []
    for i in range(len(mu["kappa"])):
        system = problem.marching(select(mu, slice(i, i + 1)))
        f = system.free
        m, a = system.mass.toarray(), system.operator.toarray()
        inverse = np.linalg.inv(m[np.ix_(f, f)])
        lift = (lambda t, f=f: np.zeros(len(f))) if system.lift is None else system.lift
        rate = lambda t, g=lift: (g(t + 1e-5) - g(t - 1e-5)) / 2e-5  # noqa: E731

        def slope(t, w, s=system, f=f, m=m, a=a, inverse=inverse, lift=lift, rate=rate):
            u, du = np.where(f, 0.0, lift(t)), np.where(f, 0.0, rate(t))
            u[f] = w
            return inverse @ (s.load(t) - a @ u - m @ du)[f]

        u0 = problem.initial(select(mu, slice(i, i + 1)))[0]
        found = solve_ivp(slope, (0, problem.times[-1]), u0[f], "Radau", problem.times, rtol=tolerance, atol=1e-13)
        fields = np.stack([np.where(f, 0.0, lift(t)) for t in problem.times])
        fields[:, f] = found.y.T
        out.append(fields)
    return np.stack(out)


def relative(fields, exact):
    return (np.linalg.norm(fields - exact, axis=-1) / np.linalg.norm(exact, axis=-1)).max(axis=1)


@pytest.mark.parametrize("drift", [0.0, 2.0])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{type(m).__name__}{getattr(m, 'smooth', '')}")
def test_second_order_and_absolute_error(method, drift):
    problem = Rod(drift=drift)
    exact = oracle(problem, MU)
    errors = [relative(solve(problem, MU, replace(method, dt=h)).field, exact) for h in (1 / 32, 1 / 64, 1 / 128)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders[-1], 2.0, atol=0.2)
    assert errors[-1].max() < 1e-3
    assert errors[-1].min() > 1e-7


def test_each_sample_of_a_closed_form():
    """Without load and with ends held at zero: u(t) = exp(-t M⁻¹ A) u0."""
    problem = Rod(jump=True, levels=(0.2,))
    mu = select(MU, slice(0, 1))
    system = problem.marching(mu)
    f = system.free
    m, a = (s.toarray()[np.ix_(f, f)] for s in (system.mass, system.operator))
    still = scipy.linalg.expm(-0.2 * np.linalg.solve(m, a)) @ problem.initial(mu)[0, f]
    forced = solve(problem, mu, CrankNicolson(accuracy=1e-7)).field[0, 0, f]
    zero = solve(problem, {**mu, "height": np.zeros(1)}, CrankNicolson(accuracy=1e-7)).field[0, 0, f]
    np.testing.assert_allclose(forced - zero, still, atol=1e-6)


def test_a_smooth_start_keeps_the_order_for_rough_data():
    """A jump, and steps that are large against the mesh: plain Crank-Nicolson rings, two smoothed steps do not."""
    problem = Rod(cells=200, jump=True, levels=(0.1,))
    mu = {"kappa": np.array([1.0]), "height": np.array([1.0])}
    exact = solve(problem, mu, BDF2(accuracy=1e-6)).field[0]
    error = {}
    for smooth in (0, 2):
        runs = [solve(problem, mu, CrankNicolson(h, check=False, smooth=smooth)).field[0] for h in (1 / 80, 1 / 160)]
        error[smooth] = [float(abs(run - exact).max()) for run in runs]
    assert error[0][1] > 0.1
    assert error[2][1] < 2e-3
    assert 1.7 < np.log2(error[2][0] / error[2][1]) < 2.6


def test_the_step_is_found_for_a_stated_accuracy():
    problem = Rod(levels=(0.0, 0.3, 1.0))
    exact = oracle(problem, MU)
    for method in (CrankNicolson(accuracy=1e-5), BDF2(accuracy=1e-5)):
        found = solve(problem, MU, method)
        error = relative(found.field, exact)
        assert found.converged.all()
        assert (found.stats["indicator"] <= 1e-5).all()
        assert (error < 1.5e-5).all()
        assert (found.stats["indicator"] > error / 3).all()
        # what is prescribed is exact at every stored time
        np.testing.assert_allclose(found.field[:, :, -1], np.cos(3 * problem.times)[None].repeat(3, 0), atol=1e-14)
    assert (solve(problem, MU, CrankNicolson(1 / 4)).status == Status.MAX_ITERATIONS).all()


def test_one_factorisation_serves_all_steps_and_samples_with_the_same_matrices():
    problem = Rod()
    for method, per_matrix in ((CrankNicolson(0.01, check=False), 1), (BDF2(0.01, check=False), 2)):
        state = method.prepare(problem)
        together = method.solve(state, MU)
        assert state.factors.count == 2 * per_matrix  # two conductivities
        assert together.stats["iterations"].tolist() == [100] * 3
        assert together.stats["residual"].max() < 1e-12
        alone = [method.solve(method.prepare(problem), select(MU, slice(i, i + 1))).field[0] for i in range(3)]
        np.testing.assert_allclose(together.field, np.stack(alone), atol=1e-13)


def test_failures_are_typed():
    found = solve(Rod(singular=True), MU)
    assert (found.status == Status.SINGULAR).all()
    assert np.isnan(found.field).all()
    with pytest.raises(InputError, match=r"load\(0.\d+\) of sample 0 in its group is nan"):
        solve(Rod(broken=True), MU)


def test_the_problem_chooses_this_solver_and_bad_input_is_named():
    assert "Crank-Nicolson" in explain(Rod())
    assert solve(Rod(), select(MU, slice(0, 0))).field.shape == (0, 2, 13)
    for call, message in [
        (lambda: CrankNicolson(check=False), "nothing would choose the step"),
        (lambda: BDF2(dt=0.0), "expected a positive number"),
        (lambda: CrankNicolson(smooth=-1), "0 for none"),
        (lambda: BDF2().prepare(Poisson(8)), "Poisson is not a LinearEvolution"),
        (lambda: BDF2().prepare(Rod(levels=(1.0, 1.0))), "increasing finite times"),
        (lambda: solve(Rod(), MU, stop=Tolerance()), r"say CrankNicolson\(accuracy=...\)"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
