"""Looks at a few samples of a problem for what all its matrices have in common.

Nothing here is a promise: a structure that the probes have is checked again for every sample that is solved.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.validation import as_mu, select
from nwidth.problems.base import Affine, Linear
from nwidth.solvers.structure.low_rank import FEW, LowRank, low_rank
from nwidth.solvers.structure.samples import Assembled, Source, Split, Sums, common_factor
from nwidth.spaces.factor import restricted

#: Samples drawn to look at: the second decides whether the others are needed.
_PROBES = 6
_SEED = 271_828
#: Changes smaller than this, relative to the largest entry of the matrix, are rounding of the assembly.
_NOISE = 1e-13
#: A low-rank change must be this much smaller than the matrix, or a factorisation is as cheap.
_SMALLER = 10


@dataclass(frozen=True, eq=False)
class Structure:
    """What the samples share: the reference of `source`, changes in the span of `change`, loads in that of `cases`.

    `change` None: none but a factor (`scaled`). `cases (r, n)`: loads on the free dofs; None: no small number of them.
    """

    source: Source
    scaled: bool
    change: LowRank | None
    cases: Array | None

    @property
    def note(self) -> str:
        """In words, for the log and the provenance."""
        loads = "" if self.cases is None else f", {len(self.cases)} load case{'s'[: len(self.cases) != 1]}"
        if self.change is not None:
            return f"rank-{self.change.rank} change of the matrix{loads}: Woodbury"
        matrix = "matrix fixed up to a factor" if self.scaled else "fixed matrix"
        return f"{matrix}{loads}: {'combined' if loads else 'factorised once'}"


def find(problem: Linear) -> Structure | None:
    """The structure that a few draws of the parameters show; None where there is none, or where they cannot be solved.

    Costs two assemblies where there is none (for an affine problem: a few evaluations of its coefficients).
    """
    try:
        mu = as_mu(problem.parameters.sample(range(_PROBES), _SEED), problem.parameters.names)
        return _of_terms(problem, mu) if isinstance(problem, Affine) else _of_matrices(problem, mu)
    except Exception:  # noqa: BLE001 - a user's code may refuse these draws: the solve of those asked for says so
        return None


def _of_matrices(problem: Linear, mu: Mu) -> Structure | None:
    source = Assembled(problem, mu)
    if not np.isfinite(source.reference.data).all():
        return None
    second = source.splits(select(mu, slice(1, 2)))[0]
    if second is None or (second.change is not None and low_rank([second.change], _noise(source)) is None):
        return None
    return _agreed(source, [second, *source.splits(select(mu, slice(2, None)))])


def _agreed(source: Source, splits: Sequence[Split | None]) -> Structure | None:
    """The structure that all probes have."""
    known = [split for split in splits if split is not None]
    if len(known) < len(splits):
        return None
    changes = [split.change for split in known if split.change is not None]
    change = low_rank(changes, _noise(source)) if changes else None
    if changes and not _small(change, source.reference):
        return None
    scaled = any(split.scale != 1.0 for split in known)
    return Structure(source, scaled, change, _load_cases(np.stack([split.load for split in known])))


def _load_cases(loads: Array) -> Array | None:
    """An orthonormal basis `(r, n)` of the probes' loads, None where they are independent."""
    _, values, rows = np.linalg.svd(loads, full_matrices=False)
    rank = int(np.count_nonzero(values > 1e-13 * values.max(initial=0.0)))
    return rows[:rank] if 0 < rank < len(loads) else None


def _of_terms(problem: Affine, mu: Mu) -> Structure | None:
    terms, (theta, _) = problem.terms(), problem.coefficients(mu)
    if not np.isfinite(theta).all():
        return None
    core = np.ones(theta.shape[1], dtype=bool)
    factors = _factors(theta, core)
    matrices: dict[int, sp.csr_array] = {}
    while factors is None:
        q = _loosest(theta, core, matrices)
        if q is None:
            return None
        matrices[q] = restricted(sp.csr_array(terms.matrices[q]), terms.free)
        core[q] = not _small(low_rank([matrices[q]]), matrices[q])
        factors = _factors(theta, core)
    everything = [restricted(sp.csr_array(matrix), terms.free) for matrix in terms.matrices]
    source = Sums(problem, theta[0], everything, core)
    changing = [everything[q] for q in np.flatnonzero(~core)]
    change = low_rank(changing) if changing else None
    if changing and not _small(change, source.reference):
        return None
    cases = np.ascontiguousarray(terms.loads[:, terms.free])
    return Structure(source, factors != [1.0] * len(factors), change, cases if len(cases) <= FEW else None)


def _factors(theta: Real, core: Array) -> list[float] | None:
    """The factor of every probe relative to the first; None where the core's coefficients do not move together."""
    found = [common_factor(theta[0][core], row[core]) for row in theta] if core.any() else [None]
    known = [factor for factor in found if factor is not None]
    return known if len(known) == len(found) else None


def _loosest(theta: Real, core: Array, seen: dict[int, sp.csr_array]) -> int | None:
    """The next term whose rank is worth a look: the one that has the fewest companions; None where all were seen.

    Two terms that were seen, are not of low rank and do not move together settle the matter.
    """
    stiff = [q for q in seen if core[q]]
    if not all(_together(theta, q, stiff[0]) for q in stiff[1:]):
        return None
    left = [int(q) for q in np.flatnonzero(core) if q not in seen]
    companions = [sum(_together(theta, q, int(p)) for p in np.flatnonzero(core)) for q in left]
    return left[int(np.argmin(companions))] if left else None


def _together(theta: Real, q: int, p: int) -> bool:
    """Whether two coefficients keep their ratio in all probes."""
    return np.allclose(theta[:, q] * theta[0, p], theta[:, p] * theta[0, q], rtol=1e-12, atol=0.0)


def _small(change: LowRank | None, matrix: sp.csr_array) -> bool:
    return change is not None and change.rank > 0 and change.rank * _SMALLER <= matrix.shape[0]


def _noise(source: Source) -> float:
    return _NOISE * float(np.abs(source.reference.data).max(initial=0.0))
