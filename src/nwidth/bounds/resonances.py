"""Inf-sup constants proven offline for waves in a closed box: intervals without a resonance.

Let `A = X - D` with D diagonal, positive and a function of the parameters (Helmholtz with Dirichlet data: D holds k²n²
times the volumes), and let M be the D of a reference. With s_1 <= s_2 for which `X - s_1 M` and `X - s_2 M` have
equally many negative eigenvalues, the pencil (X, M) has no eigenvalue in [s_1, s_2). For a query with
`c_1 M <= D <= c_2 M`

    s_1 < c_1,  c_2 < s_2      prove      σ >= min(c_1 / s_1 - 1,  1 - c_2 / s_2).

Proof: for δ at most that minimum, `A - δX >= (1 - δ)X - c_2 M` has no more negative eigenvalues than (X, M) has
eigenvalues below c_2/(1 - δ) <= s_2, and `A + δX <= (1 + δ)X - c_1 M` no fewer than it has below c_1/(1 + δ) >= s_1.
These numbers are equal, so no eigenvalue of (A, X) lies in [-δ, δ).

Each end of an interval costs one factorisation, offline; a query costs a smallest and a largest ratio. What is proven
holds for every frequency and for all media close to the reference, `c_1` and `c_2` tell how close; next to a resonance
there is no σ, and no bound. Reference for the counts: Parlett, The Symmetric Eigenvalue Problem (1998), section 3.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.bounds.dual_norm import EPS
from nwidth.bounds.dual_residual import Constants, Dual, Norm, Prepared
from nwidth.bounds.inertia import NoInertiaError, signed_factor, skewness
from nwidth.bounds.metric import absolute_norm, energy_matrix
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.problems.base import Linear, Systems
from nwidth.problems.fixed_pattern import FixedPattern
from nwidth.spaces.factor import Pattern, minimum_degree

#: Distance, relative, of the ends of an interval from the computed resonances, and how often it may be doubled.
_ASIDE, _TRIALS = 1e-7, 12
_NEAR = "the query is at a resonance, outside the proven intervals, or too far from the reference medium"


@dataclass(frozen=True, eq=False)
class Resonances(Constants):
    """`low (G,)` and `high (G,)`: ends of intervals that hold no eigenvalue of (X, M), M the diagonal `(n,)` of a
    reference query on the free dofs. Proven for one X, whose digest is `product`; see `Resonances.build`."""

    kind: ClassVar[str] = "resonances"
    norm: ClassVar[Norm] = "gradient norm"

    mass: Real
    low: Real
    high: Real
    product: str

    @classmethod
    def build(cls, problem: FixedPattern, reference: Mu | Array, low: float, high: float) -> Self:
        """Intervals that cover `low` M to `high` M but for the neighbourhood of resonances.

        `reference`: a batch of one; for Helmholtz take k = 1 and a medium n, then `low` and `high` are squares of wave
        numbers. Raises InputError for another kind of problem or limits that make no sense.
        """
        if not 0 < low < high < np.inf:
            raise InputError(f"intervals from {low:g} to {high:g}; give 0 < low < high")
        x = _checked(problem)
        mass = _diagonals(problem, as_mu(reference, problem.parameters.names), x)
        if len(mass.low) != 1 or not (mass.low > 0).all():
            raise InputError(f"the reference has {len(mass.low)} rows; give one, with a positive diagonal")
        m = (mass.low[0] + mass.high[0]) / 2
        counter = _Counter(x, m)
        ends = _eigenvalues(x, m, low, high)
        gaps = [counter.gap(a, b) for a, b in pairwise(ends)]
        kept = np.array([gap for gap in gaps if gap is not None]).reshape(-1, 2)
        return cls(m, kept[:, 0], kept[:, 1], _digest(x))

    def prepare(self, problem: Linear) -> Prepared:
        x = _checked(problem)
        if len(self.mass) != x.shape[0]:
            raise InputError(f"the intervals are for {len(self.mass)} free dofs; this problem has {x.shape[0]}")
        if self.product != _digest(x):
            raise InputError(
                f"the intervals are for {'another' if self.product else 'an unnamed'} energy product than that of "
                f"this {type(problem).__name__} (its grid or mesh, its lengths, its boundary), and prove nothing here; "
                "build them for this problem: Resonances.build(problem, reference, low, high)"
            )
        lambda_min = problem.space.inner("energy").lambda_min

        def constants(mu: Mu, systems: Systems | None = None) -> Dual:
            d = _diagonals(problem, as_mu(mu, problem.parameters.names), x)
            value = self.at((d.low / self.mass).min(axis=1), (d.high / self.mass).max(axis=1)) - d.rest / lambda_min
            known = value > 0
            above = np.where(known, (1 + 4 * EPS) / np.where(known, value, 1.0), np.inf)
            most = np.maximum(1.0, d.high.max(axis=1) / lambda_min - 1.0) + d.rest / lambda_min
            reason = np.where(known, "", _NEAR).astype(object)
            return Dual(above, (1 - 8 * EPS) / most, reason, self.norm)

        return constants

    def at(self, lowest: Real, highest: Real) -> Real:
        """σ for queries with `lowest M <= D <= highest M`, `(B,)` each; not above zero where nothing is proven."""
        if not len(self.low):
            return np.zeros(len(lowest))
        under = lowest[:, None] * (1 - 4 * EPS) / self.low - 1
        over = 1 - highest[:, None] * (1 + 4 * EPS) / self.high
        return np.minimum(under, over).max(axis=1) - 4 * EPS

    def to_parts(self) -> Parts:
        return Parts({"product": self.product}, {"mass": self.mass, "low": self.low, "high": self.high}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The table again; files of versions before digests fit no problem: they say what to do when they are used."""
        mass, low, high = (np.array(arrays[name]) for name in ("mass", "low", "high"))
        return cls(mass, low, high, config.get("product", ""))


