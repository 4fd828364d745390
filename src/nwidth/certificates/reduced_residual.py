"""A guaranteed bound for any surrogate that answers in a basis: a POD regression, a network for POD coefficients.

The surrogate's answer is `u = offset + c @ modes`. The prescribed values are imposed on offset and modes, what is left
is written in an energy-orthonormal basis V of their span, and the residual of those coefficients is bounded as for a
Galerkin basis: the bound (`nwidth.certificates.reduced`) never asked who computed the coefficients. Its online cost
does not depend on the full size. Outputs are corrected by a reduced dual solution in V, which repairs much of what the
regression gets wrong.

Fields from anywhere (a neural operator's) are projected onto a reduced basis first: the projection is what is returned,
and what the bound is for. Reference for residual bounds of learned coefficients: Hesthaven and Ubbiali, J. Comput.
Phys. 363 (2018), section 2; for the bound itself Quarteroni, Manzoni and Negri (2016), section 3.6.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.probe import probe_of
from nwidth.certificates.reduced import ReducedCertificate
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Guarantee
from nwidth.core.prediction import Prediction, Reduced
from nwidth.core.storable import Parts
from nwidth.problems.base import Affine, Problem, Stable
from nwidth.rb.extend import spanned
from nwidth.rb.galerkin import ReducedBasis
from nwidth.surrogates.base import Surrogate


@dataclass(frozen=True, eq=False)
class ReducedResidualCertificate(Certificate):
    """Energy-norm bounds of answers in a basis, from their coefficients; rigorous where the stability constant is.

    `inside` is the certificate of the basis V `(n, N)`; `coordinates (1 + k, n)` are those of the surrogate's offset
    and of its k modes in V, and `probe` recognises its basis. Without coordinates, fields are projected onto V.

    What is returned are the coefficients in V: the surrogate's own field with the prescribed values imposed (to 1e-11
    of each mode), or its projection.
    """

    kind: ClassVar[str] = "reduced-residual-certificate"

    inside: ReducedCertificate
    basis: Real
    coordinates: Real | None = None
    probe: Real | None = None

    @classmethod
    def build(cls, surrogate: Surrogate, problem: Problem) -> Self:
        """The certificate of a surrogate that answers in a basis. Raises InputError where it does not, for another
        space, complex modes, or a problem that is not both Affine and Stable."""
        own, values = _affine(problem), _answer(surrogate, problem)
        vectors = _imposed(own, values)
        reduced = spanned(own, vectors)
        coordinates = own.space.inner("energy").apply(vectors) @ reduced.basis.T
        return cls(ReducedCertificate.build(reduced), reduced.basis, coordinates, probe_of(values.basis, values.offset))

    @classmethod
    def projecting(cls, reduced: ReducedBasis) -> Self:
        """The certificate for fields of any origin, projected onto a reduced basis of the problem in its energy
        product. Raises InputError for a problem without a stability constant."""
        return cls(ReducedCertificate.build(reduced), reduced.basis)

    @classmethod
    def applies(cls, surrogate: Surrogate, problem: Problem) -> bool:
        """Whether `build` has what it needs: an Affine and Stable problem, and a surrogate that answers in a basis."""
        same = set(surrogate.parameters.names) == set(problem.parameters.names)
        if not (same and isinstance(problem, Affine) and isinstance(problem, Stable)):
            return False
        values = surrogate.predict(problem.parameters.sample(range(1), 0)).values
        return isinstance(values, Reduced) and not np.iscomplexobj(values.basis)

    @property
    def equation(self) -> Problem:
        """The problem of the residual."""
        return self.inside.problem

    @property
    def guarantee(self) -> Guarantee:
        """As for a Galerkin basis: the surrogate's error of any origin, and round-off."""
        return self.inside.guarantee

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction in V with its bounds and output limits; `stats["floor"]` as for a Galerkin basis.

        Raises InputError for a prediction in another basis, or fields of another shape.
        """
        coefficients = self._projected(prediction) if self.coordinates is None else self._rewritten(prediction)
        values = Reduced(coefficients, self.basis, self.inside.problem.terms().lift)
        return self.inside.bound(replace(prediction, values=values, space=self.inside.problem.space))

    def _rewritten(self, prediction: Prediction) -> Real:
        values = prediction.values
        known = (
            isinstance(values, Reduced)
            and self.probe is not None
            and np.array_equal(probe_of(values.basis, values.offset), self.probe)
        )
        if not (known and isinstance(values, Reduced) and self.coordinates is not None):
            raise InputError(
                "the prediction lives in another basis than the one this certificate was built for; call "
                "ReducedResidualCertificate.build(surrogate, problem) for that surrogate"
            )
        return self.coordinates[0] + values.coefficients @ self.coordinates[1:]

    def _projected(self, prediction: Prediction) -> Real:
        problem = self.inside.problem
        if np.iscomplexobj(prediction.field):
            raise InputError("fields are complex; the bound is for real fields")
        terms, dofs = problem.terms(), problem.space.flatten(prediction.field).astype(np.float64)
        finite = np.asarray(np.isfinite(dofs).all(axis=1))[:, None]
        rest = np.where(terms.free & finite, dofs - terms.lift, 0.0)
        return np.where(finite, problem.space.inner("energy").apply(rest) @ self.basis.T, np.nan)

    def to_parts(self) -> Parts:
        """The basis and the coordinates; the certificate inside as a child."""
        arrays = {"basis": self.basis}
        if self.coordinates is not None and self.probe is not None:
            arrays |= {"coordinates": self.coordinates, "probe": self.probe}
        return Parts({}, arrays, {"inside": self.inside})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again."""
        return cls(children["inside"], arrays["basis"], arrays.get("coordinates"), arrays.get("probe"))


