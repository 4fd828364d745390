"""A linear equation in time together with its steps: what a bound of trajectories can refer to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.problems.base import BlackBox, Evolution, Stability, Stable
from nwidth.problems.evolution import LinearEvolution, Marching
from nwidth.problems.parabolic import Stepping
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.factor import factorised, restricted


@dataclass(frozen=True)
class Stepped(Evolution, BlackBox, Storable):
    """`M (u^k - u^{k-1}) / dt + A (ϑ u^k + (1 - ϑ) u^{k-1}) = ϑ f(t_k) + (1 - ϑ) f(t_{k-1})`, prescribed values g(t_k).

    `problem` says what M, A, f and g are, `stepping` how long the steps are: implicit Euler (ϑ = 1) or the trapezoidal
    rule ("crank-nicolson", ϑ = 1/2, the loads of both ends). The stored levels of `problem` itself play no part: here
    they are `stepping.times`. It solves itself (`solve`), and its solution is exactly what limits of trajectories refer
    to. Raises InputError for a problem that is no LinearEvolution.
    """

    kind: ClassVar[str] = "stepped"

    problem: LinearEvolution
    stepping: Stepping

    def __post_init__(self) -> None:
        if not isinstance(self.problem, LinearEvolution):
            raise InputError(
                f"{type(self.problem).__name__} is not a LinearEvolution; Stepped takes equations M u' + A u = f(t): "
                "inherit LinearEvolution (implement initial and marching)"
            )

    @property
    def parameters(self) -> ParameterSpace:
        return self.problem.parameters

    @property
    def space(self) -> FunctionSpace:
        return self.problem.space

    @property
    def times(self) -> Real:
        return self.stepping.times

    def initial(self, mu: Mu | Array) -> Array:
        return self.problem.initial(as_mu(mu, self.parameters.names))

    def constant(self, mu: Mu | Array) -> Stability:
        """Constants of A(mu) against `space.inner("energy")`. Raises InputError where the problem knows none."""
        if not isinstance(self.problem, Stable):
            raise InputError(
                f"no bound for {type(self.problem).__name__}: a stability constant is missing; inherit Stable "
                "(implement constant, which compares A with space.inner('energy')), or calibrate limits on unseen "
                "runs: nw.certify(surrogate, holdout=snapshots)"
            )
        return self.problem.constant(as_mu(mu, self.parameters.names))

    def prescribed(self, marching: Marching, start: Real) -> Real:
        """The levels 0, 1, ..., count of one sample with nothing but what is given: the start and the values of g,
        zero elsewhere, `(count + 1, N)`."""
        steps, free = self.stepping, marching.free
        levels = np.zeros((steps.count + 1, len(free)))
        if marching.lift is not None:
            for k in range(steps.count + 1):
                levels[k] = np.where(free, 0.0, marching.lift(k * steps.dt))
        levels[0] += np.where(free, np.asarray(start, dtype=np.float64).ravel(), 0.0)
        return levels

    def loads(self, marching: Marching) -> Real:
        """The right-hand sides of the steps of one sample, `(count, N)`."""
        steps, weight = self.stepping, self.stepping.weight
        if marching.load is None:
            return np.zeros((steps.count, len(marching.free)))
        ends = [marching.load(k * steps.dt) for k in range(int(weight == 1.0), steps.count + 1)]
        return np.array(ends) if weight == 1.0 else 0.5 * (np.array(ends[1:]) + np.array(ends[:-1]))

    def solve(self, mu: Mu | Array) -> Real:
        """Full-order trajectories `(B, T, *space.shape)` at the stored levels. Raises WorkError for a singular step."""
        mu, steps = as_mu(mu, self.parameters.names), self.stepping
        starts = self.initial(mu)
        here = steps.stored(0, steps.count) + 1
        out = np.empty((batch_size(mu), len(here), self.space.size))
        for i in range(len(out)):
            marching = self.problem.marching(select(mu, slice(i, i + 1)))
            out[i] = self._march(marching, self.prescribed(marching, starts[i]))[here]
        return out.reshape(*out.shape[:2], *self.space.shape)

    def _march(self, marching: Marching, levels: Real) -> Real:
        """The levels of one sample, in place."""
        steps, free, loads = self.stepping, marching.free, self.loads(marching)
        mass, operator = (sp.csr_array(m) for m in (marching.mass, marching.operator))
        matrix = sp.csr_array(mass / steps.dt + steps.weight * operator)
        factor = factorised(restricted(matrix, free))
        for k in range(1, steps.count + 1):
            before = levels[k - 1]
            change = np.where(free, 0.0, levels[k] - before)
            right = loads[k - 1] - operator @ before - matrix @ change
            levels[k, free] = before[free] + factor.solve(np.ascontiguousarray(right[free][None]))[0]
        return levels

    def to_parts(self) -> Parts:
        """The steps, and the problem as a child. Raises InputError for a problem that cannot be stored."""
        if not isinstance(self.problem, Storable):
            raise InputError(f"{type(self.problem).__name__} cannot be stored; inherit Storable (kind, to_parts, ...)")
        return Parts(asdict(self.stepping), {}, {"problem": self.problem})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["problem"], Stepping(**config))
