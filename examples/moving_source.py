"""A conducting spot that moves: coefficients that are not affine, limits that count it, and a sensor that breaks."""

import numpy as np

import nwidth as nw

problem = nw.problems.get("moving-bump", resolution=32, source="moving")

# 1. the conductivity and the source in a few terms, each from a few of its values
affine = nw.rb.separated(problem, training=300, tol=1e-5)
conductivity = affine.parts["diffusion"]
print(f"conductivity: {conductivity.terms} terms, Lebesgue constant {conductivity.lebesgue:.1f}")
for terms in range(0, conductivity.terms + 1, 10):
    print(f"  {terms:3d} terms: largest error {conductivity.errors[terms]:.1e}")

# 2. a reduced basis whose limits refer to the true conductivity, not to the interpolated one
basis = nw.rb.Greedy(tol=1e-3, training=200, loads="sum").fit(problem=affine)
certified = nw.certify(basis, problem)
answer = certified.predict(problem.parameters.sample(range(200), seed=1))
truth = nw.solve(problem, answer.mu).field
difference = truth - answer.field
error = np.sqrt(problem.systems(answer.mu).energy(difference))
print(f"\n{basis.modes} modes. {answer.guarantee}")
print(f"largest error {error.max():.1e}, largest limit {answer.bound.max():.1e}, ", end="")
print(
    f"limit / error {np.median(answer.bound / error):.2f}, missed {int((error > answer.bound).sum())} of {len(error)}"
)
print(f"part of the limits that the interpolation makes: {np.median(answer.stats['interpolation'] / answer.bound):.0%}")

# 3. the whole field from sensors, in the energy norm; three more sensors than fields, and one of them breaks
inner = problem.space.inner("energy")
sensors = nw.rb.SymmetricEIM(tol=1e-2, extra=3).fit(truth[:150], inner, allowed=problem.free)
print(f"\n{len(sensors.points)} sensors for {sensors.terms} fields")
unseen, amplification, loss = truth[150:], [], []
for broken in ([], [2], [2, 7], [2, 7, 11]):
    left = sensors.without(broken)
    found = left.reconstruct(unseen[:, left.points])
    amplification.append(left.amplification)
    loss.append(float((inner.norm(unseen - found) / inner.norm(unseen)).max()))
    print(f"  {len(broken)} broken: amplification {amplification[-1]:.1f}, largest error {loss[-1]:.1e} of the field")
