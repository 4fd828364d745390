"""The inf-sup constant of a sparse matrix that is indefinite, complex or far from symmetric: proven, or estimated.

    σ = inf_v sup_w |wᴴ A v| / (‖v‖_X ‖w‖_X),        ‖u - v‖_X <= ‖f - A v‖_{X⁻¹} / σ.

It is the distance from zero to the spectrum of a real symmetric pencil (T, Y):

- A real and symmetric: T = A, Y = X;
- A = P + iQ complex and equal to its transpose (absorbing boundaries): T = [[P, Q], [Q, -P]], Y = diag(X, X), whose
  eigenvalues are ±σ_i with σ_i the singular values (Takagi: A v̄ = σ X v);
- A real: T = [[0, A], [Aᵀ, 0]], Y = diag(X, X), with the eigenvalues ±σ_i too.

If `T - δ Y` and `T + δ Y` have equally many eigenvalues below zero, the pencil has none in [-δ, δ): two factorisations
(`inertia`). In the second and third case the spectrum is symmetric about zero, and one will do: `T - δ Y` with just
half of its eigenvalues below zero. What rounding did to the factors is subtracted from δ, divided by λ_min(X).

A computed eigenvalue nearest to zero (Lanczos with T⁻¹: one factorisation more) is a guess for δ and proves nothing: it
may have missed a closer one. Reference for σ in bounds: Huynh, Knezevic, Chen, Hesthaven and Patera, Comput. Methods
Appl. Mech. Engrg. 199 (2010) 1963, section 2; for counting eigenvalues by factorisation Parlett, The Symmetric
Eigenvalue Problem (1998), section 3.3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.bounds.dual_norm import EPS
from nwidth.bounds.inertia import NoInertiaError, SignedFactor, signed_factor, skewness
from nwidth.bounds.metric import absolute_norm
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.seeding import generator
from nwidth.spaces.factor import Pattern, minimum_degree

#: What a matrix is like: equal to its transpose, real or complex; or any real one.
Shape: TypeAlias = Literal["symmetric", "complex symmetric", "general"]
#: δ below the computed eigenvalue: the first part that is given up, its growth, and the number of trials.
_FIRST, _GROWTH, _TRIALS = 1e-3, 8.0, 4
#: Lanczos steps with the inverse.
_LANCZOS = 30
_SYMMETRY = 1e-12


@dataclass(frozen=True)
class InfSup:
    """`value` <= σ where `proven`, an estimate otherwise; `found`, the computed eigenvalue nearest to zero;
    `factorisations`, what it cost."""

    value: float
    found: float
    factorisations: int
    proven: bool


@dataclass(frozen=True, eq=False)
class Pencil:
    """(T, Y) of one matrix a: `norms` of both for rounding, `shape` of a, and a minimum degree ordering of their common
    pattern."""

    a: sp.csr_array
    t: sp.csr_array
    y: sp.csr_array
    norms: tuple[float, float]
    skew: float
    shape: Shape
    order: Array

    @classmethod
    def of(cls, a: sp.csr_array, x: sp.csr_array, order: Array | None = None) -> "Pencil":
        """From matrices on the free dofs; `order`, that of another pencil with the same pattern, saves finding one.

        Raises InputError for matrices that are not square, finite, or complex without being symmetric.
        """
        shape = shape_of(a)
        t, y = _augmented(sp.csr_array(a), sp.csr_array(x), shape)
        if order is None:
            ones = sp.csr_array((np.ones(t.nnz), t.indices, t.indptr), shape=t.shape)
            union = sp.csr_array(ones + ones.T + abs(y) + sp.eye_array(t.shape[0], format="csr"))
            union.sum_duplicates()
            order = minimum_degree(Pattern.of(union))
        skew = max(skewness(t), skewness(y))
        return cls(a, t, y, (absolute_norm(t), absolute_norm(y)), skew, shape, order)

    def factor(self, delta: float) -> SignedFactor:
        """Of `T - δ Y`."""
        return signed_factor(sp.csr_array(self.t - delta * self.y), self.order)

    def inverse(self) -> Callable[[Real], Real]:
        """`b -> T⁻¹ b`, from a factorisation of a with pivoting. Raises WorkError where it is singular."""
        options = {"SymmetricMode": True}
        try:
            lu = sla.splu(sp.csc_array(self.a), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.01, options=options)
        except RuntimeError as error:
            raise WorkError(f"the matrix is singular, so it has no inf-sup constant: {error}") from error
        if self.shape == "symmetric":
            return lu.solve
        n = self.a.shape[0]
        if self.shape == "general":
            return lambda b: np.concatenate([lu.solve(b[n:], trans="T"), lu.solve(b[:n])])
        return lambda b: _parts(np.conj(lu.solve(b[:n] + 1j * b[n:])))

    def proof(self, delta: float, lambda_min: float, entries: int) -> tuple[float | None, int]:
        """A lower bound of σ a little below δ, or None where the counts differ; and the factorisations it took.

        `entries`: rounded operations behind one entry of A.
        """
        rounding = (entries + 4) * EPS * (self.norms[0] + delta * self.norms[1]) + 2 * (1 + delta) * self.skew
        above = self.factor(delta).inertia(rounding)
        if self.shape != "symmetric":  # the spectrum is symmetric about zero
            same, shift, count = above.negative == self.t.shape[0] // 2, above.shift, 1
        else:
            below = self.factor(-delta).inertia(rounding)
            same, shift, count = above.negative == below.negative, max(above.shift, below.shift), 2
        value = (delta - shift / lambda_min * (1 + 4 * EPS)) * (1 - 4 * EPS)
        return (value if same and value > 0 else None), count


def shape_of(a: sp.csr_array) -> Shape:
    """What the matrix is like. Raises InputError for one that is not square and finite, or complex and unsymmetric."""
    if a.shape[0] != a.shape[1] or not np.isfinite(a.data).all():
        raise InputError(f"a matrix of shape {a.shape} must be square and finite for an inf-sup constant")
    difference = abs(sp.csr_array(a - a.T))
    symmetric = difference.max() <= _SYMMETRY * abs(a).max() if a.nnz else True
    if np.iscomplexobj(a):
        if symmetric:
            return "complex symmetric"
        raise InputError(
            "the matrix is complex and differs from its transpose; inf-sup constants are proven for complex matrices "
            "that equal their transposes (Helmholtz with absorbing ends) and for all real ones"
        )
    return "symmetric" if symmetric else "general"


def inf_sup(
    a: sp.csr_array, x: sp.csr_array, lambda_min: float, *, prove: bool = True, entries: int = 16,
    order: Array | None = None,
) -> InfSup:  # fmt: skip
    """σ of the matrix a against X, both on the free dofs, `(n, n)`.

    `lambda_min`: a proven lower bound of λ_min(X). Without `prove`, an estimate from one factorisation.

    Raises WorkError where the matrix is singular to working precision or the proof fails at every trial, InputError as
    `Pencil.of`.
    """
    pencil = Pencil.of(a, x, order)
    found = nearest(pencil)
    if not prove:
        return InfSup(found * (1 - _FIRST), found, 1, False)
    lost, taken = _FIRST, 1
    for _ in range(_TRIALS):
        try:
            value, count = pencil.proof(found * (1 - lost), lambda_min, entries)
        except NoInertiaError:
            value, count = None, 1  # an eigenvalue of a leading block at this very δ: the next one differs
        taken += count
        if value is not None:
            return InfSup(value, found, taken, True)
        lost = min(lost * _GROWTH, 0.5 + lost / 2)
    raise WorkError(
        f"no inf-sup constant could be proven: the computed eigenvalue nearest to zero is {found:.3g}, and the counts "
        f"of eigenvalues differ down to {found * (1 - lost):.3g}, or rounding of the factors hides them; is the "
        "parameter at a resonance?"
    )


def nearest(pencil: Pencil) -> float:
    """The size of the computed eigenvalue nearest to zero: never below the smallest but for rounding. An estimate.

    Raises WorkError for a matrix that is singular to working precision.
    """
    inverse, y = pencil.inverse(), pencil.y
    steps = min(_LANCZOS, y.shape[0])
    basis, images, projected = np.zeros((steps, y.shape[0])), np.zeros((steps, y.shape[0])), np.zeros((steps, steps))
    v = inverse(y @ generator(0).standard_normal(y.shape[0]))
    for k in range(steps):
        image = y @ v
        length = np.sqrt(v @ image)
        if not 1e-290 < length < np.inf:
            raise WorkError("the matrix is singular to working precision: it has no inf-sup constant")
        basis[k], images[k] = v / length, image / length
        v = inverse(images[k])
        before = np.abs(v).max()
        for _ in range(2):
            part = images[: k + 1] @ v
            projected[: k + 1, k] += part
            v = v - part @ basis[: k + 1]
        if np.abs(v).max() <= 1e-10 * before:
            steps = k + 1
            break
    h = projected[:steps, :steps]
    values = np.linalg.eigvalsh(np.triu(h) + np.triu(h, 1).T)
    return 1.0 / float(np.abs(values).max())


def _parts(v: Array) -> Real:
    return np.concatenate([v.real, v.imag])


def _augmented(a: sp.csr_array, x: sp.csr_array, shape: Shape) -> tuple[sp.csr_array, sp.csr_array]:
    if shape == "symmetric":
        return a, x
    if shape == "general":
        return _pair([[None, a], [a.T, None]], x)
    real, imaginary = sp.csr_array(a.real), sp.csr_array(a.imag)
    return _pair([[real, imaginary], [imaginary, -real]], x)


def _pair(blocks: list[list[sp.csr_array | None]], x: sp.csr_array) -> tuple[sp.csr_array, sp.csr_array]:
    t, y = sp.csr_array(sp.block_array(blocks)), sp.csr_array(sp.block_diag([x, x]))
    t.sum_duplicates()
    y.sum_duplicates()
    return t, y


def deviation(a: sp.csr_array, x: sp.csr_array, lambda_min: float) -> float:
    """A bound of `‖X^{-1/2} A X^{-1/2}‖₂`, from A - X: `1 + ‖A - X‖₂ / λ_min(X)`, rounded up.

    Where A - X is real, diagonal and nowhere positive (Helmholtz), the larger of 1 and that less 2.
    """
    difference = sp.csr_array(a - x)
    rest = (absolute_norm(difference) + 8 * EPS * (absolute_norm(a) + absolute_norm(x))) / lambda_min
    diagonal = sp.csr_array(difference - sp.diags_array(difference.diagonal()))
    noise = 16 * EPS * absolute_norm(a)
    lowering = not np.iscomplexobj(a) and (difference.diagonal() <= noise).all() and absolute_norm(diagonal) <= noise
    return max(1.0 + noise / lambda_min, rest - 1.0) if lowering else 1.0 + rest
