"""Outputs that are not linear in the field, with guaranteed limits: squares of the field and of its gradient.

The thermal block: the square of the gradient over its first block (times mu_1: the power that is lost there), and the
mean square of u.
Each output gets a dual basis of its own, and its limit is a product of two small numbers plus a square.
"""

import numpy as np

import nwidth as nw
from nwidth.problems.quantities import Quadratic

block = nw.problems.get("thermal_block", resolution=40)
reduced = nw.rb.Greedy(tol=1e-3).fit(problem=block)
outputs = {
    "gradient square": Quadratic(block.terms().matrices[0]),
    "mean square": Quadratic(block.space.mass.matrix),
}
certified = nw.certify_outputs(reduced, outputs=outputs, tol=1e-6)

mu = block.parameters.sample(range(1000), seed=1)
answer = certified.predict(mu)

# against the full-order solution of a few of them
few = {name: values[:20] for name, values in mu.items()}
fields = nw.solve(block, few).field
missed = {name: np.abs(quantity(fields) - answer.outputs[name].values[:20]) for name, quantity in outputs.items()}

if __name__ == "__main__":
    print(f"{block.space.size} unknowns became {reduced.modes} modes; field within {answer.bound.max():.1e}.")
    for name, dual in certified.certificate.duals.items():
        output = answer.outputs[name]
        print(f"{name}: {output.values[0]:.9f}, at most {output.limit[0]:.1e} off (true error {missed[name][0]:.1e})")
        print(f"  worst limit of 1000: {output.limit.max() / output.values.max():.1e} of the largest value, "
              f"{dual.dual.modes} dual modes, continuity constant {dual.continuity:.6f}")  # fmt: skip
    print(answer.guarantee)
