"""Runs that prove nothing: of another equation, already seen, unusable; and outputs in time, looked at at all times."""

from dataclasses import replace

import numpy as np
import pytest
from tests.rb.evolution_cases import HeatLine
from tests.study.evidence_cases import Changed, scaled, state_of

import nwidth as nw
from nwidth.core.guarantee import Rigorous, Statistical
from nwidth.core.prediction import Output, uncertified
from nwidth.core.solution import Status
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.reports.evidence import State
from nwidth.snapshots.base import Snapshots
from nwidth.solvers.direct import Direct
from nwidth.spaces.trajectories import Trajectories
from nwidth.study.evidence_cases import Measured, cases_of
from nwidth.study.evidence_checks import Subject, checks_of
from nwidth.study.evidence_held import held_check
from nwidth.study.evidence_statistics import coverage_check
from nwidth.surrogates.function import FunctionSurrogate

SOLVE, HOLD = "unseen runs solve the equation", "the limit holds on unseen cases"


@pytest.fixture(scope="module")
def darcy():
    return nw.problems.get("darcy", resolution=12)


@pytest.fixture(scope="module")
def runs(darcy):
    return nw.generate(darcy, 30, seed=0)


@pytest.fixture(scope="module")
def surrogate(darcy, runs):
    return nw.rb.PODRegression(modes=8).fit(runs, darcy, seed=0)


@pytest.fixture(scope="module")
def fresh(darcy):
    return nw.generate(darcy, 8, seed=5)


@pytest.fixture(scope="module")
def block():
    return ThermalBlock(2, 6)


@pytest.fixture(scope="module")
def basis(block):
    return nw.certify(nw.rb.Greedy(tol=3e-2, training=20).fit(problem=block), block)


def checks_on(certified, problem, runs):
    return checks_of(Subject("case", certified, problem, cases_of(certified, problem, runs, "given")))


@pytest.mark.parametrize(
    ("factor", "solve", "hold"),
    [(1.0, State.HOLDS, State.HOLDS), (1.01, State.FAILS, State.OPEN), (1000.0, State.FAILS, State.OPEN)],
)
def test_runs_that_do_not_solve_the_equation_prove_nothing(darcy, surrogate, fresh, factor, solve, hold):
    """Their own distance from the solution makes any limit look right, so none may count as held."""
    checks = checks_on(nw.certify(surrogate, darcy), darcy, replace(fresh, fields=factor * np.asarray(fresh.fields)))
    assert state_of(checks, SOLVE) is solve and state_of(checks, HOLD) is hold


@pytest.mark.parametrize(("factor", "solve"), [(1.0, State.HOLDS), (1.01, State.FAILS)])
def test_the_same_for_a_basis_whose_limits_come_from_coefficients(block, basis, factor, solve):
    runs = nw.generate(block, 5, seed=5)
    outputs = {name: factor * np.asarray(values) for name, values in runs.outputs.items()}
    wrong = replace(runs, fields=factor * np.asarray(runs.fields), outputs=outputs)
    checks = checks_on(basis, block, wrong)
    assert state_of(checks, SOLVE) is solve
    assert (state_of(checks, "mean: the limit holds") is State.HOLDS) == (factor == 1.0)


def test_runs_of_another_equation_are_seen_where_it_is_given_too(darcy, surrogate):
    """The factorisation is of the other equation then, and must not count either."""

    class Other(type(darcy)):
        def source(self, mu):
            return 1.5 * super().source(mu)

    other = Other(resolution=12)
    checks = checks_on(nw.certify(surrogate, darcy), other, nw.generate(other, 5, seed=5))
    assert state_of(checks, SOLVE) is State.FAILS
    assert state_of(checks, "not below the true error") is State.OPEN


def test_a_broken_limit_is_seen_although_the_reference_is_rough(darcy, surrogate, fresh):
    """A reference off by a thousandth cannot hide a limit that is a hundred times too small."""
    broken = nw.Certified(surrogate, Changed(nw.certify(surrogate, darcy).certificate, scaled(0.01)))
    checks = checks_on(broken, darcy, replace(fresh, fields=1.001 * np.asarray(fresh.fields)))
    assert state_of(checks, HOLD) is State.FAILS


def test_a_reference_that_is_too_rough_for_a_sharp_limit_leaves_it_open():
    one = np.ones(3)
    rough = Measured("q", "", 0.5 * one, one, np.array([0.0, 0.05, 0.2]))
    found = held_check("q", "", rough)
    assert found.state is State.OPEN and found.number.startswith("2 of 3; 1 undecided")
    assert rough.held.tolist() == [True, True, False]
    assert held_check("q", "", replace(rough, slack=0 * one)).state is State.HOLDS
    assert held_check("q", "", replace(rough, error=2 * one)).state is State.FAILS
    assert held_check("q", "", replace(rough, limit=np.inf * one)).state is State.OPEN


