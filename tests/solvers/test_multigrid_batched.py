"""Multigrid in torch for a whole batch: the answers of the compiled one, sample by sample."""

import numpy as np
import pytest
from tests.problems.transport_cases import RandomTransport
from tests.solvers.test_multigrid import MU, Balanced, _Given

from nwidth.core.errors import InputError
from nwidth.core.solution import Status, Tolerance
from nwidth.problems.darcy import Darcy
from nwidth.solvers.multigrid import Multigrid
from nwidth.spaces.grid import Grid

torch = pytest.importorskip("torch")
BatchedMultigrid = pytest.importorskip("nwidth.solvers.multigrid.batched").BatchedMultigrid

PROBLEMS = {
    "two-valued": Darcy(32),
    "log-normal, odd": Darcy(45, law="log-normal"),
    "contrast 1e6, in float64": Darcy(32, low=1.0, high=1e6),
    "stretched": Darcy(32, lengths=(1.0, 20.0)),
    "3-D": Darcy(12, dim=3, modes=12),
    "1-D": Darcy(64, dim=1),
    "periodic": Balanced(space=Grid((16, 24), 1.0, "periodic"), moving=False, reacting=False),
    "Neumann": Balanced(space=Grid((17, 24), 1.0, "neumann", "cell"), moving=False, reacting=False),
    "mixed": RandomTransport(space=Grid((16, 20), 1.0, ("robin", ("dirichlet", "neumann")), "cell"), moving=False),
}


def parameters(problem):
    return MU if isinstance(problem, RandomTransport) else problem.parameters.sample(range(5), 0)


@pytest.mark.parametrize("name", PROBLEMS)
def test_same_answers_as_the_compiled_solver(name):
    compare(PROBLEMS[name], "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", PROBLEMS)
def test_same_answers_on_a_gpu(name):
    compare(PROBLEMS[name], "cuda")


def compare(problem, device):
    mu, one, many = parameters(problem), Multigrid(), BatchedMultigrid(device=device, batch=4)
    expected, found = one.solve(one.prepare(problem), mu), many.solve(many.prepare(problem), mu)
    assert found.converged.all()
    assert (found.stats["residual"] <= 1e-8).all()
    assert np.abs(found.stats["iterations"] - expected.stats["iterations"]).max() <= 1
    scale = np.abs(expected.field).max()
    np.testing.assert_allclose(found.field, expected.field, atol=1e-7 * scale, rtol=0)


def test_failures_stay_with_their_sample():
    problem = Balanced(space=Grid((8, 8), 1.0, "neumann"), moving=False, reacting=False)
    stencils = problem.stencils(MU)
    load = stencils.load + np.array([0.0, 1.0, 0.0])[:, None, None, None]
    solver = BatchedMultigrid(device="cpu")
    given = _Given(problem, MU, load=load)
    answer = solver.solve(solver.prepare(given), {"s": np.zeros(3)})
    assert answer.status.tolist() == [Status.CONVERGED, Status.SINGULAR, Status.CONVERGED]
    sign = np.array([1.0, -1.0, 1.0])[:, None, None, None]
    given = _Given(
        problem, MU, centre=sign * stencils.centre, plus=tuple(sign * p if p.size else p for p in stencils.plus)
    )
    answer = solver.solve(solver.prepare(given), {"s": np.zeros(3)})
    assert answer.converged.tolist() == [True, False, True]
    few = BatchedMultigrid(device="cpu", max_iterations=2, restarts=1)
    answer = few.solve(few.prepare(problem), MU)
    assert (answer.status == Status.MAX_ITERATIONS).all()
    assert (answer.stats["iterations"] == 2).all()


def test_a_start_is_used():
    problem, solver = Darcy(16), BatchedMultigrid(device="cpu")
    mu = problem.parameters.sample(range(2), 0)
    first = solver.solve(solver.prepare(problem), mu)
    again = solver.solve(solver.prepare(problem), mu, x0=first.field)
    assert (again.stats["iterations"] == 0).all()


def test_what_it_does_not_do_is_refused():
    solver = BatchedMultigrid(device="cpu")
    moving = RandomTransport(space=Grid((8, 8)))
    with pytest.raises(InputError, match="not symmetric"):
        solver.solve(solver.prepare(moving), MU)
    problem = Darcy(8)
    with pytest.raises(InputError, match="stops on the residual"):
        solver.solve(solver.prepare(problem), problem.parameters.sample([0], 0), stop=Tolerance("energy", 1e-3))
    with pytest.raises(InputError, match="choose one of cpu, cuda"):
        BatchedMultigrid(device="abacus")
