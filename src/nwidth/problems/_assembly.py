"""Compiled scatter of a stencil's entries into the data of a sparse matrix with a fixed pattern."""

import numba

from nwidth.core.arrays import Array, Real


@numba.njit(cache=True, nogil=True)
def fill(values: Real, places: Array, data: Real) -> None:
    """`data[places[i]] = values[i]` wherever the place is not negative."""
    for i in range(len(values)):
        if places[i] >= 0:
            data[places[i]] = values[i]
