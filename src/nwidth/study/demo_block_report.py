"""Demo, part 2, in words and pictures."""

from typing import Any

import numpy as np

from nwidth.reports import words
from nwidth.reports.model import (
    CostChart,
    FieldPlot,
    LimitCheck,
    OutputRow,
    ParameterRange,
    ProblemReport,
    Promise,
    Ranges,
)
from nwidth.study.demo_block import BlockResult
from nwidth.study.demo_power_report import difference
from nwidth.study.demo_reduced import Part, appendix


def tell(result: BlockResult) -> Part:
    """The report's part, and the numbers behind it."""
    return Part(_report(result), measured(result))


def _report(result: BlockResult) -> ProblemReport:
    largest = words.at_most(100 * float(result.limits.max()), "%")
    return ProblemReport(
        name="thermal_block",
        title="Thermal block",
        question=f"The standard test of reduced bases, to {words.percent(result.config.tol, 1)} in the energy norm.",
        answer=(
            f"{result.reduced.surrogate.modes} modes: each of {len(result.limits):,} answers is at most {largest} "
            "from your finite-element result (energy norm), guaranteed."
        ),
        summary=(
            f"{result.reduced.surrogate.modes} modes; at most {largest} from your finite-element result (energy norm), "
            "guaranteed."
        ),
        verdict=result.verdict,
        promise=_promise(largest, len(result.limits)),
        outputs=tuple(_output_rows(result)),
        output_charts=_checks(result),
        cost_charts=_cost_charts(result),
        cost_note=(
            f"Times are medians of {result.config.repeats} alternating rounds on one thread, limits included; the "
            f"slowest round took up to {words.significant(result.costs.spread)} times the fastest. Errors: largest "
            "over unseen cases in the energy norm, coarser meshes interpolated to this one."
        ),
        ranges=_ranges(result),
        fields=(_fields(result),),
        fields_note="The unseen case with the largest limit.",
        appendix=appendix(result.reduced, result.config.greedy, result.checked, result.seed),
    )


def _promise(largest: str, count: int) -> Promise:
    return Promise(
        promised=(
            f"Each of these {count:,} fields is at most {largest} from your finite-element result, in the energy norm. "
            "Guaranteed.",
            "Each mean value has a limit of its own; it shrinks with the square of the field's.",
            "Counted: reduction, rounding.",
        ),
        not_promised=("The mesh's own error.", "The values of the conductivities that you put in."),
    )


def _output_rows(result: BlockResult) -> list[OutputRow]:
    checked = result.checked
    errors, limits = result.relative_errors, result.relative_limits
    field = OutputRow(
        "field, energy norm", "%", len(errors), float(errors.max()), float(np.median(limits)), float(limits.max()),
        int(checked.outside["field"].sum()), relative=True,
    )  # fmt: skip
    means = [
        OutputRow(
            f"{name} of the field", "", len(error), float(error.max()),
            float(np.median(checked.prediction.outputs[name].limit)),
            float(checked.prediction.outputs[name].limit.max()), int(checked.outside[name].sum()),
        )
        for name, error in checked.errors.items()
    ]  # fmt: skip
    return [field, *means]


def _checks(result: BlockResult) -> tuple[LimitCheck, ...]:
    errors, limits = result.relative_errors, result.relative_limits
    return (LimitCheck(f"Field: {len(errors)} unseen cases", 100 * errors, 100 * limits, "% of the energy norm"),)


def _cost_charts(result: BlockResult) -> tuple[CostChart, ...]:
    single = tuple(p for p in result.costs.points if p.batch == 1)
    many = tuple(p for p in result.costs.points if p.batch > 1 or p.family == "solver")
    label = "largest relative energy error"
    size = f"{len(result.limits):,}"
    return (
        CostChart("One case at a time", single, label),
        CostChart(f"In batches, of {size} for the surrogate", many, label),
    )


def _ranges(result: BlockResult) -> Ranges:
    row = int(np.argmax(result.limits))
    box = result.reduced.problem.parameters
    intervals = tuple(
        ParameterRange(f"conductivity of block {i + 1}", float(low), float(high), "", float(result.mu[name][row]))
        for i, (name, low, high) in enumerate(zip(box.names, box.low, box.high, strict=True))
    )
    limit = words.at_most(100 * float(result.limits.max()), "%")
    return Ranges(
        intervals, f"Of {len(result.limits):,} cases the limit is largest, {limit} (energy norm), at the marks:"
    )


def _fields(result: BlockResult) -> tuple[FieldPlot, ...]:
    checked, space = result.checked, result.reduced.problem.space
    row = int(np.argmax(result.relative_limits))
    full, reduced = checked.reference[row], checked.prediction.take(slice(row, row + 1)).field[0]
    span = float(full.min()), float(full.max())
    options: dict[str, Any] = {"triangles": np.asarray(space.elements)}
    return (
        FieldPlot("Finite elements", space.nodes, full, "u", span, **options),
        FieldPlot("Reduced basis", space.nodes, reduced, "u", span, **options),
        difference("Difference", space.nodes, reduced - full, **options),
    )


def measured(result: BlockResult) -> dict[str, Any]:
    """The numbers of this part by name."""
    verdict, checked = result.verdict, result.checked
    return {
        "unknowns": result.reduced.problem.space.size,
        "solves": result.reduced.solves,
        "modes": result.reduced.surrogate.modes,
        "offline_seconds": result.reduced.seconds,
        "largest_relative_limit": float(result.limits.max()),
        "largest_relative_error": float(result.relative_errors.max()),
        "effectivity_median": float(np.median(result.relative_limits / result.relative_errors)),
        "checked": len(result.relative_errors),
        "violations": checked.violations,
        "verdict": verdict.use,
        "pays_after": verdict.pays_after,
        "speedup_single": verdict.single.speedup if verdict.single else None,
        "speedup_batched": verdict.batched.speedup if verdict.batched else None,
        "costs": [vars(p) for p in result.costs.points],
        "clock_spread": result.costs.spread,
    }
