"""How far an iteration must go to be as accurate as a surrogate: solvers stop where they may, not where they could."""

from collections.abc import Callable

from nwidth.core.solution import Tolerance

#: Half decades from 0.3 down to 1e-10.
_VALUES = tuple(float(f"{10 ** (-k / 2):.1g}") for k in range(1, 21))


def loosest_residual(enough: Callable[[Tolerance], bool]) -> Tolerance:
    """The loosest residual tolerance that is enough; where none is, the tightest that was tried."""
    found = Tolerance("residual", _VALUES[-1])
    for value in _VALUES:
        found = Tolerance("residual", value)
        if enough(found):
            break
    return found
