"""A problem in other units, so that an iteration towards its solution forms no square that over- or underflows."""

from dataclasses import dataclass

from nwidth.core.arrays import Array, Mu, Real
from nwidth.problems.base import Coercive, Stability, System, Systems
from nwidth.spaces.base import FunctionSpace, ParameterSpace


@dataclass(frozen=True, eq=False)
class ScaledProblem(Coercive):
    """`A' u' = f'` for `A = 2^s A'`, `u = 2^k u'`, `f = 2^(s + k) f'`; s = `strength`, even, and k = `level`; they
    and their sum lie within ±1000."""

    problem: Coercive
    level: int
    strength: int

    @property
    def parameters(self) -> ParameterSpace:
        return self.problem.parameters

    @property
    def space(self) -> FunctionSpace:
        return self.problem.space

    def assemble(self, mu: Mu) -> System:
        system = self.problem.assemble(mu)
        load = system.load * 2.0 ** -(self.level + self.strength)
        return System(system.matrix * 2.0**-self.strength, load, system.free, system.lift * 2.0**-self.level)

    def systems(self, mu: Mu) -> Systems:
        return _ScaledSystems(self.problem.systems(mu), self.level, self.strength)

    def constant(self, mu: Mu, field: Array | None = None) -> Stability:
        found, unit = self.problem.constant(mu), 2.0**-self.strength
        return Stability(found.lower * unit, found.upper * unit, found.kind, found.proven)


class _ScaledSystems(Systems):
    def __init__(self, systems: Systems, level: int, strength: int):
        self._systems, self._level, self._strength = systems, level, strength
        self._both = 2.0 ** -(level + strength)
        self.load, self.free = systems.load * self._both, systems.free
        self.lift = systems.lift * 2.0**-level

    def apply(self, w: Array) -> Array:
        return self._systems.apply(w) * 2.0**-self._strength

    def magnitude(self, w: Array) -> Real:
        return self._systems.magnitude(w * 2.0**self._level) * self._both

    def residual(self, v: Array) -> Array:
        return self._systems.residual(v * 2.0**self._level) * self._both

    def energy(self, v: Array) -> Real:
        return self._systems.energy(v) * 2.0**-self._strength

    @property
    def terms(self) -> int:
        return self._systems.terms

    def take(self, rows: Array | slice) -> "Systems":
        return _ScaledSystems(self._systems.take(rows), self._level, self._strength)
