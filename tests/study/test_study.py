"""A study end to end: what it measures is true, your own classes take part, and a killed run goes on."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import nwidth as nw
from nwidth.certificates.base import Certificate
from nwidth.core.prediction import uncertified
from nwidth.core.solution import Tolerance
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.problems.base import BlackBox
from nwidth.snapshots.open import open_snapshots
from nwidth.solvers.direct import Direct
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points
from nwidth.study.check import Checked, check
from nwidth.study.costs import costs
from nwidth.study.errors import energy_errors
from nwidth.study.pipeline import CHECKED
from nwidth.surrogates.base import Surrogate

DARCY = """
seed: 1
problem:   {kind: darcy, resolution: 16, modes: 16}
snapshots: {train: 40, test: 8}
fit:       {kind: pod-regression}
refine:    {rtol: 1.0e-3}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> nw.study.Outcome:
    path = write(tmp_path_factory.mktemp("darcy"), DARCY)
    return nw.study.run(nw.study.load(path))


@pytest.fixture(scope="module")
def checked(outcome) -> Checked:
    return Checked.load(outcome.steps["check"].folder / CHECKED)


@pytest.fixture(scope="module")
def problem() -> nw.Problem:
    return nw.problems.get("darcy", resolution=16, modes=16)


def test_error_is_the_energy_norm_of_the_assembled_matrix(problem):
    mu = problem.parameters.sample(range(3), 5)
    truth = nw.solve(problem, mu).field
    rng = np.random.default_rng(0)
    fields = truth * (1 + 0.1 * rng.standard_normal(truth.shape))
    error, size = energy_errors(problem, mu, truth, fields, piece=2)
    for i in range(3):
        matrix = problem.assemble({"a": mu["a"][i : i + 1]}).matrix
        e, u = (fields - truth)[i].ravel(), truth[i].ravel()
        assert error[i] == pytest.approx(np.sqrt(e @ (matrix @ e)), rel=1e-12)
        assert size[i] == pytest.approx(np.sqrt(u @ (matrix @ u)), rel=1e-12)


def test_check_repeats_what_python_measures(outcome, checked, problem):
    certified = nw.load(outcome.model)
    runs = nw.generate(problem, 8, seed=1, start=20_000_000)
    prediction = certified.predict(dict(runs.mu))
    error, size = energy_errors(problem, runs.mu, runs.fields, prediction.field)
    np.testing.assert_allclose(checked.error, error, rtol=1e-9)
    np.testing.assert_allclose(checked.size, size, rtol=1e-12)
    np.testing.assert_allclose(checked.limit, prediction.bound, rtol=1e-12)
    assert checked.held.all()
    assert "held on all 8 unseen runs" in checked.verdict


def test_check_survives_its_file(checked, tmp_path):
    checked.save(tmp_path / "again.npz")
    again = Checked.load(tmp_path / "again.npz")
    assert again.summary == checked.summary
    assert again.single == checked.single
    np.testing.assert_array_equal(again.truth, checked.truth)


def test_refined_answers_keep_their_tolerance(checked):
    assert checked.refined["limit"].max() <= 1e-3
    assert (checked.refined["iterations"] >= 1).all()


class Half(Certificate):
    """A broken certificate: half of the limit that it was given."""

    kind: ClassVar[str] = "testing-half"

    def __init__(self, inner: Certificate):
        self.inner = inner

    @property
    def guarantee(self):
        return self.inner.guarantee

    def bound(self, prediction):
        whole = self.inner.bound(prediction)
        return type(whole)(**{**vars(whole), "bound": 0.5 * whole.bound, "lower": None})

    def to_parts(self):
        return self.inner.to_parts()

    @classmethod
    def from_parts(cls, config, arrays, children):
        raise nw.InputError("not stored")


def test_limit_that_fails_is_reported_as_failed(outcome, problem):
    """The effectivity of the true limit is below two here, so that half of it must fail, and the report must say so."""
    certified = nw.load(outcome.model)
    broken = nw.Certified(certified.surrogate, Half(certified.certificate))
    found = check(broken, problem, nw.generate(problem, 4, seed=9), None)
    assert not found.held.all()
    assert "FAILED" in found.verdict
    assert found.summary["held"] < 4


