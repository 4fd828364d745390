"""Matrices of your own finite-element program become a certified reduced basis.

A cooling plate, 100 mm x 40 mm: -div(k grad T) = 0 with a bar of another material in it, heat q into its right side,
40 degrees prescribed at its left side, and cooling h (T - 40) from its face. The program here is scikit-fem; all that
nwidth sees are matrices, vectors and the numbers of the unknown dofs.
"""

import numpy as np
import skfem as fem
from skfem.helpers import dot, grad

import nwidth as nw

# your finite-element program
mesh = fem.MeshTri.init_tensor(np.linspace(0, 0.1, 81), np.linspace(0, 0.04, 33))
middle = mesh.p[:, mesh.t].mean(axis=1)
bar = (abs(middle[1] - 0.02) < 0.005) & (middle[0] > 0.02)
plate, inside = (fem.Basis(mesh, fem.ElementTriP1(), elements=np.flatnonzero(part)) for part in (~bar, bar))
conduction = fem.BilinearForm(lambda u, v, _: dot(grad(u), grad(v)))
cooling = fem.BilinearForm(lambda u, v, _: u * v)
everywhere = fem.Basis(mesh, fem.ElementTriP1())
right = fem.FacetBasis(mesh, fem.ElementTriP1(), facets=mesh.facets_satisfying(lambda x: x[0] > 0.0999))
heat = fem.LinearForm(lambda v, _: v).assemble(right)
free = everywhere.complement_dofs(everywhere.get_dofs(lambda x: x[0] < 1e-9))

# and a certified reduced basis of it
problem = nw.rb.from_matrices(
    [conduction.assemble(plate), conduction.assemble(inside), cooling.assemble(everywhere)],
    [heat],
    (["200", "k_bar", "h / 0.004"], ["q"]),
    parameters=nw.spaces.Box(
        ("k_bar", "h", "q"), (1, 5, 0), (400, 100, 5e5), units=("W/mK", "W/m²K", "W/m²"), log=(True, True, False)
    ),
    outputs={"hot side": nw.problems.Quantity(heat / heat.sum(), unit="K")},
    free=free,
)
certified = nw.certify(nw.rb.Greedy(1e-6).fit(problem=problem), problem)
answer = certified.predict(problem.parameters.sample(range(1000), seed=1))

if __name__ == "__main__":
    side = answer.outputs["hot side"]
    print(f"{problem.space.size} unknowns became {certified.surrogate.modes} modes. {answer.guarantee}")
    for i in range(5):
        k, h, q = (answer.mu[name][i] for name in ("k_bar", "h", "q"))
        print(f"k_bar = {k:5.1f}, h = {h:4.1f}, q = {q:6.0f}: {side.values[i]:.6f} K above the coolant, at most "
              f"{side.limit[i]:.0e} K off")  # fmt: skip
