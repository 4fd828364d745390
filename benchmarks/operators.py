"""Neural operators side by side: accuracy, parameters and resolution, with neuraloperator's FNO as the contestant.

Parts (`--part NAME` runs one; all by default):

    accuracy     Darcy 64², Burgers ν = 0.01, Navier-Stokes ν = 1e-3: nwidth's best operator and recipe against
                 neuraloperator's FNO by its public recipe, at equal time and at equal epochs, three seeds
    parameters   real parameters at equal error against the smallest plain FNO of a sweep over width and modes
    resolution   error at two and four times the training grid without training again
    table        every operator of nwidth on Darcy 64² at equal time, with POD + kernel regression and a U-Net

Speed and memory of the spectral layer and of the whole network: `spectral_layer.py`. Everything is scaled to one core:
training takes a minute or two instead of hours; the published numbers stand in docs/operators.
"""

import sys
from collections.abc import Callable, Sequence

import _accuracy_rows
import _harness
import _parameter_rows
import _resolution_rows
import _table_rows
from _harness import Row

PARTS: dict[str, Callable[[bool, int], Sequence[Row]]] = {
    "accuracy": _accuracy_rows.rows,
    "parameters": _parameter_rows.rows,
    "resolution": _resolution_rows.rows,
    "table": _table_rows.rows,
}


def chosen(arguments: list[str]) -> list[str]:
    """The parts asked for; `--part NAME` is taken out of the arguments."""
    found = []
    while "--part" in arguments:
        place = arguments.index("--part")
        found.append(arguments[place + 1])
        del arguments[place : place + 2]
    return found or list(PARTS)


def main() -> int:
    """Run the parts in turn."""
    parts = chosen(sys.argv)

    def work(quick: bool, seed: int) -> list[Row]:
        return [row for part in parts for row in PARTS[part](quick, seed)]

    return _harness.main("operators", work)


if __name__ == "__main__":
    sys.exit(main())
