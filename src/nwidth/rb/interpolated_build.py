"""Offline: which coefficients to interpolate between, and the residuals there, in extended precision."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import check_choice
from nwidth.problems.base import AffineTerms
from nwidth.rb.interpolated import InterpolatedResidual, combination
from nwidth.rb.rounding import EPS
from nwidth.rb.wide import Functionals, WideForm
from nwidth.spaces.base import InnerProduct

#: The remainder is made small against the residual, but not against residuals below this part of the largest one.
_DEPTH = 1e-2
#: Residuals above this share of their parts are known well enough in float64.
_CAREFUL = 1e-8
#: Training vectors that are held as fields at a time.
_PIECE = 64
#: What an unproven remainder is multiplied with.
_SAFETY = 10.0


def interpolated_residual(
    terms: AffineTerms,
    inner: InnerProduct,
    basis: Real,
    theta: Real,
    phi: Real,
    coefficients: Real,
    *,
    points: str = "few",
    share: float = 0.1,
    proven: bool = True,
) -> InterpolatedResidual:
    """The interpolated residual for a basis `(n, N)` that vanishes where values are prescribed.

    The points are chosen among the training coefficients θ `(T, Q_A)`, φ `(T, Q_f)`, c `(T, n)`. points="few" takes as
    many as leave a remainder below `share` of the residual (the EIM form); "all" takes as many as there are
    functionals, so that every coefficient vector is represented to rounding (the stable formula). Without `proven`, the
    remainder is not computed online but taken from the training set: an estimate. Give several times as many training
    vectors as there will be points: a set that is used up says nothing about the remainder elsewhere.

    Raises InputError for shapes that do not fit.
    """
    check_choice("points", points, ("few", "all"))
    shapes = [theta.shape, phi.shape, coefficients.shape]
    wanted = [(len(theta), w) for w in (len(terms.matrices), len(terms.loads), len(basis))]
    if shapes != wanted or not 0 < share < 1:
        raise InputError(f"got θ, φ, c of shapes {shapes}, expected {wanted}; share {share} must lie between 0 and 1")
    functionals = Functionals(terms, basis)
    sizes = functionals.sizes(inner)
    zeta = combination(theta, phi, coefficients)
    own, form = np.abs(zeta) @ sizes, WideForm(inner)
    allowed = 4 * EPS * own
    if points == "few":
        norms = _residual_norms(zeta, own, functionals, form)
        allowed = np.maximum(allowed, share * np.maximum(norms, _DEPTH * norms.max(initial=0.0)))
    chosen = _select(zeta, sizes, allowed)
    if points == "all":
        chosen = _completed(chosen, len(sizes))
    residuals, noise = functionals.combine(chosen.functions)
    representatives, left = form.riesz(residuals)
    gram, heights, slack = form.gram(representatives)
    made = InterpolatedResidual(
        functions=chosen.functions,
        magic=chosen.magic,
        gram=gram,
        sizes=sizes,
        heights=heights,
        defects=left + noise / form.root,
        slack=slack,
        loads=len(terms.loads),
        terms=len(terms.matrices),
        kept=len(basis),
    )
    return made if proven else replace(made, remainder=_SAFETY * chosen.left)


class _Chosen(NamedTuple):
    """Functions q, their entries, and the largest remainder that they leave on the training set."""

    functions: Real
    magic: Array
    left: float


def _residual_norms(zeta: Real, own: Real, functionals: Functionals, form: WideForm) -> Real:
    """`‖Σ_k ζ_k F_k‖_{X⁻¹}` of the training vectors: in float64 where that is good enough to compare with."""
    norms = np.empty(len(zeta))
    for first in range(0, len(zeta), _PIECE):
        part = slice(first, first + _PIECE)
        norms[part] = form.inner.dual_norm(functionals.quick(zeta[part]))
    small = np.flatnonzero(norms < _CAREFUL * own)
    for first in range(0, len(small), _PIECE):
        rows = small[first : first + _PIECE]
        norms[rows] = form.inner.dual_norm(functionals.combine(zeta[rows])[0].astype(np.float64))
    return norms


def _select(zeta: Real, sizes: Real, allowed: Real) -> _Chosen:
    """Empirical interpolation of the training vectors in the norm Σ g |e|, the worst against its limit first."""
    rest, floor = zeta.copy(), np.maximum(allowed, np.finfo(float).tiny)
    functions: list[Real] = []
    magic: list[int] = []
    while True:
        left = np.abs(rest) @ sizes
        worst = int(np.argmax(left / floor))
        if left[worst] <= floor[worst] or len(magic) == zeta.shape[1]:
            break
        place = int(np.argmax(np.abs(rest[worst]) * sizes))
        q = rest[worst] / rest[worst, place]
        q[magic], q[place] = 0.0, 1.0
        functions.append(q)
        magic.append(place)
        rest -= np.outer(rest[:, place], q)
        rest[:, magic] = 0.0
    stacked = np.array(functions).reshape(len(magic), zeta.shape[1])
    return _Chosen(stacked, np.array(magic, dtype=int), float(left.max()))


def _completed(chosen: _Chosen, count: int) -> _Chosen:
    """With unit vectors for the entries that are left: then every vector is represented."""
    others = np.setdiff1d(np.arange(count), chosen.magic)
    functions = np.concatenate([chosen.functions, np.eye(count)[others]])
    return _Chosen(functions, np.concatenate([chosen.magic, others]), chosen.left)
