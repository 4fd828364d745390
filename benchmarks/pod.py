"""POD side by side with SciPy's SVD and pyMOR: time, accuracy and memory, on the same snapshots, one thread each.

    python benchmarks/pod.py [--json PATH] [--quick]

Snapshots are fronts of varying place, steepness and tilt on the mesh of a thermal block, whose energy product is used
besides the Euclidean one. Errors are those of the projection on the
modes, measured outright; every contestant must meet the tolerance. The streaming rows read a Zarr store.
"""

import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import _harness
import numpy as np
import scipy.linalg as sla
import scipy.sparse as sp
from _harness import Row, absent

import nwidth as nw
from nwidth.core.arrays import Array, Real
from nwidth.core.kinds import available
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points
from nwidth.study.measure import one_thread

if available("pymor"):
    from pymor.algorithms.hapod import inc_vectorarray_hapod
    from pymor.algorithms.pod import pod as pymor_pod
    from pymor.core.logger import set_log_levels
    from pymor.operators.numpy import NumpyMatrixOperator
    from pymor.vectorarrays.numpy import NumpyVectorSpace

    set_log_levels({"pymor": "ERROR"})

TOL = 1e-4


def fronts(points: Real, count: int, seed: int) -> Array:
    """A front whose place and steepness vary, `(count, N)`, zero on the boundary of the unit square."""
    rng = np.random.default_rng(seed)
    place, steep, tilt = rng.uniform(0.3, 0.7, count), rng.uniform(4, 12, count), rng.uniform(-0.5, 0.5, count)
    x, y = points.T
    inside = 16 * x * (1 - x) * y * (1 - y)
    return inside * np.tanh(steep[:, None] * (x + tilt[:, None] * y - place[:, None]))


