"""Any function that answers with fields gets a guaranteed limit: here a regression in ten lines of NumPy.

Nothing is asked of the function. A good answer gets a small limit, a poor one a large limit, nonsense a limit too.
"""

import numpy as np

import nwidth as nw

problem = nw.problems.get("darcy", resolution=32)
runs = nw.generate(problem, 300, seed=0)


def features(a):
    """The leading cosine waves of the coefficient and of its reciprocal, and their products."""
    waves = np.cos(np.pi * np.outer(np.arange(5), np.linspace(0, 1, a.shape[-1])))
    f = np.stack([np.log(a), 1 / a], axis=1)
    z = np.einsum("ij,bcjk,lk->bcil", waves, f, waves).reshape(len(a), -1) / a.shape[-1] ** 2
    pairs = z[:, :10, None] * z[:, None, :10]
    return np.concatenate([np.ones((len(a), 1)), z, pairs.reshape(len(a), -1)], axis=1)


X, Y = features(np.asarray(runs.mu["a"])), np.asarray(runs.fields).reshape(len(runs), -1)
weights = np.linalg.solve(X.T @ X + 1e-3 * np.eye(X.shape[1]), X.T @ Y)  # or scikit-learn: Ridge().fit(X, Y)


def regression(mu):
    return (features(mu["a"]) @ weights).reshape(-1, *problem.space.shape)


def nonsense(mu):
    return np.random.default_rng(0).standard_normal((len(mu["a"]), *problem.space.shape))


mu = problem.parameters.sample(range(64), seed=1)
certified = nw.certify(nw.from_function(regression, problem), problem)
answer = certified.predict(mu)
zero = nw.certify(nw.from_function(lambda mu: 0 * mu["a"], problem), problem).predict(mu)
wild = nw.certify(nw.from_function(nonsense, problem), problem).predict(mu)
exact = nw.refine(answer, problem, rtol=1e-4)

size = exact.stats["norm"]
print(answer.guarantee)
for name, one in {"regression": answer, "zero": zero, "nonsense": wild, "refined": exact}.items():
    low, high = 100 * np.median(one.lower / size), 100 * np.median(one.bound / size)
    print(f"{name:<11} true error between {low:.3g} % and {high:.3g} % of the solution (median)")
