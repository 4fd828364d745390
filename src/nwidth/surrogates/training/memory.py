"""Freed memory that the process keeps while a network is trained.

A training step allocates and frees the same large tensors again and again. By default the C library of Linux returns
them to the system each time, and every page is then fetched, and zeroed, anew.
"""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# parameters of mallopt(3)
_TRIM_THRESHOLD, _MAP_THRESHOLD = -1, -3
_NEVER, _GIGABYTE = -1, 1 << 30
#: What the library has arrived at by itself once large blocks were freed, in bytes.
_USUAL_TRIM, _USUAL_MAP = 64 << 20, 32 << 20


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within it, freed memory stays with the process; at the end what is free is given back.

    Of the whole process, and of glibc only: elsewhere nothing happens. Not for one thread inside another's.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MAP_THRESHOLD, _GIGABYTE)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MAP_THRESHOLD, _USUAL_MAP)
        library.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)
