"""Checks that all fits of an interpolation share."""

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.validation import check_finite


def checked(snapshots: Array) -> Real:
    """Snapshots `(S, n)` in float64. Raises InputError for another shape, no rows, no finite values, only zeros."""
    table = np.asarray(snapshots, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise InputError(f"snapshots have shape {table.shape}; expected (S, n), one snapshot a row")
    check_finite("snapshots", table)
    if not table.any():
        raise InputError("all snapshots are zero: there is nothing to interpolate; leave the term out")
    return table


def check_options(tol: float | None, max_size: int, extra: int = 0) -> None:
    """Raises InputError for a tolerance or sizes that mean nothing."""
    if tol is not None and not 0 < tol < 1:
        raise InputError(f"tol is {tol}; it is relative: give a number between 0 and 1, or None to stop at max_size")
    if max_size < 1 or extra < 0:
        raise InputError(f"max_size is {max_size} and extra {extra}; give at least 1 and 0")


def require(error: float, scale: float, tol: float | None, terms: int) -> None:
    """Raises WorkError where the tolerance was missed."""
    if tol is not None and error > tol * scale:
        raise WorkError(
            f"{terms} terms leave an error of {error / scale:.2e} relative to the largest snapshot and miss tol = "
            f"{tol:g}; raise max_size or tol"
        )
