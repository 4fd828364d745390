"""Time contestants fairly, and say on what machine and with what versions."""

import hashlib
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from nwidth._version import __version__

#: Packages whose version can change a number in a report.
PACKAGES = ("numpy", "scipy", "numba", "torch", "pypardiso", "pymor", "scikit-fem", "zarr", "matplotlib")


@dataclass(frozen=True)
class Timing:
    """Seconds of each repetition: the median is what is quoted, the least where only the work itself is compared."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the repetitions."""
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        """The fastest repetition."""
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """Largest over smallest: how noisy the machine was."""
        return max(self.seconds) / min(self.seconds)


def alternate(
    contestants: Mapping[str, Callable[[], Any]],
    repeats: int = 5,
    warm_up: int = 1,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, Timing]:
    """Time all contestants in turn, `repeats` rounds, so that a slow moment of the machine hits each alike.

    `clock` gives seconds: `time.process_time` where work of others on the machine shall not count.
    """
    for _ in range(warm_up):
        for call in contestants.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, call in contestants.items():
            begin = clock()
            call()
            seconds[name].append(clock() - begin)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def recorded(timings: Mapping[str, Timing]) -> dict[str, dict[str, float]]:
    """Least and median seconds and spreads by name: what a report keeps beside a ratio."""
    parts: dict[str, Callable[[Timing], float]] = {
        "least seconds": lambda t: t.least,
        "median seconds": lambda t: t.median,
        "spread": lambda t: t.spread,
    }
    return {part: {name: of(timing) for name, timing in timings.items()} for part, of in parts.items()}


def one_thread() -> threadpool_limits:
    """A context in which linear algebra uses one thread: contestants are compared on equal terms, and small products
    do not wait for a second thread on a busy machine."""
    return threadpool_limits(limits=1)


def machine() -> dict[str, str]:
    """Processor, threads, memory and system, in words."""
    return {
        "Processor": _processor(),
        "Hardware threads": str(_threads()),
        "System": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def _threads() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of nwidth, Python and the packages that are installed."""
    found = {"nwidth": __version__, "Python": sys.version.split()[0]}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def digest(*arrays: Any) -> str:
    """SHA-256 of arrays: their types, shapes and bytes."""
    state = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()
