"""Samples per second of whole calls: in memory, on disk, as a stream; and the memory they take."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from _harness import Row

import nwidth as nw
from nwidth.problems.darcy import Darcy
from nwidth.snapshots.generate import default_chunk

#: Samples are generated to disk in a process of their own, and the largest resident size is printed after each call.
_GROWTH = """
import resource, sys, tempfile
import nwidth as nw
from nwidth.problems.darcy import Darcy
with tempfile.TemporaryDirectory() as folder:
    for i, count in enumerate(map(int, sys.argv[1:])):
        nw.generate(Darcy(32), count, path=f"{folder}/{i}.zarr")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def rows(quick: bool, seed: int) -> list[Row]:
    """The memory row and the rows for context."""
    return [_growth(quick), *_rates(32 if quick else 128, 64 if quick else 1200, seed)]


def _growth(quick: bool) -> Row:
    """Largest resident size after many samples, less that after a few (the first call compiles and loads)."""
    few, many = (100, 300) if quick else (100, 10_000)
    command = [sys.executable, "-c", _GROWTH, str(few), str(few), str(many)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    name = f"resident growth from {few:,} to {many:,} samples on disk"
    if done.returncode:
        return Row(name, float("nan"), "MB", 50, "<=", {"reason": done.stderr[-500:]})
    _, small, large = (int(line) / 2**20 for line in done.stdout.split())
    return Row(name, large - small, "MB", 50, "<=", {"few_mb": small, "many_mb": large, "problem": "Darcy 12/3, 32²"})


def _rates(n: int, count: int, seed: int) -> list[Row]:
    problem = Darcy(n)
    nw.generate(problem, 64, seed)
    chunks = [range(a, a + default_chunk(problem)) for a in range(0, count, default_chunk(problem))]
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[], object]] = {
            "draw the parameters only": lambda: [problem.parameters.sample(rows, seed) for rows in chunks],
            "generate in memory, one worker": lambda: nw.generate(problem, count, seed, workers=1),
            "generate in memory": lambda: nw.generate(problem, count, seed),
            "generate on disk": lambda: nw.generate(problem, count, seed, path=Path(folder) / "a.zarr"),
            "stream": lambda: sum(len(part) for part in nw.stream(problem, count, seed)),
        }
        found = []
        for way, act in ways.items():
            begin = perf_counter()
            answer = act()
            seconds = perf_counter() - begin
            detail = {"ms_per_sample": 1e3 * seconds / count, "samples": count}
            if isinstance(answer, nw.Snapshots):
                detail["parallel"] = answer.provenance["parallel"]
            found.append(Row(f"Darcy 12/3, {n}²: {way}", count / seconds, "1/s", detail=detail))
    return found
