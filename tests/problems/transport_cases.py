"""Problems for tests of the grid discretisation: random coefficients, and manufactured solutions on any grid."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse.linalg

from nwidth.problems.grid_transport import GridTransport, from_stream_function
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid

#: Boundaries of a first direction (and a second): every type, both ends, mixed.
ENDS = ["dirichlet", "neumann", "robin", "periodic", ("dirichlet", "neumann"), ("robin", "dirichlet")]


def face_shape(grid, axis):
    return tuple(n + (d == axis) for d, n in enumerate(grid.shape))


@dataclass(frozen=True)
class RandomTransport(GridTransport):
    """Everything random and different from sample to sample; sample s of the parameter `seed`."""

    space: Grid = field(default=Grid((4, 4)))
    scheme: str = "upwind"
    face: str = "arithmetic"
    moving: bool = True
    reacting: bool = True

    parameters = Box(("seed",), low=(0.0,), high=(1000.0,))

    def draw(self, mu, what, shape, low=-1.0, high=1.0):
        generators = [np.random.default_rng([int(s), what]) for s in mu["seed"]]
        return np.stack([g.uniform(low, high, shape) for g in generators])

    def coefficient(self, mu):
        return 100.0 ** self.draw(mu, 0, self.space.shape)

    def source(self, mu):
        return self.draw(mu, 1, self.space.shape)

    def reaction(self, mu):
        return self.draw(mu, 2, self.space.shape, 0.0, 30.0) if self.reacting else None

    def velocity(self, mu):
        if not self.moving:
            return None
        parts = [self.draw(mu, 3 + d, face_shape(self.space, d), -50, 50) for d in range(self.space.dim)]
        for d, direction in enumerate(self.space.directions):
            if direction.periodic:
                np.moveaxis(parts[d], d + 1, 0)[-1] = np.moveaxis(parts[d], d + 1, 0)[0]
        return tuple(parts)

    def boundary_data(self, mu, side):
        return self.draw(mu, 10 + 2 * side.axis + side.end, side.shape)

    def transfer(self, mu, side):
        return self.draw(mu, 20 + 2 * side.axis + side.end, side.shape, 0.1, 5.0)


@dataclass(frozen=True)
class Manufactured(GridTransport):
    """A known solution with variable a, c and a velocity from ψ; periodic in directions that are.

    u = Π p_d + Σ_d q_d, with p = cos(2 x + 0.3) and q = x, or p = cos(2π x + 0.3) and q = 0 in a periodic direction.
    """

    space: Grid = field(default=Grid((8, 8)))
    scheme: str = "central"
    face: str = "arithmetic"
    speed: float = 0.0
    rate: float = 0.0
    balance: bool = False
    parameters: Box = field(default=Box(("kappa",), low=(0.5,), high=(3.0,)))

    @property
    def waves(self):
        return [2 * np.pi if d.periodic else 2.0 for d in self.space.directions]

    def parts(self, x):
        """p, p', p'' and q' of every direction at points `(..., dim)`, stacked along the last axis."""
        w = np.array(self.waves)
        linear = np.array([0.0 if d.periodic else 1.0 for d in self.space.directions])
        c, s = np.cos(w * x + 0.3), np.sin(w * x + 0.3)
        return c, -w * s, -(w**2) * c, linear

    def exact(self, x):
        p, _, _, linear = self.parts(x)
        return p.prod(-1) + (x * linear).sum(-1)

    def gradient(self, x):
        p, dp, _, linear = self.parts(x)
        dim = x.shape[-1]
        return np.stack([dp[..., d] * np.delete(p, d, -1).prod(-1) + linear[d] for d in range(dim)], axis=-1)

    def laplacian(self, x):
        p, _, ddp, _ = self.parts(x)
        return sum(ddp[..., d] * np.delete(p, d, -1).prod(-1) for d in range(x.shape[-1]))

    def a(self, x):
        return 1.0 + 0.5 * np.sin(2 * np.pi * x).sum(-1) / x.shape[-1]

    def grad_a(self, x):
        return np.pi * np.cos(2 * np.pi * x) / x.shape[-1]

    def b(self, x):
        """A flow without divergence: (∂ψ/∂y, -∂ψ/∂x) in 2-D, see `psi`; a constant else."""
        if x.shape[-1] != 2:
            return np.broadcast_to(self.speed * np.arange(1.0, x.shape[-1] + 1), x.shape)
        cx, sx = np.cos(2 * np.pi * x), np.sin(2 * np.pi * x)
        return self.speed * np.stack([-cx[..., 0] * sx[..., 1] - 1.0, sx[..., 0] * cx[..., 1] - 1.0], axis=-1)

    def psi(self, x, y):
        return self.speed * (np.multiply.outer(np.cos(2 * np.pi * x), np.cos(2 * np.pi * y)) / (2 * np.pi)
                             + np.subtract.outer(x, y))  # fmt: skip

    @property
    def places(self):
        return self.space.points().reshape(*self.space.shape, self.space.dim)

    def rows(self, mu, values):
        return np.tile(values, (len(mu["kappa"]), *(1,) * np.ndim(values)))

    def coefficient(self, mu):
        return self.rows(mu, self.a(self.places))

    def source(self, mu):
        x = self.places
        grad = self.gradient(x)
        flow = ((self.b(x) - self.grad_a(x)) * grad).sum(-1)
        return self.rows(mu, flow - self.a(x) * self.laplacian(x) + self.rate * self.exact(x))

    def reaction(self, mu):
        return self.rows(mu, np.full(self.space.shape, self.rate)) if self.rate else None

    def velocity(self, mu):
        if not self.speed:
            return None
        if self.space.dim == 2:
            x, y = (d.faces for d in self.space.directions)
            parts = from_stream_function(self.psi(x, y)[None], self.space)
            return tuple(np.tile(p, (len(mu["kappa"]), 1, 1)) for p in parts)
        constant = self.b(np.zeros(self.space.dim))
        return tuple(self.rows(mu, np.full(face_shape(self.space, d), constant[d])) for d in range(self.space.dim))

    def boundary_data(self, mu, side):
        x = side.points()
        flux = (2 * side.end - 1) * self.a(x) * self.gradient(x)[..., side.axis]
        if side.word == "dirichlet":
            return self.rows(mu, self.exact(x))
        if side.word == "neumann":
            return self.rows(mu, flux)
        kappa = mu["kappa"].reshape(-1, *(1,) * (self.space.dim - 1))
        return flux + kappa * self.exact(x)

    def transfer(self, mu, side):
        return np.stack([np.full(side.shape, k) for k in mu["kappa"]])

    def error(self, kappa=1.3):
        """Largest error of the discrete solution (of differences from the mean where it floats), by a sparse solver."""
        system = self.assemble({"kappa": np.array([kappa])})
        free = system.free
        inner = scipy.sparse.csc_matrix(system.matrix)[free][:, free]
        load = system.load[free]
        exact = self.exact(self.places).ravel()
        if self.space.floating and not self.rate:
            weights = scipy.sparse.csc_matrix(self.space.volumes().reshape(-1, 1))
            inner = scipy.sparse.bmat([[inner, weights], [weights.T, None]], format="csc")
            u = scipy.sparse.linalg.spsolve(inner, np.append(load, 0.0))[:-1]
            exact = exact - exact @ weights.toarray()[:, 0] / weights.sum()
        else:
            u = system.lift.copy()
            u[free] += scipy.sparse.linalg.spsolve(inner, load)
        return float(np.abs(u - exact).max())
