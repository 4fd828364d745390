"""POD-greedy: a basis for trajectories, where the bound is largest, compressed in time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.problems.base import Problem
from nwidth.problems.parabolic import AffineEvolution, pieces
from nwidth.problems.parabolic_march import March, StepMatrices
from nwidth.rb.orthonormal import extension
from nwidth.rb.parabolic import ReducedEvolution
from nwidth.rb.parabolic_model import EvolutionBuilder, EvolutionModel
from nwidth.rb.progress import greedy_bar
from nwidth.rb.threads import one_thread, threads
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import InnerProduct
from nwidth.surrogates.base import Fitter, Run

#: Snapshots of a trajectory that are held before they are compressed.
_BLOCK = 64
#: Singular values below this part of the largest are dropped in a compression.
_KEEP = 1e-9


@dataclass(frozen=True)
class PODGreedy(Fitter):
    """A reduced basis for an `AffineEvolution`.

    Each step marches the reduced model at all training parameters, takes the one whose space-time energy bound is
    largest against the size of its trajectory, solves it in full, projects what the basis has already out of it, and
    adds the first `modes` POD modes of the rest. With `outputs`, the dual problems of all outputs (the response to a
    short pulse of the functional as a load) are trained in turn with the trajectories, for certificates of outputs.

    tol: the relative bound that must be met on the training set; None stops at `max_size` only. training: how many
    parameters are drawn, or a mapping of your own. In a trajectory every `stride`-th step is a snapshot, besides those
    of its beginning, and at most 64 of them and the compressed rest are in memory.

    Reference: Haasdonk and Ohlberger, ESAIM: M2AN 42 (2008) 277, section 5.
    """

    tol: float | None = 1e-3
    max_size: int = 80
    training: int | Mapping[str, Any] = 16
    modes: int = 4
    outputs: bool = True
    stride: int = 1

    def __post_init__(self) -> None:
        if self.tol is not None and not self.tol > 0:
            raise InputError(f"tol is {self.tol}; give a number above zero, or None to stop at max_size")
        if min(self.max_size, self.modes, self.stride) < 1:
            raise InputError(
                f"max_size {self.max_size}, modes {self.modes} and stride {self.stride} must be at least 1"
            )

    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> ReducedEvolution:
        """The reduced basis. Snapshots, where given, only provide the training parameters.

        Raises InputError for a problem that is not an AffineEvolution, WorkError where `tol` is missed.
        """
        if not isinstance(problem, AffineEvolution):
            raise InputError(
                f"POD-greedy needs an AffineEvolution, got {type(problem).__name__}: inherit it from "
                "nwidth.problems.parabolic and pass it, PODGreedy(...).fit(problem=problem)"
            )
        given = self.training if snapshots is None else dict(snapshots.mu)
        drawn = problem.parameters.sample(range(given), seed) if isinstance(given, int) else given
        mu = as_mu({name: np.asarray(values) for name, values in drawn.items()}, problem.parameters.names)
        with threads(run.threads), greedy_bar(run.progress, self.max_size) as show:
            search = _Search(problem, mu, self)
            while search.step():
                show(len(search.builder.basis), search.bounds[-1])
            return search.result()


class _Search:
    """The state of one search. A case is a training parameter and a trajectory: -1 the primal one, else an output's
    dual."""

    def __init__(self, problem: AffineEvolution, mu: Mapping[str, Array], config: PODGreedy):
        self.problem, self.mu, self.config = problem, mu, config
        self.builder = EvolutionBuilder(problem, config.max_size)
        self.matrices = StepMatrices(problem.terms(), problem.mass())
        self.inner = self.builder.inner
        self.kinds = [-1, *range(len(self.builder.functionals) if config.outputs else 0)]
        self.bounds: list[float] = []
        self.chosen: list[tuple[int, int]] = []
        _, starts = problem.starts(mu)
        if len(starts):
            self._take(starts[: config.max_size])

    def step(self) -> bool:
        """One step; False when the search has ended. Raises WorkError where it cannot go on."""
        relative = self._estimates()
        place = np.unravel_index(int(np.argmax(relative)), relative.shape)
        self.bounds.append(float(relative[place]))
        tol, size = self.config.tol, len(self.builder.basis)
        if tol is not None and self.bounds[-1] <= tol:
            return False
        if size >= self.config.max_size:
            return self._ended(f"with {size} modes; raise max_size (now {self.config.max_size})")
        sample, kind = int(place[0]), self.kinds[int(place[1])]
        again = (sample, kind) in self.chosen[-2:]
        self.chosen.append((sample, kind))
        modes = compressed(self._snapshots(sample, kind), self.inner, self.builder.basis)
        count = min(self.config.modes * (2 if again else 1), self.config.max_size - size)
        return self._take(modes[:count]) or self._ended("which rounding keeps from falling; raise it")

    def _take(self, modes: Real) -> bool:
        fresh, new = extension(self.builder.basis, modes, self.inner, 1e-10)
        if len(fresh):
            self.builder.add(fresh, np.sort(new)[::-1][: len(fresh)])
        return len(fresh) > 0

    def _ended(self, why: str) -> bool:
        if self.config.tol is not None:
            raise WorkError(f"the bound is {self.bounds[-1]:.2e} and misses tol = {self.config.tol:g}, {why}")
        return False

    def _estimates(self) -> Real:
        """`√(Σ dt q² / Σ dt ‖r at zero‖²/α)`: the bound relative to that of the zero trajectory, `(B, cases)`."""
        model = self.builder.model(certified=False)
        columns = [self._estimate(model, kind) for kind in self.kinds]
        return np.stack(columns, axis=1)

    def _estimate(self, model: EvolutionModel, kind: int) -> Real:
        problem, stepping = self.problem, self.problem.stepping
        batch, total, scale = batch_size(self.mu), 0.0, 0.0
        state = problem.starts(self.mu)[0] @ model.starts if kind < 0 else np.zeros((batch, model.modes))
        for first, _, theta, phi in pieces(problem, self.mu):
            loads = self._loads(model, phi, kind, first)
            with one_thread():
                _, levels = model.march(theta, loads, np.ascontiguousarray(state), stepping)
                norm, _ = model.residual_norms(theta, loads, np.ascontiguousarray(state), levels, stepping)
                still, _ = model.residual_norms(theta, loads, 0 * state, 0 * levels, stepping)
            lower = self._lower(theta)
            safe = np.where(lower > 0, lower, np.inf)
            total, scale = total + np.sum(norm**2 / safe, axis=1), scale + np.sum(still**2 / safe, axis=1)
            state = levels[:, -1]
        return np.sqrt(total / np.where(scale > 0, scale, 1.0))

    def _lower(self, theta: Real) -> Real:
        """Coercivity constants `(B, T)`; without any, the search goes by the residual alone."""
        known = self.builder.problem.terms().stability
        if known is None:
            return np.ones(theta.shape[:2])
        return known.constants(theta.reshape(-1, theta.shape[2])).lower.reshape(theta.shape[:2])

    def _loads(self, model: EvolutionModel, phi: Real, kind: int, first: int) -> Real:
        """Coefficients of loads and functionals of a case: those of the problem, or one pulse in the first step."""
        loads = model.extended(phi if kind < 0 else 0 * phi)
        if kind >= 0 and first == 0:
            loads[:, 0, model.loads + kind] = 1.0 / self.problem.stepping.dt
        return loads

    def _snapshots(self, sample: int, kind: int) -> Iterator[Real]:
        """The full-order trajectory of a case, `(1, N)` at a time: the states at the points of its steps."""
        problem, stepping, loads = self.problem, self.problem.stepping, self.builder.terms.loads
        mu = select(self.mu, slice(sample, sample + 1))
        psi, g = problem.starts(mu)
        march = March(self.matrices, stepping.dt, stepping.weight, psi @ g * (kind < 0))
        model = self.builder.model(certified=False)
        for first, last, theta, phi in pieces(problem, mu):
            weights = self._loads(model, phi, kind, first)
            for k in range(last - first):
                point = march.step(theta[0, k], weights[:, k] @ loads)
                if first + k < 2 * _BLOCK or (first + k) % self.config.stride == 0:
                    yield point

    def result(self) -> ReducedEvolution:
        """The surrogate, with the residual's rounding bounds computed."""
        chosen = np.array(self.chosen, dtype=np.int64).reshape(-1, 2)
        history = {"bound": np.array(self.bounds), "chosen": chosen}
        return ReducedEvolution(self.problem, self.builder.basis, self.builder.model(), history)


def compressed(states: Iterator[Real], inner: InnerProduct, basis: Real) -> Real:
    """POD modes `(k, N)` of a sequence of states `(1, N)` less their projection on an orthonormal basis, the largest
    first, each as long as its singular value.

    Block by block: modes so far, times their singular values, and the new block are compressed together, so that
    memory does not grow with the sequence.
    """
    held: Real = np.zeros((0, basis.shape[1]))
    block: list[Real] = []
    for state in states:
        block.append(state)
        if len(block) == _BLOCK:
            held, block = _pod(np.concatenate([held, _rest(np.concatenate(block), inner, basis)]), inner), []
    if block:
        held = _pod(np.concatenate([held, _rest(np.concatenate(block), inner, basis)]), inner)
    return held


def _rest(states: Real, inner: InnerProduct, basis: Real) -> Real:
    for _ in range(2):
        states = states - inner.apply(states) @ basis.T @ basis
    return states


def _pod(states: Real, inner: InnerProduct) -> Real:
    """The principal directions of rows, scaled by their singular values (method of snapshots)."""
    gram = states @ inner.apply(states).T
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    keep = values > _KEEP**2 * max(float(values[-1]), 0.0)
    return (vectors[:, keep].T @ states)[::-1]
