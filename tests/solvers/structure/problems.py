"""Linear problems whose matrices share something, or nearly."""

import numpy as np
import scipy.sparse as sp

from nwidth.problems.base import Affine, AffineTerms, Linear, System
from nwidth.spaces.box import Box
from nwidth.spaces.mesh import Form, MeshSpace

SIDE = 16
SIZE = SIDE**2


def laplacian():
    """Five-point differences on SIDE² nodes, with zero values beyond."""
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(SIDE, SIDE))
    return sp.csr_array(sp.kron(line, sp.eye_array(SIDE)) + sp.kron(sp.eye_array(SIDE), line))


def line_space(size=SIZE):
    form = Form(sp.eye_array(size, format="csr"), 1.0)
    elements = np.stack([np.arange(size - 1), np.arange(1, size)], axis=1)
    free = np.arange(size) != 3
    return MeshSpace(np.arange(float(size))[:, None], elements, free, form, form, "line")


class Given(Linear):
    """`matrix(t)` and `load(t)` as functions of the parameters t0, t1, t2 in [0, 1]; dof 3 has the value 0.5."""

    def __init__(self, matrix, load=None):
        self._matrix, self._load = matrix, load or (lambda t: np.cos(np.arange(SIZE) * (1 + t[0])))
        self.assembled = 0
        self._box, self._space = Box(("t0", "t1", "t2")), line_space()

    parameters = property(lambda self: self._box)
    space = property(lambda self: self._space)

    def assemble(self, mu):
        self.assembled += 1
        t = np.array([float(mu[name][0]) for name in self.parameters.names])
        lift = np.where(self.space.free, 0.0, 0.5)
        matrix = sp.csr_array(self._matrix(t))
        return System(matrix, self._load(t), self.space.free, lift)


class Terms(Affine):
    """Given terms and the functions θ(t) and φ(t)."""

    def __init__(self, matrices, theta, loads, phi):
        self._space, self._box = line_space(), Box(("t0", "t1", "t2"))
        lift = np.where(self._space.free, 0.0, 0.5)
        self._terms = AffineTerms(tuple(map(sp.csr_array, matrices)), np.asarray(loads), self._space.free, lift)
        self._theta, self._phi = theta, phi

    parameters = property(lambda self: self._box)
    space = property(lambda self: self._space)

    def terms(self):
        return self._terms

    def coefficients(self, mu):
        t = np.stack([np.asarray(mu[name], dtype=float) for name in self.parameters.names], axis=1)
        return np.stack([self._theta(row) for row in t]), np.stack([self._phi(row) for row in t])


def dense_solution(problem, mu, i):
    """By NumPy, for sample i."""
    system = problem.assemble({name: values[i : i + 1] for name, values in mu.items()})
    u, free = system.lift.astype(np.result_type(system.matrix.dtype, system.load)), system.free
    u[free] += np.linalg.solve(sp.csr_array(system.matrix).toarray()[np.ix_(free, free)], system.load[free])
    return u
