"""What a matrix leaves (nearly) at rest: the fields that multigrid on meshes must know, and kernels of pure Neumann
problems."""

from abc import abstractmethod

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.problems.base import Linear, Problem


class NearNull(Problem):
    """A problem that knows which fields its operator hardly resists: constants for diffusion, rigid motions for
    elasticity. Smoothed aggregation builds its coarse spaces from them."""

    @abstractmethod
    def near_null(self) -> Real:
        """The fields as dofs `(k, N)`, linearly independent."""


class Kernel(Linear):
    """A linear problem whose matrix has a kernel, the same for all parameters: pure Neumann or periodic data.

    A solution exists where the load does no work on the kernel, and is fixed by a vanishing mean against it.
    """

    @abstractmethod
    def kernel(self) -> Real:
        """A basis of the kernel as dofs `(k, N)`; no dof may be prescribed."""


def rigid_modes(nodes: Array) -> Real:
    """Translations and (infinitesimal) rotations of nodes `(n, dim)` as dofs `(k, dim n)`, component by component.

    3 modes in the plane, 6 in space; rotations are about the centre, which keeps the modes well apart.
    """
    count, dim = nodes.shape
    x = (nodes - nodes.mean(axis=0)).T
    modes = [np.kron(np.eye(dim)[c], np.ones(count)) for c in range(dim)]
    for a in range(dim):
        for b in range(a + 1, dim):
            spin = np.zeros((dim, count))
            spin[a], spin[b] = -x[b], x[a]
            modes.append(spin.ravel())
    return np.stack(modes)
