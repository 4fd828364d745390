"""Parametrized equations: the protocol, its capabilities, and a zoo with known answers.

Capabilities are inherited. Besides those of `base`, which are exported here: `stencils.Stencilled` (nearest neighbours
on a grid; inherit `grid_diffusion.GridDiffusion` or `grid_transport.GridTransport` to write one),
`fixed_pattern.FixedPattern` (values on one sparsity pattern), `near_null.NearNull` and `near_null.Kernel`,
`evolution.Semilinear` and `evolution.LinearEvolution`. What each brings: docs/design.md.
"""

import inspect
from typing import Any

from nwidth.core.errors import InputError
from nwidth.core.kinds import resolve
from nwidth.problems.base import (
    Affine,
    AffineTerms,
    BlackBox,
    Coercive,
    Diffusive,
    Linear,
    Outputs,
    Problem,
    Quantity,
    Resizable,
    Stability,
    Stable,
    System,
)

__all__ = [
    "Affine",
    "AffineTerms",
    "BlackBox",
    "Coercive",
    "Diffusive",
    "Linear",
    "Outputs",
    "Problem",
    "Quantity",
    "Resizable",
    "Stability",
    "Stable",
    "System",
    "get",
]

#: Names that `get` knows; each is loaded when it is asked for.
ZOO = (
    "advection_diffusion",
    "anisotropic",
    "burgers",
    "composite",
    "darcy",
    "elasticity",
    "elasticity_exact",
    "elasticity_field",
    "heat",
    "helmholtz",
    "moving_bump",
    "navier_stokes",
    "poisson",
    "power_module",
    "power_module_transient",
    "reciprocal_distance",
    "thermal_block",
)


def get(name: str, **options: Any) -> Any:
    """A problem of the zoo by name, `get("darcy", resolution=64)`; the class documents its options.

    Raises InputError for a name that is not in the zoo or an option that the problem does not have.
    """
    kind = name.replace("-", "_") if isinstance(name, str) else name
    if kind not in ZOO:
        raise InputError(f"problem {name!r} is not in the zoo; choose one of {', '.join(ZOO)}, or pass your own object")
    cls = resolve(kind)
    allowed = tuple(inspect.signature(cls).parameters)
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise InputError(f"{kind} has no option {', '.join(unknown)}; its options are {', '.join(allowed)}")
    return cls(**options)
