"""Proper orthogonal decomposition: the best basis for given snapshots in the mean square."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.validation import check_choice
from nwidth.rb.pod_blocks import applied, noise, squares
from nwidth.rb.pod_memory import Found, by_snapshots, by_svd
from nwidth.rb.randomised import by_random_rows
from nwidth.rb.streaming import About, Rule, State, stream_modes
from nwidth.rb.streaming_checkpoint import Checkpoint
from nwidth.rb.streaming_source import Data, Source
from nwidth.spaces.base import InnerProduct

METHODS = ("auto", "svd", "snapshots", "randomised", "streaming")
#: Up to this many rows a decomposition of all costs no more than the alternatives (benchmarks/pod.py).
_FEW = 500
_NOTHING = "the snapshots do not vary in this inner product (it ignores constrained dofs); use 'nodal'"


@dataclass(frozen=True)
class POD:
    """`u ≈ offset + c @ modes`: modes `(n, N)` orthonormal in the inner product, singular values `(k,)`, k >= n.

    With what a method does not see, about the offset: `energy`, Σ ‖u_i - offset‖² over all snapshots; `unseen`, a
    bound of the part of it that no singular value counts; `apart`, a length that adds to the error as such (rounding).
    Then for the singular values σ_i of all snapshots, `σ̃_i - apart <= σ_i <= √(σ̃_i² + unseen) + apart`. `method` and
    `why` say how the modes were found.
    """

    modes: Array
    offset: Array
    singular_values: Real
    inner: InnerProduct | None = None
    method: str = "svd"
    why: str = ""
    energy: float | None = None
    unseen: float = 0.0
    apart: float = 0.0

    def coefficients(self, dofs: Array) -> Array:
        """Coordinates `(B, n)` of the orthogonal projections of dofs `(B, N)`."""
        return applied(self.inner, dofs - self.offset) @ self.modes.conj().T

    @property
    def lost(self) -> float:
        """At most this part of the snapshots' variation is left out, `√(Σ_i ‖u_i - P u_i‖² / Σ_i ‖u_i - offset‖²)`.

        Equal to `√(Σ_{i>n} σ_i² / Σ σ_i²)` where all singular values are known.
        """
        return self.lost_with(len(self.modes))

    def lost_with(self, count: int) -> float:
        """The same for the first `count` modes."""
        tail = squares(self.singular_values)
        total = float(tail[0]) + self.unseen if self.energy is None else self.energy
        return float((np.sqrt(tail[count] + self.unseen) + self.apart) / np.sqrt(total)) if total > 0 else 0.0

    def needed(self, tol: float) -> int:
        """The smallest number of modes, at least one, that leaves out at most `tol`; all where none does."""
        counts = range(1, len(self.modes) + 1)
        return next((n for n in counts if self.lost_with(n) <= tol), len(self.modes))

    def enclosure(self) -> tuple[Real, Real]:
        """Lower and upper bounds of the snapshots' singular values, `(k,)` each."""
        sigma = self.singular_values
        return np.maximum(sigma - self.apart, 0.0), np.sqrt(sigma**2 + self.unseen) + self.apart


