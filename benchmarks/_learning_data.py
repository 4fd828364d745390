"""The learning problems of the accuracy tables, scaled to a small machine: input field -> output field.

| problem | task | solved on | solver's cost per 100 runs (one core) | discretisation (relative L²) |
|---|---|---|---|---|
| `darcy` | a (12 / 3) -> u | the nodes of `cells`² | 1 s at 64² | against 128²: 0.74 %, 256²: 1.05 % |
| `burgers` | u(0) -> u(1), ν = 1/100 | 2 points per stored one | 2 s at 1,024 | below 1e-6 (8,192) |
| `navier_stokes` | w(0) -> w(10), ν = 1/1000 | the stored points | 5 s at 64² | below 1e-6 (128²) |

`navier_stokes_forced` has the forcing as a second input. Draw i under a seed is the same function on every grid, so
that `darcy(8, 128, seed)` are the samples of `darcy(8, 64, seed)` on a finer one. Runs are kept in `folder` and read
from there when asked for again.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import nwidth as nw
from nwidth.problems.base import Problem
from nwidth.problems.burgers import Burgers
from nwidth.problems.darcy import Darcy
from nwidth.problems.navier_stokes import NavierStokes
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.levels import final, on_nodes
from nwidth.solvers.base import Solver
from nwidth.solvers.etdrk4 import ETDRK4
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField

#: Name -> (samples, resolution, seed, ...) to snapshots.
Data = Callable[..., Snapshots]


def darcy(n: int, cells: int = 64, seed: int = 0, *, start: int = 0, folder: str | Path | None = None) -> Snapshots:
    """Coefficient on `(cells + 1)`² nodes to pressure: two values, 12 and 3."""
    return _runs(Darcy(cells), None, n, seed, start, folder, f"darcy-{cells}")


def burgers(
    n: int, points: int = 1024, seed: int = 0, *, start: int = 0, folder: str | Path | None = None
) -> Snapshots:
    """Initial state to u(1) at `points` points; ν = 1/100, u0 ~ N(0, 625 (-Δ + 25)^-2) with 512 waves."""
    problem = Burgers(1e-2, resolution=points, solver_resolution=max(2 * points, 2048), modes=512)
    return final(on_nodes(_runs(problem, ETDRK4(accuracy=1e-5), n, seed, start, folder, f"burgers-{points}")))


def navier_stokes(
    n: int, cells: int = 64, seed: int = 0, *, start: int = 0, time: float = 10.0, folder: str | Path | None = None
) -> Snapshots:
    """Initial vorticity to w(time) on `cells`² points; ν = 1/1000, the law of w0 of the published code.

    w0 has 31 waves per direction, so that 64² points hold all of it (the published fields have 127). Until t = 10 the
    forcing has doubled the vorticity: |w(10) - w(0)| is as large as |w(10)|, and the mean of all runs is 29 % off.
    """
    problem = NavierStokes(1e-3, resolution=cells, solver_resolution=max(cells, 64), levels=(time,), modes=31)
    return final(on_nodes(_runs(problem, ETDRK4(accuracy=1e-4), n, seed, start, folder, f"ns-{cells}-{time:g}")))


def navier_stokes_forced(n: int, cells: int = 64, seed: int = 0, *, folder: str | Path | None = None) -> Snapshots:
    """`navier_stokes` with the forcing, the same in all runs, as a second input: (w(0), f) -> w(10).

    Who sees the forcing needs no coordinates: whatever commutes with translations of both has the symmetry of the
    equation.
    """
    runs = navier_stokes(n, cells, seed, folder=folder)
    x = np.arange(cells) / cells
    wave = 2 * np.pi * (x[:, None] + x)
    forcing = 0.1 * (np.sin(wave) + np.cos(wave))
    mu = {**runs.mu, "f": np.broadcast_to(forcing, (n, cells, cells)).copy()}
    return replace(runs, parameters=Joint((runs.parameters, PeriodicField("f", cells, modes=1))), mu=mu)


PROBLEMS: dict[str, Data] = {
    "darcy": darcy,
    "burgers": burgers,
    "navier_stokes": navier_stokes,
    "navier_stokes_forced": navier_stokes_forced,
}


def _runs(
    problem: Problem, solver: Solver | None, n: int, seed: int, start: int, folder: str | Path | None, name: str
) -> Snapshots:
    path = None if folder is None else Path(folder) / f"{name}-seed{seed}-from{start}-{n}"
    return nw.generate(problem, n, seed=seed, start=start, solver=solver, path=path, workers=1)
