"""`nwidth demo`: three problems from the equation to a verdict, in one report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from nwidth.core.kinds import available, load_attribute
from nwidth.reports import html, words
from nwidth.reports.model import Report
from nwidth.study import demo_block, demo_block_report, demo_power, demo_power_report
from nwidth.study.demo_reduced import Part, Say, compile_kernels
from nwidth.study.measure import machine, one_thread, versions

TITLE = "Is a surrogate worth it? Three problems, one answer each"
LEAD = (
    "Solve your model a few times. Then answer any new case in microseconds, with a stated limit on the distance to "
    "your own solver. This report says for each problem whether that pays, what exactly is promised, and how it was "
    "measured: against a good solver, at equal error, in the same run."
)
WITHOUT_TORCH = "Left out: Darcy flow with a neural operator, for which torch is missing: pip install 'nwidth[neural]'"
SMALL = "A quick run with small problems: the numbers show that everything works, not how well."


@dataclass(frozen=True)
class Demo:
    """What the demo found: the report, its numbers by problem, the page that was written (if any), and the seconds that
    compilation took."""

    report: Report
    measured: Mapping[str, Any]
    page: Path | None
    compiled: float


def run_demo(
    out: str | Path | None = "report",
    *,
    quick: bool = False,
    seed: int = 0,
    say: Say = lambda text: None,
    watched: bool = False,
) -> Demo:
    """Run all parts that the installation allows and write `out/index.html` (None: no page).

    `quick`: a version of under a minute for smoke tests. `say` is called with a line of text at every step; `watched`
    shows progress bars. Raises WorkError where a part fails or the page cannot be written.
    """
    compiled = compile_kernels()
    say(f"Compiled in {words.duration(compiled)} (once per installation)")
    parts, seconds = {}, {}
    for name, part in _parts(quick, watched).items():
        begin = perf_counter()
        parts[name] = part(seed, say)
        seconds[name] = perf_counter() - begin
        say(f"  done in {words.duration(seconds[name])}")
    report = _report(parts, quick, seed)
    page = None if out is None else html.write(report, Path(out))
    measured = {name: {**part.measured, "seconds": seconds[name]} for name, part in parts.items()}
    return Demo(report, measured, page, compiled)


def _parts(quick: bool, watched: bool) -> dict[str, Callable[[int, Say], Part]]:
    """Name -> part. The one that needs torch is loaded only where torch is installed."""
    power = demo_power.QUICK if quick else demo_power.PowerDemo()
    block = demo_block.QUICK if quick else demo_block.BlockDemo()
    parts: dict[str, Callable[[int, Say], Part]] = {
        "power_module": lambda seed, say: _power(power, seed, say),
        "thermal_block": lambda seed, say: _block(block, seed, say),
    }
    if available("torch"):
        parts["darcy"] = lambda seed, say: _darcy(quick, watched, seed, say)
    return parts


def _power(config: demo_power.PowerDemo, seed: int, say: Say) -> Part:
    with one_thread():
        return demo_power_report.tell(demo_power.work(config, seed, say))


def _block(config: demo_block.BlockDemo, seed: int, say: Say) -> Part:
    with one_thread():
        return demo_block_report.tell(demo_block.work(config, seed, say))


def _darcy(quick: bool, watched: bool, seed: int, say: Say) -> Part:
    module = "nwidth.study.demo_darcy"
    config = load_attribute(f"{module}:QUICK") if quick else load_attribute(f"{module}:DarcyDemo")()
    result = load_attribute(f"{module}:work")(config, seed, say, watched=watched)
    return load_attribute("nwidth.study.demo_darcy_report:tell")(result)


def _report(parts: Mapping[str, Part], quick: bool, seed: int) -> Report:
    notes = ((SMALL,) if quick else ()) + (() if "darcy" in parts else (WITHOUT_TORCH,))
    return Report(
        title=TITLE,
        lead=LEAD,
        problems=tuple(part.report for part in parts.values()),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=f"nwidth demo{' --quick' if quick else ''} --seed {seed}",
        machine=machine(),
        versions=versions(),
        notes=notes,
    )
