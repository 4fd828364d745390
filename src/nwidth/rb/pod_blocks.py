"""Blocks of vectors that are orthonormal in any inner product, from its application alone.

A Gram matrix resolves directions down to √ε of the largest. Here it is used again and again: what one round resolves
is taken out of the block, and the next round starts from the rest, so that directions are found down to rounding.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla

from nwidth.core.arrays import Array, Real
from nwidth.core.seeding import generator
from nwidth.rb.rounding import EPS, row_sum
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.mesh import MatrixProduct
from nwidth.spaces.points import DiagonalProduct

#: One round resolves directions down to this part of its largest: ε / 1e-12 leaves them orthonormal to 2e-4, which
#: one step of Cholesky QR brings to rounding.
_REACH = 1e-6
_ROUNDS = 8
#: After normalisation, projections are repeated until the block is orthonormal to this.
_GOAL = 3e-14
_PASSES = 4


def applied(inner: InnerProduct | None, v: Array) -> Array:
    """`X v` for rows `(b, N)`, real or complex; None is the Euclidean product."""
    if inner is None:
        return v
    if np.iscomplexobj(v):
        return inner.apply(np.ascontiguousarray(v.real)) + 1j * inner.apply(np.ascontiguousarray(v.imag))
    return inner.apply(v)


def coordinates(inner: InnerProduct | None, v: Array, basis: Array) -> Array:
    """`(q_j, v_i)_X`, `(b, n)`: with an orthonormal basis, `v ≈ coordinates @ basis`."""
    return applied(inner, v) @ basis.conj().T


def gram(inner: InnerProduct | None, v: Array) -> Array:
    """`(v_i, v_j)_X`, Hermitian `(b, b)`."""
    product = v.conj() @ applied(inner, v).T
    return (product + product.conj().T) / 2


def energy(inner: InnerProduct | None, v: Array) -> float:
    """`Σ_i ‖v_i‖_X²`."""
    return max(float(np.vdot(v, applied(inner, v)).real), 0.0)


def spectral_bound(inner: InnerProduct | None, size: int) -> float:
    """A bound of `‖X‖₂`: of the matrix where it is known, otherwise twice what the power iteration finds."""
    if inner is None:
        return 1.0
    if isinstance(inner, DiagonalProduct):
        return float(inner.weights.max())
    if isinstance(inner, MatrixProduct):
        return row_sum(inner.matrix)
    v, norm = generator(0).standard_normal((2, size)), 1.0
    for _ in range(20):
        v = inner.apply(v)
        norm = float(np.linalg.norm(v, axis=1).max())
        v = v / norm if norm > 0 else v
    return 2 * norm


def noise(inner: InnerProduct | None, v: Array) -> float:
    """How large, in the norm of X, the rounding of the rows as they are stored is, all rows together."""
    signs = generator(1).choice([-0.5, 0.5], size=v.shape[1])
    return EPS * float(np.sqrt(energy(inner, np.abs(v) * signs)))


@dataclass(frozen=True)
class Extension:
    """`block = coordinates @ [basis; fresh] + rest`: fresh `(r, N)`, coordinates `(b, n + r)`, and `rest`, the energy
    `Σ ‖rest_i‖_X²` that was left out."""

    fresh: Array
    coordinates: Array
    rest: float


def extend(basis: Array, block: Array, inner: InnerProduct | None, spare: float = 0.0, most: int = 2**31) -> Extension:
    """Orthonormal rows that, with the orthonormal `basis (n, N)`, span the rows of `block (b, N)` but for an energy of
    at most `spare`, or what is rounding.

    Projections are blocked and done twice; new directions are eigenvectors of the block's Gram matrix, taken out round
    by round. At most `most` are added. Works for every product: X is applied, never factorised.
    """
    floor = max(spare, noise(inner, block) ** 2, EPS**2 * energy(inner, block))
    parts = [coordinates(inner, block, basis)] if len(basis) else []
    rest = block - parts[0] @ basis if len(basis) else block
    fresh: list[Array] = []
    found = 0
    for _ in range(_ROUNDS):
        rest, parts = _again(rest, parts, inner, [basis, *fresh])
        if found >= most:
            break
        piece = _resolved(rest, inner, floor, most - found)
        if not len(piece):
            break
        piece = _orthonormal(piece, inner, [basis, *fresh])
        part = coordinates(inner, rest, piece)
        rest = rest - part @ piece
        fresh.append(piece)
        parts.append(part)
        found += len(piece)
    kind = np.result_type(basis.dtype, block.dtype)
    empty = np.zeros((0, block.shape[1]), dtype=kind)
    table = np.concatenate(parts, axis=1) if parts else np.zeros((len(block), 0), dtype=kind)
    return Extension(np.concatenate(fresh) if fresh else empty, table, energy(inner, rest))


def _again(
    rest: Array, parts: list[Array], inner: InnerProduct | None, bases: list[Array]
) -> tuple[Array, list[Array]]:
    """The second projection: what rounding left in the span goes to the coordinates."""
    known = [b for b in bases if len(b)]
    if not known:
        return rest, parts
    image, corrected = applied(inner, rest), []
    for part, basis in zip(parts, known, strict=True):
        more = image @ basis.conj().T
        rest = rest - more @ basis
        corrected.append(part + more)
    return rest, corrected


def _resolved(rest: Array, inner: InnerProduct | None, floor: float, most: int) -> Array:
    """The leading directions of the rows, as far as this round can tell them from rounding; all but `floor`."""
    values, vectors = sla.eigh(gram(inner, rest), check_finite=False)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    tail = np.cumsum(values[::-1])[::-1]
    keep = (tail > floor) & (values > _REACH**2 * values[0])
    keep[most:] = False
    return (vectors[:, keep].T @ rest) / np.sqrt(values[keep])[:, None]


def _orthonormal(piece: Array, inner: InnerProduct | None, bases: list[Array]) -> Array:
    """Projected against the bases and made orthonormal among themselves, until both hold to rounding."""
    known = [b for b in bases if len(b)]
    for _ in range(_PASSES):
        off = 0.0
        image = applied(inner, piece) if known else piece
        for basis in known:
            part = image @ basis.conj().T
            off = max(off, float(np.abs(part).max(initial=0.0)))
            piece = piece - part @ basis
        product = gram(inner, piece)
        deviation = float(np.abs(product - np.eye(len(product))).max(initial=0.0))
        if max(off, deviation) <= _GOAL:
            break
        lower = sla.cholesky(product, lower=True, check_finite=False)
        piece = np.linalg.inv(lower.conj()) @ piece  # lower is nearly the identity
    return np.ascontiguousarray(piece)


def deviation(basis: Array, inner: InnerProduct | None) -> float:
    """How far the rows are from orthonormal: `‖(q_i, q_j)_X - δ_ij‖_F`."""
    return float(np.linalg.norm(gram(inner, basis) - np.eye(len(basis))))


def squares(sigma: Real) -> Real:
    """`Σ_{k>=i} σ_k²` for every i, and a zero at the end, `(n + 1,)`."""
    return np.append(np.cumsum(sigma[::-1] ** 2)[::-1], 0.0)
