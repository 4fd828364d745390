"""A power module in time: chip temperatures with guaranteed limits while powers and cooling change.

An RC network cannot follow a change of the cooling; this model can, and its limit stays as it is for hours.
"""

import numpy as np

from nwidth.certificates.parabolic import EvolutionCertificate
from nwidth.certificates.parabolic_dual import DualEvolutionCertificate
from nwidth.online.wrappers import Certified
from nwidth.problems.power_module_transient import PowerModuleTransient
from nwidth.rb.pod_greedy import PODGreedy

# offline: a few trajectories of 8 s (400 steps of 20 ms) with random powers and cooling, compressed to 24 modes
problem = PowerModuleTransient(count=400)
reduced = PODGreedy(tol=None, max_size=24, training=3, stride=4).fit(problem=problem)
certificate = EvolutionCertificate.build(reduced, anchors=problem.anchors())

# online: a drive cycle of ten minutes; the fan slows down after five
cycle = PowerModuleTransient(count=30_000, every=1_500, piece=1.0)
seconds = np.arange(600)
mu = {
    "k_interface": np.array([2.0]),
    "h": np.where(seconds < 300, 9_000.0, 2_500.0)[None],
    "P1": (70 + 60 * np.sin(2 * np.pi * seconds / 45))[None],
    "P2": np.where(seconds % 60 < 20, 120.0, 10.0)[None],
}
model = Certified(reduced.moved_to(cycle), DualEvolutionCertificate(certificate).moved_to(cycle))
answer = model.predict(mu)

print(model.guarantee)
print(f"{'time':>6} {'chip 1':>10} {'limit':>9} {'chip 2':>10} {'limit':>9}")
for i, time in enumerate(cycle.times):
    one, two = answer.outputs["chip 1"], answer.outputs["chip 2"]
    print(
        f"{time:5.0f} s {one.values[0, i]:7.2f} °C {one.limit[0, i]:7.4f} K "
        f"{two.values[0, i]:7.2f} °C {two.limit[0, i]:7.4f} K"
    )
