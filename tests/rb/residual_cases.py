"""Residual norms of reduced coefficients in extended precision, and the 1-D problem on which the formulas differ."""

import numpy as np
import scipy.sparse as sp
from tests.rb.affine_cases import LONG, wide

from nwidth.problems.base import Affine, AffineTerms, Stability, Stable
from nwidth.problems.min_theta import min_theta, positive
from nwidth.rb.orthonormal import extension
from nwidth.spaces.box import Box
from nwidth.spaces.mesh import Form, MeshSpace


class Line(Affine, Stable):
    """`-u'' + mu u = 1` on (0, 1), u = 0 at the ends, P1 on `cells` equal cells; X at mu = 1."""

    parameters = None
    space = None

    def __init__(self, cells: int = 200):
        h, nodes = 1 / cells, cells + 1
        inside = np.ones(nodes)
        inside[[0, -1]] = 0.5
        off = np.ones(cells)
        stiffness = sp.csr_array(sp.diags_array([-off / h, 2 * inside / h, -off / h], offsets=[-1, 0, 1]))
        mass = sp.csr_array(sp.diags_array([off * h / 6, inside * (2 * h / 3), off * h / 6], offsets=[-1, 0, 1]))
        free = inside == 1
        self._terms = AffineTerms((stiffness, mass), np.full((1, nodes), h), free, np.zeros(nodes))
        # Friedrichs, π² |u|² <= |u'|², and the smallest eigenvalue h/3 of the mass matrix
        energy = Form(sp.csr_array(stiffness + mass), (1 - 1e-6) * np.pi**2 * h / 3)
        elements = np.stack([np.arange(cells), np.arange(1, nodes)], axis=1)
        form = Form(mass, (1 - 1e-6) * h / 3)
        self.space = MeshSpace(np.linspace(0, 1, nodes)[:, None], elements, free, energy, form, "line")
        self.parameters = Box(("mu",), low=1.0, high=1000.0)

    def terms(self):
        return self._terms

    def coefficients(self, mu):
        value = positive(mu, ("mu",), ("mu",))
        return np.hstack([np.ones_like(value), value]), np.ones((len(value), 1))

    def constant(self, mu, field=None) -> Stability:
        return min_theta(self.coefficients(mu)[0], np.ones(2), 1e-9)


def true_norms(terms, inner, basis, theta, phi, coefficients):
    """`‖Σ φ f - Σ θ A (c @ basis)‖_{X⁻¹}` in extended precision, `(B,)`."""
    fields = coefficients.astype(LONG) @ basis.astype(LONG)
    r = phi.astype(LONG) @ terms.loads.astype(LONG)
    for q, matrix in enumerate(terms.matrices):
        image = np.array([wide(sp.csr_array(matrix)) @ v for v in fields]).reshape(fields.shape)
        r = r - theta[:, q : q + 1].astype(LONG) * image
    r = r * terms.free
    x = wide(sp.csr_array(inner.matrix))
    norms = []
    for row in r:
        scale = np.abs(row).max() or LONG(1)
        f, z = (row / scale)[terms.free], np.zeros(int(terms.free.sum()), dtype=LONG)
        for _ in range(4):
            rest = np.zeros((1, len(row)))
            rest[0, terms.free] = (f - x @ z).astype(np.float64)
            z = z + inner.riesz(rest)[0, terms.free]
        norms.append(float(np.sqrt(np.maximum(f @ z, 0)) * scale))
    return np.array(norms)


def snapshots_basis(problem, mu):
    """An orthonormal basis of the solutions at mu, and nothing below 1e-9 of each."""
    terms, (theta, phi) = problem.terms(), problem.coefficients(mu)
    fields = np.zeros((len(theta), len(terms.lift)))
    for i, (t, p) in enumerate(zip(theta, phi, strict=True)):
        matrix = sum(x * m for x, m in zip(t, terms.matrices, strict=True)).toarray()[np.ix_(terms.free, terms.free)]
        fields[i, terms.free] = np.linalg.solve(matrix, (p @ terms.loads)[terms.free])
    return extension(np.zeros((0, fields.shape[1])), fields, problem.space.inner("energy"), 1e-9)[0]
