"""Non-affine problems, and their exact solutions with the true coefficients in extended precision."""

from functools import cached_property

import numpy as np
import scipy.sparse.linalg as sla
from tests.rb.affine_cases import LONG, wide

from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import select
from nwidth.problems.base import Outputs, Quantity
from nwidth.problems.elastic_body import box_mesh
from nwidth.problems.functions import Bump
from nwidth.problems.non_affine import Coefficients, NonAffine
from nwidth.problems.point_forms import PointForms
from nwidth.spaces.box import Box
from nwidth.spaces.nodal import Nodal


class Plate(NonAffine, Outputs, Storable):
    """Everything at once: a, c and f move; u = 1 - y on the left side, no flux on the others; two outputs."""

    kind = "testing-plate"
    parameters = Box(("mu_1", "mu_2"), low=(0.2, 0.3), high=(0.8, 0.9))
    functions = None

    def __init__(self, resolution=6, degree=1, height=3.0, width=0.3):
        self.config = {"resolution": resolution, "degree": degree, "height": height, "width": width}
        self.functions = Coefficients(Bump(1.0, height, width), Bump(0.2, 5.0, width), Bump(0.5, 2.0, width))

    @cached_property
    def forms(self):
        count, degree = self.config["resolution"], self.config["degree"]
        nodal = Nodal(box_mesh((1.0, 1.0), (count, count)), degree, intorder=2 * degree)
        left = np.isclose(nodal.nodes[:, 0], 0.0)
        # v = 0 at x = 0: ∫ v² <= 4/π² ∫ v_x²
        return PointForms(nodal, ~left, np.where(left, 1 - nodal.nodes[:, 1], 0.0), 4 / np.pi**2)

    def quantities(self):
        right = np.isclose(self.forms.nodal.nodes[:, 0], 1.0).astype(float)
        return {
            "mean": Quantity(self.forms.load.vector(self.forms.load.ones), unit="K"),
            "end": Quantity(right / right.sum(), offset=-2.0),
        }

    def to_parts(self):
        return Parts(self.config, {}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(**config)


def long_system(problem, mu):
    """Matrix over all dofs, load and lift of one parameter, in extended precision from the values at the points."""
    forms, values = problem.forms, problem.values(mu)
    entries = wide(forms.stiffness._map) @ values["diffusion"][0].astype(LONG)
    if "reaction" in values:
        entries = entries + wide(forms.mass._map) @ values["reaction"][0].astype(LONG)
    load = wide(forms.load._map) @ values["source"][0].astype(LONG)
    return forms.stiffness.pattern.matrix(entries), load, forms.lift.astype(LONG)


def exact(problem, mu):
    """Dofs `(B, N)` with the true coefficients, refined until they are right to the wide type."""
    rows, free = [], problem.forms.free
    for i in range(len(next(iter(mu.values())))):
        matrix, load, lift = long_system(problem, select(mu, slice(i, i + 1)))
        right = (load - matrix @ lift)[free]
        inside = matrix[free][:, free]
        factor = sla.splu(inside.astype(np.float64).tocsc())
        w = np.zeros(len(right), dtype=LONG)
        for _ in range(12):
            w = w + factor.solve((right - inside @ w).astype(np.float64)).astype(LONG)
        full = lift.copy()
        full[free] += w
        rows.append(full)
    return np.stack(rows)


def energy_error(problem, mu, u, v):
    """`‖u - v‖_A` with the true A, in extended precision, `(B,)`."""
    values = []
    for i in range(len(u)):
        e = (u[i].astype(LONG) - v[i].astype(LONG)) * problem.forms.free
        matrix = long_system(problem, select(mu, slice(i, i + 1)))[0]
        values.append(np.sqrt(max(e @ (matrix @ e), LONG(0))))
    return np.array(values, dtype=LONG).astype(np.float64)


def output_errors(problem, u, answer):
    """|s(u) - value| of each output, in extended precision."""
    return {
        name: np.abs(u @ q.functional.astype(LONG) + q.offset - answer.outputs[name].values)
        for name, q in problem.quantities().items()
    }


def corners(box):
    """The corners of a box of parameters."""
    unit = np.array(np.meshgrid(*[[0.0, 1.0]] * len(box.names), indexing="ij")).reshape(len(box.names), -1).T
    return box.from_unit(unit)