@dataclass(frozen=True, eq=False)
class _Diagonals:
    """`low <= D <= high`, `(B, n)`, what rounding leaves open between; `rest (B,)`: how far A + D may be from X."""

    low: Real
    high: Real
    rest: Real


def _checked(problem: Linear) -> sp.csr_array:
    """X, on the pattern of the problem's matrices. Raises InputError where A is not X less a diagonal."""
    if not isinstance(problem, FixedPattern) or np.issubdtype(problem.space.dtype, np.complexfloating):
        raise InputError(
            f"{type(problem).__name__}: intervals without a resonance are for real matrices X - D of one pattern "
            "(Helmholtz with Dirichlet data); take InfSupConstants(), a proof for each query"
        )
    x = energy_matrix(problem.space)
    x.sort_indices()
    if not problem.pattern.same(Pattern.of(x)):
        raise InputError(f"the matrices of {type(problem).__name__} have another pattern than the energy product")
    return x


def _digest(x: sp.csr_array) -> str:
    """Which X the table is for, bit for bit."""
    parts = (x.indptr.astype(np.int64), x.indices.astype(np.int64), x.data)
    return sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def _diagonals(problem: Linear, mu: Mu, x: sp.csr_array) -> _Diagonals:
    if not isinstance(problem, FixedPattern):
        raise InputError(f"{type(problem).__name__} is not FixedPattern")
    values, pattern = problem.fill(mu).values, problem.pattern
    d = x.data[pattern.diagonal] - values[:, pattern.diagonal]
    room = 16 * EPS * (np.abs(x.data[pattern.diagonal]) + np.abs(values[:, pattern.diagonal]))
    other = np.abs(values - x.data) + 4 * EPS * np.abs(x.data)
    other[:, pattern.diagonal] = 0.0
    sums = np.add.reduceat(other, pattern.indptr[:-1], axis=1)
    return _Diagonals(d - room, d + room, sums.max(axis=1) * (1 + 16 * EPS))


class _Counter:
    """Proofs that (X, M) has no eigenvalue between two numbers; each count is made once."""

    def __init__(self, x: sp.csr_array, mass: Real):
        self._x, self._mass, self._order = x, mass, minimum_degree(Pattern.of(x))
        self._norms = absolute_norm(x), float(mass.max()), skewness(x)

    def gap(self, left: float, right: float) -> tuple[float, float] | None:
        """The proven part of (left, right), whose ends may be eigenvalues; None where there is none."""
        aside = _ASIDE
        for _ in range(_TRIALS):
            s1, s2 = left * (1 + aside), right * (1 - aside)
            if not s1 < s2:
                return None
            try:
                low, high = self._count(s1), self._count(s2)
            except NoInertiaError:
                low, high = (0, 0.0), (1, 0.0)  # a pivot of zero: another shift has another
            start, stop = s1 + low[1], s2 - high[1]
            if low[0] == high[0] and start < stop:
                return start * (1 + 2 * EPS), stop * (1 - 2 * EPS)
            aside *= 4
        return None

    def _count(self, s: float) -> tuple[int, float]:
        """Negative eigenvalues of `X - s M`, and how far from s, in eigenvalues of (X, M), that count may be off."""
        shifted = sp.csr_array(self._x - sp.diags_array(s * self._mass))
        rounding = 8 * EPS * (self._norms[0] + s * self._norms[1]) + self._norms[2]
        found = signed_factor(shifted, self._order).inertia(rounding)
        return found.negative, found.shift / float(self._mass.min()) * (1 + 4 * EPS)


def _eigenvalues(x: sp.csr_array, mass: Real, low: float, high: float) -> Real:
    """Those of (X, M) between two numbers and the next one on either side (or 0, or the upper number again), ascending,
    as computed: the counts judge them."""
    n, m = x.shape[0], sp.csr_array(sp.diags_array(mass))
    wanted = min(_below(x, mass, high) + 2, n - 1)
    if wanted > n // 2 or n < 50:
        root = np.sqrt(mass)
        values = np.linalg.eigvalsh(x.toarray() / np.outer(root, root))
    else:
        values = np.asarray(sla.eigsh(sp.csc_array(x), wanted, sp.csc_array(m), sigma=0.0, return_eigenvectors=False))
    first = values[values <= low].max(initial=1e-3 * low)
    last = values[values >= high].min(initial=2.0 * high)
    return np.unique(np.concatenate([[first], values[(values > low) & (values < high)], [last]]))


def _below(x: sp.csr_array, mass: Real, s: float) -> int:
    """About how many eigenvalues of (X, M) lie below s."""
    shifted = sp.csr_array(x - sp.diags_array(s * (1 + _ASIDE) * mass))
    signs = signed_factor(shifted, minimum_degree(Pattern.of(x))).signs
    return int((signs < 0).sum())
