"""Public runs of a Poisson problem around a moving hole: the nodes move with the parameters, the fields live on them.

    python benchmarks/moving_hole.py [--json PATH] [--quick]

121 runs, 2 parameters (where the hole is), 1352 nodes. 24 are held out; 97 remain for training and calibration, either
split (67 + 30: level 0.9 on average over calibrations) or used by turns (cross-conformal: at least 0.9, usually about
0.95). The answer is the field at the nodes and, as a second fit, where the nodes are.
"""

import sys
from collections.abc import Sequence

import numpy as np
from _harness import Row, absent, main
from _regression_rows import OURS, Runs, Tally, by_split, rows, turns_rows

import nwidth as nw
from nwidth.core.kinds import available
from nwidth.io.public import public_data
from nwidth.io.readers.base import read_arrays

SEEDS = 5


def work(quick: bool, seed: int) -> Sequence[Row]:
    """Every regressor by a split, the fast ones by turns, the nodes by the kernel."""
    name = "moving hole: unseen runs"
    if not available("torch"):
        return [absent(name, "torch (pip install 'nwidth[neural]'), which the file needs", 0.0)]
    try:
        arrays = read_arrays(public_data("holed_poisson") / "holed_poisson.pt").arrays
    except nw.InputError as error:
        return [absent(name, str(error), 0.0)]
    mu = {f"mu_{i + 1}": np.asarray(arrays["mu"][:, i], dtype=float) for i in range(2)}
    fields = np.ascontiguousarray(arrays["u"].T, dtype=float)
    nodes = np.concatenate([arrays["x"].T, arrays["y"].T], axis=1).astype(float)
    field, moved = Runs("moving hole", mu, fields, 1e-4, 30), Runs("nodes", mu, nodes, 1e-4, 30)
    seeds = range(seed, seed + (1 if quick else SEEDS))
    regressors = OURS if available("torch") else OURS[:3]
    tally = Tally()
    for s in seeds:
        by_split(moved, "kernel", s, tally)
    return [
        *rows(field, seeds, 0.5, regressors),
        *turns_rows(field, seeds if quick else range(seed, seed + 2), 0.1, ("kernel", "rbf")),
        Row("moving hole: typical error of the nodes' positions", tally.error, "%", 0.1, "<=", {"held": tally.held}),
    ]


if __name__ == "__main__":
    sys.exit(main("moving_hole", work))
