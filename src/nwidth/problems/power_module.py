"""A power electronics module: two chips on a stack of layers, cooled from below. Which designs stay cool enough?"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.expressions import Expression
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.problems.base import AffineTerms, Outputs, Quantity
from nwidth.problems.formulas import Formulas
from nwidth.problems.min_theta import MinTheta, ThetaStable, positive, rounding_slack
from nwidth.problems.stored import check_vector, verify
from nwidth.spaces.box import Box
from nwidth.spaces.bricks import Bricks, bottom_mass, bricks, column_lambda_min, load, mass, mass_lambda_min, stiffness
from nwidth.spaces.mesh import Form, MeshSpace


class Layer(NamedTuple):
    """A layer of the stack, from the bottom up: thickness in mm, elements through it, where it lies, what it is."""

    name: str
    thickness: float
    elements: int
    footprint: str
    material: str


#: Base layers cover 64 x 42 mm; chips and their solder lie only under the two chips.
LAYERS = (
    Layer("heat sink", 5.0, 3, "base", "aluminium"),
    Layer("thermal interface", 0.1, 1, "base", "k_interface"),
    Layer("base plate", 3.0, 3, "base", "copper"),
    Layer("solder", 0.2, 1, "base", "k_solder"),
    Layer("ceramic", 0.63, 2, "base", "aluminium nitride"),
    Layer("track", 0.3, 2, "base", "copper"),
    Layer("chip solder", 0.1, 1, "chips", "k_chip_solder"),
    Layer("chip", 0.2, 2, "chips", "silicon"),
)

#: Thermal conductivities in W/mK near 300 K. Aluminium, copper, silicon: Incropera, DeWitt, Bergman and Lavine,
#: Fundamentals of Heat and Mass Transfer, 6th edition (2007), table A.1. Aluminium nitride: sintered substrates reach
#: 160 to 180 (Kurokawa et al., IEEE Trans. Components, Hybrids, Manuf. Technol. 8 (1985) 247, measured 160).
CONDUCTIVITY = {"aluminium": 237.0, "copper": 401.0, "aluminium nitride": 170.0, "silicon": 148.0}

#: Width and depth of the base, and the ranges (x, y) of the two chips of 12 x 14 mm, in mm.
BASE = (64.0, 42.0)
CHIPS = (((14.0, 26.0), (14.0, 28.0)), ((38.0, 50.0), (14.0, 28.0)))

AMBIENT = 40.0
_MM = 1e-3
_LIMITS = {
    "k_interface": (0.8, 6.0, "W/mK"),
    "k_solder": (15.0, 60.0, "W/mK"),
    "k_chip_solder": (15.0, 60.0, "W/mK"),
    "h": (1e3, 2e4, "W/m²K"),
    "P1": (0.0, 150.0, "W"),
    "P2": (0.0, 150.0, "W"),
}
_STIFF = ("k_interface", "k_solder", "k_chip_solder", "h")


@dataclass(frozen=True)
class PowerModule(Formulas, ThetaStable, Outputs, Storable):
    """`-∇·(k ∇T) = q` in a stack of layers: q = P_i / V_chip in chip i, `k ∂T/∂n + h (T - 40 °C) = 0` at the bottom,
    insulated elsewhere.

    Trilinear elements on bricks (SI units, temperatures in °C), `resolution` cells along the 64 mm (a multiple of 32);
    64 gives 37,505 nodes. Layers, materials and chips: `LAYERS`, `CONDUCTIVITY`, `CHIPS`. Unknown: w = T - 40, lift 40.
    Parameters: three conductivities and h (drawn on a logarithmic scale), the two powers. Outputs: the mean temperature
    of each chip, in °C; each functional is the load of one watt in that chip, so that the reduced basis's output error
    is quadratic. The energy inner product is A at the geometric mean of each range.
    """

    kind: ClassVar[str] = "power_module"

    resolution: int = 64

    def __post_init__(self) -> None:
        if self.resolution < 32 or self.resolution % 32:
            raise InputError(
                f"resolution is {self.resolution}; choose a multiple of 32 (cells along 64 mm), so that the chips' "
                "edges are grid lines"
            )

    @cached_property
    def parameters(self) -> Box:
        """The six design parameters."""
        low, high, units = zip(*_LIMITS.values(), strict=True)
        return Box(tuple(_LIMITS), low=low, high=high, units=units, log=[name in _STIFF for name in _LIMITS])

    @cached_property
    def reference(self) -> Real:
        """θ of the energy inner product: 1 and the geometric means of the ranges."""
        return np.array([1.0, *(np.sqrt(_LIMITS[name][0] * _LIMITS[name][1]) for name in _STIFF)])

    @cached_property
    def mesh(self) -> Bricks:
        """The bricks; `cells[:, 2]` counts them from the bottom."""
        x, y = (np.linspace(0.0, edge * _MM, round(edge * self.resolution / BASE[0]) + 1) for edge in BASE)
        heights = np.concatenate([[0.0], np.cumsum(self._heights) * _MM])
        on_chips = self._chip_of(x, y) >= 0
        everywhere = np.array([LAYERS[i].footprint == "base" for i in self._layer])
        return bricks(x, y, heights, everywhere | on_chips[:, :, None])

    @cached_property
    def _counts(self) -> list[int]:
        """Elements through each layer."""
        return [max(1, round(layer.elements * self.resolution / 64)) for layer in LAYERS]

    @cached_property
    def _layer(self) -> Array:
        """The layer of each row of elements in the thickness."""
        return np.repeat(np.arange(len(LAYERS)), self._counts)

    @property
    def _heights(self) -> Real:
        """Thickness of each row of elements in mm; the heat sink is graded: finer towards the interface."""
        parts = [np.full(count, layer.thickness / count) for layer, count in zip(LAYERS, self._counts, strict=True)]
        weights = 1.6 ** np.arange(self._counts[0], 0, -1)
        parts[0] = LAYERS[0].thickness * weights / weights.sum()
        return np.concatenate(parts)

    @staticmethod
    def _chip_of(x: Real, y: Real) -> Array:
        """Which chip each cell `(nx, ny)` lies under, -1 for none."""
        owner = np.full((len(x) - 1, len(y) - 1), -1)
        centre_x, centre_y = ((line[:-1] + line[1:]) / 2 / _MM for line in (x, y))
        for chip, (across, along) in enumerate(CHIPS):
            owner[np.ix_(_between(centre_x, across), _between(centre_y, along))] = chip
        return owner

    @cached_property
    def _chip(self) -> Array:
        """The chip that each silicon element belongs to, -1 elsewhere, `(E,)`."""
        mesh = self.mesh
        x, y = np.unique(mesh.nodes[:, 0]), np.unique(mesh.nodes[:, 1])
        under = self._chip_of(x, y)[mesh.cells[:, 0], mesh.cells[:, 1]]
        return np.where(self._layer[mesh.cells[:, 2]] == len(LAYERS) - 1, under, -1)

    @cached_property
    def _material(self) -> Array:
        """Name of the material, or of the parameter that is its conductivity, of each element."""
        return np.array([layer.material for layer in LAYERS])[self._layer[self.mesh.cells[:, 2]]]

    @cached_property
    def _terms(self) -> AffineTerms:
        mesh, materials = self.mesh, self._material
        fixed = np.array([CONDUCTIVITY.get(material, 0.0) for material in materials])
        conductive = [fixed, *((materials == name).astype(float) for name in _STIFF[:3])]
        chips = [self._chip == chip for chip in range(len(CHIPS))]
        count = len(mesh.nodes)
        return AffineTerms(
            matrices=(*(stiffness(mesh, k) for k in conductive), bottom_mass(mesh)),
            loads=np.stack([load(mesh, inside / mesh.volumes[inside].sum()) for inside in chips]),
            free=np.ones(count, dtype=bool),
            lift=np.full(count, AMBIENT),
        )

    def terms(self) -> AffineTerms:
        """A = A_fixed + k_interface A_1 + k_solder A_2 + k_chip_solder A_3 + h A_4; loads of one watt per chip."""
        return self._terms

    @cached_property
    def space(self) -> MeshSpace:
        """Q1 on the bricks."""
        mesh, terms = self.mesh, self.terms()
        smallest = mass_lambda_min(len(mesh.nodes), mesh.elements, mesh.volumes / 216)
        energy = sp.csr_array(sum(t * matrix for t, matrix in zip(self.reference, terms.matrices, strict=True)))
        known = CONDUCTIVITY | dict(zip(_STIFF, self.reference[1:], strict=True))
        softest = column_lambda_min(mesh, np.array([known[name] for name in self._material]), known["h"])
        # a part in 1e6 pays for rounding in the matrices
        return MeshSpace(
            nodes=mesh.nodes,
            elements=mesh.elements,
            free=terms.free,
            energy=Form(energy, (1 - 1e-6) * softest),
            mass=Form(mass(mesh), (1 - 1e-6) * smallest),
            cell="voxel",
        )

    def formulas(self) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        """θ = (1, k_interface, k_solder, k_chip_solder, h) and φ = (P1, P2)."""
        names = self.parameters.names
        theta = tuple(Expression.parse(text, names) for text in ("1", *_STIFF))
        return theta, tuple(Expression.parse(name, names) for name in ("P1", "P2"))

    def coefficients(self, mu: Mu | Array) -> tuple[Real, Real]:
        """θ = (1, k_interface, k_solder, k_chip_solder, h) and φ = (P1, P2).

        Raises InputError where a conductivity or h is not above zero, or a power is not finite.
        """
        mu = as_mu(mu, self.parameters.names)
        stiff = positive(mu, _STIFF, self.parameters.names)
        powers = np.stack([np.asarray(mu[name], dtype=np.float64) for name in ("P1", "P2")], axis=1)
        if not np.isfinite(powers).all():
            row = int(np.argmin(np.isfinite(powers).all(axis=1)))
            raise InputError(f"P1, P2 = {powers[row]} in row {row}; powers must be finite numbers, in W")
        return np.concatenate([np.ones((len(stiff), 1)), stiff], axis=1), powers

    @cached_property
    def stability(self) -> MinTheta:
        """Smallest and largest ratio of a coefficient to its reference."""
        return MinTheta(self.reference, rounding_slack(self.terms(), self.reference, self.space.energy.lambda_min))

    def quantities(self) -> Mapping[str, Quantity]:
        """Mean temperature of each chip, °C."""
        loads = self.terms().loads
        return {f"chip {i + 1}": Quantity(loads[i], unit="°C") for i in range(len(CHIPS))}

    def at(self, resolution: int) -> "PowerModule":
        """The same module on another grid."""
        return PowerModule(resolution)

    def to_parts(self) -> Parts:
        """The configuration, and numbers that must come out again."""
        return Parts({"resolution": self.resolution}, {"check": check_vector(self)}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again. Raises InputError where this version would solve another problem."""
        return verify(cls(**config), arrays["check"])


def _between(centres: Real, limits: tuple[float, float]) -> Mask:
    return (centres > limits[0]) & (centres < limits[1])
