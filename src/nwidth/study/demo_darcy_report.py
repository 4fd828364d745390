"""Demo, part 3, in words and pictures."""

from typing import Any

import numpy as np

from nwidth.core.storable import fingerprint
from nwidth.core.validation import select
from nwidth.rb.pod_regression import PODRegressionSurrogate
from nwidth.reports import words
from nwidth.reports.model import (
    Appendix,
    CostChart,
    Curves,
    FieldPlot,
    LimitCheck,
    OutputRow,
    ParameterRange,
    ProblemReport,
    Promise,
    Ranges,
    Table,
)
from nwidth.study.demo_darcy import DarcyResult
from nwidth.study.demo_darcy_ways import RTOL, Learned
from nwidth.study.demo_power_report import difference
from nwidth.study.demo_reduced import Part
from nwidth.study.exact import exact_chart, exact_table
from nwidth.study.measure import digest


def tell(result: DarcyResult) -> Part:
    """The report's part, and the numbers behind it."""
    return Part(_report(result), measured(result))


def _report(result: DarcyResult) -> ProblemReport:
    fno = result.fno
    cells = result.data.config.resolution
    return ProblemReport(
        name="darcy",
        title="Darcy flow",
        question=f"Random ground on {cells} x {cells} cells: is a neural operator worth its training?",
        answer=(
            f"It is {_mean(fno.errors.energy)} off in energy and {_mean(fno.errors.l2)} in the mean square; "
            f"{len(fno.limits) - fno.violations} of {len(fno.limits)} unseen cases stay within their guaranteed limit."
        ),
        summary=(
            f"{_mean(fno.errors.energy)} off in energy, {_mean(fno.errors.l2)} in the mean square; "
            f"{len(fno.limits) - fno.violations} of {len(fno.limits)} unseen cases within their limit."
        ),
        verdict=result.verdict,
        promise=_promise(result),
        outputs=(_row("neural operator, energy norm", fno), _row("POD + regression, energy norm", result.pod)),
        output_charts=(
            _limits("Neural operator", fno), _limits("POD + regression", result.pod), exact_chart(result.exact)
        ),
        tables=(_accuracy(result), _refinement(result), exact_table(result.exact)),
        cost_charts=_cost_charts(result),
        cost_note=_cost_note(result),
        ranges=_ranges(result),
        fields=(_fields(result),),
        fields_note="The unseen case with the largest limit.",
        appendix=_appendix(result),
    )  # fmt: skip


def _mean(values: np.ndarray) -> str:
    return words.percent(float(np.mean(values)))


def _promise(result: DarcyResult) -> Promise:
    held, size = result.coverage
    tested, calibrated = len(result.fno.limits), len(result.data.parts[1])
    low, high = (100 * np.median(result.exact[name]) for name in ("discretisation_lower", "discretisation"))
    largest = words.at_most(100 * float(result.fno.limits.max()), "%")
    return Promise(
        promised=(
            f"Each field comes with a limit of its own on the distance from your grid solution (energy norm): at most "
            f"{largest} on the unseen cases. Guaranteed.",
            f"Refined answers are within {100 * RTOL:g} % of your grid solution (energy norm). Guaranteed.",
            "Counted: the network's error, whatever its origin, and rounding.",
        ),
        not_promised=(
            f"The grid's own error, guaranteed to be between {low:.1f} and {high:.1f} % in energy (median of "
            f"{len(result.exact['total'])} cases): a refined {100 * RTOL:g} % is {100 * RTOL:g} % from the grid "
            "solution, not from nature.",
            f"Without an equation the limit would be calibrated, not guaranteed (for 90 %, on {calibrated} runs): "
            f"held on {held} of {tested} unseen runs, typical limit {words.percent(size)} (mean square). Expect 9 in "
            "10 for runs drawn the same way; not for optimised designs or feedback.",
        ),
    )


def _row(name: str, learned: Learned) -> OutputRow:
    return OutputRow(
        name, "%", len(learned.limits), float(learned.errors.energy.max()), float(np.median(learned.limits)),
        float(learned.limits.max()), learned.violations, relative=True,
    )  # fmt: skip


def _limits(name: str, learned: Learned) -> LimitCheck:
    title = f"{name}: {len(learned.limits)} unseen cases"
    return LimitCheck(title, 100 * learned.errors.energy, 100 * learned.limits, "% of the energy norm")


