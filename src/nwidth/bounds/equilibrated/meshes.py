"""Bounds against the exact solution for diffusion on triangles, with data given triangle by triangle."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nwidth.bounds.equilibrated.bubbles import bubble_energy, edge_bubbles, turned
from nwidth.bounds.equilibrated.crouzeix_raviart import EdgeProblem, global_flux
from nwidth.bounds.equilibrated.majorant import lower_from
from nwidth.bounds.equilibrated.patches import Patches
from nwidth.bounds.equilibrated.pieces import FLUXES, Equilibration, FluxKind, Found
from nwidth.bounds.equilibrated.triangles import EdgeFlux, Triangles
from nwidth.bounds.equilibrated.units import Units
from nwidth.core.arrays import Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import as_mu, check_choice
from nwidth.problems.base import Problem
from nwidth.problems.cell_data import CellData, CellDiffusive
from nwidth.spaces.mesh import MeshSpace

#: Triangles of the samples that are worked on together.
_TOGETHER = 200_000
#: A local flux whose balance misses more than this part of the bound is balanced by the factorised edge problem.
_MISSED = 1e-3


@dataclass(frozen=True, eq=False)
class MeshEquilibration(Equilibration):
    """The field is linear on each triangle, and the discrete problem is the Galerkin method with the same data.

    Values are prescribed on the edges of the boundary between two prescribed nodes; the others are insulated (nothing
    crosses them), which is what the Galerkin method does without a load there.

    `accuracy`, `limit`: of the solve for the global flux; `steps`: towards the quadratic parts of the flux, and of the
    field that bounds from below. Raises InputError for another problem, elements that are not triangles of three nodes,
    values prescribed inside or at single nodes, or a part of the mesh without any.
    """

    problem: CellDiffusive
    flux: FluxKind = "local"
    accuracy: float = 1e-3
    limit: int = 200
    steps: int = 4

    def __post_init__(self) -> None:
        check_choice("flux", self.flux, FLUXES)
        space, mesh = _space(self.problem), self.mesh
        alone = int((~space.free & ~mesh.open_nodes).sum())
        if alone:
            raise InputError(
                f"{alone} prescribed nodes lie inside, or alone on the boundary; this bound is for values given on "
                "edges of the boundary (between two prescribed nodes), and only there"
            )
        if not mesh.open_nodes.any():
            raise InputError("no boundary edge has prescribed values at both ends; this bound needs some")

    @property
    def galerkin(self) -> bool:  # type: ignore[override]
        return True

    @property
    def reference(self) -> str:  # type: ignore[override]
        return "the exact solution of the equation with the data of each triangle"

    @cached_property
    def mesh(self) -> Triangles:
        """The triangles, with their edges."""
        space = _space(self.problem)
        return Triangles(np.asarray(space.nodes, dtype=np.float64), space.elements, np.asarray(space.free))

    @cached_property
    def edges(self) -> EdgeProblem:
        """The problem with one unknown per edge, factorised where it is needed."""
        return EdgeProblem(self.mesh)

    @cached_property
    def patches(self) -> Patches:
        """Triangles round each node."""
        return Patches.of(self.mesh)

    @property
    def together(self) -> int:
        return max(1, _TOGETHER // len(self.mesh.corners))

    def data(self, mu: Mu) -> CellData:
        """The data of a batch, corner values in the order of `mesh.corners`."""
        data = self.problem.cell_data(as_mu(mu, self.problem.parameters.names))
        given = _space(self.problem).elements
        if data.a.shape[1] != len(given):
            raise InputError(f"cell_data gives {data.a.shape[1]} values for {len(given)} triangles; give one each")
        if data.f.ndim == 2:
            return data
        moved = np.argmax(self.mesh.corners[:, :, None] == given[:, None, :], axis=2)
        return CellData(data.a, np.take_along_axis(data.f, np.broadcast_to(moved, data.f.shape), axis=2))

    def bounds(self, mu: Mu, v: Real, nearest: Real) -> Found:
        data, mesh, steps = self.data(mu), self.mesh, np.zeros(len(v), dtype=int)
        units = Units.of(data.a, data.f, (v, nearest), float(mesh.sides.min()))
        data = CellData(units.coefficient(data.a), units.source(data.f))
        v, nearest = units.field(v), units.field(nearest)
        if self.flux == "local":
            through = self.patches.flux(nearest, data)
            first = mesh.majorant(nearest, EdgeFlux(through), data)
            if (first.rest > _MISSED * first.upper).any():
                through = self.edges.balanced(through, data)
        else:
            through, steps = global_flux(nearest, data, self.edges, self.accuracy, self.limit)
        flux = turned(nearest, through, data, mesh, self.steps)
        mine, its = mesh.majorant(v, flux, data), mesh.majorant(nearest, flux, data)
        more = edge_bubbles(nearest, data, mesh, self.steps)
        better = mesh.majorant(nearest, flux, data, more)
        moved = mesh.energy(v - nearest, data)
        known = lower_from(mine, its, moved), lower_from(mine, better, bubble_energy(nearest - v, more, data, mesh))
        return Found(
            field=mine,
            nearest=its,
            lower=np.maximum(*known),
            nearest_lower=lower_from(its, better, bubble_energy(np.zeros_like(v), more, data, mesh)),
            moved=moved,
            norm=mesh.energy(v, data),
            lost=mesh.underflow(data),
            factor=np.ones(len(v)),
            steps=steps,
            unit=units.energy,
        ).where(units.usable)


def _space(problem: Problem) -> MeshSpace:
    space = problem.space
    if (
        not (isinstance(problem, CellDiffusive) and isinstance(space, MeshSpace))
        or space.cell != "triangle"
        or space.names
    ):
        raise InputError(
            f"{type(problem).__name__}: this bound needs linear triangles with one number per node, and data given "
            "triangle by triangle: inherit nwidth.problems.cell_data.CellDiffusive and implement cell_data(mu)"
        )
    return space
