"""nwidth: small surrogates of parametrized equations, with a stated limit on the error of every answer.

The names live in ``__init__.pyi``, which type checkers read and from which each is imported on first use, so that
``import nwidth`` is fast and loads neither torch nor numba.
"""

import lazy_loader

from ._version import __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
