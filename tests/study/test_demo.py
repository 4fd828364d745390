"""The demo in tiny: every part computes what it says, and its report holds together."""

from dataclasses import replace

import numpy as np
import pytest

from nwidth.bounds.residual import EPS
from nwidth.core.kinds import available
from nwidth.core.prediction import Output
from nwidth.core.solution import Tolerance
from nwidth.reports import html
from nwidth.reports.model import Designs, LimitCheck, Report
from nwidth.study import demo, demo_block, demo_block_report, demo_power, demo_power_report

torch_only = pytest.mark.skipif(not available("torch"), reason="torch is not installed")


@pytest.fixture(scope="module")
def power():
    config = replace(demo_power.QUICK, designs=2000, fresh=12, tol=5e-2, training=60, repeats=1)
    return demo_power.work(config, 0, lambda text: None)


@pytest.fixture(scope="module")
def block():
    config = replace(demo_block.QUICK, resolution=16, batch=300, fresh=12, tol=1e-3, training=60, repeats=1)
    return demo_block.work(config, 0, lambda text: None)


@pytest.fixture(scope="module")
def darcy():
    pytest.importorskip("torch")
    from nwidth.operators.fno import FNO
    from nwidth.rb.pod_regression import PODRegression
    from nwidth.study import demo_darcy
    from nwidth.surrogates.training import Training

    config = demo_darcy.DarcyDemo(
        resolution=16, train=60, calibrate=20, test=12, budget=20.0, repeats=1, pod=PODRegression(modes=20),
        fno=FNO(modes=4, width=8, training=Training(epochs=4, augment="square")),
    )  # fmt: skip
    return demo_darcy.work(config, 0, lambda text: None)


# Power module -------------------------------------------------------------------------------------------------------


def test_no_answer_is_outside_its_limit(power):
    assert power.checked.violations == 0 and set(power.checked.outside) == {"chip 1", "chip 2", "field"}
    assert all(m.shape == (12,) for m in power.checked.outside.values())


def test_a_limit_that_is_too_small_is_noticed(power):
    checked = power.checked
    outputs = {k: Output(o.values, 0.5 * checked.errors[k], o.unit) for k, o in checked.prediction.outputs.items()}
    broken = replace(checked, prediction=replace(checked.prediction, outputs=outputs))
    assert broken.violations == 24


def test_a_design_is_below_only_where_both_chips_are(power):
    first, second = (o.against(demo_power.LIMIT) for o in power.decided.prediction.outputs.values())
    verdict = power.decided.verdict
    assert np.array_equal(verdict == "below", (first == "below") & (second == "below"))
    assert np.array_equal(verdict == "above", (first == "above") | (second == "above"))
    assert set(np.unique(power.decided.final)) <= {"below", "above"}, "the solver decides the rest"


def test_the_decisions_agree_with_the_solver(power):
    """Near the threshold, where it matters: the designs closest to it, and all that the solver was asked for."""
    values, _ = power.sizes[-1].hotter
    rows = np.argsort(np.abs(values - demo_power.LIMIT))[:12]
    mu = {name: a[rows] for name, a in power.decided.mu.items()}
    assert np.array_equal(demo_power._solved(power.reduced.problem, mu), power.decided.final[rows])


def test_fewer_solves_leave_more_undecided_and_never_contradict(power):
    undecided = [size.undecided for size in power.sizes]
    assert undecided == sorted(undecided, reverse=True) and undecided[0] > 0
    for size in power.sizes:
        decided = size.verdict != "undecided"
        assert np.array_equal(size.verdict[decided], power.decided.final[decided])


def test_every_way_of_solving_reaches_the_error_that_it_is_quoted_with(power):
    errors = {p.name: p.error for p in power.costs.points if p.family == "solver" and p.batch == 1}
    factorisation = next(v for name, v in errors.items() if "factorisation" in name)
    loose, tight = (errors[f"conjugate gradients to {t}\N{NO-BREAK SPACE}%"] for t in ("0.1", "0.003"))
    assert factorisation < 1e-4 < loose < 1.0 and factorisation < tight < loose


def test_the_report_of_the_power_module_is_complete(power):
    part = demo_power_report.tell(power)
    charts = {type(c) for c in part.report.output_charts}
    assert {Designs, LimitCheck} <= charts and len(part.report.ranges.intervals) == 6
    page = html.render(Report("t", "l", (part.report,)))
    for text in (
        "0 of 12",
        "above your range 1,000-20,000",
        "Guaranteed",
        "How many solves are enough?",
        "weakest case",
    ):
        assert text in page, text
    assert part.measured["violations"] == 0 and part.measured["designs"] == 2000


# Thermal block ------------------------------------------------------------------------------------------------------


def test_the_thermal_block_keeps_its_tolerance_on_its_training_set(block):
    assert block.reduced.surrogate.history["bound"][-1] <= block.config.tol
    assert block.checked.violations == 0
    assert (block.relative_errors <= block.relative_limits).all() and block.relative_errors.max() > 100 * EPS


def test_energies_from_coefficients_agree_with_those_of_the_fields(block):
    problem = block.reduced.problem
    mu = {name: a[:5] for name, a in block.mu.items()}
    fields = problem.space.flatten(block.reduced.certified.predict(mu).field)
    expected = np.sqrt(problem.systems(mu).energy(fields - problem.terms().lift))
    assert demo_block.reduced_energies(block.reduced, mu) == pytest.approx(expected, rel=1e-10)


