"""Is it the surrogate or the mesh? Answers from a coarser grid, bounded against the exact solution of the equation.

python examples/total_error.py
"""

import numpy as np

import nwidth as nw
from nwidth.core.prediction import uncertified
from nwidth.spaces.grid import interpolate

# ground whose permeability jumps between 3 and 12, on 32 x 32 cells
problem, coarse = nw.problems.get("darcy", resolution=32), nw.problems.get("darcy", resolution=16)
mu = problem.parameters.sample(range(5), seed=1)

# a stand-in for a surrogate: solved with half as many cells each way, and interpolated
half = nw.solve(coarse, coarse.parameters.sample(range(5), seed=1)).field
fields = interpolate(half, coarse.space, problem.space)
answer = uncertified(mu, fields, problem.space, np.ones(5, dtype=bool))

bound = nw.TotalErrorBound(problem)  # prepared once
before = bound(answer)
after = bound(nw.refine(answer, problem, rtol=1e-4))


def show(title: str, error: nw.TotalError) -> None:
    """One line per part, in percent of the answer's energy."""
    print(title)
    for name, low, high in (
        ("whole error", error.lower, error.total),
        ("surrogate's part", error.surrogate_lower, error.surrogate),
        ("mesh's part", error.discretisation_lower, error.discretisation),
    ):
        typical = 100 * np.median(low / error.norm), 100 * np.median(high / error.norm)
        print(f"  {name:<17} {typical[0]:5.2f} to {typical[1]:5.2f} %")
    words, counts = np.unique(error.advice, return_counts=True)
    print("  to halve it: " + ", ".join(f"{word} ({count} of 5)" for word, count in zip(words, counts, strict=True)))


show("as answered", before)
show("refined to 1e-4 of the discrete solution", after)
print(after.guarantee)
