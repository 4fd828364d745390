"""Dense products that stay on one thread."""

import numpy as np

from nwidth.core.arrays import Real

#: OpenBLAS starts its threads above this many multiplications. For factors as small as a grid's one-dimensional
#: transforms they cost more than they bring (measured: 20 times slower while another process keeps a core busy), and
#: the last bits would depend on their number.
_SERIAL = 65536 * 4


def product(left: Real, right: Real, out: Real) -> Real:
    """`left @ right` for a stack `(..., M, K)` and one matrix `(K, N)`, written to `out`."""
    rows = max(8, _SERIAL // max(1, right.size))
    for start in range(0, left.shape[-2], rows):
        part = (..., slice(start, start + rows), slice(None))
        np.matmul(left[part], right, out=out[part])
    return out
