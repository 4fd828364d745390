"""Certificates: violations, effectivity, cost, coverage, refinement and routing.

    python benchmarks/certificates.py [--part NAME ...] [--json PATH] [--quick]

Each part is a file `_certificate_NAME_rows.py` of its own.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import _harness
from _harness import Row

PARTS = ("bounds", "refine", "nonsymmetric", "total", "time", "coverage", "routing", "evidence")


def chosen(arguments: list[str]) -> list[str]:
    """The parts asked for; `--part NAME` is taken out of the arguments."""
    found = []
    while "--part" in arguments:
        place = arguments.index("--part")
        found.append(arguments[place + 1])
        del arguments[place : place + 2]
    return found or list(PARTS)


def rows_of(part: str) -> Callable[[bool, int], Sequence[Row]]:
    """The rows of a part, loaded when it is asked for."""
    found: Callable[[bool, int], Sequence[Row]] = import_module(f"_certificate_{part}_rows").rows
    return found


def main() -> int:
    """Run the parts in turn."""
    parts = chosen(sys.argv)

    def work(quick: bool, seed: int) -> list[Row]:
        return [row for part in parts for row in rows_of(part)(quick, seed)]

    return _harness.main("certificates", work)


if __name__ == "__main__":
    sys.exit(main())
