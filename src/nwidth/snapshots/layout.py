"""Which arrays a store has: names, shapes, axes and units, worked out once from what is to be stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.solution import Status
from nwidth.core.storable import Storable
from nwidth.snapshots.axes import SAMPLE, field_axes, parameter_axes
from nwidth.spaces.base import FunctionSpace, ParameterSpace

FIELD = "fields/u"


@dataclass(frozen=True)
class Spec:
    """One per-sample array: its name in the group, and shape, type, axes and attributes of one sample."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    dims: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


#: What every store has for each sample, whatever its solver reports.
STATISTICS = (
    Spec("residual", (), np.dtype(float), attributes={"description": "relative residual, recomputed"}),
    Spec("iterations", (), np.dtype(np.int32), attributes={"description": "-1 where the solver reports none"}),
    Spec("seconds", (), np.dtype(float), attributes={"description": "solver time of the sample", "units": "s"}),
    Spec(SAMPLE, (), np.dtype(np.int64), attributes={"description": "number of the sample in its random stream"}),
    Spec(
        "status",
        (),
        np.dtype(np.uint8),
        attributes={
            "description": "how the solve ended; the only truth about which samples are complete",
            "codes": {s.name.lower(): int(s) for s in Status},
        },
    ),
)


@dataclass(frozen=True)
class Layout:
    """The per-sample arrays, the coordinates (name -> axes, values) and the spaces of a store."""

    specs: tuple[Spec, ...]
    coordinates: Mapping[str, tuple[tuple[str, ...], Array]]
    definitions: Mapping[str, Storable]

    @classmethod
    def of(
        cls,
        parameters: ParameterSpace,
        space: FunctionSpace,
        times: Real | None,
        mu: Mapping[str, Array],
        fields: Any,
        outputs: Mapping[str, Array],
        units: Mapping[str, str],
    ) -> Self:
        """The layout for arrays like these: their numbers of rows do not matter, their shapes and types do."""
        axes = field_axes(space, times)
        on_nodes = [name for name, (dims, _) in axes.coordinates.items() if dims == ("node",)]
        attributes: dict[str, Any] = {"components": {name: [s.start, s.stop] for name, s in space.components.items()}}
        if on_nodes:
            attributes["coordinates"] = " ".join(on_nodes)
        field_spec = Spec(FIELD, tuple(fields.shape[1:]), np.dtype(fields.dtype), axes.names, attributes)
        specs = [_parameter_spec(name, values, space, axes.names) for name, values in mu.items()]
        specs += [_output_spec(name, values, units.get(name, "")) for name, values in outputs.items()]
        # Coordinates along an axis are at the top, where all groups inherit them; those of scattered nodes are not
        # inherited and stand beside the fields.
        places = {name: f"fields/{name}" if name in on_nodes else name for name in axes.coordinates}
        coordinates = {places[name]: entry for name, entry in axes.coordinates.items()}
        return cls((*specs, field_spec), coordinates, {"parameters": parameters, "space": space})


def _parameter_spec(name: str, values: Array, space: FunctionSpace, axes: tuple[str, ...]) -> Spec:
    shape = tuple(values.shape[1:])
    return Spec(f"mu/{name}", shape, np.dtype(values.dtype), parameter_axes(name, shape, space, axes))


def _output_spec(name: str, values: Array, unit: str) -> Spec:
    shape = tuple(values.shape[1:])
    return Spec(f"outputs/{name}", shape, np.dtype(values.dtype), ("time",) * len(shape), {"units": unit})
