"""POD-Galerkin: certified like the greedy basis, exact with all modes, the best on average."""

import numpy as np
import pytest
from tests.rb.affine_cases import Random, corners, energy_error, exact

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Rigorous
from nwidth.io.model import load, save
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.pod_galerkin import PODGalerkin
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Run
from nwidth.testing.dense import DenseProblem


def runs(problem, count, seed=0):
    mu = problem.parameters.sample(range(count), seed)
    return Snapshots(problem.parameters, problem.space, mu, exact(problem, mu).astype(float))


@pytest.mark.parametrize("method", ["svd", "randomised", "streaming"])
def test_limits_hold_at_every_size_and_in_the_corners(method):
    problem = Random(size=40, terms=3, loads=2, seed=1)
    reduced = PODGalerkin(modes=12, method=method).fit(runs(problem, 60), problem)
    assert reduced.modes == 12
    mu = {n: np.concatenate([corners(problem)[n], v]) for n, v in problem.parameters.sample(range(40), 9).items()}
    u = exact(problem, mu)
    for modes in (1, 5, 12):
        answer = nw.certify(reduced.truncate(modes), problem).predict(mu)
        error = energy_error(problem, mu, u, answer.field)
        assert isinstance(answer.guarantee, Rigorous)
        assert (error <= answer.bound).all() and (answer.bound <= 40 * error).all()


def test_with_all_modes_it_is_the_full_order_solution():
    problem = Random(size=12)
    reduced = PODGalerkin(modes=12, method="svd").fit(runs(problem, 60), problem)
    mu = problem.parameters.sample(range(20), 5)
    u = exact(problem, mu)
    assert (energy_error(problem, mu, u, reduced.predict(mu).field) < 1e-11 * energy_error(problem, mu, u, 0 * u)).all()


def test_a_few_modes_are_nearly_the_best_on_average_and_galerkin_is_quasi_optimal():
    problem = ThermalBlock(resolution=16)
    data = nw.generate(problem, 80, seed=0)
    reduced = PODGalerkin(modes=6).fit(data, problem)
    inner, terms = problem.space.inner("energy"), problem.terms()
    rows = problem.space.flatten(np.asarray(data.fields)) - terms.lift
    answers = problem.space.flatten(reduced.predict(data.mu).field) - terms.lift
    achieved = np.sqrt(np.mean(inner.norm(rows - answers) ** 2))
    best = reduced.history["lost"] * np.sqrt(np.mean(inner.norm(rows) ** 2))
    assert best * (1 - 1e-9) <= achieved <= np.sqrt(10) * best, "Céa: √(β/α), 10 for conductivities in [0.1, 1]"
    assert (reduced.basis[:, ~terms.free] == 0).all()
    np.testing.assert_allclose(reduced.basis @ inner.apply(reduced.basis).T, np.eye(6), atol=1e-12)


def test_without_snapshots_it_solves_for_itself_and_the_tolerance_holds():
    problem = ThermalBlock(resolution=12)
    own = PODGalerkin(tol=1e-3, training=50).fit(problem=problem, seed=3)
    data = nw.generate(problem, 50, seed=3)
    given = PODGalerkin(tol=1e-3, method="svd").fit(data, problem)
    assert abs(own.modes - given.modes) <= 1 and own.history["lost"] <= 1e-3
    fresh = problem.parameters.sample(range(20), 8)
    a, b = (nw.certify(s, problem).predict(fresh) for s in (own, given))
    assert np.median(a.bound) == pytest.approx(np.median(b.bound), rel=1)


def test_a_store_is_streamed_and_a_file_brings_the_basis_back(tmp_path):
    problem = ThermalBlock(resolution=12)
    data = nw.generate(problem, 70, seed=0, path=tmp_path / "runs.zarr")
    reduced = PODGalerkin(tol=1e-4).fit(data, problem, run=Run(workdir=tmp_path))
    assert (tmp_path / "pod.safetensors").is_file()
    certified = nw.certify(reduced, problem)
    save(certified, tmp_path / "m.nwidth")
    fresh = problem.parameters.sample(range(5), 8)
    a, b = certified.predict(fresh), load(tmp_path / "m.nwidth").predict(fresh)
    np.testing.assert_array_equal(a.bound, b.bound)
    np.testing.assert_array_equal(a.field, b.field)


def test_other_problems_and_other_snapshots_are_refused():
    problem = Random(size=12)
    with pytest.raises(InputError, match="needs an Affine problem, got DenseProblem"):
        PODGalerkin().fit(problem=DenseProblem())
    with pytest.raises(InputError, match="the snapshots have 41 dofs, the problem 13"):
        PODGalerkin().fit(runs(Random(size=40), 5), problem)
    data = runs(problem, 30)
    shifted = Snapshots(data.parameters, data.space, data.mu, data.fields + 1.0)
    with pytest.raises(InputError, match="differ from the values that the problem prescribes"):
        PODGalerkin(modes=3, method="svd").fit(shifted, problem)
    for wrong in ({"tol": 2}, {"modes": 0}, {"training": 0}, {"method": "magic"}):
        with pytest.raises(InputError):
            PODGalerkin(**wrong)
