"""Calibrated limits put on a prediction, and what they promise in words."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nwidth.certificates.quantities import FIELD, TOGETHER, names_of, norm_named
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Guarantee, Statistical
from nwidth.core.prediction import Output, Prediction, Reduced


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
    """The prediction with its limits; +inf with the reason for queries that they are not for."""
    values = prediction.values
    numbers = values.coefficients if isinstance(values, Reduced) else np.asarray(values)
    finite = np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    usable = prediction.inside & finite
    limits = {n: np.where(usable & np.isfinite(v), v, np.inf) for n, v in limits.items()}
    reason = np.full(len(prediction), "", dtype=object) if reasons is None else reasons
    reason[~prediction.inside] = "outside the range of the runs that the limit was calibrated on"
    reason[prediction.inside & ~finite] = "the field is not finite"
    first = FIELD if FIELD in limits else TOGETHER
    outputs = {n: Output(o.values, limits[n], o.unit) for n, o in prediction.outputs.items()}
    return replace(prediction, bound=limits[first], guarantee=guarantee, outputs=outputs, reason=reason)
