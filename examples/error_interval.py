"""Between which two numbers the true error of a field lies, wherever the field comes from, without solving for it."""

import numpy as np

import nwidth as nw
from nwidth.spaces.grid import interpolate

problem = nw.problems.get("darcy", resolution=64)
mu = problem.parameters.sample(range(6), seed=0)

# any field will do: here solutions of a grid with a quarter of the cells, interpolated
coarse = problem.at(16)
there = nw.solve(coarse, coarse.parameters.sample(range(6), seed=0)).field
fields = interpolate(there, coarse.space, problem.space)

answer = nw.certify_fields(fields, problem, mu)
rough = nw.certify_fields(fields, problem, mu, norm="l2")

# to see that it is so: the errors themselves, which take solving
exact = nw.solve(problem, mu).field
difference = problem.space.flatten(answer.field - exact)
energy = np.sqrt(problem.systems(mu).energy(difference))
l2 = problem.space.inner("mass").norm(difference)

if __name__ == "__main__":
    print(answer.guarantee)
    for low, error, high in zip(answer.lower, energy, answer.bound, strict=True):
        print(f"the error is between {low:.4f} and {high:.4f} (it is {error:.4f})")
    print(f"{rough.guarantee} This norm is harder to bound:")
    for low, error, high in zip(rough.lower, l2, rough.bound, strict=True):
        print(f"between {low:.6f} and {high:.6f} (it is {error:.6f})")
