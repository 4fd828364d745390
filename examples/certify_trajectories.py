"""A regression that knows nothing of heat or of time steps gets a guaranteed limit at every time step."""

from dataclasses import replace

import numpy as np

import nwidth as nw
from nwidth.certificates.parabolic_residual import SpaceTimeCertificate
from nwidth.problems.heat import Heat
from nwidth.problems.parabolic import Stepping
from nwidth.problems.stepped import Stepped
from nwidth.spaces.points import Points

# the equation, and the steps of the solver that the limits refer to
problem = Stepped(Heat(16), Stepping(dt=0.05, count=20, scheme="crank-nicolson"))
runs = nw.generate(problem, 60, seed=0)

# whole trajectories as rows of numbers: any regression learns these
rows = replace(runs, space=Points((20, 17 * 17)), fields=runs.fields.reshape(60, 20, -1), times=None)
learned = nw.rb.PODRegression().fit(rows)

model = nw.certify(learned, problem)
mu = problem.parameters.sample(range(6), seed=1)
answer = model.predict(mu)
print(answer.guarantee)

truth = problem.solve(mu)
errors = np.sqrt(np.sum((answer.field - truth) ** 2, axis=(2, 3)) / 16**2)
direct = SpaceTimeCertificate(problem, sweeps=0).bound(learned.predict(mu))
print("run   largest error over time   it lies between              without a sweep")
for i, error in enumerate(errors.max(axis=1)):
    print(f"{i:3d} {error:18.2e} {answer.lower[i]:18.2e} and {answer.bound[i]:.2e} {direct.bound[i]:20.2e}")
