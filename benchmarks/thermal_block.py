"""The thermal block side by side with pyMOR: same matrices, same training parameters, same size of basis, one process.

Both build a certified reduced basis by a weak greedy search with the stable residual estimator, on P1 elements with
20,201 nodes and conductivities in [0.1, 1], one thread each, and choose by the same bound (that of the space's norm):
2 x 2 blocks to a relative tolerance of 1e-5, 3 x 3 blocks with 80 modes. pyMOR as its demo `thermalblock` does it:
CoerciveRBReductor with the H1 product and alpha = min(diffusion). Errors are measured in the energy norm against
full-order solutions (pyMOR's and ours are the same to round-off, which is checked). A query of ours also gives the mean
of u with its own limit, which pyMOR's does not.

Bounds are checked at every size of basis: on 2 x 2 blocks far beyond the tolerance, down to the floor of rounding.
"""

from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import _harness
import numpy as np
from _harness import Row, absent
from _thermal_checks import by_dofs, in_turn, memory, violations

import nwidth as nw
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.kinds import available
from nwidth.core.validation import select
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy
from nwidth.solvers.direct import Direct

if available("pymor"):
    from pymor.algorithms.greedy import rb_greedy
    from pymor.analyticalproblems.thermalblock import thermal_block_problem
    from pymor.core.logger import set_log_levels
    from pymor.discretizers.builtin import discretize_stationary_cg
    from pymor.parameters.functionals import ExpressionParameterFunctional
    from pymor.reductors.coercive import CoerciveRBReductor

    set_log_levels({"pymor": "ERROR"})

RTOL = 1e-5


@dataclass(frozen=True)
class Case:
    """Blocks per side, the size of both bases (None: pyMOR's at RTOL), of the basis whose bounds are checked, and the
    least ratios to pyMOR: offline, one query, a query in a batch; None where nothing is asked of a small version."""

    blocks: int
    modes: int | None
    deep: int
    offline: float | None = None
    single: float | None = None
    batch: float | None = None

    @property
    def name(self) -> str:
        return f"{self.blocks}x{self.blocks}"


@dataclass(frozen=True)
class Size:
    """How much is computed."""

    resolution: int
    training: int
    test: int
    checked: int
    repeats: int
    meshes: tuple[int, int]
    cases: tuple[Case, ...]
    memory: float | None = None
    by_dofs: float | None = None


FULL = Size(
    resolution=100, training=300, test=50, checked=1000, repeats=7, meshes=(50, 200), memory=1.3, by_dofs=1.15,
    cases=(Case(2, None, 48, 6, 18, 95), Case(3, 80, 80, 15, 8, 30)),
)  # fmt: skip
QUICK = Size(
    resolution=30, training=60, test=10, checked=50, repeats=3, meshes=(20, 60),
    cases=(Case(2, None, 32), Case(3, 16, 16)),
)  # fmt: skip


class Ours:
    """nwidth on one thermal block, with its certificate."""

    def __init__(self, problem: ThermalBlock, training: Mu, modes: int):
        begin = process_time()
        fitter = Greedy(tol=None, max_size=modes, training=training, error="space")
        self.problem = problem
        self.surrogate = fitter.fit(problem=problem)
        self.certified = nw.certify(self.surrogate, problem)
        self.offline = process_time() - begin

    def solve(self, mu: Mu) -> Real:
        solver = Direct()
        return solver.solve(solver.prepare(self.problem), mu).field


class Theirs:
    """pyMOR on the same block."""

    def __init__(self, problem: ThermalBlock, training: Mu, modes: int | None = None):
        grid = thermal_block_problem((problem.blocks, problem.blocks), (0.1, 1.0))
        self.problem = problem
        self.fom, self.data = discretize_stationary_cg(grid, diameter=1 / problem.resolution)
        self.fom.disable_caching()
        begin = process_time()
        alpha = ExpressionParameterFunctional("min(diffusion)", self.fom.parameters)
        self.reductor = CoerciveRBReductor(
            self.fom, product=self.fom.h1_0_semi_product, coercivity_estimator=alpha, check_orthonormality=False
        )
        stop = {"rtol": RTOL} if modes is None else {"max_extensions": modes}
        self.log = rb_greedy(self.fom, self.reductor, self.parse(training), **stop)
        self.rom = self.log["rom"]
        self.offline = process_time() - begin
        nodes, other = problem.space.points(), self.data["grid"].centers(2)
        self.order = np.empty(len(nodes), dtype=int)
        self.order[np.lexsort(np.round(nodes, 9).T)] = np.lexsort(np.round(other, 9).T)

    @property
    def modes(self) -> int:
        return self.rom.order

    def parse(self, mu: Mu) -> list[Any]:
        table = self.problem.coefficients(mu)[0]
        return [self.fom.parameters.parse({"diffusion": row}) for row in table]

    def query(self, mu: Any) -> tuple[Any, Any]:
        """A reduced solution with its bound: the solution is handed on, not solved for twice."""
        u = self.rom.solve(mu)
        return u, self.rom.error_estimator.estimate_error(u, mu, self.rom)

    def field(self, mu: Any) -> Array:
        """The reconstructed solution in our order of nodes."""
        return self.reductor.reconstruct(self.rom.solve(mu)).to_numpy().ravel()[self.order]


