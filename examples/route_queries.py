"""Each query by the cheapest way: the surrogate alone, refined, or solved; and fields unlike those of the training."""

import numpy as np

import nwidth as nw

# smooth coefficient fields, a regression on 200 of them, and a guaranteed limit for each of its answers
problem = nw.problems.get("darcy", resolution=32, law="log-normal", sigma=0.4, alpha=4.0, modes=24)
runs = nw.generate(problem, 200, seed=0)
certified = nw.certify(nw.rb.PODRegression(modes=20).fit(runs), problem)

# what the ways cost on this machine is measured once; then a batch is planned
queries = problem.parameters.sample(range(1000, 1100), seed=0)
for rtol in (0.2, 0.03, 1e-6):
    refining = nw.Refining(certified, problem, rtol).measured(count=8)
    answer = refining.predict(queries)
    seconds = refining.costs.costs(len(answer))
    plans = ", ".join(f"{plan} {1e3 * s:.0f} ms" for plan, s in seconds.items())
    print(f"rtol {rtol:g}: {nw.Mix.of(answer)}; expected: {plans}")
    print(f"   every answer within {answer.stats['relative'].max():.2g}, guaranteed")

# the set of the law holds all of these fields; what the regression has seen does not
known = certified.parameters
rough = nw.problems.get("darcy", resolution=32, law="log-normal", sigma=0.4, alpha=2.0, modes=24).parameters
strange = {
    "of the same law": queries["a"][:50],
    "rougher": rough.sample(range(50), seed=0)["a"],
    "scaled by 1.3": 1.3 * queries["a"][:50],
}
shares = {}
for name, fields in strange.items():
    shares[name] = float(known.contains({"a": fields}).mean())
    print(f"{name}: {shares[name]:.0%} inside. {known.describe({'a': fields})[0]}")
p, words = known.drift({"a": np.concatenate([strange["of the same law"][:20], strange["rougher"][:20]])})
print(f"20 of the one and 20 of the other are no batch of the training's law: p = {p:.1e} ({words})")
