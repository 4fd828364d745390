"""Generation of training data against the solvers that others use for it, each sample to a true relative residual of
1e-8, one thread each, in one process.

Contestants: GMRES(40) with ILU(0), the usual baseline of papers; GCRO-DR(40, 10) with ILU(0) on samples sorted by
similarity (Krylov recycling); pyamg's Ruge-Stüben, rebuilt per matrix; SciPy's SuperLU as it comes and tuned; the MKL's
Pardiso with one symbolic analysis, at its defaults and with the settings that were fastest here. They are given the
assembled matrix; nwidth starts from the parameters. Times are medians per sample.
"""

from dataclasses import replace
from time import perf_counter

import _harness  # first: it sets the number of threads, which libraries read when they are imported

# isort: split
import _growth_rows
import _helmholtz_rows
import _mesh_rows
import _navier_stokes_rows
import _race
import _storage_rows
from _harness import Row
from _race import Race

from nwidth.problems.advection_diffusion import AdvectionDiffusion
from nwidth.problems.darcy import Darcy
from nwidth.snapshots.generate import default_chunk
from nwidth.study.measure import one_thread

_ALL = ("GMRES(40), ILU(0)", "GCRO-DR, sorted", "pyamg", "SuperLU, default", "SuperLU, tuned")
_PARDISO = ("Pardiso, default", "Pardiso")


def _rounds(slow: int, fast: int) -> dict[str, int]:
    """How many samples each contestant is given; recycling a few more, since it gets better as it goes."""
    return {**dict.fromkeys(_ALL, slow), "GCRO-DR, sorted": 2 * slow, **dict.fromkeys(_PARDISO, fast)}


def races(quick: bool, seed: int) -> list[Row]:
    """Darcy in two and three dimensions, and advection-diffusion; `quick` is too small for the targets."""
    found: list[Row] = []
    sizes = {32: (0.0, 1, 3)} if quick else {128: (100.0, 4, 24), 256: (250.0, 3, 16)}
    for n, (recycling, slow, fast) in sizes.items():
        targets = {} if quick else {"GCRO-DR, sorted": recycling, **dict.fromkeys(_PARDISO, 8.0)}
        for law, words in (("two-valued", "Darcy 12/3"), ("log-normal", "Darcy log-normal")):
            problem = Darcy(n, law=law)
            race = Race(f"{words}, {n}²", problem, _rounds(slow, fast), batch=default_chunk(problem), seed=seed)
            found += _race.rows(race, targets)
    n, slow, fast = (32, 1, 3) if quick else (128, 4, 24)
    for peclet, target in ((128.0, 8.0), (6400.0, 4.0)):
        flow = AdvectionDiffusion(n, peclet)
        name = f"advection-diffusion, {n}², Pe {peclet:g}"
        race = Race(name, flow, _rounds(slow, fast), definite=False, batch=default_chunk(flow), seed=seed)
        found += _race.rows(race, {} if quick else dict.fromkeys(_PARDISO, target))
    n = 12 if quick else 64
    block = Darcy(n, dim=3)
    race = Race(f"3-D Darcy 12/3, {n}³", block, {"pyamg": 1 if quick else 3}, batch=2, pool=8, seed=seed)
    return found + _race.rows(race, {} if quick else {"pyamg": 25.0})


def work(quick: bool, seed: int) -> list[Row]:
    with one_thread():
        return _rows(quick, seed)


def _rows(quick: bool, seed: int) -> list[Row]:
    begin = perf_counter()
    found = races(quick, seed)
    found += _growth_rows.rows(quick, seed) + _storage_rows.rows(quick, seed)
    for module in (_helmholtz_rows, _navier_stokes_rows, _mesh_rows):
        timed = module.rows(quick, seed)
        found += [replace(row, target=None) for row in timed] if quick else timed  # too small for the targets
    return [*found, Row("seconds in all", perf_counter() - begin, "s")]


if __name__ == "__main__":
    raise SystemExit(_harness.main("generation", work))
