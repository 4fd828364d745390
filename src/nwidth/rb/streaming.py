"""Streaming POD: one pass over snapshots that need not fit into memory, with a bound of what was left out.

Held are the modes so far, with their singular values: B_k = Σ_k V_k. A block C joins them, [B_k; C] = W S Z exactly,
and the smallest part D of S Z is dropped. Every step keeps

    [B_k; C]ᴴ [B_k; C] = B_{k+1}ᴴ B_{k+1} + DᴴD,    hence    AᴴA = BᴴB + Σ_j D_jᴴ D_j

for all snapshots A read. So with δ² = Σ_j ‖D_j‖² the squared projection error of A on the first n modes is between
Σ_{i>n} σ̃_i² and that plus δ², and σ̃_i² <= σ_i(A)² <= σ̃_i² + δ²: nothing is assumed about the order of the snapshots.
Directions of a block that are left out before the decomposition (R_j, tiny) are not orthogonal to what is kept; as they
stand in different rows of A they add √(Σ ‖R_j‖²) to the error, and rounding adds its own sum. What a step may drop is a
share of the energy read so far, so that the whole stays below tol √(Σ ‖u_i‖²): the incremental form of HAPOD, with its
tolerances replaced by an account. The mean moves with the data: the scatter about the new mean is the old one, the
block's own, and one row √(m b / (m + b)) (mean_C - mean), exactly.

References: Himpe, Leibner, Rave, SIAM J. Sci. Comput. 40 (2018), theorem 3.3 and section 3.2 (incremental HAPOD);
Brand, ECCV (2002) for the update; Chan, Golub, LeVeque, Amer. Stat. 37 (1983), equation 2.1 for the mean.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import scipy.linalg as sla

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.rb.pod_blocks import deviation, energy, extend, spectral_bound
from nwidth.rb.streaming_source import Source
from nwidth.rb.streaming_step import GRAM_TOL, by_blocks, by_gram
from nwidth.spaces.base import InnerProduct

About: TypeAlias = Literal["mean", "zero"] | Array
#: Steps between two checks that the modes are still orthonormal.
_CHECKED = 16
_LOOSE = 1e-13


@dataclass(frozen=True)
class State:
    """What is held between two blocks: modes `(n, N)` orthonormal in X, their singular values `(n,)`, the mean `(N,)`
    of `count` rows; `total` energy about the mean, `dropped` (Σ ‖D_j‖²), `rest` (Σ ‖R_j‖²), a bound `rounding` of what
    arithmetic moved; `end` says how far the source was read, `steps` in how many blocks."""

    modes: Array
    sigma: Real
    mean: Array
    count: int = 0
    total: float = 0.0
    dropped: float = 0.0
    rest: float = 0.0
    rounding: float = 0.0
    end: int = 0
    steps: int = 0

    @classmethod
    def empty(cls, size: int, dtype: np.dtype) -> "State":
        return cls(np.zeros((0, size), dtype), np.zeros(0), np.zeros(size, dtype))


@dataclass(frozen=True)
class Rule:
    """What may be dropped so that the whole leaves out at most `tol`, and whatever exceeds `capacity` modes.

    In units of (tol² energy): 0.17 in decompositions, (0.01)² before them, which leaves √(0.98 - 0.17) = 0.9 of tol to
    the last truncation, as HAPOD's ω = 0.9 does.
    """

    tol: float
    capacity: int
    centred: bool

    def spare(self, state: State) -> float:
        """The energy that a decomposition may drop now."""
        return max(0.17 * self.tol**2 * state.total - state.dropped, 0.0)

    def spare_rest(self, state: State) -> float:
        """The energy that may be left out before the decomposition."""
        return max(1e-4 * self.tol**2 * state.total - state.rest, 0.0)


def stream_modes(
    source: Source,
    rule: Rule,
    inner: InnerProduct | None,
    block: int,
    offset: Array | None = None,
    state: State | None = None,
    after: Callable[[State], None] = lambda _: None,
) -> State:
    """The state behind the last row; `after` sees every state between two blocks (a checkpoint, a progress bar)."""
    norm = 0.0
    for piece in source.pieces(0 if state is None else state.end, block):
        rows = piece.rows if offset is None else piece.rows - offset
        if state is None:
            state = State.empty(rows.shape[1], rows.dtype)
        if rows.shape[1] != state.modes.shape[1]:
            raise InputError(f"a block has {rows.shape[1]} dofs, the earlier ones have {state.modes.shape[1]}")
        norm = norm or np.sqrt(spectral_bound(inner, rows.shape[1]))
        state = replace(taken(state, rows, inner, rule, norm), end=piece.end)
        after(state)
    if state is None or state.count == 0:
        raise InputError("there are no snapshots to learn from: none was read, or none converged")
    return state


def taken(state: State, rows: Array, inner: InnerProduct | None, rule: Rule, norm: float) -> State:
    """The state with `rows (b, N)` read: one step of the algorithm. `norm` bounds √‖X‖₂."""
    if not len(rows):
        return state
    rows, state = _centred(state, rows) if rule.centred else (rows, replace(state, count=state.count + len(rows)))
    state = replace(state, total=state.total + energy(inner, rows), steps=state.steps + 1)
    spare = rule.spare(state)
    step = by_gram(state.modes, state.sigma, rows, inner, spare, rule.capacity, norm) if rule.tol >= GRAM_TOL else None
    if step is None:
        step = by_blocks(state.modes, state.sigma, rows, inner, spare, rule.spare_rest(state), rule.capacity, norm)
    state = replace(
        state,
        modes=step.modes,
        sigma=step.sigma,
        dropped=state.dropped + step.dropped,
        rest=state.rest + step.rest,
        rounding=state.rounding + step.moved,
    )
    return _orthonormal_again(state, inner) if state.steps % _CHECKED == 0 else state


def _centred(state: State, rows: Array) -> tuple[Array, State]:
    """The block about its own mean and the row by which the means differ; the state with the new mean."""
    count, more = state.count, len(rows)
    mean = rows.mean(axis=0)
    between = (mean - state.mean) * np.sqrt(count * more / (count + more))
    moved = state.mean + (mean - state.mean) * (more / (count + more))
    parts = [rows - mean, between[None]] if count else [rows - mean]
    return np.concatenate(parts), replace(state, mean=moved, count=count + more)


def _orthonormal_again(state: State, inner: InnerProduct | None) -> State:
    """Rotations lose orthogonality bit by bit: it is made anew before that is felt, with σ as it then is."""
    if deviation(state.modes, inner) <= _LOOSE or not len(state.modes):
        return state
    found = extend(state.modes[:0], state.modes, inner)
    _, sigma, turn = sla.svd(state.sigma[:, None] * found.coordinates, full_matrices=False, check_finite=False)
    moved = np.sqrt(found.rest) * float(np.linalg.norm(state.sigma))
    return replace(
        state, modes=np.ascontiguousarray(turn @ found.fresh), sigma=sigma, rounding=state.rounding + float(moved)
    )