def test_the_report_of_the_thermal_block_is_complete(block):
    part = demo_block_report.tell(block)
    page = html.render(Report("t", "l", (part.report,)))
    assert "0 of 12" in page and "(n-width picture)" not in page and "the n-width picture" in page
    assert 0 < part.measured["largest_relative_error"] <= part.measured["largest_relative_limit"] * 1.5


# Darcy flow ---------------------------------------------------------------------------------------------------------


@torch_only
def test_limits_hold_and_stay_within_the_root_of_the_contrast(darcy):
    for learned in (darcy.fno, darcy.pod):
        assert learned.violations == 0
        assert learned.effectivity.min() >= 1 and learned.effectivity.max() <= 2


@torch_only
def test_the_grid_error_is_bounded_from_both_sides_and_told(darcy):
    """The estimate from two finer grids lies between them; the page says both."""
    from nwidth.study.demo_darcy_report import tell

    exact = darcy.exact
    assert len(exact["total"]) == min(16, len(darcy.fno.limits))
    assert (exact["discretisation_lower"] > 0).all() and (exact["discretisation_lower"] < exact["discretisation"]).all()
    estimated = np.median(darcy.grid.relative)
    assert 0.5 * np.median(exact["discretisation_lower"]) < estimated < 2 * np.median(exact["discretisation"])
    said = " ".join(tell(darcy).report.promise.not_promised)
    assert "guaranteed to be between" in said and f"{100 * np.median(exact['discretisation']):.1f} %" in said


def test_every_start_reaches_the_guaranteed_tolerance(darcy):
    from nwidth.study.demo_darcy_ways import RTOL

    assert len(darcy.starts) == 6 and {start.solver for start in darcy.starts} == {"conjugate gradients", "multigrid"}
    assert all(start.errors.energy.max() <= RTOL for start in darcy.starts)
    zero, *warm = (start for start in darcy.starts if start.solver == "conjugate gradients")
    assert zero.name == "zero" and len(warm) == 3
    assert all(start.iterations.mean() < zero.iterations.mean() for start in warm)


@torch_only
def test_multigrid_is_a_contestant_at_the_networks_error(darcy):
    """Nothing plain may be faster and as accurate without being compared: it stops as early as the network allows."""
    from nwidth.solvers.multigrid import Multigrid
    from nwidth.study.demo_darcy_ways import as_accurate
    from nwidth.study.demo_reduced import Prepared

    yardstick = darcy.data.yardstick
    stop = as_accurate(darcy.fno)
    points = {p.name: p for p in darcy.points["l2"] if p.batch == 1}
    own, network = points["multigrid, stopped early"], points["neural operator"]
    assert stop.value >= 0.1 and 0.01 * network.error < own.error <= network.error
    assert own.error == pytest.approx(
        yardstick.errors(Prepared(Multigrid(), yardstick.problem, stop)(yardstick.mu).field).l2.mean()
    )
    assert points["multigrid to 0.01\N{NO-BREAK SPACE}%"].guaranteed
    assert points["multigrid to rounding"].error < 1e-7


@torch_only
def test_the_coarse_solution_is_the_one_of_the_coarse_problem(darcy):
    from nwidth.solvers.choose import solve
    from nwidth.study.demo_darcy_ways import coarse_solution

    problem, mu = darcy.data.yardstick.problem, darcy.data.yardstick.mu
    coarse = problem.at(8)
    expected = solve(coarse, {"a": mu["a"][:, ::2, ::2]}, stop=Tolerance("energy", 1e-8)).field
    assert coarse_solution(problem, 2)(mu)[:, ::2, ::2] == pytest.approx(expected, abs=1e-3 * expected.max())


@torch_only
def test_the_verdict_on_darcy_is_judged_without_the_regression(darcy):
    for verdict in darcy.verdicts.values():
        assert verdict.single.point.name.startswith("neural operator")
        assert verdict.offline_seconds == pytest.approx(darcy.data.generation_seconds + darcy.fno.seconds)


@torch_only
def test_the_report_of_darcy_is_complete(darcy):
    from nwidth.study import demo_darcy_report

    part = demo_darcy_report.tell(darcy)
    page = html.render(Report("t", "l", (part.report,)))
    for text in ("0 of 12", "Refined to a guaranteed 0.01 %", "The grid of 16 cells", "is outside your range 3-12"):
        assert text in page, text
    assert part.measured["fno_effectivity_min"] >= 1


# All of it ----------------------------------------------------------------------------------------------------------


def test_without_torch_the_demo_does_the_rest_and_says_how_to_get_it(tmp_path, monkeypatch, power, block):
    monkeypatch.setattr(demo, "available", lambda package: package != "torch")
    monkeypatch.setattr(demo_power, "work", lambda *_: power)
    monkeypatch.setattr(demo_block, "work", lambda *_: block)
    said = []
    found = demo.run_demo(tmp_path / "report", quick=True, say=said.append)
    assert list(found.measured) == ["power_module", "thermal_block"]
    assert "nwidth[neural]" in found.page.read_text() and any("done in" in line for line in said)
    assert "--quick" in found.report.command


@torch_only
def test_extrapolation_is_exact_for_errors_that_fall_like_the_cell_squared():
    from nwidth.study.demo_darcy_ways import _richardson

    rng = np.random.default_rng(0)
    exact, slope = rng.normal(size=(2, 3, 5, 5))
    full, half, quarter = (exact + slope * h**2 for h in (1.0, 2.0, 4.0))
    assert _richardson(half, quarter) == pytest.approx(full, abs=1e-13)
