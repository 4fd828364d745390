"""Samples collected in memory, chunk by chunk, in any order."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.solution import Status
from nwidth.snapshots.axes import SAMPLE
from nwidth.snapshots.base import Snapshots, count_samples
from nwidth.snapshots.layout import FIELD
from nwidth.snapshots.store import Block
from nwidth.spaces.base import FunctionSpace, ParameterSpace


class Memory:
    """Arrays for `count` samples, made when the first chunk shows which there are."""

    def __init__(self, count: int, chunk: int):
        self._count, self._chunk = count, chunk
        self._arrays: dict[str, Array] = {"status": np.full(count, Status.MISSING, dtype=np.uint8)}

    def put(self, k: int, block: Block) -> None:
        """The samples of chunk k."""
        rows = slice(k * self._chunk, k * self._chunk + len(block.status))
        for name, values in (*block.arrays(), ("status", block.status)):
            if name not in self._arrays:
                self._arrays[name] = self._empty(values)
                if "/" not in name:  # a statistic that appears late is missing before; all else is in every block
                    self._arrays[name][...] = np.nan if values.dtype.kind == "f" else 0
            self._arrays[name][rows] = values

    def _empty(self, values: Array) -> Array:
        return np.empty((self._count, *values.shape[1:]), dtype=values.dtype)

    def snapshots(
        self, parameters: ParameterSpace, space: FunctionSpace, times: Real | None, provenance: Mapping[str, Any]
    ) -> Snapshots:
        """All that was put, and how the solves ended in `provenance['samples']`."""
        arrays = self._arrays
        mu, outputs = _group(arrays, "mu/"), _group(arrays, "outputs/")
        stats = {n: a for n, a in arrays.items() if "/" not in n and n not in ("status", SAMPLE)}
        return Snapshots(
            parameters=parameters,
            space=space,
            mu=mu,
            fields=arrays[FIELD],
            status=arrays["status"],
            stats=stats,
            outputs=outputs,
            provenance={**provenance, "samples": count_samples(arrays["status"])},
            times=times,
            index=arrays[SAMPLE],
        )


def _group(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
