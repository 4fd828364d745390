"""The demo's numbers against their targets: limits, violations, errors, refinement and times, with SciPy's and
Pardiso's direct solvers as contestants in the same run (pyMOR: thermal_block.py).

    python benchmarks/demo.py [--json PATH] [--quick]
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from _harness import Row, absent, main

import nwidth as nw
from nwidth.core.kinds import available
from nwidth.solvers.direct import Direct
from nwidth.study.measure import alternate

Numbers = Mapping[str, Any]
#: Units of rows whose targets are for the full sizes.
SIZED = ("s", "x", "%", "cases")


def work(quick: bool, seed: int) -> Sequence[Row]:
    """Run the demo once, then time the direct solvers. A quick run has no targets for times and sizes."""
    begin = perf_counter()
    found = nw.run_demo(None, quick=quick, seed=seed, say=lambda text: print(text, flush=True))
    seconds = perf_counter() - begin
    measured = found.measured
    rows = [*_power(measured["power_module"]), *_direct(measured["power_module"], quick, seed)]
    rows += [*_block(measured["thermal_block"]), *_darcy(measured.get("darcy"))]
    rows += _times(measured, seconds, found.compiled)
    return [replace(row, target=None) if quick and row.unit in SIZED else row for row in rows]


def _power(m: Numbers) -> list[Row]:
    return [
        Row("power module: answers outside their limit", m["violations"], "", 0, "==", {"checked": m["checked"]}),
        Row("power module: largest limit", m["largest_limit_K"], "K", 8e-4, "<=", {"sizes": m["sizes"]}),
        Row("power module: largest error", m["largest_error_K"], "K", m["largest_limit_K"], "<="),
        Row("power module: full-order solves", m["solves"], "", 13, "<=", {"modes": m["modes"]}),
        Row("power module: undecided designs", 100 * m["undecided"] / m["designs"], "%", 0.1, "<=", _answers(m)),
        Row("power module: fastest solver over surrogate, single", m["speedup_single"], "x", 100, ">=", _raw(m)),
        Row("power module: fastest solver over surrogate, batched", m["speedup_batched"], "x", 1000, ">=", _raw(m)),
        Row("power module: pays after", m["pays_after"], "cases", m["designs"], "<="),
    ]


def _answers(m: Numbers) -> dict[str, Any]:
    return {word: m[word] for word in ("designs", "below", "above", "undecided")}


def _raw(m: Numbers) -> dict[str, Any]:
    return {"costs": m["costs"], "clock_spread": m["clock_spread"]}


def _direct(m: Numbers, quick: bool, seed: int) -> list[Row]:
    """A design in a batch beside one factorisation by each backend."""
    problem = nw.problems.get("power_module", resolution=32 if quick else 64)
    mu = problem.parameters.sample([0], seed + 2)
    backends = [name for name in ("pardiso", "superlu") if name == "superlu" or available("pypardiso")]
    timing = alternate({name: _solver(problem, mu, name) for name in backends}, repeats=2 if quick else 3)
    batched = min(c["seconds"] for c in m["costs"] if c["family"] == "surrogate")
    label = "power module: {} over surrogate, batched"
    rows = [] if "pardiso" in backends else [absent(label.format("pardiso"), "pypardiso", 10_000)]
    for name, taken in timing.items():
        detail = {"seconds": taken.seconds, "surrogate_seconds": batched}
        rows.append(Row(label.format(name), taken.median / batched, "x", 10_000, ">=", detail))
    return rows


def _solver(problem: Any, mu: Any, backend: str) -> Callable[[], Any]:
    solver = Direct(backend)
    state = solver.prepare(problem)
    return lambda: solver.solve(state, mu)


def _block(m: Numbers) -> list[Row]:
    relative = 100 * m["largest_relative_limit"]
    return [
        Row("thermal block: answers outside their limit", m["violations"], "", 0, "==", {"checked": m["checked"]}),
        Row("thermal block: largest limit of 10,000, energy", relative, "%", 1e-3, "<=", {"modes": m["modes"]}),
        Row("thermal block: limit over error, median", m["effectivity_median"], "", None, "<="),
        Row("thermal block: fastest solver over surrogate, batched", m["speedup_batched"], "x", 100, ">=", _raw(m)),
    ]


def _darcy(m: Numbers | None) -> list[Row]:
    if m is None:
        return [absent("Darcy flow", "torch")]
    steps, cg = m["refine_steps"], "{}, conjugate gradients"
    saved = steps[cg.format("neural operator")] / steps[cg.format("zero")]
    return [
        Row("Darcy: answers outside their limit", m["violations"], "", 0, "==", {"checked": m["checked"]}),
        Row("Darcy: neural operator, mean square error", 100 * m["fno_l2"], "%", 1.9, "<="),
        Row("Darcy: neural operator, energy error", 100 * m["fno_energy"], "%", 8.0, "<="),
        Row("Darcy: error of POD + regression over operator's, L2", m["pod_l2"] / m["fno_l2"], "x", 1.0, ">="),
        Row("Darcy: the same in energy", m["pod_energy"] / m["fno_energy"], "x", 1.0, ">="),
        Row("Darcy: limit over error, smallest", m["fno_effectivity_min"], "", 1.0, ">="),
        Row("Darcy: limit over error, median", m["fno_effectivity_median"], "", None, "<="),
        Row("Darcy: limit over error, largest", m["fno_effectivity_max"], "", 2.0, "<=", {"contrast": 4}),
        Row("Darcy: steps of CG from the operator over those from zero", saved, "", 1.0, "<=", steps),
        Row("Darcy: largest error after refinement", m["refine_largest_error"], "", 1e-4, "<="),
        Row("Darcy: error of the grid itself, two-grid estimate", 100 * m["grid_error_median"], "%", None, "<="),
        Row("Darcy: fit of the neural operator", m["fno_fit_seconds"], "s", 100, "<="),
        Row("Darcy: fastest solver over operator, single", m["speedup_single"], "x", None, ">=", _raw(m)),
        Row("Darcy: fastest solver over operator, batched", m["speedup_batched"], "x", None, ">=", _raw(m)),
    ]


def _times(measured: Mapping[str, Numbers], seconds: float, compiled: float) -> list[Row]:
    first = compiled + measured["power_module"]["seconds"] + measured["thermal_block"]["seconds"]
    parts = {name: m["seconds"] for name, m in measured.items()} | {"compilation": compiled}
    return [
        Row("demo, first part (no torch)", first, "s", 60, "<=", parts),
        Row("demo, all of it", seconds, "s", 240, "<=", parts),
    ]


if __name__ == "__main__":
    sys.exit(main("demo", work))
