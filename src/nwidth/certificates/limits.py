"""Calibrated limits put on a prediction, and what they promise in words."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nwidth.certificates.quantities import FIELD, TOGETHER, names_of, norm_named
from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Guarantee, Statistical
from nwidth.core.prediction import Output, Prediction, Reduced

#: Why a calibrated limit is +inf.
OUTSIDE = "outside the range of the runs that the limit was calibrated on"
NO_NUMBER = "what is expected of its error is not a number, or too large for one"


def finite_rows(prediction: Prediction) -> Mask:
    """Which fields are finite, `(B,)`; by their coefficients where they are reduced."""
    values = prediction.values
    numbers = np.isfinite(values.coefficients if isinstance(values, Reduced) else np.asarray(values))
    return np.asarray(numbers.all(axis=tuple(range(1, numbers.ndim))), dtype=bool)


def statistical(norm: str, names: tuple[str, ...], level: float, calibrated_on: int) -> Statistical:
    """The guarantee in words."""
    words = norm_named(norm).words if names[0] == FIELD else "largest error of an output, in units of its spread"
    alone = "; each output on its own" if len(names) > 1 else ""
    return Statistical(words + alone, level, calibrated_on)


def check_quantities(prediction: Prediction, known: Mapping[str, Any]) -> None:
    """InputError for an answer with other quantities than those that were calibrated."""
    names = names_of(prediction)
    if set(names) != set(known):
        raise InputError(
            f"this certificate was calibrated for {', '.join(known)}; the answer has {', '.join(names)}: it comes from "
            "another surrogate"
        )


def with_limits(
    prediction: Prediction, limits: Mapping[str, Real], guarantee: Guarantee, reasons: Array | None = None
) -> Prediction:
    """The prediction with its limits; +inf with the reason for queries that they are not for.

    A field that is not finite takes the limits of all outputs with it, an output its own and that of all together.
    """
    first = FIELD if FIELD in limits else TOGETHER
    whole = finite_rows(prediction)
    finite = {n: whole & np.isfinite(o.values) for n, o in prediction.outputs.items()}
    finite[first] = whole if first == FIELD else np.all([whole, *finite.values()], axis=0)
    limits = {n: np.where(prediction.inside & finite[n] & np.isfinite(v), v, np.inf) for n, v in limits.items()}
    reason = np.full(len(prediction), "", dtype=object) if reasons is None else reasons
    reason[np.isinf(limits[first]) & (reason == "")] = NO_NUMBER
    reason[~finite[first]] = "the field is not finite" if first == FIELD else "an output is not finite"
    reason[~prediction.inside] = OUTSIDE
    outputs = {n: Output(o.values, limits[n], o.unit) for n, o in prediction.outputs.items()}
    return replace(prediction, bound=limits[first], guarantee=guarantee, outputs=outputs, reason=reason)