def pod(
    data: Data,
    *,
    modes: int | None = None,
    tol: float = 1e-3,
    inner: InnerProduct | str | None = None,
    method: str = "auto",
    about: About = "mean",
    seed: int = 0,
    capacity: int | None = None,
    block: int | None = None,
    checkpoint: str | Path | None = None,
    seconds: float = 30.0,
) -> POD:
    """POD of snapshots: dofs `(B, N)`, Snapshots, the folder of a store, or blocks as they come (`nw.stream`).

    Keeps `modes` modes, or as many as leave out at most `tol` of the variation (root mean square, relative), about
    the "mean", "zero", or an offset `(N,)` of your own. `inner`: an InnerProduct, the name of one of the data's space
    ('mass', 'energy'), or None for the Euclidean product of the nodal values. Real or complex. Methods:

    svd         all singular values, to rounding
    snapshots   from the Gram matrix of the snapshots (Sirovich 1987): fast, modes down to 1e-7 of the largest
    randomised  from random combinations of the snapshots (Halko, Martinsson, Tropp 2011), grown until `tol` holds
    streaming   one pass, never more than a few blocks in memory; what is left out is bounded, not estimated
    auto        streaming where the data is not an array in memory; in memory by its size. The reason is in `why`

    For streaming: `capacity`, the most modes that are held (None: as many as `tol` takes); `block`, the samples read
    at a time; `checkpoint`, a file that is replaced at most every so many `seconds`: the same call goes on from it
    after a kill, with the same result bit by bit, and also when the store has grown.

    Raises InputError for data that is empty, does not vary, or is not finite; WorkError where `tol` cannot be met.
    """
    check_choice("method", method, METHODS)
    for name, value in {"modes": modes, "capacity": capacity, "block": block}.items():
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; it must be at least one")
    if not 0 < tol < 1:
        raise InputError(f"tol is {tol}; it is the part of the variation left out: choose between 0 and 1")
    if isinstance(about, str):
        check_choice("about", about, ("mean", "zero"))
    source = Source.of(data)
    product = source.inner(inner)
    chosen, why = _choose(data, method, modes)
    if chosen == "streaming":
        request = _Pass(source, product, modes, tol, about, capacity, block)
        return request.result(None if checkpoint is None else Path(checkpoint), seconds, why, inner)
    if checkpoint is not None:
        raise InputError(f"a checkpoint is kept by the streaming method only, not by {chosen!r}; leave it out")
    centred, offset = _about(_table(source), about)
    found = _in_memory(centred, product, chosen, modes, tol, seed)
    if method == "auto" and modes is not None and len(found.modes) < modes:
        chosen, why = "svd", f"{why}; a Gram matrix resolves {len(found.modes)} of them only"
        found = _in_memory(centred, product, chosen, modes, tol, seed)
    whole = POD(found.modes, offset, found.sigma, product, chosen, why, found.energy, found.unseen)
    if modes is None and whole.lost > tol:
        raise WorkError(
            f"all {len(found.modes)} modes that the method {chosen!r} resolves leave out {whole.lost:.2e}, above tol = "
            f"{tol:g}; take method='svd', or raise tol"
        )
    count = whole.needed(tol) if modes is None else modes
    return replace(whole, modes=np.ascontiguousarray(found.modes[:count]))


def left_out(sigma: Real, count: int) -> float:
    """The relative root mean square that `count` modes leave out."""
    total = float(np.sum(sigma**2))
    return float(np.sqrt(np.sum(sigma[count:] ** 2) / total)) if total > 0 else 0.0


def modes_for(sigma: Real, tol: float) -> int:
    """The smallest number of modes that leaves out at most `tol`, at least one."""
    tail = squares(sigma)
    return max(1, int(np.argmax(tail <= tol**2 * tail[0])))


def _choose(data: Data, method: str, modes: int | None) -> tuple[str, str]:
    """The method and the reason."""
    if method != "auto":
        return method, "asked for"
    if not isinstance(data, np.ndarray):
        return "streaming", "the data is read block by block"
    rows, size = data.shape if data.ndim == 2 else (0, 0)
    small = min(rows, size)
    if small <= _FEW:
        return "svd", f"{rows} x {size}: small enough for all singular values"
    if modes is not None:
        few = 8 * modes < small
        return ("randomised" if few else "snapshots"), f"{modes} modes of {rows} x {size}: {'few' if few else 'many'}"
    return "streaming", f"{rows} x {size}: too large for all singular values"


def _table(source: Source) -> Array:
    """All rows in memory."""
    pieces = [piece.rows for piece in source.pieces(0, 2**31)]
    if not pieces:
        raise InputError("there are no snapshots to learn from: none was read, or none converged")
    return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]


