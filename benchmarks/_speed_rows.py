"""Time and memory of an FNO against neuraloperator's: the same function from the same weights, in turn."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _harness import Row, absent

from nwidth.core.kinds import available

_CHILD = Path(__file__).with_name("_speed_child.py")
#: Environments of the child: glibc as it is, and glibc keeping what is freed (no page is given back or fetched again).
ALLOCATORS: dict[str, dict[str, str]] = {
    "default": {},
    "kept": {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 36), "MALLOC_TOP_PAD_": "0"},
}
_TARGETS = {"forward": 1.6, "both": 1.5}
_SHIPPED = {"forward": 3.5, "both": 3.0}
_WORDS = {"forward": "forward", "both": "forward and backward"}


def rows(quick: bool, seed: int) -> list[Row]:
    """Speed at 64² and 128² with two threads and with one, memory at both; `quick`: 64² with one thread."""
    if not available("neuralop"):
        return [absent("FNO against neuraloperator", "neuraloperator")]
    found: list[Row] = []
    for threads in (1,) if quick else (2, 1):
        for grid in (64,) if quick else (64, 128):
            found += _speed_rows(grid, threads, quick, seed)
    for grid, split in ((64, 4),) if quick else ((64, 1), (64, 4), (128, 1), (128, 4), (128, 16)):
        found.append(_memory_row(grid, split, seed))
    return found


def _speed_rows(grid: int, threads: int, quick: bool, seed: int) -> list[Row]:
    splits = (2, 4) if quick else (1, 2, 4, 8, 16)
    counts = ("--coarse", "1", "--rounds", "2") if quick else ("--coarse", "2", "--rounds", "5")
    runs = {
        name: _child("speed", grid, splits, threads, seed, *counts, environment=environment)
        for name, environment in ALLOCATORS.items()
        if not (quick and name != "default")
    }
    where = f"{grid} x {grid}, {threads} thread{'s' if threads > 1 else ''}"
    found = []
    for work, target in _TARGETS.items():
        theirs, ours = (_best(runs, work, who) for who in ("theirs", "ours"))
        detail = {"theirs": theirs, "ours": ours, "runs": {name: run[work] for name, run in runs.items()}}
        # the target is for two cores; one thread is for context
        wanted = target if threads == 2 else None
        name = f"{_WORDS[work]}, {where}: its best / ours"
        found.append(Row(name, theirs["median"] / ours["median"], "x", wanted, detail=detail))
        if grid == 128:
            found.append(_as_shipped(runs, work, where, threads))
    for what in ("answers", "gradients"):
        worst = max(run["differences"][what] for run in runs.values())
        found.append(Row(f"{what} differ, {where}", worst, "", 1e-5, "<="))
    return found


def _as_shipped(runs: dict[str, Any], work: str, where: str, threads: int) -> Row:
    """Its whole batch at once in the default allocator, against our best split as our training runs it.

    Training keeps freed memory in the process (`nwidth.surrogates.training.memory`), answers do not.
    """
    theirs = runs["default"][work]["seconds"]["theirs 1"]
    run = runs["kept" if work == "both" and "kept" in runs else "default"][work]
    ours = run["seconds"][run["best"]["ours"]]
    wanted = _SHIPPED[work] if threads == 2 else None
    ratio = statistics.median(theirs) / statistics.median(ours)
    return Row(
        f"{_WORDS[work]}, {where}: as shipped / ours", ratio, "x", wanted, detail={"theirs": theirs, "ours": ours}
    )


def _best(runs: dict[str, Any], work: str, who: str) -> dict[str, Any]:
    """The fastest allocator and split of one contestant, with its times."""
    candidates = []
    for allocator, run in runs.items():
        name = run[work]["best"][who]
        times = run[work]["seconds"][name]
        candidates.append(
            {
                "allocator": allocator,
                "split": int(name.split()[1]),
                "median": statistics.median(times),
                "fastest": min(times),
                "seconds": times,
            }
        )
    return min(candidates, key=lambda c: c["median"])


def _memory_row(grid: int, split: int, seed: int) -> Row:
    peaks = {who: _child("memory", grid, (split,), 1, seed, "--who", who) for who in ("theirs", "ours")}
    ratio = peaks["ours"]["megabytes"] / peaks["theirs"]["megabytes"]
    name = f"peak memory, {grid} x {grid}, batch in {split}: ours / its"
    return Row(name, ratio, "", 0.5, "<=", detail=peaks)


def _child(
    what: str,
    grid: int,
    splits: Sequence[int],
    threads: int,
    seed: int,
    *options: str,
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run `_speed_child.py` in an environment of its own."""
    variables = os.environ | (environment or {}) | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, "-W", "ignore", str(_CHILD), what, "--grid", str(grid), "--threads", str(threads)]
    command += ["--seed", str(seed), "--splits", *map(str, splits), *options]
    output = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout
    result: dict[str, Any] = json.loads(output)
    return result
