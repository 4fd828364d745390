"""The offline stage of the successive constraint method: what is proven, where, and with which multipliers.

At each step the training parameter with the widest relative gap between the proven lower bound and the smallest
quotient seen gets either the multipliers of its linear program or, where that is up to date, a proven constant of its
own. Reference: Huynh, Rozza, Sen and Patera (2007), section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from nwidth.bounds.positive import Sums, descend
from nwidth.bounds.scm import SuccessiveConstraints
from nwidth.bounds.spectrum import Ends, ends
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import WorkError

#: Share of X that terms may miss to count as spanning it.
_SPANNED = 1e-10


@dataclass(frozen=True)
class Progress:
    """How the search went: the widest gap before each step, and the training parameters that got a proof."""

    gaps: list[float]
    chosen: list[int]


class Search:
    """The state of one construction; matrices live on the free dofs, the last one is X."""

    def __init__(self, terms: list[sp.csr_array], x: sp.csr_array, riesz: Callable[[Array], Array], lambda_min: float):
        self.sums, self.lambda_min, self.riesz = Sums.of([*terms, x]), lambda_min, riesz
        self.count = len(terms)
        self.x = self.sums.matrix(np.append(np.zeros(self.count), 1.0))
        self.seen: list[Real] = []
        self.anchors: list[Real] = []
        self.alphas: list[float] = []
        self.multipliers: list[Real] = []
        box = [self._constants(unit) for unit in np.eye(self.count)]
        self.low, self.high = (np.array(side) for side in zip(*box, strict=True))
        self._span()

    def _constants(self, theta: Real) -> tuple[float, float]:
        """Proven `low X <= A(θ) <= high X`, the quotients of the extreme vectors noted."""
        found = self._ends(theta)
        return (
            descend(self.sums, theta, self.lambda_min, found.lowest),
            -descend(self.sums, -theta, self.lambda_min, found.highest.negative),
        )

    def _ends(self, theta: Real) -> Ends:
        found = ends(self.sums.matrix(np.append(theta, 0.0)), self.x, self.riesz)
        self.seen += [self._quotients(found.lowest.vector), self._quotients(found.highest.vector)]
        return found

    def _quotients(self, v: Real) -> Real:
        """y(v), `(Q,)`."""
        pattern = self.sums.pattern
        products = np.array([v @ (pattern.matrix(values) @ v) for values in self.sums.values])
        return products[:-1] / products[-1]

    def _span(self) -> None:
        """Where X is a combination of the terms, that is a constraint from both sides."""
        terms, x = self.sums.values[:-1], self.sums.values[-1]
        reference = np.linalg.lstsq(terms @ terms.T, terms @ x, rcond=1e-12)[0]
        reference[np.abs(reference) < 1e-9 * np.abs(reference).max()] = 0.0
        if np.linalg.norm(reference @ terms - x) <= _SPANNED * np.linalg.norm(x):
            self.prove(reference)

    def prove(self, theta: Real) -> None:
        """Constraints from both sides at θ. Raises WorkError where no proof succeeds."""
        low, high = self._constants(theta)
        self.anchors += [theta, -theta]
        self.alphas += [low, -high]
        self.multipliers = [np.append(m, [0.0, 0.0]) for m in self.multipliers]
        self.multipliers += list(np.eye(len(self.anchors))[-2:])

    def result(self) -> SuccessiveConstraints:
        """What is known so far."""
        known = len(self.anchors)
        anchors = np.array(self.anchors).reshape(known, self.count)
        multipliers = np.array(self.multipliers or [np.zeros(known)])
        return SuccessiveConstraints.of(self.low, self.high, anchors, np.array(self.alphas), multipliers)

    def program(self, theta: Real) -> bool:
        """Take the multipliers of the linear program at θ; False where it has no use for any."""
        if not self.anchors:
            return False
        box = list(zip(self.low, self.high, strict=True))
        found = linprog(theta, -np.array(self.anchors), -np.array(self.alphas), bounds=box, method="highs")
        if found.status != 0:
            return False
        weights = np.maximum(-found.ineqlin.marginals, 0.0)
        self.multipliers.append(weights)
        return bool(weights.max() > 0)

    def quotients_below(self, theta: Real) -> Real:
        """The smallest quotient seen, an upper bound of the constant but for rounding, `(B,)`."""
        return (theta @ np.array(self.seen).T).min(axis=1)


def build(search: Search, theta: Real, tol: float | None, proofs: int) -> tuple[SuccessiveConstraints, Progress]:
    """Constraints until `1 - lower/seen <= tol` at every training θ `(B, Q)`, or `proofs` parameters have a proof.

    Raises WorkError where a training parameter is not coercive, or keeps no positive lower bound.
    """
    progress, current = Progress([], []), np.full(len(theta), -1)
    while True:
        found = search.result()
        lower, above = found.constants(theta).lower, search.quotients_below(theta)
        _check_coercive(above)
        gap = 1 - lower / above
        worst = int(np.argmax(gap))
        progress.gaps.append(float(gap[worst]))
        if tol is not None and gap[worst] <= tol:
            return _pruned(found, theta), progress
        if current[worst] == len(search.anchors):
            if len(progress.chosen) == proofs or worst in progress.chosen:
                return _ended(found, theta, lower, gap, tol), progress
            search.prove(theta[worst])
            progress.chosen.append(worst)
        search.program(theta[worst])
        current[worst] = len(search.anchors)


def _check_coercive(above: Real) -> None:
    if (above <= 0).any():
        row = int(np.argmin(above))
        raise WorkError(
            f"the problem is not coercive at training parameter {row}: a vector was found with (A v, v) = "
            f"{above[row]:.3g} (X v, v); leave such parameters out of the training set"
        )


def _ended(
    found: SuccessiveConstraints, theta: Real, lower: Real, gap: Real, tol: float | None
) -> SuccessiveConstraints:
    """The result at the end of the budget. Raises WorkError where it is not what was asked for."""
    worst = int(np.argmax(gap))
    missed = tol is not None and gap[worst] > tol
    if missed or lower[worst] <= 0:
        raise WorkError(
            f"with {len(found.alphas) // 2} proofs the lower bound at training parameter {worst} is "
            f"{lower[worst]:.3g}, {gap[worst]:.0%} below the smallest quotient seen"
            f"{f' (tol = {tol:g})' if missed else ''}; allow more proofs, or raise tol"
        )
    return _pruned(found, theta)


def _pruned(found: SuccessiveConstraints, theta: Real) -> SuccessiveConstraints:
    """Without the multipliers that no training parameter needs, for bounds of either side."""

    def taking(rows: Array | slice) -> SuccessiveConstraints:
        return replace(found, values=found.values[rows], shifts=found.shifts[rows])

    each = [taking(slice(m, m + 1)).constants(theta) for m in range(len(found.values))]
    lowers, uppers = np.array([e.lower for e in each]), np.array([e.upper for e in each])
    return taking(np.union1d(lowers.argmax(axis=0), uppers.argmin(axis=0)))
