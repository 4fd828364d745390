"""A fibre composite under cyclic shear: where does the matrix deform plastically, and how much?"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, check_batched
from nwidth.problems.base import BlackBox, Resizable
from nwidth.problems.cell_path import Cell, State, Step, Stepping
from nwidth.problems.j2 import J2
from nwidth.spaces.discs import Discs
from nwidth.spaces.torus import Torus


@dataclass(frozen=True)
class Composite(BlackBox, Resizable, Storable):
    """Elastic discs in a J2 matrix, a periodic cell in plane strain: phase -> accumulated plastic strain p `(B, n, n)`.

    The parameter `phase` is 1 in the pixels of discs and 0 in the matrix (`Discs`: `count`, `radius`, `gap`). The mean
    shear strain ε_12 goes `cycles` times 0, +`amplitude`, -`amplitude`, 0, with `steps` equal load steps per amplitude
    (4 steps a cycle in all); the other mean strains are zero. p is taken at the end; it is zero in the discs. Stresses
    in GPa (E = `young` of matrix and discs, ν = `poisson` of both, yield stress `limit`, moduli `kinematic` and
    `isotropic`, see `J2`): any unit, one for all. Lengths in sides of the cell.

    One point per pixel, differences across the diagonals (Willot 2015), backward Euler in load, Newton's method with
    the consistent tangent to the relative residual `tol`, conjugate gradients with the homogeneous cell as
    preconditioner. Load steps are the first error: 0.4 % of p with 8 per amplitude, 4 % with one step per reversal.

    The fields keep the symmetries of the cell: whole-pixel shifts, and all eight symmetries of the square (a quarter
    turn and a mirror change the sign of the shear; p does not see the sign).
    """

    kind: ClassVar[str] = "composite"

    resolution: int = 49
    count: int = 12
    radius: float = 0.09
    gap: float = 0.0
    young: tuple[float, float] = (70.0, 400.0)
    poisson: float = 0.3
    limit: float = 0.1
    kinematic: float = 2.0
    isotropic: float = 0.3
    amplitude: float = 0.004
    cycles: int = 2
    steps: int = 8
    tol: float = 1e-6

    def __post_init__(self) -> None:
        object.__setattr__(self, "young", tuple(float(v) for v in np.atleast_1d(self.young)))
        if len(self.young) != 2:
            raise InputError(f"young = {self.young}; give two numbers, of the matrix and of the discs")
        if self.cycles < 1 or self.steps < 0 or not self.amplitude > 0:
            raise InputError(
                f"cycles = {self.cycles}, steps = {self.steps}, amplitude = {self.amplitude:g}; expected at least one "
                "cycle, steps per amplitude 1 or more (0: one step from reversal to reversal), amplitude above zero"
            )
        _ = self.parameters, self.materials, self.stepping  # raise what is wrong with them

    @property
    def parameters(self) -> Discs:
        return Discs("phase", self.resolution, self.count, self.radius, self.gap)

    @property
    def space(self) -> Torus:
        return Torus((self.resolution,) * 2)

    @property
    def materials(self) -> tuple[J2, J2]:
        """Matrix and discs."""
        matrix = J2(self.young[0], self.poisson, self.limit, self.kinematic, self.isotropic)
        return matrix, J2(self.young[1], self.poisson)

    @property
    def stepping(self) -> Stepping:
        """How exactly a load step is solved."""
        return Stepping(tol=self.tol)

    @property
    def loading(self) -> Real:
        """Mean strains at the end of every load step, `(T, 3)` with entries 11, 22, 12."""
        corners = self.amplitude * np.array([0.0, *(1.0, -1.0) * self.cycles, 0.0])
        if self.steps == 0:
            shear = corners[1:]
        else:
            lengths = np.cumsum([0, *np.abs(np.diff(corners)) / self.amplitude])
            shear = np.interp(np.arange(1, 4 * self.cycles * self.steps + 1) / self.steps, lengths, corners)
        return np.stack([np.zeros_like(shear), np.zeros_like(shear), shear], axis=1)

    def at(self, resolution: int) -> "Composite":
        return replace(self, resolution=resolution)

    def solve(self, mu: Mu | Array) -> Array:
        """p at the end of the path, `(B, n, n)`. Raises InputError for a phase that is not 0 or 1."""
        fields = self._phases(mu)
        return np.stack([self.follow(f)[0].accumulated for f in fields]) if len(fields) else np.empty(fields.shape)

    def follow(self, phase: Array) -> tuple[State, list[Step]]:
        """One cell `(n, n)` along the path: the last state, and mean stress and effort of every load step."""
        return Cell(phase, self.materials, self.stepping).path(self.loading)

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {"check": self._check()}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The problem again. Raises InputError where this version gives other numbers than those stored."""
        problem = cls(**config)
        found = problem._check()
        if np.allclose(found, arrays["check"], rtol=1e-6, atol=1e-12):
            return problem
        raise InputError(
            f"the stored problem 'composite' had the check numbers {arrays['check'].tolist()}, this version gives "
            f"{found.tolist()}: it is not the same problem any more; generate and fit again with this version, or load "
            "the file with the version that wrote it"
        )

    def _phases(self, mu: Mu | Array) -> Array:
        phases = check_batched("phase", as_mu(mu, ("phase",))["phase"], self.space.shape)
        bad = np.flatnonzero(~((phases == 0) | (phases == 1)).reshape(len(phases), -1).all(axis=1))
        if len(bad):
            raise InputError(f"phase: row {bad[0]} holds other values than 0 (matrix) and 1 (disc)")
        return phases

    def _check(self) -> Real:
        """The first draw's discs, and its mean stress after the first and the second reversal, to a fine tolerance."""
        phase = self.parameters.sample([0], 0)["phase"][0]
        fine = Cell(phase, self.materials, Stepping(tol=1e-9))
        _, steps = fine.path(self.amplitude * np.array([[0, 0, 1.0], [0, 0, -1.0]]))
        weights = np.cos(1.0 + 0.7 * np.arange(phase.size) ** 1.1)
        return np.concatenate([[weights @ phase.ravel()], *(s.mean_stress for s in steps)])