def test_training_runs_are_no_unseen_runs(surrogate, runs, fresh, darcy, tmp_path):
    for name, certified in (
        ("calibrated", nw.certify(surrogate, holdout=nw.generate(darcy, 40, seed=1))),
        ("guaranteed", nw.certify(surrogate, darcy)),
    ):
        nw.save(certified, tmp_path / f"{name}.nwidth")
        seen = nw.write_evidence(tmp_path / f"{name}.nwidth", tmp_path / "a", holdout=runs).evidence
        assert state_of(seen.failing, "is a training run") is State.FAILS
        new = nw.write_evidence(tmp_path / f"{name}.nwidth", tmp_path / "b", holdout=fresh).evidence
        assert state_of(new.assumptions, "is a training run") is State.HOLDS


def test_a_memory_that_is_not_there_is_left_open(runs, darcy, fresh, tmp_path):
    forgetful = nw.rb.PODRegression(modes=4, regressor="network").fit(runs, darcy)
    assert not forgetful.remembers
    nw.save(nw.certify(forgetful, darcy), tmp_path / "m.nwidth")
    found = nw.write_evidence(tmp_path / "m.nwidth", tmp_path, holdout=fresh).evidence
    assert state_of(found.assumptions, "is a training run") is State.OPEN


def test_calibration_runs_are_no_unseen_runs(surrogate, darcy, fresh, tmp_path):
    nw.save(surrogate, tmp_path / "bare.nwidth")
    calibration = nw.generate(darcy, 40, seed=1, path=tmp_path / "runs.zarr")
    nw.certify_file(tmp_path / "bare.nwidth", tmp_path / "m.nwidth", holdout=tmp_path / "runs.zarr")
    text = "is a calibration run"
    for holdout, state in (
        (calibration, State.FAILS),
        (calibration.take(slice(3, 20)), State.FAILS),
        (fresh, State.HOLDS),
    ):
        found = nw.write_evidence(tmp_path / "m.nwidth", tmp_path, holdout=holdout).evidence
        assert state_of(found.assumptions, text) is state
    nw.save(nw.load(tmp_path / "m.nwidth"), tmp_path / "forgotten.nwidth")
    found = nw.write_evidence(tmp_path / "forgotten.nwidth", tmp_path, holdout=calibration).evidence
    assert state_of(found.assumptions, text) is State.OPEN


