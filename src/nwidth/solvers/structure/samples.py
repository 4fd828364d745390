"""How the samples of a problem differ from one of them, the reference: `A = scale A₀ + change`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.validation import batch_size, select
from nwidth.problems.base import Affine, Linear
from nwidth.solvers.structure.low_rank import FEW, hopeless
from nwidth.spaces.factor import Pattern, restricted

_EPS = float(np.finfo(np.float64).eps)
#: Entries that are compared to find the factor between two matrices.
_COMPARED = 1000


@dataclass(frozen=True, eq=False)
class Split:
    """One sample on the free dofs: `(scale A₀ + change) w = load`, with `u = lift + w` over all dofs."""

    scale: float
    change: sp.csr_array | None
    load: Array
    lift: Array


class Source(ABC):
    """Where samples come from; `reference` is A₀ on the free dofs."""

    reference: sp.csr_array
    free: Mask

    @abstractmethod
    def splits(self, mu: Mu) -> list[Split | None]:
        """Every sample relative to the reference; None for one that has little in common with it."""


class Assembled(Source):
    """Samples of any linear problem, compared entry by entry with the first one."""

    def __init__(self, problem: Linear, mu: Mu):
        system = problem.assemble(select(mu, slice(0, 1)))
        self._problem, self.free = problem, system.free
        self.reference = restricted(sp.csr_array(system.matrix), system.free)
        self._pattern = Pattern.of(self.reference)

    def splits(self, mu: Mu) -> list[Split | None]:
        return [self._split(select(mu, slice(i, i + 1))) for i in range(batch_size(mu))]

    def _split(self, mu: Mu) -> Split | None:
        system = self._problem.assemble(mu)
        if not np.array_equal(system.free, self.free):
            return None
        matrix = restricted(sp.csr_array(system.matrix), system.free)
        load = system.load[system.free]
        if not (np.isfinite(matrix.data).all() and np.isfinite(load).all()):
            return None
        scale, change = self._compare(matrix)
        if change is not None and hopeless(change):
            return None
        return Split(scale, change, load, system.lift)

    def _compare(self, matrix: sp.csr_array) -> tuple[float, sp.csr_array | None]:
        if not self._pattern.fits(matrix):
            change = sp.csr_array(matrix - self.reference)
            return 1.0, _without(change, np.abs(change.data) <= 4 * _EPS * np.abs(self.reference.data).max())
        old, new = self.reference.data, matrix.data
        if np.array_equal(old, new):
            return 1.0, None
        scale, change = 1.0, self._difference(new, 1.0)
        if _rows(change) > FEW:
            other = _ratio(old, new)
            scaled = self._difference(new, other)
            if _rows(scaled) < _rows(change):
                scale, change = other, scaled
        return scale, change if change.nnz else None

    def _difference(self, values: Array, scale: float) -> sp.csr_array:
        """`A - scale A₀` without the entries that are rounding."""
        change = values - scale * self.reference.data
        return _without(self._pattern.matrix(change), np.abs(change) <= 4 * _EPS * np.abs(values))


class Sums(Source):
    """Samples of an affine problem, compared by their coefficients: `core` terms may only change by a common factor."""

    def __init__(self, problem: Affine, theta: Real, matrices: list[sp.csr_array], core: Mask):
        self._problem, self._terms = problem, problem.terms()
        self._theta, self._matrices, self._core = theta, matrices, core
        self.free = self._terms.free
        self._loads = np.ascontiguousarray(self._terms.loads[:, self.free])
        self.reference = total(theta, matrices)

    def splits(self, mu: Mu) -> list[Split | None]:
        thetas, phis = self._problem.coefficients(mu)
        return [self._split(theta, load) for theta, load in zip(thetas, phis @ self._loads, strict=True)]

    def _split(self, theta: Real, load: Array) -> Split | None:
        scale = common_factor(self._theta[self._core], theta[self._core])
        if scale is None or not np.isfinite(theta).all():
            return None
        rest = np.where(self._core, 0.0, theta - scale * self._theta)
        parts = [delta * self._matrices[q] for q, delta in enumerate(rest) if delta]
        return Split(scale, sp.csr_array(sum(parts)) if parts else None, load, self._terms.lift)


def total(scales: Real, matrices: list[sp.csr_array]) -> sp.csr_array:
    """The sum with every entry that a term has: SciPy's own sum drops zeros, and with them a symmetric pattern."""
    parts = [matrix.tocoo() for matrix in matrices]
    data = np.concatenate([scale * part.data for scale, part in zip(scales, parts, strict=True)])
    places = tuple(np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "col"))
    whole = sp.coo_array((data, places), shape=matrices[0].shape).tocsr()
    whole.sum_duplicates()
    return whole


def common_factor(old: Real, new: Real) -> float | None:
    """The number s with `new = s old`, to rounding; None where there is none or it is not positive."""
    place = int(np.argmax(np.abs(old)))
    scale = float(new[place] / old[place]) if old[place] else 0.0
    same = np.abs(new - scale * old) <= 4 * _EPS * np.abs(new)
    return scale if scale > 0 and same.all() else None


def _ratio(old: Array, new: Array) -> float:
    """The ratio that most entries of two matrices share; 1 where there is none worth the name."""
    if np.iscomplexobj(old) or np.iscomplexobj(new):
        return 1.0
    places = np.flatnonzero(old)
    places = places[:: max(1, len(places) // _COMPARED)]
    ratios = np.sort(new[places] / old[places])
    middle = float(ratios[len(ratios) // 2]) if len(ratios) else 1.0
    near = abs(middle - 1.0) <= 4 * _EPS
    return 1.0 if near or not (np.isfinite(middle) and middle > 0) else middle


def _rows(matrix: sp.csr_array) -> int:
    """How many rows are not empty."""
    return int(np.count_nonzero(np.diff(matrix.indptr)))


def _without(matrix: sp.csr_array, tiny: Mask) -> sp.csr_array:
    """The matrix without the marked entries (a copy)."""
    kept = sp.csr_array((np.where(tiny, 0.0, matrix.data), matrix.indices.copy(), matrix.indptr.copy()), matrix.shape)
    kept.eliminate_zeros()
    return kept