def _accuracy(result: DarcyResult) -> Table:
    rows = tuple(
        (name, _mean(x.errors.l2), _mean(x.errors.energy), _three(x.effectivity), words.duration(x.seconds))
        for name, x in (("neural operator", result.fno), ("POD + regression", result.pod))
    )
    header = ("Surrogate", "Mean square", "Energy", "Limit over error: least, median, most", "Fit")
    note = "Mean relative errors on unseen cases. A limit that is 1 times the true error would be ideal."
    return Table(f"What {len(result.data.parts[0]):,} runs taught", header, rows, note)


def _three(values: np.ndarray) -> str:
    return " / ".join(f"{v:.2f}" for v in (values.min(), np.median(values), values.max()))


def _refinement(result: DarcyResult) -> Table:
    rows = tuple(
        (
            f"{start.solver} from {start.name}",
            f"{start.iterations.mean():.1f}",
            words.duration(start.seconds),
            words.quantity(100 * float(start.errors.energy.max()), "%"),
        )
        for start in result.starts
    )
    direct = next(p for p in result.points["energy"] if "factorisation" in p.name)
    rows += ((direct.name, "-", words.duration(direct.seconds), "rounding"),)
    note = (
        f"The start's own time is not counted. {result.grid} To refine far beyond the grid's own error is a matter of "
        "taste, not of accuracy."
    )
    header = ("Way to the guarantee", "Steps", "Per case", "Largest error")
    return Table(f"Refined to a guaranteed {100 * RTOL:g} % (energy), all unseen cases", header, rows, note)


def _cost_charts(result: DarcyResult) -> tuple[CostChart, ...]:
    charts = []
    for norm, label in (("energy", "mean energy error"), ("l2", "mean error, mean square")):
        points = result.points[norm]
        single = tuple(p for p in points if p.batch == 1)
        many = tuple(p for p in points if p.batch > 1)
        charts += [
            CostChart(f"One case at a time ({label})", single, label),
            CostChart(f"{len(result.data.yardstick)} cases together ({label})", many, label),
        ]
    return tuple(charts)


def _cost_note(result: DarcyResult) -> str:
    return (
        f"Times are medians of {result.data.config.repeats} alternating rounds on one thread, limits included where "
        f"stated; the slowest round took up to {words.significant(result.spread)} times the fastest. Errors are "
        "relative to the solution on the full grid. The verdict is the better of the two norms for the network. A "
        "surrogate pays where neither coarser grids nor looser tolerances reach the same error: for this linear "
        "two-dimensional problem they do."
        if result.verdict.use == "do not use"
        else f"Times are medians of {result.data.config.repeats} alternating rounds on one thread, limits included."
    )


def _weakest(result: DarcyResult) -> int:
    return int(np.argmax(result.fno.limits))


def _ranges(result: DarcyResult) -> Ranges:
    row, problem = _weakest(result), result.data.yardstick.problem
    field = result.data.yardstick.mu["a"][row]
    high = words.quantity(100 * float(np.mean(field == problem.high)), "%")
    weakest = (
        f"Of {len(result.fno.limits)} unseen cases the limit is largest, "
        f"{words.at_most(100 * float(result.fno.limits[row]), '%')} (energy), where {high} of the ground has the "
        f"larger value (on average {_share(result)}); it is shown below."
    )
    interval = ParameterRange("coefficient a, two values", problem.low, problem.high)
    return Ranges((interval,), weakest, _outside_note(result))


def _share(result: DarcyResult) -> str:
    return words.quantity(
        100 * float(np.mean(result.data.yardstick.mu["a"] == result.data.yardstick.problem.high)), "%"
    )


def _outside_note(result: DarcyResult) -> str:
    """What happens beyond the range, shown on one query."""
    certified, problem = result.fno.certified, result.data.yardstick.problem
    inside = select(result.data.yardstick.mu, slice(0, 1))
    beyond = {"a": np.where(inside["a"] == problem.high, 2 * problem.high, inside["a"])}
    answer = certified.predict(beyond)
    norm = np.sqrt(problem.systems(beyond).energy(problem.space.flatten(answer.field)))
    limit = words.at_most(100 * float(answer.bound[0] / norm[0]), "%")
    said = str(problem.parameters.describe(beyond)[0])
    return f"Beyond a range an answer says so and stays guaranteed: “{said}”, limit {limit} of the answer's own energy."


