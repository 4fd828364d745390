"""Steps of a linear equation in extended precision, and errors of trajectories in it."""

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.prediction import Prediction, uncertified
from nwidth.core.validation import batch_size, select
from nwidth.problems.base import Evolution
from nwidth.problems.stepped import Stepped
from nwidth.spaces.trajectories import Trajectories

LONG = np.longdouble


def wide(matrix: sp.csr_array) -> Array:
    return np.asarray(matrix.toarray(), dtype=LONG)


def exact(problem: Stepped, mu: Mu) -> tuple[Array, Array]:
    """Levels and points of all steps, dofs `(B, K, N)`, in extended precision, from the definition."""
    steps, found = problem.stepping, []
    for i in range(batch_size(mu)):
        one = select(mu, slice(i, i + 1))
        system = problem.problem.marching(one)
        mass, operator, free = wide(sp.csr_array(system.mass)), wide(sp.csr_array(system.operator)), system.free
        weight, dt = LONG(steps.weight), LONG(steps.dt)
        matrix = mass / dt + weight * operator
        inner = matrix[np.ix_(free, free)]
        factor = np.linalg.inv(inner.astype(np.float64)).astype(LONG)
        u = np.where(free, problem.initial(one)[0].ravel(), system.lift(0.0)).astype(LONG)
        levels, points = [], []
        for k in range(1, steps.count + 1):
            right = weight * system.load(k * steps.dt).astype(LONG)
            right = right + (1 - weight) * system.load((k - 1) * steps.dt).astype(LONG)
            right = right + mass @ u / dt - (1 - weight) * (operator @ u)
            after = np.where(free, 0.0, system.lift(k * steps.dt)).astype(LONG)
            b, v = (right - matrix @ after)[free], np.zeros(free.sum(), dtype=LONG)
            for _ in range(10):
                v = v + factor @ (b - inner @ v)
            after[free] = v
            points.append(weight * after + (1 - weight) * u)
            levels.append(after)
            u = after
        found.append((np.array(levels), np.array(points)))
    return np.stack([f[0] for f in found]), np.stack([f[1] for f in found])


def errors(problem: Stepped, mu: Mu, field: Array) -> tuple[Real, Real]:
    """`‖e^k‖_M` `(B, K)` and `√(‖e^K‖²_M + Σ dt ‖e_ϑ‖²_A)` `(B,)` of dofs `(B, K, N)`, in extended precision."""
    levels, _ = exact(problem, mu)
    steps, in_time, energy = problem.stepping, [], []
    for i in range(len(field)):
        system = problem.problem.marching(select(mu, slice(i, i + 1)))
        e = (field[i].astype(LONG) - levels[i]) * system.free
        before = np.concatenate([np.zeros_like(e[:1]), e[:-1]])
        middle = LONG(steps.weight) * e + (1 - LONG(steps.weight)) * before
        squares = np.sum(e * (e @ wide(sp.csr_array(system.mass))), axis=1)
        work = np.sum(middle * (middle @ wide(sp.csr_array(system.operator))))
        in_time.append(np.sqrt(np.maximum(squares, 0)))
        energy.append(np.sqrt(squares[-1] + LONG(steps.dt) * work))
    return np.array(in_time).astype(np.float64), np.array(energy).astype(np.float64)


def prediction(problem: Evolution, mu: Mu, fields: Array) -> Prediction:
    """Trajectories `(B, K, N)` as somebody's answer."""
    shaped = fields.reshape(len(fields), -1, *problem.space.shape)
    inside = np.ones(len(fields), dtype=bool)
    return uncertified(mu, shaped, Trajectories(problem.space, problem.times), inside)


def disturbed(fields: Array, kind: str, size: float, seed: int) -> Array:
    """Trajectories `(B, K, N)` with an error of a kind."""
    rng, scale = np.random.default_rng(seed), size * max(1.0, float(np.abs(fields).max()))
    batch, steps, count = fields.shape
    shape = np.sin(np.pi * np.arange(count) / (count - 1))
    if kind == "none":
        return fields.copy()
    if kind == "zero":
        return np.zeros_like(fields)
    if kind == "huge":
        return fields + 1e12 * scale * rng.normal(size=fields.shape)
    if kind == "rough":
        return fields + scale * rng.normal(size=fields.shape)
    if kind == "jumps":  # every level has an error of its own, smooth in space
        return fields + scale * rng.normal(size=(batch, steps, 1)) * shape
    if kind == "late":  # right until the last step
        return fields + scale * shape * (np.arange(steps) == steps - 1)[None, :, None]
    return fields + scale * shape * np.linspace(0.0, 1.0, steps)[None, :, None]


KINDS = ("none", "zero", "huge", "rough", "jumps", "late", "drift")
