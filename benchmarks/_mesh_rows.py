"""Rows about meshes: assembly into a fixed pattern, what structure saves, algebraic multigrid for elasticity."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _harness import Row, absent
from skfem import Basis, BilinearForm, ElementTriP1, ElementTriP2
from skfem.helpers import dot, grad

import nwidth as nw
from nwidth.core.kinds import available, load_attribute
from nwidth.problems.elastic_body import box_mesh
from nwidth.problems.elasticity import Elasticity
from nwidth.problems.elasticity_field import ElasticityField
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.direct import Direct
from nwidth.solvers.structure.solver import Structured
from nwidth.spaces.fixed_assembly import Dofs, FixedForm, pattern_of
from nwidth.study.measure import alternate


def rows(quick: bool, seed: int) -> Sequence[Row]:
    """All rows; for context, without targets."""
    return [*_assembly(quick, seed), *_structure(quick, seed), *_multigrid(quick, seed)]


def _assembly(quick: bool, seed: int) -> list[Row]:
    rng, cells = np.random.default_rng(seed), 32 if quick else 128
    mesh = box_mesh((1.0, 1.0), (cells, cells))
    found = []
    for element, where in ((ElementTriP1(), "element"), (ElementTriP1(), "point"), (ElementTriP2(), "point")):
        basis = Basis(mesh, element, intorder=2 if isinstance(element, ElementTriP1) else 4)
        dofs = Dofs.of(basis)
        fixed = FixedForm(_diffusion, basis, dofs, pattern_of(dofs), where)
        c = rng.uniform(1, 2, size=fixed.shape)
        at_points = np.array(np.broadcast_to(c[:, None] if where == "element" else c, basis.dx.shape))

        def theirs(basis: Any = basis, c: Any = at_points) -> Any:
            return _with_coefficient.assemble(basis, c=c)

        def ours(fixed: Any = fixed, c: Any = c) -> Any:
            return fixed.matrix(c)

        degree = 1 if isinstance(element, ElementTriP1) else 2
        name = f"reassembly P{degree}, coefficient per {where}, {cells}²: scikit-fem / fixed pattern"
        found.append(_ratio(name, theirs, ours, {"difference": float(abs(ours() - theirs()).max())}))
    return found


class _OneMaterial(ThermalBlock):
    """All blocks of one conductivity: the matrix is fixed up to a factor."""

    def coefficients(self, mu: Any) -> Any:
        theta, phi = super().coefficients(mu)
        return np.repeat(theta[:, :1], theta.shape[1], axis=1), phi


def _structure(quick: bool, seed: int) -> list[Row]:
    cells, count = (24, 8) if quick else (100, 32)
    block, pulled = _OneMaterial(2, cells), Elasticity(blocks=1, resolution=cells // 4)
    return [
        _solved("one conductivity, one more batch", block, count, seed),
        _solved("one material, tractions vary, one more batch", pulled, count, seed),
        _solved("no structure: what looking costs, one sample", ThermalBlock(2, cells), 1, seed),
    ]


def _solved(name: str, problem: Any, count: int, seed: int) -> Row:
    mu = problem.parameters.sample(range(count), seed)
    problem.space.inner("energy")
    structured, direct = nw.solve(problem, mu, Structured()), nw.solve(problem, mu, Direct())
    error = np.abs(structured.field - direct.field).max() / np.abs(direct.field).max()
    detail = {
        "note": structured.note,
        "difference": float(error),
        "residual": float(structured.stats["residual"].max()),
    }
    theirs, ours = (_call(solver, problem, mu, keep=count > 1) for solver in (Direct(), Structured()))
    return _ratio(f"{name}: direct / structured", theirs, ours, detail)


def _call(solver: Any, problem: Any, mu: Any, keep: bool) -> Callable[[], Any]:
    """One more batch with a state that is kept, as in generation; or all of `nw.solve`."""
    if not keep:
        return lambda: nw.solve(problem, mu, solver)
    state = solver.prepare(problem)
    return lambda: solver.solve(state, mu)


def _multigrid(quick: bool, seed: int) -> list[Row]:
    name = "elasticity 3-D, random modulus: direct / pyamg with rigid motions"
    if not available("pyamg"):
        return [absent(name, "pyamg")]
    amg = load_attribute("nwidth.solvers.amg:AMG")()
    problem = ElasticityField(3, 6 if quick else 14)
    mu = problem.parameters.sample(range(1), seed)
    solution = nw.solve(problem, mu, amg)
    detail = {
        "dofs": problem.space.size,
        "iterations": int(solution.stats["iterations"][0]),
        "residual": float(solution.stats["residual"][0]),
    }
    return [_ratio(name, lambda: nw.solve(problem, mu, Direct()), lambda: nw.solve(problem, mu, amg), detail, 3)]


def _ratio(
    name: str, theirs: Callable[[], Any], ours: Callable[[], Any], detail: dict[str, Any], repeats: int = 7
) -> Row:
    timings = alternate({"theirs": theirs, "ours": ours}, repeats)
    medians = {key: 1e3 * timing.median for key, timing in timings.items()}
    return Row(name, medians["theirs"] / medians["ours"], "x", detail={"ms": medians, **detail})


@BilinearForm
def _diffusion(u: Any, v: Any, _: Any) -> Any:
    return dot(grad(u), grad(v))


@BilinearForm
def _with_coefficient(u: Any, v: Any, w: Any) -> Any:
    return w.c * dot(grad(u), grad(v))
