"""A limit without a stability constant: calibrated on unseen runs, and shaped so that it knows its bad answers."""

import numpy as np

import nwidth as nw
from nwidth.certificates.conformal import calibrate

# waves that leave through the boundary: complex, indefinite; the parameters are a wave number and an index field
problem = nw.problems.get("helmholtz", resolution=24, boundary="absorbing", lowest=4.0, highest=10.0)
train, unseen, fresh = nw.generate(problem, 540, seed=0).split(100, 140, 300)
surrogate = nw.rb.PODRegression().fit(train, problem)
fresh = fresh.take(np.flatnonzero(surrogate.predict(fresh.mu).inside))  # others get no limit, and are told why
bare = surrogate.predict(fresh.mu)
energy = problem.space.inner("energy")
error = energy.norm(problem.space.flatten(bare.field - fresh.fields))

# one limit for all queries, and one that follows the residual of the equation: whom would they send to the solver?
common = calibrate(surrogate, unseen, norm="energy", scale="one for all").bound(bare)
certified = nw.certify(surrogate, problem, holdout=unseen, norm="energy", training=train)
answer = certified.predict(fresh.mu)
tolerance = 0.7 * common.bound[0]
accepted = answer.bound <= tolerance
print(answer.guarantee)
for name, found in (("one limit for all", common), (certified.certificate.difficulties["field"].name, answer)):
    share = np.mean(found.bound <= tolerance)
    print(f"{name}: held on {np.mean(error <= found.bound):.0%}, accepts {share:.0%} of the answers at {tolerance:.2f}")
print(f"of those accepted, {np.mean(error[accepted] <= tolerance):.1%} meet the tolerance")

# a promise for the accepted answers alone: who they are is chosen before the limit is known
routed = nw.certify(surrogate, problem, holdout=unseen, norm="energy", accept=tolerance).predict(fresh.mu)
chosen = routed.bound <= tolerance
print(f"with accept={tolerance:.2f}: held on {np.mean((error <= routed.bound)[chosen]):.0%} of {chosen.sum()} accepted")

# a width for every node of the field, all of them at once
banded = nw.certify(surrogate, problem, holdout=unseen, norm="band")
field = banded.predict(fresh.mu)
band = banded.certificate.band(field)
inside = (np.abs(field.field - fresh.fields) <= band).all(axis=(1, 2))
print(
    f"a band at {band[0].size} nodes at once: held on {inside.mean():.0%}; widths {band.min():.2g} to {band.max():.2g}"
)