def compare(case: Case, size: Size, seed: int) -> list[Row]:
    """All rows of one block."""
    problem = ThermalBlock(case.blocks, size.resolution)
    problem.space.inner("energy")
    training, draw = problem.parameters.sample(range(size.training), seed), problem.parameters.sample
    warm_up(problem)
    theirs = Theirs(problem, training, case.modes)
    ours = Ours(problem, training, theirs.modes)
    name, modes = case.name, theirs.modes
    deep = ours.surrogate if case.deep <= modes else Ours(problem, training, case.deep).surrogate
    return [
        *offline(case, ours, theirs),
        *errors(name, ours, theirs, draw(range(size.test), seed + 1)),
        *violations(name, deep, draw(range(size.checked), seed + 2), range(1, deep.modes + 1), modes),
        *online(case, ours, theirs, draw(range(1000), seed + 3), size.repeats),
        memory(name, case.blocks, size.resolution, modes, size.memory),
    ]


def warm_up(problem: ThermalBlock) -> None:
    """Compile the kernels and load the libraries outside all timings, for both."""
    small = ThermalBlock(problem.blocks, max(8, 2 * problem.blocks))
    training = small.parameters.sample(range(20), 0)
    Ours(small, training, 4).certified.predict(training)
    theirs = Theirs(small, training, 4)
    theirs.query(theirs.parse(training)[0])


def offline(case: Case, ours: Ours, theirs: Theirs) -> list[Row]:
    detail = {"nwidth_cpu_seconds": ours.offline, "pymor_cpu_seconds": theirs.offline, "modes": theirs.modes}
    ratio = theirs.offline / ours.offline
    sizes = {"nwidth": ours.surrogate.modes, "pymor": theirs.modes}
    return [
        Row(f"{case.name}: modes of both bases", theirs.modes, "", ours.surrogate.modes, "==", sizes),
        Row(f"{case.name}: offline CPU time, pyMOR / nwidth", ratio, "x", case.offline, ">=", detail),
    ]


def energy(problem: ThermalBlock, mu: Mu, e: Array) -> Real:
    """`‖e‖_A` of dofs `(B, N)`."""
    terms = np.stack([np.einsum("bn,nb->b", e, a @ e.T) for a in problem.terms().matrices], axis=1)
    return np.sqrt(np.maximum(np.einsum("bq,bq->b", problem.coefficients(mu)[0], terms), 0.0))


def errors(name: str, ours: Ours, theirs: Theirs, mu: Mu) -> list[Row]:
    """Largest true error of both on unseen parameters."""
    problem, u = ours.problem, ours.solve(mu)
    parsed = theirs.parse(mu)
    reference = np.stack([theirs.fom.solve(m).to_numpy().ravel()[theirs.order] for m in parsed[:3]])
    agreement = float(np.abs(reference - u[:3]).max() / np.abs(u).max())
    own = energy(problem, mu, u - ours.certified.predict(mu).field)
    other = energy(problem, mu, u - np.stack([theirs.field(m) for m in parsed]))
    detail = {"nwidth": float(own.max()), "pymor": float(other.max()), "queries": len(u)}
    return [
        Row(f"{name}: largest true error, nwidth / pyMOR", float(own.max() / other.max()), "x", 1.02, "<=", detail),
        Row(f"{name}: full-order solutions, largest relative difference", agreement, "", 1e-10, "<="),
    ]


def online(case: Case, ours: Ours, theirs: Theirs, mu: Mu, repeats: int) -> list[Row]:
    """One certified query after the other, and a thousand at once, in CPU time."""
    batch = len(mu["mu_1"])
    singles = [select(mu, slice(i, i + 1)) for i in range(100)]
    parsed = theirs.parse(select(mu, slice(0, 100)))
    times = in_turn(
        {
            "nwidth": lambda: [ours.certified.predict(m) for m in singles],
            "pymor": lambda: [theirs.query(m) for m in parsed],
            "batch": lambda: ours.certified.predict(mu),
        },
        repeats,
    )
    # the least of the times: what else runs on the machine takes cache from short runs and long ones unequally
    single, other, each = (
        min(times[who].seconds) / n for who, n in (("nwidth", 100), ("pymor", 100), ("batch", batch))
    )
    medians = {f"median_{who}_us": timing.median / len(singles) * 1e6 for who, timing in times.items()}
    medians["median_batch_us"] *= len(singles) / batch
    detail = {"nwidth_us": single * 1e6, "pymor_us": other * 1e6, "spread": times["nwidth"].spread} | medians
    many = {"nwidth_us": each * 1e6, "pymor_us": other * 1e6, "spread": times["batch"].spread} | medians
    title = f"{case.name}: certified query in a batch of 1,000, pyMOR / nwidth"
    return [
        Row(f"{case.name}: one certified query, pyMOR / nwidth", other / single, "x", case.single, ">=", detail),
        Row(title, other / each, "x", case.batch, ">=", many),
    ]


def work(quick: bool, seed: int) -> list[Row]:
    if not available("pymor"):
        return [absent("thermal block against pyMOR", "pymor (pip install 'nwidth[bench]')")]
    begin, size = perf_counter(), QUICK if quick else FULL
    rows = [row for case in size.cases for row in compare(case, size, seed)]
    rows += by_dofs(size.meshes, 20, size.repeats, size.by_dofs)
    return [*rows, Row("seconds in all", perf_counter() - begin, "s")]


if __name__ == "__main__":
    raise SystemExit(_harness.main("thermal_block", work))