class Case:
    """Snapshots with an inner product, and what every contestant makes of them."""

    def __init__(self, name: str, dofs: Array, matrix: Any, inner: InnerProduct | None):
        self.name, self.dofs, self.matrix, self.inner = name, dofs, matrix, inner
        self.total = self.norm(dofs)

    def norm(self, rows: Array) -> float:
        image = rows if self.matrix is None else (self.matrix @ rows.T).T
        return float(np.sqrt(np.vdot(rows, image).real))

    def error(self, modes: Array) -> float:
        """`√(Σ ‖u_i - P u_i‖² / Σ ‖u_i‖²)` for orthonormal modes."""
        image = modes if self.matrix is None else (self.matrix @ modes.T).T
        return self.norm(self.dofs - (self.dofs @ image.T) @ modes) / self.total

    def ours(self, method: str) -> Callable[[], Array]:
        return lambda: nw.rb.pod(self.dofs, tol=TOL, inner=self.inner, about="zero", method=method).modes

    def scipy(self) -> Array:
        """The SVD of all snapshots, in the Euclidean product."""
        _, sigma, modes = sla.svd(self.dofs, full_matrices=False, check_finite=False)
        tail = np.append(np.cumsum(sigma[::-1] ** 2)[::-1], 0)
        return modes[: int(np.argmax(tail <= TOL**2 * tail[0]))]

    def _pymor(self) -> tuple[Any, Any]:
        space = NumpyVectorSpace(self.dofs.shape[1])
        return space.from_numpy(self.dofs.T), None if self.matrix is None else NumpyMatrixOperator(self.matrix)

    def pymor(self, method: str) -> Array:
        vectors, product = self._pymor()
        modes, _ = pymor_pod(vectors, product=product, rtol=0.0, l2_err=TOL * self.total, method=method)
        return modes.to_numpy().T

    def hapod(self) -> Array:
        """Incremental, as its documentation shows: ω = 0.9, as many steps as ours takes blocks."""
        vectors, product = self._pymor()
        steps = -(-len(self.dofs) // 64)
        mean = TOL * self.total / np.sqrt(len(self.dofs))
        modes, _, _ = inc_vectorarray_hapod(steps, vectors, mean, 0.9, product=product)
        return modes.to_numpy().T


def cases(quick: bool, seed: int) -> list[Case]:
    """Euclidean and energy product on the nodes of a thermal block."""
    space = ThermalBlock(2, 20 if quick else 60).space
    dofs = fronts(space.points(), 150 if quick else 600, seed) * space.free
    energy = sp.csr_array(space.energy.matrix)
    return [
        Case("Euclidean", dofs, None, None),
        Case("energy", dofs, energy, space.inner("energy")),
    ]


def contest(case: Case, repeats: int, quick: bool) -> list[Row]:
    """CPU time of all, in turn; the error of each."""
    contestants: dict[str, Callable[[], Array]] = {
        f"nwidth {m}": case.ours(m) for m in ("svd", "snapshots", "randomised", "streaming")
    }
    if case.matrix is None:
        contestants["SciPy svd"] = case.scipy
    if available("pymor"):
        contestants |= {
            "pyMOR method of snapshots": lambda: case.pymor("method_of_snapshots"),
            "pyMOR qr_svd": lambda: case.pymor("qr_svd"),
            "pyMOR incremental HAPOD": case.hapod,
        }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    modes: dict[str, Array] = {}
    for _ in range(repeats):
        for name, call in contestants.items():
            begin = process_time()
            modes[name] = call()
            seconds[name].append(process_time() - begin)
    best, found = {name: min(values) for name, values in seconds.items()}, []
    for name in contestants:
        detail = {"cpu_seconds": best[name], "modes": len(modes[name])}
        found.append(Row(f"{case.name}, {name}: part left out", case.error(modes[name]), "", TOL, "<=", detail))
        found.append(Row(f"{case.name}, {name}: CPU time", best[name], "s"))
    return [*found, *ratios(case, best, {name: len(m) for name, m in modes.items()}, quick)]


def ratios(case: Case, best: dict[str, float], modes: dict[str, int], quick: bool) -> list[Row]:
    """Against whom each method stands (HAPOD by Gram matrices, without a measured account: the same time).

    For the few snapshots of the small version all singular values are cheapest."""
    full = None if quick else 2.0
    pairs = [
        ("streaming", "SciPy svd", full),
        ("randomised", "SciPy svd", None),
        ("streaming", "pyMOR incremental HAPOD", 0.8),
        ("svd", "pyMOR qr_svd", 1.0),
        ("snapshots", "pyMOR method of snapshots", 0.9),
    ]
    found = []
    for ours, other, target in pairs:
        name = f"{case.name}: CPU time, {other} / nwidth {ours}"
        if other in best:
            detail = {"modes": modes[f"nwidth {ours}"], "theirs": modes[other]}
            found.append(Row(name, best[other] / best[f"nwidth {ours}"], "x", target, ">=", detail))
        elif other.startswith("pyMOR"):
            found.append(absent(name, "pymor (pip install 'nwidth[bench]')", target))
    return found


def memory(quick: bool, seed: int) -> list[Row]:
    """The peak of the streaming POD over stores of growing length."""
    peaks, sizes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for count in (256, 512, 1024) if quick else (1024, 4096):
            path = Path(folder) / f"{count}.zarr"
            store(path, count, seed)
            tracemalloc.start()
            found = nw.rb.pod(path, tol=1e-3)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            sizes.append(count * 5000 * 8)
    detail = {"peaks": peaks, "bytes of the fields": sizes, "modes": len(found.modes), "bound": found.lost}
    return [
        Row("streaming: peak memory, longest store / shortest", peaks[-1] / peaks[0], "x", 1.1, "<=", detail),
        Row("streaming: peak memory / size of the longest store", peaks[-1] / sizes[-1], "x", 0.7, "<=", detail),
    ]


def store(path: Path, count: int, seed: int) -> None:
    """A store of fronts on a line."""
    box, x = Box(("s", "k"), low=(0.3, 4.0), high=(0.7, 12.0)), np.linspace(0, 1, 5000)
    mu = box.sample(range(count), seed)
    fields = np.tanh(mu["k"][:, None] * (x - mu["s"][:, None]))
    nw.Snapshots(box, Points((5000,), x[:, None]), mu, fields).save(path)


def accuracy(seed: int) -> list[Row]:
    """Small modes in an inner product, against the root of X; and all methods against the dense decomposition."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((n, 12)))[0] for n in (60, 400))
    space = Points((400,), np.sort(rng.random(400))[:, None], cells=np.stack([np.arange(399), np.arange(1, 400)], 1))
    inner, root = space.inner("mass"), np.sqrt(space.node_measures())
    exact = 10.0 ** -np.arange(0.0, 12.0)
    dofs = (left * exact) @ right.T / root
    found = nw.rb.pod(dofs, modes=12, inner=inner, about="zero", method="svd").singular_values
    worst = float(np.abs(found[:12] / exact - 1).max())
    streamed = nw.rb.pod(dofs, modes=12, inner=inner, about="zero", method="streaming", block=7).singular_values
    gap = float(np.abs(streamed[:12] - exact).max())
    return [
        Row("singular values 1 to 1e-11 in the mass product, worst relative error", worst, "", 1e-3, "<="),
        Row("streaming against the decomposition, relative to the largest", gap, "", 1e-10, "<="),
    ]


def work(quick: bool, seed: int) -> list[Row]:
    with one_thread():
        found = [row for case in cases(quick, seed) for row in contest(case, 2 if quick else 3, quick)]
        return [*found, *accuracy(seed), *memory(quick, seed)]


if __name__ == "__main__":
    raise SystemExit(_harness.main("pod", work))
