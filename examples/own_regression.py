"""A regression of your own in place of the built-in one: anything with fit(X, Y) and predict(X).

Its answers are fields like any others, so they get the same guaranteed limit.
"""

import numpy as np

import nwidth as nw


class Quadratic:
    """Least squares on all monomials up to degree two."""

    def fit(self, x, y):
        self.weights = np.linalg.lstsq(self._monomials(x), y, rcond=None)[0]
        return self

    def predict(self, x):
        return self._monomials(x) @ self.weights

    def _monomials(self, x):
        products = [x[:, i] * x[:, j] for i in range(x.shape[1]) for j in range(i + 1)]
        return np.column_stack([np.ones(len(x)), x, *products])


problem = nw.problems.get("poisson", resolution=32)
snapshots = nw.generate(problem, 60, seed=0)
surrogate = nw.rb.PODRegression(regressor=Quadratic()).fit(snapshots, problem, seed=0)
certified = nw.certify(surrogate, problem)
answer = certified.predict(problem.parameters.sample(range(8), seed=1))
exact = nw.refine(answer, problem, rtol=1e-4)

if __name__ == "__main__":
    print(answer.guarantee)
    print("limits:       ", np.array2string(answer.bound, precision=2))
    print("after refining", np.array2string(exact.bound, precision=2))
