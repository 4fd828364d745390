"""Proven constants between the mass and the stiffness of a parabolic problem: what makes its error bound contract.

A(θ) >= α X and X >= κ M give A(θ) >= α κ M, and so does every other A(θ_j) in the place of X where A(θ) is compared
with it coefficient by coefficient; the best of these lower bounds counts. κ is proven by a factorisation, with what the
factorisation misses (`nwidth.bounds.positive`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla

from nwidth.bounds.positive import proven_shift
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts, Storable
from nwidth.problems.min_theta import MinTheta, ThetaStability, rounding_slack
from nwidth.problems.parabolic import AffineEvolution
from nwidth.rb.model import stacked
from nwidth.rb.rounding import gamma, longest_row, row_sum
from nwidth.spaces.factor import factorised, restricted
from nwidth.spaces.mesh import Form, MatrixProduct

#: A computed eigenvalue is moved by this part before it is proven; the second where a crude constant will do.
_MARGIN, _LOOSE = 1e-3, 0.05
#: Up to this size eigenvalues are computed densely.
_DENSE = 200


@dataclass(frozen=True, eq=False)
class MassConstants(Storable):
    """`A(θ) >= lower(θ) M`, `X <= upper M`, and `‖l‖_{M⁻¹}` of each output functional, `functionals (s,)`.

    `anchors`: functions θ -> α_j with A(θ) >= α_j(θ) Y_j, and `factors (J,)` with Y_j >= factors_j M; Y_0 = X.
    """

    kind: ClassVar[str] = "mass-constants"

    anchors: tuple[ThetaStability, ...]
    factors: Real
    upper: float
    functionals: Real

    def lower(self, theta: Real) -> Real:
        """c with A(θ) >= c M, `(B, T)` for θ `(B, T, Q_A)`; not positive where nothing is known."""
        flat = theta.reshape(-1, theta.shape[-1])
        found = [f * a.constants(flat).lower for a, f in zip(self.anchors, self.factors, strict=True)]
        return np.max(found, axis=0).reshape(theta.shape[:-1])

    def to_parts(self) -> Parts:
        arrays = {"factors": self.factors, "functionals": self.functionals}
        return Parts({"upper": self.upper}, arrays, {f"anchor {i}": a for i, a in enumerate(self.anchors)})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        anchors = tuple(children[f"anchor {i}"] for i in range(len(children)))
        return cls(anchors, arrays["factors"], float(config["upper"]), arrays["functionals"])


def mass_constants(problem: AffineEvolution, anchors: Real | None = None) -> MassConstants:
    """The constants of a problem. `anchors (J, Q_A)`: more coefficients, all positive, at which A is compared with M;
    for a contraction that does not depend on one reference alone.

    Raises InputError where the energy product is not a matrix, WorkError where a constant cannot be proven.
    """
    inner = problem.space.inner("energy")
    if not isinstance(inner, MatrixProduct):
        raise InputError(f"the energy product of {problem.space!r} is not a matrix; constants are proven for matrices")
    terms, mass = problem.terms(), problem.mass()
    free = terms.free
    m, x = restricted(sp.csr_array(mass.matrix), free), inner.matrix
    functions: list[ThetaStability] = [problem.stability]
    factors = [proven_ratio(x, m, inner.lambda_min, mass.lambda_min)]
    for theta in np.empty((0, 0)) if anchors is None else np.asarray(anchors, dtype=np.float64):
        matrix = restricted(sp.csr_array(sum(t * a for t, a in zip(theta, terms.matrices, strict=True))), free)
        smallest = _smallest(problem, theta)
        factors.append(proven_ratio(matrix, m, smallest, mass.lambda_min))
        functions.append(MinTheta(theta, rounding_slack(terms, theta, smallest)))
    upper = 1.0 / proven_ratio(m, x, mass.lambda_min, inner.lambda_min, _LOOSE)
    norms = dual_norms(stacked(problem.quantities(), len(free)) * free, mass, free)
    return MassConstants(tuple(functions), np.array(factors), upper, norms)


def proven_ratio(
    upper: sp.csr_array, lower: sp.csr_array, upper_min: float, lower_min: float, margin: float = _MARGIN
) -> float:
    """κ > 0 with `upper >= κ lower`, both symmetric positive definite, with lower bounds of their smallest eigenvalues.

    Raises WorkError where the factorisation proves nothing.
    """
    guess = (1 - margin) * _least_eigenvalue(upper, lower)
    noise = 4 * np.finfo(np.float64).eps * (row_sum(upper) + guess * row_sum(lower))  # of the subtraction
    shift = proven_shift(sp.csr_array(upper - guess * lower)) + noise
    # upper + δ >= κ lower; δ is a part of either matrix
    return max(guess / (1 + shift / upper_min), guess - shift / lower_min) * (1 - 1e-12)


def dual_norms(functionals: Real, mass: Form, free: Array) -> Real:
    """Upper bounds of `‖l‖_{M⁻¹}`, `(s,)`: with y ≈ M⁻¹ l, at most `‖y‖_M + ‖l - M y‖₂ / √λ_min(M)`."""
    if not len(functionals):
        return np.zeros(0)
    matrix = restricted(sp.csr_array(mass.matrix), free)
    wanted = np.ascontiguousarray(functionals[:, free])
    y = factorised(matrix).solve(wanted)
    image = np.ascontiguousarray((matrix @ y.T).T)
    operations, norm, lengths = longest_row(matrix) + 4, row_sum(matrix), np.linalg.norm(y, axis=1)
    rest = np.linalg.norm(wanted - image, axis=1) + gamma(operations) * (
        norm * lengths + np.linalg.norm(wanted, axis=1)
    )
    squares = np.einsum("kn,kn->k", y, image) + gamma(operations + y.shape[1]) * norm * lengths**2
    return (np.sqrt(squares) + rest / np.sqrt(mass.lambda_min)) * (1 + 1e-12)


def _smallest(problem: AffineEvolution, theta: Real) -> float:
    """A lower bound of λ_min(A(θ)) by comparison with X."""
    return float(problem.stability.constants(theta[None]).lower[0]) * problem.space.inner("energy").lambda_min


def _least_eigenvalue(upper: sp.csr_array, lower: sp.csr_array) -> float:
    """The smallest λ of `upper v = λ lower v`, approximately: a guess that is proven afterwards."""
    size = upper.shape[0]
    if size <= _DENSE:
        root = np.linalg.cholesky(lower.toarray())
        half = np.linalg.solve(root, upper.toarray())
        return float(np.linalg.eigvalsh(np.linalg.solve(root, half.T)).min())
    factor = factorised(upper)
    inverse = sla.LinearOperator((size, size), matvec=lambda b: factor.solve(np.ravel(b)[None])[0], dtype=np.float64)
    start = generator(0).standard_normal(size)
    found = sla.eigsh(upper, k=1, M=lower, sigma=0.0, OPinv=inverse, v0=start, return_eigenvectors=False, tol=1e-6)
    return float(found[0])