def _fields(result: DarcyResult) -> tuple[FieldPlot, ...]:
    row, space = _weakest(result), result.data.yardstick.problem.space
    points = space.points()
    full, learned = (f[row].ravel() for f in (result.data.yardstick.solution, result.fno.prediction.field))
    refined_span = float(full.min()), float(full.max())
    return (
        FieldPlot("Coefficient", points, result.data.yardstick.mu["a"][row].ravel(), "a"),
        FieldPlot("Grid solution", points, full, "u", refined_span),
        FieldPlot("Neural operator", points, learned, "u", refined_span),
        difference("Difference", points, learned - full),
    )


def _appendix(result: DarcyResult) -> Appendix:
    history = result.network.history
    epochs = np.arange(1, len(history.train) + 1)
    train, _, test = result.data.parts
    configuration = {
        "problem": repr(result.data.yardstick.problem),
        "method": repr(result.data.config.fno),
        "runs": f"{len(train)} to train, {len(result.data.parts[1])} to calibrate, {len(test)} to test",
        "training ended by": f"{history.ended}: {len(history.train)} epochs, {words.duration(history.seconds)}",
        "generation": words.duration(result.data.generation_seconds),
        "seed": str(result.data.seed),
    }
    hashes = {
        "certified surrogate": fingerprint(result.fno.certified),
        "runs to train": digest(np.asarray(train.mu["a"]), np.asarray(train.fields)),
        "runs to test": digest(np.asarray(test.mu["a"]), np.asarray(test.fields)),
    }
    curve = {"training": (epochs, np.array(history.train)), "validation": (epochs, np.array(history.validation))}
    charts = (
        Curves("Singular values of the training runs (the n-width picture)", "index n", "relative to the first",
               {"singular values": _decay(result)}),
        Curves("Training", "epoch", "relative H1 error", curve),
    )  # fmt: skip
    return Appendix(charts, configuration, hashes)


def _decay(result: DarcyResult) -> tuple[np.ndarray, np.ndarray]:
    surrogate = result.pod.certified.surrogate
    sigma = np.ones(1)
    if isinstance(surrogate, PODRegressionSurrogate) and surrogate.basis is not None:
        sigma = surrogate.basis.singular_values
    return np.arange(1, len(sigma) + 1), sigma / sigma[0]


def measured(result: DarcyResult) -> dict[str, Any]:
    """The numbers of this part by name."""
    named = {f"{start.name}, {start.solver}": start for start in result.starts}
    verdict = result.verdict
    return {
        "train": len(result.data.parts[0]),
        "generation_seconds": result.data.generation_seconds,
        **_measured_surrogate("fno", result.fno),
        **_measured_surrogate("pod", result.pod),
        "checked": len(result.fno.limits),
        "violations": result.fno.violations + result.pod.violations,
        "calibrated_held": result.coverage[0],
        "refine_steps": {name: float(start.iterations.mean()) for name, start in named.items()},
        "refine_seconds": {name: start.seconds for name, start in named.items()},
        "refine_largest_error": max(float(start.errors.energy.max()) for start in result.starts),
        "grid_error_median": float(np.median(result.grid.relative)),
        "verdict": verdict.use,
        "verdict_energy": result.verdicts["energy"].use,
        "verdict_l2": result.verdicts["l2"].use,
        "pays_after": verdict.pays_after,
        "speedup_single": verdict.single.speedup if verdict.single else None,
        "speedup_batched": verdict.batched.speedup if verdict.batched else None,
        "costs": {norm: [vars(p) for p in points] for norm, points in result.points.items()},
        "clock_spread": result.spread,
    }


def _measured_surrogate(name: str, learned: Learned) -> dict[str, float]:
    ratio = learned.effectivity
    return {
        f"{name}_fit_seconds": learned.seconds,
        f"{name}_l2": float(np.mean(learned.errors.l2)),
        f"{name}_energy": float(np.mean(learned.errors.energy)),
        f"{name}_effectivity_min": float(ratio.min()),
        f"{name}_effectivity_median": float(np.median(ratio)),
        f"{name}_effectivity_max": float(ratio.max()),
    }