def _about(dofs: Array, about: About) -> tuple[Array, Array]:
    """Rows about the offset, and the offset."""
    if not isinstance(about, str):
        return dofs - about, np.asarray(about)
    if about == "zero":
        return dofs, np.zeros(dofs.shape[1], dofs.dtype)
    if len(dofs) < 2:
        raise InputError(f"got {len(dofs)} snapshots; a basis needs at least two that differ")
    offset = dofs.mean(axis=0)
    centred = dofs - offset
    # Compared with what the subtraction itself leaves behind.
    if np.abs(centred).max(initial=0.0) <= 1e-13 * np.abs(dofs).max(initial=0.0):
        raise InputError(f"all {len(dofs)} snapshots are the same field; there is nothing to learn from")
    return centred, offset


def _in_memory(rows: Array, inner: InnerProduct | None, method: str, modes: int | None, tol: float, seed: int) -> Found:
    if method == "svd":
        found = by_svd(rows, inner)
    elif method == "snapshots":
        found = by_snapshots(rows, inner)
    else:
        found = by_random_rows(rows, inner, modes=modes, tol=tol, seed=seed)
    if not len(found.sigma) or found.sigma[0] <= 0:
        raise InputError(_NOTHING)
    return found


@dataclass(frozen=True)
class _Pass:
    """One streaming pass, from the request to the POD."""

    source: Source
    inner: InnerProduct | None
    modes: int | None
    tol: float
    about: About
    capacity: int | None
    block: int | None

    def result(self, path: Path | None, seconds: float, why: str, inner: object) -> POD:
        """The POD; with `path`, from where an earlier pass ended."""
        identity = {
            "inner product": inner if isinstance(inner, str) else type(inner).__name__,
            "settings": [self._rule.tol, self._rule.capacity, self._size, isinstance(self.about, str) or "own offset"],
            "offset": self.about if isinstance(self.about, str) else float(np.linalg.norm(self.about)),
            "data": self.source.identity(),
        }
        kept = None if path is None else Checkpoint(path, identity, seconds)
        offset = None if isinstance(self.about, str) else np.asarray(self.about)
        state = stream_modes(
            self.source,
            self._rule,
            self.inner,
            self._size,
            offset,
            None if kept is None else kept.read(),
            _nothing if kept is None else kept.offer,
        )
        if kept is not None:
            kept.write(state)
        return self._basis(state, why)

    @property
    def _rule(self) -> Rule:
        """With a number of modes, four times as many are held; what does not fit is counted."""
        held = self.capacity or (2**31 if self.modes is None else 4 * self.modes + 16)
        return Rule(self.tol if self.modes is None else 0.0, held, isinstance(self.about, str) and self.about == "mean")

    @property
    def _size(self) -> int:
        """Samples per block."""
        return self.source.block() if self.block is None else self.block

    def _basis(self, state: State, why: str) -> POD:
        if self._rule.centred and state.count < 2:
            raise InputError(f"got {state.count} snapshots; a basis needs at least two that differ")
        if self._rule.centred and state.total <= state.count * (100 * noise(self.inner, state.mean[None])) ** 2:
            raise InputError(f"all {state.count} snapshots are the same field; there is nothing to learn from")
        if not len(state.sigma):
            raise InputError(_NOTHING)
        offset = state.mean if isinstance(self.about, str) else np.asarray(self.about)
        apart = float(np.sqrt(state.rest)) + state.rounding
        whole = POD(state.modes, offset, state.sigma, self.inner, "streaming", why, state.total, state.dropped, apart)
        if self.modes is None and whole.lost > self.tol:
            raise WorkError(
                f"the bound of what is left out is {whole.lost:.2e} with all {len(state.sigma)} modes held, above "
                f"tol = {self.tol:g}; raise capacity (now {self.capacity}) or tol (rounding alone is "
                f"{state.rounding / np.sqrt(state.total):.1e})"
            )
        count = whole.needed(self.tol) if self.modes is None else self.modes
        return replace(whole, modes=np.ascontiguousarray(state.modes[:count]))


def _nothing(_: State) -> None:
    """No checkpoint is kept."""