@dataclass(frozen=True)
class Answers(Surrogate):
    """The solutions themselves, to rounding."""

    kind: ClassVar[str] = "testing-answers"

    problem: nw.Problem

    @property
    def parameters(self):
        return self.problem.parameters

    @property
    def space(self):
        return self.problem.space

    def predict(self, mu):
        mu = as_mu(mu, self.parameters.names)
        return uncertified(mu, solve_exactly(self.problem, mu), self.space, self.parameters.contains(mu))

    def to_parts(self):
        return Parts({}, {}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        raise nw.InputError("not stored")


def solve_exactly(problem, mu):
    return nw.solve(problem, mu, Direct()).field


def test_a_surrogate_better_than_the_runs_is_not_blamed_for_their_error():
    """Runs end at the solver's tolerance; a limit speaks of the full-order solution, which is known only up to that."""
    poisson = nw.problems.get("poisson", resolution=16)
    runs = nw.generate(poisson, 6, seed=3, tolerance=Tolerance("residual", 1e-6))
    certified = nw.certify(Answers(poisson), poisson)
    found = check(certified, poisson, runs, None)
    assert (found.error > found.limit).any(), "the runs are the worse of the two"
    assert found.held.all() and "held on all 6" in found.verdict
    exact, _ = energy_errors(poisson, runs.mu, solve_exactly(poisson, runs.mu), np.asarray(runs.fields))
    assert (exact <= found.slack).all() and (found.slack <= 10 * exact).all()


@pytest.mark.parametrize("norm", [None, "l2"])
def test_runs_of_another_equation_measure_nothing(norm):
    """The limit plus what the runs may be off would hold for any runs: that is the triangle inequality."""
    poisson = nw.problems.get("poisson", resolution=16)
    runs = nw.generate(poisson, 6, seed=3)
    certified = nw.certify(Answers(poisson), poisson, norm=norm)
    assert check(certified, poisson, runs, None).held.all()
    with pytest.raises(nw.InputError, match="6 of the 6 test runs are not known to solve this equation"):
        check(certified, poisson, replace(runs, fields=1.01 * np.asarray(runs.fields)), None)


def test_solvers_may_use_coarser_grids_in_the_comparison():
    """For a smooth solution a grid of half the cells has a known error, and one of a quarter √5 times that."""
    poisson = nw.problems.get("poisson", resolution=64)
    exact = Tolerance("residual", 1e-12)  # the reference of a direct solver, which ends at rounding
    runs = nw.generate(poisson, 40, seed=0, tolerance=exact)
    certified = nw.certify(nw.rb.PODRegression().fit(runs.take(slice(8, 40))), poisson)
    single, batched = costs(certified, poisson, runs.take(slice(0, 8)), 0.01, 1e-4)
    error = {point.name: point.error for point in single}
    # First order in energy, and nested grids: the steps 16 -> 32 (twice as large) and 32 -> 64 are orthogonal.
    assert error["16 cells instead of 64"] / error["32 cells instead of 64"] == pytest.approx(np.sqrt(5), rel=0.1)
    assert 0.005 < error["32 cells instead of 64"] < 0.05
    assert error["surrogate, refined to 0.0001"] <= 1e-4
    assert error["conjugate gradients to 0.01"] <= 0.01
    assert error["conjugate gradients to 0.0001"] <= 1e-4 and error["multigrid to 0.0001"] <= 1e-4
    matched = next(name for name in error if name.startswith("multigrid, residual"))
    assert 1e-5 < error[matched] <= 0.01, "stopped where the surrogate is, not where it could"
    assert error["sparse direct solver"] < 1e-9
    assert {point.batch for point in single} == {1}
    assert {point.batch for point in batched} == {8}
    assert {point.name for point in batched} == set(error)


@dataclass(frozen=True)
class Spring(BlackBox):
    """A user's own program: the deflection of a spring under a load, at five points."""

    kind: ClassVar[str] = "spring"

    stiffness: float = 2.0

    @property
    def parameters(self) -> Box:
        return Box(("load", "length"), low=(1.0, 1.0), high=(2.0, 3.0))

    @property
    def space(self) -> Points:
        return Points((5,), np.linspace(0, 1, 5)[:, None])

    def solve(self, mu):
        return (
            np.outer(np.asarray(mu["load"]) / self.stiffness, np.linspace(0, 1, 5)) * np.asarray(mu["length"])[:, None]
        )


SPRING = """
problem:   {kind: spring, stiffness: 4}
snapshots: {train: 40, calibrate: 30, test: 20}
fit:       {kind: pod-regression}
certify:   {level: 0.8}
"""


def test_your_own_problem_takes_part_with_a_calibrated_limit(tmp_path):
    study = nw.study.load(write(tmp_path, SPRING), kinds=[Spring])
    done = nw.study.run(study)
    found = Checked.load(done.steps["check"].folder / CHECKED)
    assert not found.rigorous
    assert found.level == 0.8
    assert "expected about 80%" in found.verdict or "held on all" in found.verdict
    answer = nw.load(done.model).predict({"load": [1.5], "length": [2.0]})
    assert answer.field[0] == pytest.approx(1.5 / 4 * np.linspace(0, 1, 5) * 2.0, abs=1e-2)
    assert done.report.is_file()


def test_your_own_problem_is_unknown_unless_it_is_passed(tmp_path):
    with pytest.raises(nw.InputError, match="'spring' is not known"):
        nw.study.load(write(tmp_path, SPRING))


def test_class_without_a_kind_is_refused(tmp_path):
    with pytest.raises(nw.InputError, match="has no kind"):
        nw.study.load(write(tmp_path, SPRING), kinds=[int])


def test_documented_study_is_a_good_one(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "study.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    study = nw.study.load(write(tmp_path, text))
    assert study.method.instance.training.augment == "square"
    assert study.file.report.queries == 1e6
    for section in study.file.model_dump():
        assert f"| `{section}` |" in page


@pytest.mark.slow
def test_killed_study_goes_on_and_ends_as_if_nothing_had_happened(tmp_path):
    """Killed at growing times until it comes through: no run is lost, repeated or different."""
    text = DARCY.replace("train: 40", "train: 400").replace("resolution: 16", "resolution: 32")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        write(folder, text)
    undisturbed = nw.study.run(nw.study.load(whole / "study.yaml"), "fit")
    command = [sys.executable, "-m", "nwidth", "fit", str(broken / "study.yaml"), "--quiet"]
    kills = 0
    for delay in np.geomspace(2, 60, 10):
        process = subprocess.Popen(command)
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        break
    assert process.returncode == 0
    assert kills >= 2
    time.sleep(0.1)
    continued = nw.study.run(nw.study.load(broken / "study.yaml"), "fit")
    assert {event.state for event in continued.steps.values()} == {"reused"}
    stores = [next((folder / "study-results" / "runs").glob("train-*.zarr")) for folder in (whole, broken)]
    first, second = (open_snapshots(path) for path in stores)
    np.testing.assert_array_equal(np.asarray(first.fields[:]), np.asarray(second.fields[:]))
    np.testing.assert_array_equal(first.index, second.index)
    models = [o.steps["fit"].folder / "surrogate.nwidth" for o in (undisturbed, continued)]
    assert models[0].read_bytes() == models[1].read_bytes()
