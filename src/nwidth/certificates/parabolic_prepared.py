"""What the limits of all trajectories of a parabolic problem share: constants, proven, and factorisations."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.positive import proven_lambda_min
from nwidth.bounds.space_time import MassConstants, Product
from nwidth.bounds.step_systems import EPS, StepSystems, step_systems
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.problems.base import Evolution, Outputs, Quantity
from nwidth.problems.parabolic import AffineEvolution
from nwidth.problems.stepped import Stepped
from nwidth.rb.parabolic_constants import dual_norms, proven_ratio
from nwidth.spaces.constant_march import ConstantMarch, constant_diagonal, constant_march
from nwidth.spaces.factor import restricted
from nwidth.spaces.mesh import Form, MatrixProduct, MeshSpace


class Prepared(NamedTuple):
    """What the limits of all trajectories of a problem share."""

    systems: StepSystems
    product: Product
    mass: MassConstants
    march: ConstantMarch | None
    outputs: Mapping[str, Quantity]
    functionals: Real


def check_steps(problem: Evolution) -> None:
    """InputError where trajectories of a problem have no limit, with what to do."""
    if not isinstance(problem, AffineEvolution | Stepped):
        step_systems(problem)  # raises, with what is missing
        return
    steps = problem.stepping
    if steps.every != 1:
        raise InputError(
            f"{type(problem).__name__} stores every {steps.every}-th level, and a limit needs all of them: certify "
            "with every=1, or calibrate these frames on unseen runs: nw.certify(surrogate, holdout=snapshots)"
        )
    if isinstance(problem, AffineEvolution):
        _ = problem.stability  # raises where there is none
    else:
        problem.constant(problem.parameters.sample(range(1), 0))


def prepare(problem: AffineEvolution | Stepped, sweeps: int) -> Prepared:
    """Constants and factorisations of a problem."""
    systems, space = step_systems(problem), problem.space
    free = systems.of(problem.parameters.sample(range(1), 0)).free
    mass = mass_constants(problem, systems, free)
    steps = problem.stepping
    march = constant_march(space, systems.mass.matrix, free, steps.dt, steps.weight) if sweeps else None
    quantities = problem.quantities() if isinstance(problem, Outputs) else {}
    functionals = np.stack([q.functional for q in quantities.values()]) if quantities else np.zeros((0, space.size))
    form = Form(systems.mass.matrix, _mass_min(problem, systems, free))
    return Prepared(systems, Product.of(space), mass, march, quantities, dual_norms(functionals * free, form, free))


def mass_constants(problem: AffineEvolution | Stepped, systems: StepSystems, free: Array) -> MassConstants:
    """`lower M <= X <= upper M`, in closed form on grids, otherwise by factorisations."""
    inner, inside = problem.space.inner("energy"), restricted(systems.mass.matrix, free)
    if isinstance(inner, MatrixProduct):
        smallest = _mass_min(problem, systems, free)
        lower = proven_ratio(inner.matrix, inside, inner.lambda_min, smallest)
        upper = proven_ratio(inside, inner.matrix, smallest, inner.lambda_min, 0.05)
        return MassConstants(lower, 1.0 / upper * (1 + 8 * EPS))
    largest = float(inside.diagonal().max())
    if constant_diagonal(inside) is None and abs(inside - sp.diags_array(inside.diagonal())).max() > 0:
        raise InputError("limits in time on a grid are for a lumped (diagonal) mass; give Marching a diagonal one")
    top = Product.of(problem.space).norm / float(inside.diagonal().min())
    return MassConstants(inner.lambda_min / largest * (1 - 8 * EPS), top * (1 + 8 * EPS))


def _mass_min(problem: AffineEvolution | Stepped, systems: StepSystems, free: Array) -> float:
    """A proven lower bound of λ_min(M)."""
    if isinstance(problem, AffineEvolution):
        return problem.mass().lambda_min
    space, inside = problem.space, restricted(systems.mass.matrix, free)
    if isinstance(space, MeshSpace) and abs(space.mass.matrix - systems.mass.matrix).max() == 0:
        return space.mass.lambda_min
    diagonal = inside.diagonal()
    if abs(inside - sp.diags_array(diagonal)).max() == 0:
        return float(diagonal.min())
    return proven_lambda_min(inside)
