"""The steps of implicit methods for `M u' + A u = f(t)`: one factorisation for all steps of a length."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.problems.evolution import Marching
from nwidth.spaces.factor import Factor, Pattern, general_factor, new_factor


class Factors:
    """Factorisations of matrices of one pattern after the other; a matrix that was just factorised is not done again.

    Each `slot` keeps its own, so that two step lengths do not drive each other out.
    """

    def __init__(self) -> None:
        self._pattern: Pattern | None = None
        self._held: dict[tuple[str, bool], tuple[Factor, Array]] = {}
        self.count = 0

    def of(self, slot: str, pattern: Pattern, values: Array, definite: bool) -> Factor:
        """The factorisation of the matrix with these values. Raises SingularMatrixError."""
        if self._pattern is None or not _same(self._pattern, pattern):
            self._pattern, self._held = pattern, {}
        held = self._held.get((slot, definite))
        if held is not None and np.array_equal(held[1], values):
            return held[0]
        factor = held[0] if held is not None else (new_factor(pattern) if definite else general_factor(pattern))
        self._held.pop((slot, definite), None)
        factor.factorise(values)
        self._held[slot, definite] = factor, values
        self.count += 1
        return factor


class Equation:
    """The matrices of one or several samples that share them: `M` and `A` over one pattern, loads `(k, N)`."""

    def __init__(self, samples: Sequence[Marching]):
        first = samples[0]
        self._samples = samples
        mass, operator = sp.csr_array(first.mass), sp.csr_array(first.operator)
        self.free, self.definite, size = first.free, first.definite, mass.shape[0]
        shapes = {"mass": mass.shape, "operator": operator.shape, "free": (len(first.free), size)}
        if len(set(shapes.values())) != 1:
            raise InputError(f"the matrices do not fit together: {shapes}; give (N, N) over all dofs and free (N,)")
        union = _ones(mass) + _ones(operator)
        union.sort_indices()
        self._whole = Pattern.of(union)
        self.mass, self.operator = (self._whole.matrix(_spread(m, self._whole)) for m in (mass, operator))
        for name, matrix in (("mass", self.mass), ("operator", self.operator)):
            if not np.isfinite(matrix.data).all():
                raise InputError(f"the {name} matrix holds values that are not finite; check the coefficients")
        inside = first.free[self._whole.rows] & first.free[self._whole.indices]
        self._places = np.flatnonzero(inside)
        self.pattern = _restricted(self._whole, first.free, self._places)

    def __len__(self) -> int:
        return len(self._samples)

    def combined(self, gamma: float) -> sp.csr_array:
        """`M + γ A` over all dofs."""
        return self._whole.matrix(self.mass.data + gamma * self.operator.data)

    def inner(self, matrix: sp.csr_array) -> Array:
        """The values of a combined matrix between free dofs, in the order of `pattern`."""
        return matrix.data[self._places]

    def load(self, t: float) -> Real:
        """Loads `(k, N)` at a time."""
        zero = np.zeros(len(self.free))
        return _finite("load", t, np.stack([zero if s.load is None else s.load(t) for s in self._samples]))

    def lift(self, t: float) -> Real:
        """Prescribed values at a time, zero on the free dofs, `(k, N)`."""
        zero = np.zeros(len(self.free))
        rows = [zero if s.lift is None else np.where(self.free, 0.0, s.lift(t)) for s in self._samples]
        return _finite("lift", t, np.stack(rows))

    @staticmethod
    def alike(one: Marching, other: Marching) -> bool:
        """Whether two samples have the same matrices."""
        same = other.definite == one.definite and np.array_equal(other.free, one.free)
        return same and _equal(other.mass, one.mass) and _equal(other.operator, one.operator)


class Point(NamedTuple):
    """Where a march stands: time, states `(k, N)`, and the change of the latest step (None at a start)."""

    t: float
    u: Real
    change: Real | None


@dataclass(frozen=True, eq=False)
class Stage:
    """A step of length h: with K = M + γ A, `K δ = b(u, …)` for the change δ of the free dofs."""

    equation: Equation
    factor: Factor
    matrix: sp.csr_array
    gamma: float
    h: float

    def solve(self, point: Point, right: Real) -> Point:
        """One step, given the right-hand side `(k, N)` without the share of the prescribed values."""
        e, after = self.equation, point.t + self.h
        change = np.where(e.free, 0.0, e.lift(after) - point.u)
        right = right - _times(self.matrix, change)
        change[:, e.free] = self.factor.solve(np.ascontiguousarray(right[:, e.free]))
        return Point(after, point.u + change, change)

    def residual(self, before: Point, after: Point, right: Real) -> Real:
        """The relative residual of the linear systems of a step, `(k,)`."""
        change = after.u - before.u
        left = (right - _times(self.matrix, change))[:, self.equation.free]
        scale = np.linalg.norm(right[:, self.equation.free], axis=1)
        return np.linalg.norm(left, axis=1) / np.where(scale > 0, scale, 1.0)


class Method(Protocol):
    """A one- or two-step method: the steps of one interval of equal steps."""

    def steps(self, equation: Equation, factors: Factors, point: Point, h: float, count: int) -> tuple[Point, Real]:
        """The point after `count` steps h, and the largest relative residual of the last system of each sample."""


class Trapezoidal:
    """Crank-Nicolson: `M (u⁺ - u) / h + A (u⁺ + u) / 2 = (f⁺ + f) / 2`, γ = h/2.

    `smooth`: the first so many steps of a march are two backward Euler steps of h/2 each (Rannacher 1984), which have
    the same matrix and damp what Crank-Nicolson lets ring.
    """

    def __init__(self, smooth: int):
        self._left = smooth

    def steps(self, equation: Equation, factors: Factors, point: Point, h: float, count: int) -> tuple[Point, Real]:
        stage = _stage(equation, factors, "main", h / 2, h)
        residual = np.zeros(len(equation))
        smooth, self._left = min(self._left, count), max(self._left - count, 0)
        for _ in range(2 * smooth):
            point, residual = self._euler(replace(stage, h=h / 2), point)
        load = equation.load(point.t)
        for _ in range(count - smooth):
            after = equation.load(point.t + h)
            right = 0.5 * h * (load + after) - h * _times(equation.operator, point.u)
            before, point, load = point, stage.solve(point, right), after
            residual = stage.residual(before, point, right)
        return point, residual

    @staticmethod
    def _euler(stage: Stage, point: Point) -> tuple[Point, Real]:
        right = stage.h * (stage.equation.load(point.t + stage.h) - _times(stage.equation.operator, point.u))
        after = stage.solve(point, right)
        return after, stage.residual(point, after, right)


class TwoStep:
    """BDF2: `M (3 u⁺ - 4 u + u⁻) / 2h + A u⁺ = f⁺`, γ = 2h/3. A start, and a change of h, is a backward Euler step."""

    def __init__(self) -> None:
        self._h = 0.0

    def steps(self, equation: Equation, factors: Factors, point: Point, h: float, count: int) -> tuple[Point, Real]:
        residual = np.zeros(len(equation))
        if not np.isclose(h, self._h, rtol=1e-9, atol=0.0):
            point, self._h = point._replace(change=None), h
        main = _stage(equation, factors, "main", 2 * h / 3, h)
        for _ in range(count):
            force = equation.load(point.t + h) - _times(equation.operator, point.u)
            if point.change is None:
                stage, right = _stage(equation, factors, "start", h, h), h * force
            else:
                stage, right = main, 2 * h / 3 * force + _times(equation.mass, point.change) / 3
            before, point = point, stage.solve(point, right)
            residual = stage.residual(before, point, right)
        return point, residual


def _stage(equation: Equation, factors: Factors, slot: str, gamma: float, h: float) -> Stage:
    matrix = equation.combined(gamma)
    factor = factors.of(slot, equation.pattern, equation.inner(matrix), equation.definite)
    return Stage(equation, factor, matrix, gamma, h)


def _finite(name: str, t: float, rows: Real) -> Real:
    if np.isfinite(rows).all():
        return rows
    row, place = (int(i) for i in np.argwhere(~np.isfinite(rows))[0])
    raise InputError(f"{name}({t:g}) of sample {row} in its group is {rows[row, place]} at dof {place}; repair it")


def _times(matrix: sp.csr_array, rows: Real) -> Real:
    """The matrix times each row."""
    return np.ascontiguousarray((matrix @ np.ascontiguousarray(rows.T)).T)


def _ones(matrix: sp.csr_array) -> sp.csr_array:
    return sp.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)


def _spread(matrix: sp.csr_array, pattern: Pattern) -> Array:
    """The values of a matrix in the places of a larger pattern; repeated entries are summed."""
    size = matrix.shape[0]
    rows = np.repeat(np.arange(size, dtype=np.int64), np.diff(matrix.indptr))
    keys = pattern.rows.astype(np.int64) * size + pattern.indices
    places = np.searchsorted(keys, rows * size + matrix.indices)
    return np.bincount(places, matrix.data, minlength=len(keys))


def _restricted(pattern: Pattern, free: Mask, places: Array) -> Pattern:
    numbers = np.cumsum(free) - 1
    counts = np.bincount(numbers[pattern.rows[places]], minlength=int(free.sum()))
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Pattern(starts.astype(np.int32), numbers[pattern.indices[places]].astype(np.int32))


def _same(one: Pattern, other: Pattern) -> bool:
    return one is other or (np.array_equal(one.indptr, other.indptr) and np.array_equal(one.indices, other.indices))


def _equal(one: sp.csr_array, other: sp.csr_array) -> bool:
    return one is other or (
        one.shape == other.shape
        and np.array_equal(one.indptr, other.indptr)
        and np.array_equal(one.indices, other.indices)
        and np.array_equal(one.data, other.data)
    )