def test_runs_of_a_table_that_calibrated_are_known(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{p!r},{2 * p * p!r}" for p in rng.uniform(1, 2, 60).tolist()]
    (tmp_path / "runs.csv").write_text("\n".join(["p,y", *rows]))
    nw.fit_runs(tmp_path / "runs.csv", output=tmp_path / "m.nwidth", outputs=["y"], level=0.8)
    found = nw.write_evidence(tmp_path / "m.nwidth", tmp_path, holdout=tmp_path / "runs.csv").evidence
    assert state_of(found.assumptions, "is a calibration run") is State.FAILS


@pytest.mark.parametrize("kind", ["status", "numbers"])
def test_runs_that_cannot_be_used_leave_it_open_with_the_reason(surrogate, darcy, fresh, tmp_path, kind):
    nw.save(nw.certify(surrogate, darcy), tmp_path / "m.nwidth")
    fields = np.asarray(fresh.fields)
    useless = (
        replace(fresh, status=np.full(8, int(Status.FAILED)))
        if kind == "status"
        else replace(fresh, fields=np.full_like(fields, np.nan))
    )
    found = nw.write_evidence(tmp_path / "m.nwidth", tmp_path, holdout=useless).evidence
    (one,) = [a for a in found.assumptions if "hold on unseen cases" in a.text]
    assert one.state is State.OPEN and "none of 8 unseen runs" in one.how
    assert "0 of 0" not in (tmp_path / "evidence.md").read_text()


def test_a_surrogate_answers_no_questions_with_no_answers(surrogate, darcy):
    none = {name: values[:0] for name, values in darcy.parameters.sample(range(2), 0).items()}
    assert surrogate.predict(none).field.shape == (0, 13, 13)


def test_a_field_that_cannot_be_compared_is_left_open(surrogate, darcy, fresh):
    other = nw.problems.get("darcy", resolution=6)
    coarse = Snapshots(fresh.parameters, other.space, dict(fresh.mu), np.zeros((8, 7, 7)))
    checks = checks_on(nw.certify(surrogate, darcy), darcy, coarse)
    (found,) = [a for a in checks if a.text == "field: the limit holds on unseen cases"]
    assert found.state is State.OPEN and "7 x 7" in found.how


@pytest.mark.parametrize(("late", "state"), [(0.0, State.HOLDS), (9.0, State.FAILS)])
def test_outputs_in_time_are_compared_at_every_time(darcy, surrogate, fresh, late, state):
    """An output that is wrong at the first times and right at the last one."""
    true = np.zeros((8, 5))
    true[:, :3] = late

    def change(answer):
        output = Output(np.zeros((len(answer), 5)), np.full((len(answer), 5), 0.1))
        return replace(answer, outputs={"T": output})

    changed = nw.Certified(surrogate, Changed(nw.certify(surrogate, darcy).certificate, change))
    checks = checks_on(changed, darcy, replace(fresh, outputs={"T": true}))
    assert state_of(checks, "T, each case at the worst of 5 times") is state


@pytest.mark.parametrize(("when", "state"), [(slice(0, 0), State.HOLDS), (slice(10, 12), State.FAILS)])
def test_fields_in_time_are_compared_at_every_time(when, state):
    problem = HeatLine(24)
    trajectories = Trajectories(problem.space, problem.times)
    surrogate = FunctionSurrogate(lambda mu: 1.001 * problem.exact(mu), problem.parameters, trajectories)

    def change(answer):
        limits = np.array(answer.stats["in time"])
        limits[:, when] *= 1e-6
        return replace(answer, stats={**answer.stats, "in time": limits})

    changed = nw.Certified(surrogate, Changed(nw.certify(surrogate, problem).certificate, change))
    assert state_of(checks_on(changed, problem, nw.generate(problem, 3, seed=11)), "norm of the mass") is state


@pytest.mark.parametrize(
    ("norm", "share", "state"),
    [
        ("L² norm, each stored time on its own; each output on its own", 0.9, State.HOLDS),
        ("L² norm, each stored time on its own; each output on its own", 0.7, State.FAILS),
        ("L² norm, at all stored times of a run together; each output on its own", 0.9, State.FAILS),
    ],
    ids=["each", "each too small", "together"],
)
def test_calibrated_limits_in_time_are_judged_by_what_they_promise(darcy, surrogate, fresh, norm, share, state):
    """Independent errors at 10 times: limits for each time alone hold together for few runs, and need not hold more."""
    rng, guarantee = np.random.default_rng(0), Statistical(norm, 0.9, 199)
    errors = rng.random((400, 10))
    mu = {name: np.resize(values, (400, *values.shape[1:])) for name, values in fresh.mu.items()}
    limits = Output(np.zeros((400, 10)), np.full((400, 10), share))
    prediction = replace(
        uncertified(mu, np.zeros((400, 13, 13)), darcy.space, np.ones(400, dtype=bool), {"T": limits}),
        guarantee=guarantee,
    )

    runs = Snapshots(darcy.parameters, darcy.space, mu, np.zeros((400, 13, 13)), outputs={"T": errors})
    told = nw.Certified(surrogate, Changed(nw.certify(surrogate, darcy).certificate, lambda answer: prediction))
    cases = cases_of(told, None, runs, "drawn")
    (measured,) = cases.measured
    assert coverage_check(guarantee, measured).state is state


def test_the_worst_of_many_times_is_allowed_to_be_worse_than_one():
    error = np.where(np.arange(200) < 158, 0.5, 2.0)
    one = Measured("T", "", error, np.ones(200), np.zeros(200))
    guarantee = Statistical("L² norm", 0.9, 99)
    assert coverage_check(guarantee, one).state is State.FAILS
    assert coverage_check(guarantee, replace(one, tries=10)).state is State.HOLDS


def test_a_guaranteed_limit_belongs_to_the_answer_and_a_calibrated_one_to_the_surrogate(surrogate, darcy, fresh):
    texts = [a.text for a in checks_on(nw.certify(surrogate, darcy), darcy, fresh)]
    assert isinstance(nw.certify(surrogate, darcy).guarantee, Rigorous)
    assert not any("for this surrogate" in text for text in texts)
    certified = nw.certify(surrogate, holdout=nw.generate(darcy, 40, seed=1))
    assert state_of(checks_on(certified, None, fresh), "calibrated for this surrogate") is State.HOLDS


def test_limits_of_outputs_that_depend_on_the_batch_are_seen(block, basis):
    def change(answer):
        factor = 1.5 if len(answer) == 1 else 1.0
        outputs = {name: replace(o, limit=factor * o.limit) for name, o in answer.outputs.items()}
        return replace(answer, outputs=outputs)

    runs = nw.generate(block, 5, seed=5)
    assert state_of(checks_on(basis, block, runs), "asked alone") is State.HOLDS
    changed = nw.Certified(basis.surrogate, Changed(basis.certificate, change))
    assert state_of(checks_on(changed, block, runs), "asked alone") is State.FAILS


def test_what_is_said_of_the_factorisation_is_true(block, basis, darcy, surrogate, fresh):
    for certified, problem, runs, words in (
        (basis, block, nw.generate(block, 5, seed=5), "as nwidth solves this problem too"),
        (nw.certify(surrogate, darcy), darcy, fresh, "not by the iteration"),
    ):
        (found,) = [a for a in checks_on(certified, problem, runs) if "not below the true error" in a.text]
        assert words in found.how and found.state is State.HOLDS


@pytest.mark.parametrize(("count", "state", "words"), [(1, State.HOLDS, "1 left out"), (8, State.OPEN, "none reached")])
def test_a_factorisation_that_misses_its_tolerance_is_no_reference(
    darcy, surrogate, fresh, monkeypatch, count, state, words
):
    class Missing(Direct):
        def solve(self, state, mu, *rest):
            found = super().solve(state, mu, *rest)
            return replace(found, status=np.where(np.arange(len(found.status)) < count, Status.FAILED, found.status))

    monkeypatch.setattr("nwidth.study.evidence_equation.Direct", Missing)
    (found,) = [a for a in checks_on(nw.certify(surrogate, darcy), darcy, fresh) if "below the true error" in a.text]
    assert found.state is state and words in found.how


def test_tests_that_were_all_skipped_prove_nothing(surrogate, darcy, fresh, tmp_path):
    nw.save(nw.certify(surrogate, darcy), tmp_path / "m.nwidth")
    for body, state in (("<testcase/>", State.HOLDS), ("<testcase><skipped/></testcase>", State.FAILS)):
        (tmp_path / "t.xml").write_text(f"<a>{body}</a>")
        found = nw.write_evidence(tmp_path / "m.nwidth", tmp_path, holdout=fresh, tests=tmp_path / "t.xml").evidence
        assert state_of(found.assumptions, "own tests pass") is state
        assert "software tests (t.xml)" in found.hashes


def test_files_of_one_name_keep_their_own_hashes(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    p = rng.uniform(1, 2, 40).tolist()
    (tmp_path / "runs.csv").write_text("\n".join(["p,y", *(f"{x!r},{2 * x!r}" for x in p)]))
    nw.fit_runs(tmp_path / "runs.csv", output=tmp_path / "m.nwidth", outputs=["y"], level=0.8)
    q = rng.uniform(1, 2, 10).tolist()
    (tmp_path / "a" / "runs.csv").write_text("\n".join(["p", *(repr(x) for x in q)]))
    (tmp_path / "b" / "runs.csv").write_text("\n".join(["y", *(repr(2 * x) for x in q)]))
    found = nw.write_evidence(
        tmp_path / "m.nwidth", tmp_path, holdout=tmp_path / "a" / "runs.csv", results=tmp_path / "b" / "runs.csv"
    ).evidence
    names = ("unseen runs (runs.csv)", "results (runs.csv)")
    assert len({found.hashes[name] for name in names}) == 2


def test_a_place_that_cannot_be_written_costs_no_work(surrogate, darcy, tmp_path, monkeypatch):
    nw.save(nw.certify(surrogate, darcy), tmp_path / "m.nwidth")
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "page" / "evidence.md").mkdir(parents=True)

    def work(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr("nwidth.study.evidence.generate", work)
    for folder in ("file", "file/page", "page"):
        with pytest.raises(nw.WorkError, match="choose another folder"):
            nw.write_evidence(tmp_path / "m.nwidth", tmp_path / folder)


def test_the_text_page_says_what_the_pictures_show(surrogate, darcy, fresh, tmp_path):
    nw.save(nw.certify(surrogate, darcy), tmp_path / "m.nwidth")
    page = nw.write_evidence(tmp_path / "m.nwidth", tmp_path, holdout=fresh)
    text = page.markdown.read_text()
    measured = page.evidence.limits[0]
    least = float(np.min(measured.limits / measured.errors))
    assert "8 within the limit" in text and "undecided" not in text
    rough = replace(fresh, fields=1.01 * np.asarray(fresh.fields))
    nw.write_evidence(tmp_path / "m.nwidth", tmp_path / "rough", holdout=rough)
    assert "0 within the limit, 8 undecided" in (tmp_path / "rough" / "evidence.md").read_text()
    assert f"stated limit over true error from {least:.1f} to" in text and "in the HTML page" in text
