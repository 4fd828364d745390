"""What the writers get: samples on a uniform grid, in memory or read block by block."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError

#: Bytes that are read and written at a time.
_BLOCK = 2**25


@dataclass(frozen=True)
class GridSamples:
    """`count` samples on a uniform grid.

    `fields`: rows `(B, *grid)`, `(B, C, *grid)` for more than one of the `components`, a time axis after B where there
    are `times`. `inputs` name -> rows `(B, *grid)`; `scalars` name -> `(B,)`; `axes`: "x", "y", "z" -> coordinates;
    `ends`: for each axis the conditions at its low and its high end, `periodic` among them; `attributes`: numbers and
    words that the file is to carry. Rows are sliced `rows[a:b]`, which gives NumPy arrays.
    """

    name: str
    fields: Any
    axes: Mapping[str, Real]
    ends: Mapping[str, tuple[str, str]]
    components: tuple[str, ...] = ("u",)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    scalars: Mapping[str, Array] = field(default_factory=dict)
    times: Real | None = None
    attributes: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(self.fields.shape[0])

    @property
    def grid(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(len(line) for line in self.axes.values())

    def blocks(self) -> Iterator[slice]:
        """Consecutive rows, a few megabytes at a time."""
        size = int(np.prod(self.fields.shape[1:], dtype=np.int64)) * np.dtype(self.fields.dtype).itemsize
        step = max(1, _BLOCK // max(size, 1))
        yield from (slice(a, min(a + step, self.count)) for a in range(0, self.count, step))

    def fixed_scalars(self, layout: str) -> dict[str, float]:
        """The scalars as one number each. Raises InputError where one differs from sample to sample."""
        varying = [name for name, values in self.scalars.items() if len(np.unique(values)) > 1]
        if varying:
            raise InputError(
                f"{layout} holds no scalars that differ from sample to sample, and {', '.join(varying)} do; export the "
                "samples of each value on their own, or choose the format 'the_well'"
            )
        return {name: float(values[0]) for name, values in self.scalars.items()}

    def require_real(self, layout: str) -> None:
        """Raises InputError for complex fields or inputs."""
        for name, values in {"the field": self.fields, **self.inputs}.items():
            if np.dtype(values.dtype).kind == "c":
                raise InputError(
                    f"{layout} holds real numbers only and {name} is complex; write real and imaginary part as two "
                    "fields of your own, or save a snapshot store (snapshots.save)"
                )

    def require_one_component(self, layout: str) -> None:
        """Raises InputError for vector fields."""
        if len(self.components) > 1:
            raise InputError(
                f"{layout} holds one field per sample and these have the components {', '.join(self.components)}; "
                "choose the format 'the_well', or export each component on its own"
            )


def single(values: Array, dtype: np.dtype) -> Array:
    """Values in the type of a file. Raises InputError where a finite number becomes infinite."""
    with np.errstate(over="ignore"):
        out = np.asarray(values).astype(dtype)
    if dtype.kind == "f" and not np.isfinite(out).all():
        worst = float(np.abs(values).max())
        raise InputError(f"values up to {worst:g} do not fit into {dtype}; export with dtype='float64'")
    return out
