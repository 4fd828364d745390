"""Guaranteed limits where the matrix is not symmetric (transport) and not definite (waves), and refinement of both."""

import numpy as np

import nwidth as nw
from nwidth.bounds.resonances import Resonances
from nwidth.certificates.linear_residual import LinearResidualCertificate
from nwidth.core.prediction import uncertified

# heat carried by a uniform flow in any direction: a regression learns it from 40 runs
flow = nw.problems.get("advection_diffusion", resolution=32, peclet=20.0, flow="uniform")
learned = nw.rb.PODRegression().fit(nw.generate(flow, 40, seed=0))
certified = nw.certify(learned, flow)
answer = certified.predict(flow.parameters.sample(range(50), seed=1))
refined = nw.refine(answer, flow, 1e-4)
relative = answer.bound / refined.stats["norm"]
print(f"transport: {answer.guarantee}")
print(f"learned from 40 runs: limits from {relative.min():.1e} to {relative.max():.1e} of the field")
print(
    f"refined: at most {(refined.bound / refined.stats['norm']).max():.1e}, {refined.stats['iterations'].max()} steps"
)

# sound of any frequency in one medium: its resonances are proven once, between them every field gets a limit
room = nw.problems.get("helmholtz", resolution=32, lowest=5.0, highest=15.0)
medium = room.parameters.sample(range(1), seed=0)["n"]
table = Resonances.build(room, {"k": np.ones(1), "n": medium}, 5.0**2, 15.0**2)


def at(k: np.ndarray) -> dict[str, np.ndarray]:
    """Queries of the same medium at these wave numbers."""
    return {"k": k, "n": np.repeat(medium, len(k), axis=0)}


solved = np.linspace(5, 15, 401)
library = nw.solve(room, at(solved)).field
k = np.random.default_rng(0).uniform(5, 15, size=60)
# any surrogate would do: here, fields between the two nearest frequencies that were solved
place = np.clip(np.searchsorted(solved, k) - 1, 0, 399)
share = ((k - solved[place]) / 0.025)[:, None, None]
guess = uncertified(
    at(k), (1 - share) * library[place] + share * library[place + 1], room.space, np.ones(60, dtype=bool)
)
waves = LinearResidualCertificate.build(room, table).bound(guess)
size = room.space.inner("energy").norm(room.space.flatten(waves.field))
known = np.isfinite(waves.bound)
print(f"waves: {waves.guarantee}")
print(f"{len(table.low)} intervals without a resonance; {known.sum()} of 60 frequencies lie in one")
print(f"interpolated fields: half of them within {np.median((waves.bound / size)[known]):.1%}, guaranteed")
