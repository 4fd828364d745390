"""Demo, part 1, in words and pictures."""

from typing import Any

import numpy as np

from nwidth.core.arrays import Real
from nwidth.problems.power_module import LAYERS
from nwidth.reports import words
from nwidth.reports.model import (
    Closeup,
    CostChart,
    Designs,
    FieldPlot,
    LimitCheck,
    OutputRow,
    ParameterRange,
    ProblemReport,
    Promise,
    Ranges,
    Table,
)
from nwidth.study.demo_power import LIMIT, Decided, PowerResult, Size
from nwidth.study.demo_reduced import Part, appendix

_LABELS = {
    "k_interface": "conductivity of the thermal interface",
    "k_solder": "conductivity of the solder",
    "k_chip_solder": "conductivity of the chip solder",
    "h": "cooling at the bottom, h",
    "P1": "power of chip 1",
    "P2": "power of chip 2",
}
_MM = 1e3


def tell(result: PowerResult) -> Part:
    """The report's part, and the numbers behind it."""
    return Part(_report(result), measured(result))


def _report(result: PowerResult) -> ProblemReport:
    decided, checked = result.decided, result.checked
    limit = words.at_most(decided.largest_limit, "K")
    return ProblemReport(
        name="power_module",
        title="Power module",
        question=f"Which of {len(decided.verdict):,} designs keep both chips below {words.with_unit('125', '°C')}?",
        answer=(
            f"{decided.count('below'):,} below, {decided.count('above'):,} above, {_left(decided)}. At most {limit} "
            "from your finite-element result, guaranteed."
        ),
        summary=(
            f"{decided.count('below'):,} below, {decided.count('above'):,} above, {_left(decided)}; at most {limit} "
            "off, guaranteed."
        ),
        verdict=result.verdict,
        promise=_promise(result, limit),
        outputs=tuple(_output_rows(result)),
        output_charts=(designs(decided, result.sizes[-1]), *_checks(result), _fewer(result)),
        tables=(_decision_table(result), _size_table(result)),
        cost_charts=_cost_charts(result),
        cost_note=_cost_note(result),
        ranges=_ranges(result),
        fields=(_fields(result),),
        fields_note="The plane below the chips' solder, for the unseen design with the largest limit.",
        appendix=appendix(result.reduced, result.config.greedy, checked, result.seed),
    )


def _left(decided: Decided) -> str:
    """What the surrogate did not decide."""
    count = decided.count("undecided")
    return f"{count:,} too close to call and solved" if count else "none too close to call"


def _promise(result: PowerResult, limit: str) -> Promise:
    change = result.mesh_change
    mesh = "The mesh's own error."
    if np.isfinite(change):
        mesh = (
            f"The mesh's own error: from half the mesh to this one the chips change by up to "
            f"{words.quantity(change, 'K')} (an indication, not a limit)."
        )
    return Promise(
        promised=(
            f"The mean chip temperatures of these {len(result.decided.verdict):,} designs are at most {limit} from "
            "your finite-element result. Guaranteed.",
            "Any other design gets a guaranteed limit of its own, outside the tested ranges too.",
            "Counted: reduction, rounding. 'Below' and 'above' are given only where the limit allows it.",
        ),
        not_promised=(
            mesh,
            "Material data, geometry and powers: the answer is as good as what you put in.",
            "The hottest point of a chip: the outputs are means over each chip.",
        ),
    )


def _output_rows(result: PowerResult) -> list[OutputRow]:
    checked = result.checked
    return [
        OutputRow(
            name=f"{name}, mean temperature",
            unit="K",
            checked=len(error),
            largest_error=float(error.max()),
            median_limit=float(np.median(checked.prediction.outputs[name].limit)),
            largest_limit=float(checked.prediction.outputs[name].limit.max()),
            outside=int(checked.outside[name].sum()),
        )
        for name, error in checked.errors.items()
    ]


def designs(decided: Decided, size: Size) -> Designs:
    """All designs against the threshold, as a basis of this size decides them."""
    values, limits = size.hotter
    return Designs(
        title="The hotter chip of each design with its limit",
        heading=f"{len(values):,} designs, prepared with {size.solves} solves",
        across=np.asarray(decided.mu["P1"] + decided.mu["P2"]),
        across_label="power of both chips [W]",
        values=values,
        limit=limits,
        verdict=size.verdict,
        threshold=LIMIT,
        value_label="hotter chip, mean temperature",
        unit="°C",
    )


def _fewer(result: PowerResult) -> Closeup:
    """What undecided looks like: the same designs after half the solves."""
    size = result.sizes[1]
    values, limits = size.hotter
    title = f"After {size.solves} solves only: {size.undecided:,} undecided"
    return Closeup(title, values, limits, size.verdict, LIMIT, "°C")


def _checks(result: PowerResult) -> list[LimitCheck]:
    outputs = result.checked.prediction.outputs
    return [
        LimitCheck(f"{name}: {len(error)} unseen designs", error, outputs[name].limit, "K")
        for name, error in result.checked.errors.items()
    ]


def _decision_table(result: PowerResult) -> Table:
    decided = result.decided
    share = len(decided.verdict) / 100
    rows = tuple(
        (word, f"{decided.count(word):,}", words.quantity(decided.count(word) / share, "%"))
        for word in ("below", "above", "undecided")
    )
    solved = decided.final[decided.verdict == "undecided"]
    below, above = int((solved == "below").sum()), int((solved == "above").sum())
    note = f"The solver's word on the undecided: {below} below, {above} above." if len(solved) else ""
    return Table(f"Both chips against {LIMIT:g} °C", ("Answer", "Designs", "Share"), rows, note)


