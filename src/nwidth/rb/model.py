"""The reduced matrices of an affine problem: all that the online stage needs besides the parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.problems.base import AffineTerms, Quantity
from nwidth.rb.products import rowwise
from nwidth.rb.rounding import EPS, gamma, longest_row, product_operations, products, row_sum


@dataclass(frozen=True, eq=False)
class ReducedModel:
    """`A_N(mu) = Σ θ_q A_q` and `f_N(mu) = Σ φ_q f_q` in a basis of n modes, and the output functionals in it.

    matrices `(Q_A, n, n)`, loads `(Q_f, n)`, functionals `(s, n)`, their values at the lift `offsets (s,)`, `outputs`
    (name, unit). The rest bounds what rounding does: the Euclidean lengths of the modes `(n,)`, the norms of the terms
    `(Q_A,)`, of the loads `(Q_f,)` and of the functionals `(s,)`, the rounded operations behind one reduced entry, and
    the length of the lift.
    """

    matrices: Real
    loads: Real
    functionals: Real
    offsets: Real
    lengths: Real
    term_norms: Real
    load_norms: Real
    functional_norms: Real
    outputs: tuple[tuple[str, str], ...]
    operations: int
    lift_length: float

    @classmethod
    def empty(cls, terms: AffineTerms, quantities: Mapping[str, Quantity]) -> "ReducedModel":
        """The model without modes."""
        count, size = len(terms.matrices), terms.loads.shape[1]
        functionals = stacked(quantities, size)
        matrices = [sp.csr_array(a) for a in terms.matrices]
        return cls(
            matrices=np.zeros((count, 0, 0)),
            loads=np.zeros((len(terms.loads), 0)),
            functionals=np.zeros((len(functionals), 0)),
            offsets=np.array([math.fsum([*(q.functional * terms.lift), q.offset]) for q in quantities.values()]),
            lengths=np.zeros(0),
            term_norms=np.array([row_sum(a) for a in matrices]),
            load_norms=np.linalg.norm(terms.loads, axis=1),
            functional_norms=np.linalg.norm(functionals, axis=1),
            outputs=tuple((name, quantity.unit) for name, quantity in quantities.items()),
            operations=product_operations(size) + max(longest_row(a) for a in matrices),
            lift_length=float(np.linalg.norm(terms.lift)),
        )

    def extended(
        self, terms: AffineTerms, functionals: Real, basis: Real, applied: Real | None = None
    ) -> "ReducedModel":
        """The model of a larger basis `(n, N)` that begins with the modes of this one and vanishes where values are
        prescribed: only what is new is computed. `applied (Q_A k, N)`: the images of the k new modes under the terms
        (slow), where they are known."""
        old, fresh, count = self.modes, basis[self.modes :], len(terms.matrices)
        if applied is None:
            applied = np.concatenate([rowwise(sp.csr_array(a), fresh) for a in terms.matrices])
        matrices = np.zeros((count, len(basis), len(basis)))
        matrices[:, :old, :old] = self.matrices
        # one product for all terms: the basis is read once
        matrices[:, :, old:] = products(basis, applied).reshape(len(basis), count, len(fresh)).swapaxes(0, 1)
        matrices[:, old:, :old] = matrices[:, :old, old:].swapaxes(1, 2)
        return replace(
            self,
            matrices=(matrices + matrices.swapaxes(1, 2)) / 2,
            loads=np.concatenate([self.loads, products(terms.loads, fresh)], axis=1),
            functionals=np.concatenate([self.functionals, products(functionals, fresh)], axis=1),
            lengths=np.concatenate([self.lengths, np.linalg.norm(fresh, axis=1)]),
        )

    @property
    def modes(self) -> int:
        """n."""
        return self.loads.shape[1]

    @cached_property
    def packed(self) -> Real:
        """Lower triangles row by row, `(n (n + 1) / 2, Q_A)`."""
        lower = np.tril_indices(self.modes)
        return np.ascontiguousarray(self.matrices[:, lower[0], lower[1]].T)

    @cached_property
    def term_weights(self) -> Real:
        """`g (Q_f + Q_A n,)`: rounding shifts `zᵀ(Σ φ f - Σ θ A c)` by at most `(|z| · lengths) (|ζ| · g)`.

        ζ = (φ, θ_q c_j with the modes as the slow index); rounding in the online evaluation is included.
        """
        scale = gamma(self.operations + 2 * self.modes + 2 * len(self.matrices) + 8)
        terms = (self.lengths[:, None] * self.term_norms[None, :]).ravel()
        return scale * np.concatenate([self.load_norms, terms])

    @cached_property
    def output_weights(self) -> Real:
        """`(n, s)`: rounding shifts `l · Σ c_j v_j` by at most `|c| @ output_weights`."""
        scale = gamma(self.operations + self.modes + 4)
        return scale * self.lengths[:, None] * self.functional_norms[None, :]

    def reconstruction(self, theta: Real, coefficients: Real) -> Real:
        """A bound in the energy norm of A(mu) of the rounding in `lift + c @ basis`, `(B,)`."""
        entries = gamma(self.modes + 2) * (np.abs(coefficients) @ self.lengths) + 2 * EPS * self.lift_length
        return np.sqrt(np.abs(theta) @ self.term_norms) * entries

    def truncate(self, modes: int) -> "ReducedModel":
        """The same for the first `modes` modes."""
        return replace(
            self,
            matrices=np.ascontiguousarray(self.matrices[:, :modes, :modes]),
            loads=np.ascontiguousarray(self.loads[:, :modes]),
            functionals=np.ascontiguousarray(self.functionals[:, :modes]),
            lengths=self.lengths[:modes],
        )

    def to_stored(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Configuration and arrays."""
        outputs = [list(pair) for pair in self.outputs]
        config = {"outputs": outputs, "operations": self.operations, "lift_length": self.lift_length}
        return config, {f"model.{name}": getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_stored(cls, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> "ReducedModel":
        """The model again."""
        outputs = tuple((name, unit) for name, unit in config["outputs"])
        named = {name: np.ascontiguousarray(arrays[f"model.{name}"]) for name in _ARRAYS}
        return cls(**named, outputs=outputs, operations=config["operations"], lift_length=config["lift_length"])


_ARRAYS = (
    "matrices", "loads", "functionals", "offsets", "lengths", "term_norms", "load_norms", "functional_norms"
)  # fmt: skip


def stacked(quantities: Mapping[str, Quantity], size: int) -> Real:
    """The functionals of all quantities `(s, N)`."""
    return np.array([q.functional for q in quantities.values()], dtype=np.float64).reshape(len(quantities), size)