def reduced_basis_of(surrogate: Surrogate, problem: Problem) -> ReducedBasis:
    """Galerkin's method in the span of the offset and the modes in which a surrogate answers: as a rule more accurate
    than its own coefficients, for one small solve per query.

    Raises InputError as `ReducedResidualCertificate.build` does.
    """
    own = _affine(problem)
    return spanned(own, _imposed(own, _answer(surrogate, problem)))


def _affine(problem: Problem) -> Affine:
    if isinstance(problem, Affine) and isinstance(problem, Stable):
        return problem
    raise InputError(
        f"{type(problem).__name__} is not both Affine and Stable, so the residual of reduced coefficients cannot be "
        "bounded; certify fields with ResidualCertificate(problem), or with unseen runs: nw.certify(surrogate, "
        "holdout=snapshots)"
    )


def _answer(surrogate: Surrogate, problem: Problem) -> Reduced:
    """The basis in which a surrogate answers, from one query."""
    values = surrogate.predict(problem.parameters.sample(range(1), 0)).values
    if not isinstance(values, Reduced):
        raise InputError(
            f"{type(surrogate).__name__} answers with fields, not with coefficients in a basis; project them onto a "
            "reduced basis: ReducedResidualCertificate.projecting(reduced), or certify them with ResidualCertificate"
        )
    return values


def _imposed(problem: Affine, values: Reduced) -> Real:
    """What offset and modes leave beyond the lift, with prescribed values imposed: `(1 + k, N)`."""
    terms = problem.terms()
    if np.iscomplexobj(values.basis) or values.basis.shape[1] != len(terms.lift):
        raise InputError(
            f"the surrogate's modes are {values.basis.dtype} {values.basis.shape}, the problem has {len(terms.lift)} "
            "real dofs; fit the surrogate to runs of this problem"
        )
    offset = np.zeros(len(terms.lift)) if values.offset is None else values.offset
    return np.where(terms.free, np.vstack([offset - terms.lift, values.basis]), 0.0)
