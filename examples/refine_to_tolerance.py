"""Answers of a surrogate taken to a guaranteed tolerance, within a deadline, and how far off they were before."""

import numpy as np

import nwidth as nw

problem = nw.problems.get("darcy", resolution=32)
runs = nw.generate(problem, 80, seed=0)
certified = nw.certify(nw.rb.PODRegression(modes=20).fit(runs, problem, seed=0), problem)

refiner = nw.Refiner(problem)
rough = certified.predict(problem.parameters.sample(range(6), seed=1))
answer = refiner.refine(rough, rtol=1e-4)
hurried = refiner.refine(rough, rtol=1e-4, deadline=0.0)

if __name__ == "__main__":
    norm = answer.stats["norm"]
    before, after, steps = answer.stats["before_upper"] / norm, answer.bound / norm, answer.stats["iterations"]
    print(answer.guarantee)
    print("case   off before   limit before   limit after   steps")
    for row in range(len(answer)):
        line = f"{100 * before[row]:11.4f} % {100 * rough.bound[row] / norm[row]:12.4f} % {100 * after[row]:12.6f} %"
        print(f"{row:4d} {line} {steps[row]:7d}")
    reached = np.max(hurried.bound / hurried.stats["norm"])
    print(
        f"without any time: {int(hurried.stats['met'].sum())} of {len(hurried)} there, the worst {100 * reached:.2f} %"
    )
