"""`BatchedMultigrid`: the solves of `Multigrid` for many symmetric systems at once, in torch, on a CPU or a GPU."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import ClassVar

import numpy as np
import torch

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_choice, check_finite, select
from nwidth.problems.base import Problem
from nwidth.problems.stencils import Stencilled, Stencils
from nwidth.solvers.base import Solver
from nwidth.solvers.multigrid.solver import Multigrid, free_fields, free_values
from nwidth.solvers.multigrid.torch_machine import TorchMachine
from nwidth.solvers.multigrid.work import MARGIN, Group, MultigridState, groups_of, unbalanced

_DEFAULT = Tolerance("residual", 1e-8)


@dataclass
class BatchedState:
    """What the solves of a problem share, held by the caller: plans, and the machine of the last batch."""

    problem: Stencilled
    plans: MultigridState
    device: torch.device
    machines: dict[tuple[int, int, str], TorchMachine] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchedMultigrid(Solver):
    """Conjugate gradients preconditioned by V-cycles, as in `Multigrid`, every operation on a whole batch.

    For symmetric matrices (diffusion, reaction) and `Tolerance("residual", r)`. `device`: "cpu" or "cuda"; `batch`:
    samples at a time, whose hierarchies must fit the memory together. A batch iterates until its last sample is done.
    Statistics as those of `Multigrid`. Raises InputError for a device that is not there.
    """

    releases_gil: ClassVar[bool] = True

    device: str = "cuda"
    batch: int = 256
    max_iterations: int = 200
    restarts: int = 4
    sweeps: int = 2

    def __post_init__(self) -> None:
        check_choice("device", self.device.partition(":")[0], ("cpu", "cuda"))
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(f"device {self.device!r} is not there; use BatchedMultigrid(device='cpu') or Multigrid")

    def prepare(self, problem: Problem) -> BatchedState:
        """The state to hand to `solve`. Raises InputError without the capability Stencilled on a Grid."""
        plans = Multigrid(sweeps=self.sweeps).prepare(problem)
        return BatchedState(plans.problem, plans, torch.device(self.device))

    def solve(self, state: BatchedState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`; a sample that did not converge is a status, and its best field is returned."""
        problem, stop = state.problem, stop or _DEFAULT
        if stop.kind != "residual":
            raise InputError(f"tolerance {stop.kind!r}; BatchedMultigrid stops on the residual, Multigrid on either")
        mu = as_mu(mu, problem.parameters.names)
        parts = []
        for first in range(0, batch_size(mu), self.batch):
            rows = slice(first, first + self.batch)
            parts.append(self._batch(state, select(mu, rows), None if x0 is None else x0[rows], stop.value))
        names = ("iterations", "residual", "seconds")
        if not parts:
            return Solution(np.empty((0, *problem.space.shape)), np.empty(0, dtype=int))
        return Solution(
            field=problem.space.unflatten(np.concatenate([p[0] for p in parts])),
            status=np.concatenate([p[1] for p in parts]),
            stats={name: np.concatenate([p[2][name] for p in parts]) for name in names},
            note=f"{state.device.type}, {self.batch} at a time",
        )

    def _batch(
        self, state: BatchedState, mu: Mu, x0: Array | None, tolerance: float
    ) -> tuple[Real, Array, dict[str, Array]]:
        begin = perf_counter()
        stencils = state.problem.stencils(mu)
        if not stencils.symmetric:
            raise InputError("these matrices are not symmetric; BatchedMultigrid solves diffusion, Multigrid both")
        check_finite("load", stencils.load)
        size = len(stencils)
        start = free_values(state.problem, x0)
        x = np.zeros((size, int(np.prod(stencils.shape)))) if start is None else start
        status, iterations, residual = np.full(size, int(Status.SINGULAR)), np.zeros(size, int), np.full(size, np.inf)
        lost = unbalanced(stencils)
        x[lost] = np.nan
        for group in groups_of(stencils, self.sweeps, state.plans):
            rows = group.rows[~lost[group.rows]]
            if len(rows):
                run = _Run(self, state, group, stencils.take(rows), x[rows])
                x[rows], status[rows], iterations[rows], residual[rows] = run.solve(tolerance)
        v = free_fields(state.problem, mu, x, stencils.constants)
        seconds = np.full(size, (perf_counter() - begin) / size)
        return v, status, {"iterations": iterations, "residual": residual, "seconds": seconds}


