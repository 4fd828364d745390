"""Burgers by a learned step: trajectories with a limit for each time, and times that were not stored."""

import numpy as np

import nwidth as nw
from nwidth.operators import FNO, Evolving, Training
from nwidth.problems.burgers import Burgers

problem = Burgers(0.02, resolution=64, solver_resolution=256, modes=32, levels=np.arange(1, 11) / 10)
runs = nw.snapshots.on_nodes(nw.generate(problem, 240, seed=0, workers=1))
train, holdout, test = runs.split(120, 60, 60)
network = FNO(modes=12, width=16, layers=3, training=Training(epochs=8, batch=16))


def errors(surrogate):
    """Relative L² errors of unseen runs at the stored times, `(runs, times)`."""
    found, truth = surrogate.predict(test.mu).field, np.asarray(test.fields)
    return np.linalg.norm(found - truth, axis=2) / np.linalg.norm(truth, axis=2)


# 1. one step u(t) -> u(t + 0.1), rolled out; and any lead time in one go
rollout = Evolving(network).fit(train, problem)
jump = Evolving(network, "lead-time").fit(train, problem)
by_step, by_jump = errors(rollout), errors(jump)
print("relative errors      " + "".join(f"   t = {t:.1f}" for t in runs.times[::3]))
for name, table in (("steps rolled out", by_step), ("lead times", by_jump)):
    print(f"  {name:18s} " + "".join(f"{100 * e:7.2f} %" for e in table.mean(axis=0)[::3]))

# 2. a limit for each stored time, from runs that training has not seen
certified = nw.certify(rollout, holdout=holdout, level=0.9)
answer = certified.predict(test.mu)
distance = np.sqrt(np.mean((answer.field - test.fields) ** 2, axis=2))
held = distance <= answer.stats["in time"]
print(f"\n{answer.guarantee}")
print(f"limit at t = 0.1: {answer.stats['in time'][0, 0]:.4f}, at t = 1: {answer.stats['in time'][0, -1]:.4f}")
print(f"held at {held.mean():.0%} of {held.size} unseen states")

# 3. times that were not stored: lead times interpolate, a rollout goes on after the last one
between, later = Burgers(0.02, 64, 256, (0.25, 0.85), modes=32), Burgers(0.02, 64, 256, (1.0, 1.5, 2.0), modes=32)
new = {}
for name, surrogate, other in (("between", jump, between), ("later", rollout, later)):
    truth = nw.solve(other, other.parameters.sample(test.index, seed=0)).field
    found = surrogate.at_times(other.times).predict(test.mu).field
    new[name] = (np.linalg.norm(found - truth, axis=2) / np.linalg.norm(truth, axis=2)).mean(axis=0)
    listed = ", ".join(f"{100 * e:.2f} % at t = {t:g}" for e, t in zip(new[name], other.times, strict=True))
    print(f"{'lead times' if name == 'between' else 'rollout'}, {name}: {listed}")
