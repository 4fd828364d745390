"""Every operator of nwidth on Darcy 64² at equal wall time, with POD + kernel regression.

One seed, the same learning rates tried for each (`nw.compare`). What the numbers can tell: which operator suits
a coefficient that jumps, when a core has half a minute. They say little about smooth data, hours on a GPU, or meshes.
"""

import os
from collections.abc import Mapping
from typing import Any

import torch
from _harness import Row
from _learning_data import darcy

import nwidth as nw
from nwidth.operators import FFNO, FNO, IFNO, MGTFNO, TFNO, DeepONet, MgNO, PODDeepONet, UNet
from nwidth.problems.darcy import Darcy
from nwidth.rb.pod_regression import PODRegression
from nwidth.surrogates.base import Fitter, Run
from nwidth.surrogates.training import Training

#: Seconds of training for each; samples to learn from and to test.
BUDGET, TRAIN, TEST = 40.0, 1000, 100
TURNED = Training(augment="square")


def contestants(modes: int = 24) -> Mapping[str, Fitter]:
    """One sensible configuration each; operators on grids see turned and mirrored samples."""
    return {
        "FNO": FNO(modes=modes, width=16, training=TURNED),
        "FFNO": FFNO(modes=modes, width=24, layers=4, training=TURNED),
        "IFNO": IFNO(modes=modes, width=16, steps=4, training=TURNED),
        "TFNO": TFNO(modes=modes, width=24, rank=0.1, training=TURNED),
        "MG-TFNO": MGTFNO(modes=modes // 2, width=24, training=TURNED),
        "MgNO": MgNO(width=12, layers=4, training=TURNED),
        "U-Net": UNet(width=16, training=TURNED),
        "DeepONet": DeepONet(),
        "POD-DeepONet": PODDeepONet(),
        "POD + kernel regression": PODRegression(modes=150),
    }


def rows(quick: bool, seed: int) -> list[Row]:
    """A row of context for each."""
    torch.set_num_threads(1)
    folder = os.environ.get("NWIDTH_RUNS")
    cells, count, held = (16, 40, 10) if quick else (64, TRAIN, TEST)
    train, test = (darcy(n, cells, s, folder=folder) for n, s in ((count, seed + 1), (held, seed + 2)))
    found = nw.compare(
        contestants(4 if quick else 24),
        train,
        Darcy(cells),
        test=test,
        budget=1.0 if quick else BUDGET,
        rates=() if quick else (3e-3, 1e-2),
        seeds=(seed,),
        run=Run(threads=1),
    )
    print(found)
    return [
        Row(f"Darcy {cells}²: L² error of {row.name}", 100 * row.error, "%", detail=_plain(row)) for row in found.rows
    ]


def _plain(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}
