"""References for bounds of the total error beside those of `nwidth.testing`: the square, and meshes cut again."""

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.prediction import Prediction, uncertified
from nwidth.problems.base import Problem
from nwidth.testing.equilibrated_references import GivenMesh


def prediction(problem: Problem, mu: Mu, v: Array) -> Prediction:
    """Fields as answers."""
    return uncertified(mu, v, problem.space, np.ones(len(v), dtype=bool))


def square_error(v: Array, a: Array) -> Array:
    """The exact `‖u - v‖_a` on the unit square for a constant a `(B,)`, f = 1, u = 0 on the boundary, v bilinear.

    `∫ u = 1/12 - 16/π⁵ Σ tanh(kπ/2) / k⁵` over odd k for a = 1: the torsion of the square, in extended precision.
    """
    odd, wide = np.arange(1, 20001, 2).astype(np.longdouble), v.astype(np.longdouble)
    pi = np.longdouble("3.14159265358979323846264338327950288")
    torsion = np.longdouble(1) / 12 - 16 / pi**5 * (np.tanh(odd * pi / 2) / odd**5)[::-1].sum()
    n = v.shape[1] - 1
    corners = [wide[:, i : n + i, j : n + j] for i in (0, 1) for j in (0, 1)]
    mean = sum(c.sum(axis=(1, 2)) for c in corners) / (4 * np.longdouble(n) ** 2)
    v00, v01, v10, v11 = corners
    energy = sum(
        ((p * p + p * q + q * q) / 3).sum(axis=(1, 2)) for p, q in ((v10 - v00, v11 - v01), (v01 - v00, v11 - v10))
    )
    wide_a = a.astype(np.longdouble)
    return np.asarray(np.sqrt(torsion / wide_a - 2 * mean + wide_a * energy))


def mesh_distances(mesh: GivenMesh, mu: Mu, v: Real, levels: int) -> Real:
    """`‖u_k - v‖_a` of one sample, `(levels,)`, for Galerkin solutions on the mesh cut k = 0, 1, ... times.

    v `(1, N)` carries the boundary values. Each is a lower bound of the error, up to round-off.
    """
    found = []
    for level in range(levels):
        if level:
            (finer, cut), (_, (v,)) = mesh.finer(mu), mesh.halved(v)
            mesh, mu = finer, cut
        system = mesh.assemble(mu)
        inner = np.flatnonzero(system.free)
        rest = (system.load - system.matrix @ (v[0] - system.lift))[inner]
        step = sla.spsolve(sp.csc_array(system.matrix)[inner][:, inner], rest)
        found.append(np.sqrt(max(rest @ step, 0.0)))
    return np.array(found)