class _Run:
    """One group of samples on the device."""

    def __init__(self, solver: BatchedMultigrid, state: BatchedState, group: Group, stencils: Stencils, x: Real):
        self._solver, self._state, device = solver, state, state.device
        key = (id(group.plan), len(x), group.precision)
        if key not in state.machines:
            state.machines.clear()
            precision = torch.float64 if group.precision == "float64" else torch.float32
            state.machines[key] = TorchMachine(group.plan, len(x), device, precision)
        self._machine = state.machines[key]
        axes = [a for a in range(3) if stencils.plus[a].size]
        self._centre = torch.as_tensor(stencils.centre, device=device)
        self._plus = {a: torch.as_tensor(stencils.plus[a], device=device) for a in axes}
        self._periodic = stencils.periodic
        self._constants = torch.as_tensor(stencils.constants, device=device)
        self._load = torch.as_tensor(stencils.load, device=device).reshape(len(x), -1)
        self._x = torch.as_tensor(x, device=device)

    def solve(self, tolerance: float) -> tuple[Real, Array, Array, Real]:
        """Solution, status, iterations and residual."""
        scale = self._centre.abs().flatten(1).amax(dim=1)
        arrays = [self._centre.flatten(1), *(p.flatten(1) for p in self._plus.values())]
        usable = (scale > 0) & torch.isfinite(scale)
        scale = torch.where(usable, scale, 1.0)
        usable &= self._machine.set_up(arrays, scale, self._constants)
        load = self._load.norm(dim=1)
        done, steps = torch.zeros_like(usable), torch.zeros_like(load, dtype=torch.int64)
        for _ in range(self._solver.restarts):
            norm = (self._load - self._product(self._x)).norm(dim=1)
            done = norm <= tolerance * load
            if bool((done | ~usable).all()):
                break
            steps += self._iterate(MARGIN * tolerance * load, done | ~usable, scale)
        norm = (self._load - self._product(self._x)).norm(dim=1)
        done = usable & (norm <= tolerance * load)
        status = torch.where(done, int(Status.CONVERGED), int(Status.MAX_ITERATIONS))
        status = torch.where(usable, status, int(Status.SINGULAR))
        if not bool(torch.isfinite(self._machine.ws).all()):
            self._state.machines.clear()  # a NaN in a halo would outlive the batch
        relative = norm / torch.where(load > 0, load, 1.0)
        return self._x.cpu().numpy(), status.cpu().numpy(), steps.cpu().numpy(), relative.cpu().numpy()

    def _iterate(self, target: torch.Tensor, idle: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Conjugate gradients from the present x; samples that are done stand still. The steps of each."""
        r = self._load - self._product(self._x)
        p, rho, steps = torch.zeros_like(r), torch.ones_like(target), torch.zeros_like(target, dtype=torch.int64)
        for k in range(self._solver.max_iterations + 1):
            norm = r.norm(dim=1)
            # a sample that lost its way (NaN) or its definiteness stands still too, and its residual says so
            moving = ~idle & (norm > target)
            if k == self._solver.max_iterations or not bool(moving.any()):
                break
            z = self._precondition(r, norm, scale)
            old, rho = rho, (r * z).sum(dim=1)
            p = z + (rho / old)[:, None] * p if k else z
            q = self._product(p)
            curvature = (p * q).sum(dim=1)
            moving &= (rho > 0) & (curvature > 0)
            step = torch.where(moving, rho / torch.where(curvature > 0, curvature, 1.0), 0.0)[:, None]
            self._x = torch.where(moving[:, None], self._x + step * p, self._x)
            r = torch.where(moving[:, None], r - step * q, r)
            steps += moving
            idle = idle | ~moving
        return steps

    def _precondition(self, r: torch.Tensor, norm: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        size = torch.where(norm > 0, norm, 1.0)
        z = self._machine.cycle(r / size[:, None]) * (size / scale)[:, None]
        return z - torch.where(self._constants, z.mean(dim=1), 0.0)[:, None]

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        """A x for vectors `(B, N)`."""
        x = x.reshape(self._centre.shape)
        y = self._centre * x
        for axis, plus in self._plus.items():
            n = plus.shape[axis + 1]
            if n > 1:
                here, ahead = (x.narrow(axis + 1, start, n - 1) for start in (0, 1))
                inner = plus.narrow(axis + 1, 0, n - 1)
                y.narrow(axis + 1, 0, n - 1).addcmul_(inner, ahead)
                y.narrow(axis + 1, 1, n - 1).addcmul_(inner, here)
            if self._periodic[axis]:
                ends = plus.narrow(axis + 1, n - 1, 1)
                first, last = x.narrow(axis + 1, 0, 1), x.narrow(axis + 1, n - 1, 1)
                y.narrow(axis + 1, n - 1, 1).addcmul_(ends, first)
                y.narrow(axis + 1, 0, 1).addcmul_(ends, last)
        return y.flatten(1)
