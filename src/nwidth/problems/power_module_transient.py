"""The power module in time: powers and cooling that change while it heats up."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.problems.base import AffineTerms, Quantity
from nwidth.problems.min_theta import MinTheta, rounding_slack
from nwidth.problems.parabolic import AffineEvolution, EvolutionTerms, Stepping
from nwidth.problems.parabolic_signals import Signals
from nwidth.problems.power_module import CONDUCTIVITY, LAYERS, PowerModule
from nwidth.spaces.box import Box
from nwidth.spaces.bricks import column_lambda_min, mass, mass_lambda_min
from nwidth.spaces.joint import Joint
from nwidth.spaces.mesh import Form, MeshSpace

#: Volumetric heat capacities ρ c in J/m³K near 300 K. Aluminium 2702 x 903, copper 8933 x 385, silicon 2330 x 712:
#: Incropera, DeWitt, Bergman and Lavine, Fundamentals of Heat and Mass Transfer, 6th edition (2007), table A.1.
#: Aluminium nitride 3260 x 740, tin-silver-copper solder 7400 x 220: usual data-sheet values. Interface material: a
#: filled silicone grease, 2500 x 1000.
HEAT_CAPACITY = {
    "aluminium": 2702 * 903.0,
    "copper": 8933 * 385.0,
    "silicon": 2330 * 712.0,
    "aluminium nitride": 3260 * 740.0,
    "k_interface": 2500 * 1000.0,
    "k_solder": 7400 * 220.0,
    "k_chip_solder": 7400 * 220.0,
}
#: Conductivity of both solders in W/mK: what does not vary here.
SOLDER = 50.0
#: Ranges of what varies in time, and of the conductivity that does not, as in `power_module`.
_SIGNALS = {"h": (1e3, 2e4, "W/m²K"), "P1": (0.0, 150.0, "W"), "P2": (0.0, 150.0, "W")}
_INTERFACE = (0.8, 6.0)


@dataclass(frozen=True)
class PowerModuleTransient(AffineEvolution, Storable):
    """`ρc ∂t T - ∇·(k ∇T) = q(t)`, `k ∂T/∂n + h(t) (T - 40 °C) = 0` at the bottom, T = 40 °C at the start.

    Geometry, mesh, chips and outputs of `PowerModule`; heat capacities: `HEAT_CAPACITY`; both solders have 50 W/mK.
    Parameters: `k_interface` `(B,)` in W/mK; the signals `h`, `P1`, `P2` `(B, pieces)`, whose values hold for `piece`
    seconds each. Outputs: the mean temperature of each chip in °C at the points of the steps. Slowest time constant:
    from about 1 s (h = 20,000) to 20 s (h = 1,000). The energy product is A at the geometric mean of each range.
    """

    kind: ClassVar[str] = "power_module_transient"

    resolution: int = 32
    dt: float = 0.02
    count: int = 1000
    scheme: Any = "implicit-euler"
    every: int = 10
    piece: float = 2.0

    def __post_init__(self) -> None:
        _ = self.stepping
        if not self.piece >= self.dt:
            raise InputError(
                f"values that hold for {self.piece} s vary within a step of {self.dt} s; choose piece >= dt"
            )

    @cached_property
    def stepping(self) -> Stepping:
        return Stepping(self.dt, self.count, self.scheme, self.every)

    @cached_property
    def signals(self) -> Signals:
        """h, P1 and P2 over the whole march."""
        low, high, units = zip(*_SIGNALS.values(), strict=True)
        pieces = max(1, int(np.ceil(self.dt * self.count / self.piece * (1 - 1e-12))))
        return Signals(tuple(_SIGNALS), low, high, units, (True, False, False), pieces, self.piece)

    @cached_property
    def parameters(self) -> Joint:
        box = Box(("k_interface",), *_INTERFACE, units="W/mK", log=True)
        return Joint((box, self.signals))

    @cached_property
    def reference(self) -> Real:
        """θ of the energy inner product: 1 and the geometric means of the ranges of k_interface and h."""
        return np.sqrt([1.0, _INTERFACE[0] * _INTERFACE[1], _SIGNALS["h"][0] * _SIGNALS["h"][1]])

    @cached_property
    def module(self) -> PowerModule:
        """The stationary problem on the same mesh."""
        return PowerModule(self.resolution)

    @cached_property
    def _affine(self) -> AffineTerms:
        terms = self.module.terms()
        fixed, interface, solder, chip_solder, cooling = terms.matrices
        return replace(terms, matrices=(fixed + SOLDER * (solder + chip_solder), interface, cooling))

    @cached_property
    def _terms(self) -> EvolutionTerms:
        terms = self._affine
        stability = MinTheta(self.reference, rounding_slack(terms, self.reference, self.space.energy.lambda_min))
        return EvolutionTerms(terms.matrices, terms.loads, terms.free, terms.lift, self._mass, stability)

    def terms(self) -> EvolutionTerms:
        """A = A_fixed + k_interface A_1 + h A_2; loads of one watt per chip; mass `∫ ρc u v` in J/K; smallest and
        largest ratio of a coefficient to its reference."""
        return self._terms

    @cached_property
    def _material(self) -> Array:
        """The material of each element, or the parameter that is its conductivity."""
        counts = [max(1, round(layer.elements * self.resolution / 64)) for layer in LAYERS]
        rows = np.repeat([layer.material for layer in LAYERS], counts)
        return rows[self.module.mesh.cells[:, 2]]

    @cached_property
    def _mass(self) -> Form:
        mesh = self.module.mesh
        capacity = np.array([HEAT_CAPACITY[name] for name in self._material])
        # the mass matrix of elements that are taller by the factor ρc
        heavy = replace(mesh, lengths=mesh.lengths * np.stack([capacity**0, capacity**0, capacity], axis=1))
        smallest = mass_lambda_min(len(mesh.nodes), mesh.elements, heavy.volumes / 216)
        return Form(mass(heavy), (1 - 1e-6) * smallest)

    @cached_property
    def space(self) -> MeshSpace:
        """Q1 on the bricks."""
        mesh, still = self.module.mesh, self.module.space
        known = CONDUCTIVITY | {"k_interface": self.reference[1], "k_solder": SOLDER, "k_chip_solder": SOLDER}
        softest = column_lambda_min(mesh, np.array([known[name] for name in self._material]), self.reference[2])
        energy = sp.csr_array(sum(t * a for t, a in zip(self.reference, self._affine.matrices, strict=True)))
        return replace(still, energy=Form(energy, (1 - 1e-6) * softest))

    def coefficients(self, mu: Mu | Array, times: Real) -> tuple[Real, Real]:
        """θ = (1, k_interface, h(t)) and φ = (P1(t), P2(t)).

        Raises InputError where a conductivity or h is not above zero.
        """
        mu = as_mu(mu, self.parameters.names)
        h, first, second = (self.signals.at(mu[name], times) for name in ("h", "P1", "P2"))
        interface = np.broadcast_to(np.asarray(mu["k_interface"], dtype=np.float64)[:, None], h.shape)
        for name, values in (("h", h), ("k_interface", interface)):
            if not (values > 0).all():
                row = int(np.argmin((values > 0).all(axis=1)))
                raise InputError(f"{name} is {values[row].min()} in row {row}; it must be above zero at all times")
        return np.stack([np.ones(h.shape), interface, h], axis=2), np.stack([first, second], axis=2)

    def anchors(self, count: int = 5) -> Real:
        """Coefficients at which to compare A with M: k_interface and h at `count` values along their ranges."""
        steps = np.linspace(0.0, 1.0, count)
        low, high = (_INTERFACE[i] for i in (0, 1))
        (cold, hot), ones = _SIGNALS["h"][:2], np.ones(count)
        return np.stack([ones, low * (high / low) ** steps, cold * (hot / cold) ** steps], axis=1)

    def quantities(self) -> Mapping[str, Quantity]:
        """Mean temperature of each chip, °C."""
        return self.module.quantities()

    def to_parts(self) -> Parts:
        """The configuration, and numbers that must come out again."""
        return Parts(asdict(self), {"check": _check(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again. Raises InputError where this version would solve another problem."""
        problem = cls(**config)
        if not np.allclose(_check(problem), arrays["check"], rtol=1e-7):
            raise InputError(
                f"the stored transient had the check numbers {arrays['check'].tolist()}, this version gives "
                f"{_check(problem).tolist()}; fit again, or load the file with the version that wrote it"
            )
        return problem


def _check(problem: PowerModuleTransient) -> Real:
    """Numbers that change with the matrices, the mass, the loads or the draws."""
    terms, mu = problem.terms(), problem.parameters.sample(range(1), 0)
    theta, phi = problem.coefficients(mu, problem.stepping.points(0, 1))
    w = np.cos(1.0 + 0.7 * np.arange(len(terms.free)) ** 1.1)
    matrices = (*terms.matrices, problem.mass().matrix)
    return np.array([*(w @ (m @ w) for m in matrices), *(terms.loads @ w), *theta[0, 0], *phi[0, 0]])