def _size_table(result: PowerResult) -> Table:
    rows = tuple(
        (
            f"{size.solves} solves",
            f"{size.modes}",
            words.at_most(float(np.median(size.limits)), "K"),
            words.at_most(float(size.limits.max()), "K"),
            f"{size.undecided:,}",
        )
        for size in result.sizes
    )
    header = ("Prepared with", "Modes", "Typical limit", "Largest limit", "Undecided")
    note = "Fewer solves give larger limits, and more designs that are left to the solver; never a wrong answer."
    return Table("How many solves are enough?", header, rows, note)


def _cost_charts(result: PowerResult) -> tuple[CostChart, ...]:
    single = tuple(p for p in result.costs.points if p.batch == 1)
    many = tuple(p for p in result.costs.points if p.batch > 1 or p.family == "solver")
    label = "largest error of a chip [K]"
    return (
        CostChart("One design at a time", single, label, percent=False),
        CostChart(f"In batches, of {len(result.decided.verdict):,} for the surrogate", many, label, percent=False),
    )


def _cost_note(result: PowerResult) -> str:
    return (
        f"Times are medians of {result.config.repeats} alternating rounds on one thread, limits included; the slowest "
        f"round took up to {words.significant(result.costs.spread)} times the fastest. Errors: largest of the unseen "
        "designs, against conjugate gradients from zero to a guaranteed 1e-7. Coarser meshes end at half: the chips' "
        "edges must be mesh lines, so there is no second one to extrapolate from."
    )


def _weakest(result: PowerResult) -> int:
    return int(np.argmax(np.max([o.limit for o in result.decided.prediction.outputs.values()], axis=0)))


def _ranges(result: PowerResult) -> Ranges:
    box, mu = result.reduced.problem.parameters, result.decided.mu
    row = _weakest(result)
    intervals = tuple(
        ParameterRange(_LABELS[name], float(low), float(high), unit, float(mu[name][row]), bool(log))
        for name, low, high, unit, log in zip(box.names, box.low, box.high, box.units, box.log, strict=True)
    )
    weakest = (
        f"Of {len(result.decided.verdict):,} designs the limit is largest, "
        f"{words.at_most(result.decided.largest_limit, 'K')}, at the marks:"
    )
    return Ranges(intervals, weakest, _outside_note(result))


def _outside_note(result: PowerResult) -> str:
    """What happens beyond the ranges, shown on one query."""
    mu = {name: values[:1].copy() for name, values in result.checked.mu.items()}
    mu["h"][:] = 25_000.0
    answer = result.reduced.certified.predict(mu)
    limit = max(float(o.limit[0]) for o in answer.outputs.values())
    said = str(result.reduced.problem.parameters.describe(mu)[0])
    return f"Beyond a range an answer says so and stays guaranteed: “{said}”, limit {words.at_most(limit, 'K')}."


def _fields(result: PowerResult) -> tuple[FieldPlot, ...]:
    checked, space = result.checked, result.reduced.problem.space
    row = int(np.argmax(checked.prediction.bound))
    top = sum(layer.thickness for layer in LAYERS if layer.footprint == "base") / _MM
    plane = np.abs(space.nodes[:, 2] - top) < 1e-9
    points = space.nodes[plane, :2] * _MM
    full, reduced = checked.reference[row, plane], checked.prediction.take(slice(row, row + 1)).field[0, plane]
    span = float(full.min()), float(full.max())
    return (
        FieldPlot("Finite elements", points, full, "temperature [°C]", span, axis_unit="mm"),
        FieldPlot("Reduced basis", points, reduced, "temperature [°C]", span, axis_unit="mm"),
        difference("Difference", points, reduced - full, "K", axis_unit="mm"),
    )


def difference(title: str, points: Real, values: Real, unit: str = "", **options: Any) -> FieldPlot:
    """A difference on a scale that is symmetric about zero."""
    reach = float(np.abs(values).max()) or 1.0
    label = f"difference [{unit}]" if unit else "difference"
    return FieldPlot(title, points, values, label, (-reach, reach), diverging=True, **options)


def measured(result: PowerResult) -> dict[str, Any]:
    """The numbers of this part by name."""
    decided, checked, verdict = result.decided, result.checked, result.verdict
    return {
        "unknowns": result.reduced.problem.space.size,
        "solves": result.reduced.solves,
        "modes": result.reduced.surrogate.modes,
        "offline_seconds": result.reduced.seconds,
        "designs": len(decided.verdict),
        "below": decided.count("below"),
        "above": decided.count("above"),
        "undecided": decided.count("undecided"),
        "sizes": [
            {"solves": s.solves, "modes": s.modes, "largest_limit_K": float(s.limits.max()), "undecided": s.undecided}
            for s in result.sizes
        ],
        "largest_limit_K": decided.largest_limit,
        "largest_error_K": checked.largest_error,
        "checked": len(checked.energy_error),
        "violations": checked.violations,
        "mesh_change_K": result.mesh_change,
        "verdict": verdict.use,
        "pays_after": verdict.pays_after,
        "speedup_single": verdict.single.speedup if verdict.single else None,
        "speedup_batched": verdict.batched.speedup if verdict.batched else None,
        "costs": [vars(p) for p in result.costs.points],
        "clock_spread": result.costs.spread,
    }
