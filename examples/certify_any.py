"""A regression that knows no equation gets a guaranteed limit, and learns where the limit misses the tolerance."""

import numpy as np

import nwidth as nw

problem = nw.problems.get("thermal_block", blocks=2, resolution=40)
runs = nw.generate(problem, 40, seed=0)
learned = nw.rb.PODRegression().fit(runs)

# from the coefficients alone: the cost of a limit does not depend on the mesh
certified = nw.certify(learned, problem)
mu = problem.parameters.sample(range(500), seed=1)
answer = certified.predict(mu)
size = np.sqrt(problem.systems(mu).energy(problem.space.flatten(answer.field)))
relative = answer.bound / (size - answer.bound)
print(answer.guarantee)
print(f"a regression on 40 runs: median limit {np.median(relative):.1%}, largest {relative.max():.1%}")

# where the limit misses 0.1 %: one full solve, one more basis vector, go on
session = nw.Enriching(certified, problem, rtol=1e-3)
better = session.predict(mu)
print(f"500 answers within {better.stats['relative'].max():.3%} for {session.full_solves} full solves")
again = session.predict(problem.parameters.sample(range(500), seed=2))
print(f"500 others within {again.stats['relative'].max():.3%}: {session.full_solves} full solves in all")
