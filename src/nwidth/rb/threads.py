"""One thread for products that more threads only slow down.

The matrices here are long and thin, or small: their products are limited by memory and by the start of threads.
OpenBLAS divides them all the same, and on two hardware threads of one core that costs three to fifteen times the time.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

# numba's products call the BLAS behind this module: it has to be loaded before the libraries are listed
import scipy.linalg.cython_blas  # noqa: F401
from threadpoolctl import ThreadpoolController

#: Multiplications below which OpenBLAS does not divide a product anyway.
_SMALL = 200_000


@cache
def _openblas() -> Any:
    """The OpenBLAS libraries of this process: they are loaded once and stay."""
    return ThreadpoolController().select(internal_api="openblas")


def one_thread(multiplications: int = _SMALL) -> AbstractContextManager[Any]:
    """OpenBLAS on one thread while the context lasts; nothing where the product is small."""
    return nullcontext() if multiplications < _SMALL else _openblas().limit(limits=1)


def threads(count: int | None) -> AbstractContextManager[Any]:
    """All libraries on `count` threads; by default OpenBLAS on one, and the others as they are."""
    return ThreadpoolController().limit(limits=count) if count else one_thread()
