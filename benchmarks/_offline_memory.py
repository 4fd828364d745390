"""Peak memory of an offline stage, in a process of its own: `python _offline_memory.py BLOCKS RESOLUTION MODES`.

A search for two modes and one for MODES run on the same thermal block, after the kernels were compiled on a small one.
Both factorise the same matrices, so the difference of their peaks is what the vectors take:

    held = (peak(n) - peak(2)) / (8 N Q_A (n - 2)),

the full vectors held at the peak for each functional A_q v_j. Linux only: the peak is reset between the searches.
"""

import ctypes
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from nwidth.problems.thermal_block import ThermalBlock  # noqa: E402
from nwidth.rb.greedy import Greedy  # noqa: E402

_SMALL = 2


def held_vectors(blocks: int, resolution: int, modes: int) -> dict[str, float]:
    """The measurement in a fresh process; raises RuntimeError with what it said where it fails."""
    command = [sys.executable, str(Path(__file__).resolve()), *map(str, (blocks, resolution, modes))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def measure(blocks: int, resolution: int, modes: int) -> dict[str, Any]:
    _peak(ThermalBlock(blocks, max(8, 2 * blocks)), 4)
    problem = ThermalBlock(blocks, resolution)
    _peak(problem, _SMALL)  # what is made once and kept: matrices, the factorisation of the product
    small, large = _peak(problem, _SMALL), _peak(problem, modes)
    vector = 8 * problem.space.size
    functionals = blocks**2 * (modes - _SMALL)
    return {
        "held": (large - small) / (vector * functionals),
        "peak_bytes": large,
        "small_bytes": small,
        "functionals": functionals,
        "vector_bytes": vector,
    }


def _peak(problem: ThermalBlock, modes: int) -> int:
    """The largest resident memory while a basis is fitted, in bytes."""
    training = problem.parameters.sample(range(100), 0)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    surrogate = Greedy(tol=None, max_size=modes, training=training, error="space").fit(problem=problem)
    if surrogate.modes != modes:
        raise RuntimeError(f"the search ended with {surrogate.modes} of {modes} modes")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    print(json.dumps(measure(*map(int, sys.argv[1:4]))))
