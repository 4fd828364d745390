"""A proven coercivity constant where comparing coefficients proves nothing.

-div(K grad u) + c u = 1 with K = [[1, m], [m, k]]: the cross term is indefinite, and c changes its sign. The successive
constraint method proves a constant for every parameter; the certified reduced basis follows from it.
"""

import numpy as np

import nwidth as nw

plate = nw.problems.get("anisotropic", resolution=30)
problem = nw.rb.with_stability(plate, tol=0.2)
certified = nw.certify(nw.rb.Greedy(tol=1e-4).fit(problem=problem), problem)

mu = problem.parameters.sample(range(1000), seed=1)
answer = certified.predict(mu)

# far outside, K is no longer positive definite: there is no limit, and the reason is given
outside = certified.predict({"m": np.array([0.6, 1.2]), "k": np.array([1.0, 1.0]), "c": np.array([0.0, 0.0])})

if __name__ == "__main__":
    constants = problem.stability
    print("bounds of the four terms against the energy product:")
    names = ("u_x v_x", "u_x v_y + u_y v_x", "u_y v_y", "u v")
    for name, low, high in zip(names, constants.low, constants.high, strict=True):
        print(f"  {low:9.5f} <= {name} <= {high:.5f}")
    print(f"{len(constants.alphas)} proven constraints, {len(constants.values)} multipliers; on 1000 new parameters")
    print(
        f"the constant is at least {problem.constant(mu).lower.min():.3f}, the error at most {answer.bound.max():.1e}."
    )
    print(answer.guarantee)
    for m, bound, why in zip(outside.mu["m"], outside.bound, outside.reason, strict=True):
        print(f"outside, m = {m}: limit {bound:.1e} {why}")
