"""Runs that the surrogate has seen say nothing about runs that it has not: they are found and refused."""

import numpy as np

from nwidth.core.arrays import Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.rows import marks
from nwidth.core.validation import batch_size
from nwidth.surrogates.around import Around
from nwidth.surrogates.base import Remembering, Surrogate


def refuse_known(surrogate: Surrogate, mu: Mu, training: Mu | None = None) -> None:
    """InputError for calibration runs that are training runs.

    Surrogates that remember their training runs are asked; `training` gives the parameters of more of them.
    """
    found = _remembered(surrogate, mu)
    if training is not None:
        known = set(marks(training))
        found = found | np.array([mark in known for mark in marks(mu)], dtype=bool)
    if found.any():
        raise InputError(
            f"{int(found.sum())} of the {batch_size(mu)} calibration runs are training runs; a limit from them "
            "would be far too small: pass runs that the surrogate has not seen"
        )


def _remembered(surrogate: Surrogate, mu: Mu) -> Mask:
    while isinstance(surrogate, Around):
        surrogate = surrogate.surrogate
    return surrogate.has_seen(mu) if isinstance(surrogate, Remembering) else np.zeros(batch_size(mu), dtype=bool)
