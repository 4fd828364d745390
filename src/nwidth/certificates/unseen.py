"""Runs that the surrogate has seen say nothing about runs that it has not: they are found and refused."""

import numpy as np

from nwidth.certificates.quantile import rank
from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.rows import marks
from nwidth.core.validation import as_mu, batch_size
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.around import Around
from nwidth.surrogates.base import Remembering, Surrogate


def refuse_known(surrogate: Surrogate, mu: Mu, training: Mu | None = None, of: str = "") -> None:
    """InputError for calibration runs that are training runs, `of` whom where it is not the surrogate itself.

    Surrogates that remember their training runs are asked; `training` gives the parameters of more of them.
    """
    found = remembered(surrogate, mu)
    if training is not None:
        known = set(marks(training))
        found = found | np.array([mark in known for mark in marks(mu)], dtype=bool)
    if found.any():
        raise InputError(
            f"{int(found.sum())} of the {batch_size(mu)} calibration runs are training runs{of}; a limit from them "
            f"would be far too small: pass runs that {'it' if of else 'the surrogate'} has not seen"
        )


def remembered(surrogate: Surrogate, mu: Mu) -> Mask:
    """Which of these runs it, or the surrogate inside, was fitted to, `(B,)`; none where it does not know."""
    while isinstance(surrogate, Around) and not isinstance(surrogate, Remembering):
        surrogate = surrogate.surrogate
    return surrogate.has_seen(mu) if isinstance(surrogate, Remembering) else np.zeros(batch_size(mu), dtype=bool)


def usable_rows(surrogate: Surrogate, snapshots: Snapshots, level: float) -> Array:
    """The rows of runs that converged and lie in the fitted set; no field is read.

    Raises InputError where they are too few for `level`, with what became of the others.
    """
    good = snapshots.good
    mu = as_mu({name: np.asarray(values[good]) for name, values in snapshots.mu.items()}, surrogate.parameters.names)
    rows = good[surrogate.parameters.contains(mu)]
    try:
        rank(len(rows), level)
    except InputError as error:
        failed, outside = len(snapshots) - len(good), len(good) - len(rows)
        if not failed + outside:
            raise
        raise InputError(
            f"{error}. Of {len(snapshots)} runs {failed} did not converge and {outside} lie outside of the set that "
            "the surrogate was fitted to"
        ) from error
    return rows
