"""What all benchmarks share: rows with targets, the printed table, the JSON file and the exit code.

Timing in turn and the description of the machine come from `nwidth.study.measure`.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

# one thread for every contestant, set before NumPy and the MKL are imported
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402

from nwidth.study.measure import machine, versions  # noqa: E402

_SENSES: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda measured, target: measured >= target,
    "<=": lambda measured, target: measured <= target,
    "==": lambda measured, target: measured == target,
}


@dataclass(frozen=True)
class Row:
    """One measured number; `target` None is for context and always holds. A NaN holds nothing.

    `detail` keeps what the number was made of: medians, spreads, errors, and the reason where a row cannot hold.
    """

    name: str
    measured: float
    unit: str = ""
    target: float | None = None
    sense: str = ">="
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        return self.target is None or bool(_SENSES[self.sense](self.measured, self.target))

    def __str__(self) -> str:
        wanted = "" if self.target is None else f"{self.sense} {self.target:g}"
        verdict = "" if self.target is None else ("holds" if self.holds else "MISSED")
        return f"{self.name:<58} {self.measured:>12.4g} {self.unit:<6} {wanted:<10} {verdict}"


#: Rows from (quick, seed).
Work = Callable[[bool, int], Sequence[Row]]


def absent(name: str, package: str, target: float | None = None, sense: str = ">=") -> Row:
    """The row of a contestant that is not installed: it does not hold, and says why."""
    return Row(name, float("nan"), "", target if target is not None else 1.0, sense, {"reason": f"no {package}"})


def main(name: str, work: Work, seed: int = 0) -> int:
    """Run a benchmark from the command line; 1 where a row does not hold, else 0."""
    return _main(name, {"all": work}, seed)


def main_of_parts(name: str, modules: Mapping[str, str]) -> int:
    """Run the parts of a benchmark, or those that `--part NAME` names: the function `rows` of a module for each."""
    return _main(name, {part: _rows_of(module) for part, module in modules.items()}, 0)


def _main(name: str, parts: Mapping[str, Work], seed: int) -> int:
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the rows there")
    parser.add_argument("--quick", action="store_true", help="a small version, for smoke tests")
    parser.add_argument("--seed", type=int, default=seed)
    if len(parts) > 1:
        help_ = "this part only; may be given more than once"
        parser.add_argument("--part", action="append", choices=list(parts), help=help_)
    options = parser.parse_args()
    if options.quick:
        print("--quick: a small version; its numbers are not the benchmark's")
    rows: list[Row] = []
    for part in vars(options).get("part") or parts:
        found = parts[part](options.quick, options.seed)
        print("\n".join(map(str, found)), flush=True)
        rows.extend(found)
        if options.json:  # after each part: what a later one meets does not take it away
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(_document(name, rows, options), indent=1))
    return 0 if all(row.holds for row in rows) else 1


def _rows_of(module: str) -> Work:
    """Loaded when it is asked for: not every part needs every contestant."""
    return lambda quick, seed: import_module(module).rows(quick, seed)


def _document(name: str, rows: Sequence[Row], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "name": name,
        "quick": options.quick,
        "rows": [_finite(asdict(row) | {"holds": row.holds}) for row in rows],
        "machine": machine(),
        "versions": versions(),
        "seed": options.seed,
    }


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null; NumPy's numbers become Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
