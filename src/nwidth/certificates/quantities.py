"""What is limited: the field in a norm, and each named output; and how large the error of each was on known runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction, Reduced
from nwidth.core.validation import check_choice
from nwidth.spaces.base import FunctionSpace

#: The name of the field among the quantities; of all outputs together where there is no field.
FIELD, TOGETHER = "field", "all outputs"
_WHAT = {FIELD: "field itself", TOGETHER: "largest error of all outputs"}


@dataclass(frozen=True)
class Norm:
    """A norm of fields `(B, *shape)` in a space, and its name in words."""

    words: str
    measure: Callable[[Array, FunctionSpace], Real]

    def of(self, fields: Array, space: FunctionSpace) -> Real:
        """The norm of every field, `(B,)`, also of fields whose squares are no numbers of float64."""
        largest = np.abs(fields).max(axis=tuple(range(1, fields.ndim)), initial=0.0)
        far = ((largest > 0) & (largest < 1e-100)) | ((largest > 1e100) & (largest < np.inf))
        if not far.any():
            return self.measure(fields, space)
        unit = np.where(far, largest, 1.0)
        with np.errstate(over="ignore"):
            return unit * self.measure(fields / unit.reshape(-1, *[1] * (fields.ndim - 1)), space)


def _largest(fields: Array, space: FunctionSpace) -> Real:
    """The largest length of the field's vector at a node, `(B,)`."""
    dofs = np.abs(space.flatten(fields))
    parts = [dofs[:, rows] for rows in space.components.values()]
    if len({p.shape[1] for p in parts}) > 1:
        return dofs.max(axis=1)
    return np.sqrt(sum(p**2 for p in parts)).max(axis=1)


def _root_mean_square(fields: Array, space: FunctionSpace) -> Real:
    return np.linalg.norm(space.flatten(fields), axis=1) / np.sqrt(space.size)


NORMS: Mapping[str, Norm] = MappingProxyType(
    {
        "max": Norm("largest error anywhere in the field", _largest),
        "rms": Norm("root-mean-square error over the nodes", _root_mean_square),
        "mass": Norm("L² norm", lambda fields, space: space.inner("mass").norm(space.flatten(fields))),
        "energy": Norm("energy norm", lambda fields, space: space.inner("energy").norm(space.flatten(fields))),
    }
)


def norm_named(name: str) -> Norm:
    """The norm, or InputError that lists the names."""
    return NORMS[check_choice("norm", name, tuple(NORMS))]


@dataclass(frozen=True)
class Truth:
    """What the full-order solver said: fields `(B, *shape)` and outputs name -> `(B,)`."""

    fields: Array
    outputs: Mapping[str, Real]


def names_of(prediction: Prediction) -> tuple[str, ...]:
    """The quantities that an answer has: its field, or all outputs together, then each output.

    Raises InputError for an output with one of these two names: its limit would take the place of the field's.
    """
    taken = [name for name in (FIELD, TOGETHER) if name in prediction.outputs]
    if taken:
        raise InputError(
            f"an output is named {taken[0]!r}, which is what the limits call the {_WHAT[taken[0]]}; rename it"
        )
    first = FIELD if int(np.prod(prediction.space.shape)) else TOGETHER
    return (first, *prediction.outputs)


def errors_of(prediction: Prediction, truth: Truth, norm: str, spread: Mapping[str, float]) -> dict[str, Real]:
    """The error of every quantity, `(B,)` each.

    Without a field, the first is the largest error of an output in units of that output's `spread`. Raises InputError
    where the runs lack an output that the surrogate answers, or lie on another grid.
    """
    names = names_of(prediction)
    missing = [name for name in prediction.outputs if name not in truth.outputs]
    if missing:
        raise InputError(f"the runs have no output {missing[0]!r}, which the surrogate answers; add it to the runs")
    outputs = {n: np.abs(o.values - np.asarray(truth.outputs[n])) for n, o in prediction.outputs.items()}
    if names[0] == FIELD:
        return {FIELD: norm_named(norm).of(difference_of(prediction, truth.fields), _space(prediction)), **outputs}
    if not outputs:
        raise InputError("the surrogate answers neither a field nor an output; there is nothing to calibrate")
    return {TOGETHER: np.max([e / spread[n] for n, e in outputs.items()], axis=0), **outputs}


def difference_of(prediction: Prediction, fields: Array) -> Array:
    """The answer's fields minus these. Raises InputError where their shape is another."""
    answered, fields = np.asarray(prediction.field), np.asarray(fields)
    if answered.shape != fields.shape:
        raise InputError(
            f"the answers are fields {answered.shape}, what they are compared with {fields.shape}: runs, surrogate and "
            "members have to live on one grid"
        )
    return answered - fields


def sizes_of(prediction: Prediction, spread: Mapping[str, float]) -> dict[str, Real]:
    """How large the answer itself is, `(B,)` each: no measure of error, a hint at it.

    For a field in a reduced basis the Euclidean norm of its coefficients (the field is not reconstructed: that would
    cost more than the answer), otherwise the root mean square of its values.
    """
    outputs = {n: np.abs(o.values) for n, o in prediction.outputs.items()}
    if names_of(prediction)[0] == TOGETHER:
        return {TOGETHER: np.max([s / spread[n] for n, s in outputs.items()], axis=0), **outputs}
    values = prediction.values
    size = int(np.prod(prediction.space.shape))
    flat = values.coefficients if isinstance(values, Reduced) else np.reshape(values, (len(prediction), size))
    width = 1 if isinstance(values, Reduced) else size
    return {FIELD: np.linalg.norm(flat, axis=1) / np.sqrt(width), **outputs}


def spreads(answers: Prediction) -> dict[str, float]:
    """The standard deviation of every output over a batch of answers; 1 where it does not vary."""
    return {name: float(np.std(o.values)) or 1.0 for name, o in answers.outputs.items()}


def _space(prediction: Prediction) -> FunctionSpace:
    if not isinstance(prediction.space, FunctionSpace):
        raise InputError(f"{type(prediction.space).__name__} is not a FunctionSpace, so its fields have no norm")
    return prediction.space
