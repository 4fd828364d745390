"""Affine problems that are given by their matrices; made by `nwidth.rb.matrices.from_matrices`, which checks them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.expressions import Expression
from nwidth.core.storable import Parts, Storable, fingerprint
from nwidth.core.validation import as_mu, batch_size
from nwidth.problems.base import AffineTerms, Outputs, Quantity, Stability
from nwidth.problems.formulas import Formulas
from nwidth.problems.min_theta import ThetaStability, ThetaStable
from nwidth.problems.quantities import Quadratic, QuadraticOutputs
from nwidth.spaces.algebraic import Algebraic
from nwidth.spaces.box import Box

#: `mu -> (θ (B, Q_A), φ (B, Q_f))`.
Coefficients = Callable[[dict[str, Array]], tuple[Any, Any]]

_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True, eq=False)
class Matrices(ThetaStable, Outputs, QuadraticOutputs):
    """The parts that matrices bring: affine terms, parameters, a space, quantities and a stability constant."""

    data: AffineTerms
    box: Box
    algebraic: Algebraic
    named: Mapping[str, Quantity | Quadratic]
    constants: ThetaStability

    @property
    def parameters(self) -> Box:
        return self.box

    @property
    def space(self) -> Algebraic:
        return self.algebraic

    @property
    def stability(self) -> ThetaStability:
        return self.constants

    def terms(self) -> AffineTerms:
        return self.data

    def constant(self, mu: Mu, field: Array | None = None) -> Stability:
        """The constants at the coefficients of mu; NaN, and so no bound, where nothing above zero is proven."""
        found = super().constant(mu)
        return replace(found, lower=np.where(found.lower > 0, found.lower, np.nan))

    def quantities(self) -> Mapping[str, Quantity]:
        return {name: quantity for name, quantity in self.named.items() if isinstance(quantity, Quantity)}

    def quadratics(self) -> Mapping[str, Quadratic]:
        return {name: quantity for name, quantity in self.named.items() if isinstance(quantity, Quadratic)}


@dataclass(frozen=True, eq=False)
class MatrixProblem(Formulas, Matrices, Storable):
    """Matrices with formulas as coefficients: stored as they are, exported as C."""

    kind: ClassVar[str] = "matrices"

    theta: tuple[Expression, ...]
    phi: tuple[Expression, ...]

    def formulas(self) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        return self.theta, self.phi

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MatrixProblem):
            return False
        return self is other or self._fingerprint == other._fingerprint

    def __hash__(self) -> int:
        return hash(self._fingerprint)

    def to_parts(self) -> Parts:
        """All matrices and vectors as arrays; formulas and names as text; space and stability as children."""
        arrays = {"loads": self.data.loads, "lift": self.data.lift}
        for q, matrix in enumerate(self.data.matrices):
            arrays |= {f"A{q}.{part}": getattr(matrix, part) for part in _PARTS}
        for name, quantity in self.named.items():
            arrays[f"output {name}"] = quantity.functional
        for name, quadratic in self.quadratics().items():
            arrays |= {f"square {name}.{part}": getattr(quadratic.matrix, part) for part in _PARTS}
        config = {
            "theta": [e.text for e in self.theta],
            "phi": [e.text for e in self.phi],
            "outputs": [[name, q.offset, q.unit] for name, q in self.named.items()],
        }
        children = {"box": self.box, "space": self.algebraic, "stability": self.constants}
        return Parts(config, arrays, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        space, box = children["space"], children["box"]
        matrices = [_matrix(arrays, f"A{q}", space.size) for q in range(len(config["theta"]))]
        outputs: dict[str, Quantity | Quadratic] = {}
        for name, offset, unit in config["outputs"]:
            functional = np.array(arrays[f"output {name}"])
            outputs[name] = Quantity(functional, offset, unit)
            if f"square {name}.data" in arrays:
                outputs[name] = Quadratic(_matrix(arrays, f"square {name}", space.size), functional, offset, unit)
        theta, phi = (tuple(Expression.parse(text, box.names) for text in config[key]) for key in ("theta", "phi"))
        terms = AffineTerms(tuple(matrices), np.array(arrays["loads"]), space.free, np.array(arrays["lift"]))
        return cls(terms, box, space, outputs, children["stability"], theta, phi)


@dataclass(frozen=True, eq=False)
class CodedMatrixProblem(Matrices, Storable):
    """Matrices whose coefficients are a Python function: it cannot be stored or exported, and says so."""

    kind: ClassVar[str] = "coded-matrices"

    function: Coefficients
    given: int

    def coefficients(self, mu: Mu) -> tuple[Real, Real]:
        """θ and φ from the function; loads that carry prescribed values take the θ of their matrix.

        Raises InputError where the function returns other shapes or values that are not finite.
        """
        mu = as_mu(mu, self.box.names)
        count = len(self.data.matrices)
        theta, phi = called(self.function, mu, count, self.given)
        return theta, np.concatenate([phi, theta[:, self._lifted]], axis=1)

    @cached_property
    def _lifted(self) -> Array:
        """The matrix that each further load belongs to."""
        return lifted(self.data.matrices, self.data.free, self.data.lift)

    def to_parts(self) -> Parts:
        """Raises InputError: code is not stored."""
        raise InputError(
            "coefficients that are a Python function cannot be stored or exported; give them to from_matrices as text, "
            "coefficients=(['1', '0.5 * k'], ['h'])"
        )

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        raise InputError("coefficients that are a Python function are never stored: this file was altered")


def _matrix(arrays: Mapping[str, Array], name: str, size: int) -> sp.csr_array:
    return sp.csr_array(tuple(np.array(arrays[f"{name}.{part}"]) for part in _PARTS), shape=(size, size))


def called(function: Coefficients, mu: dict[str, Array], matrices: int, loads: int) -> tuple[Real, Real]:
    """What a coefficient function returns, checked: θ `(B, Q_A)` and φ `(B, Q_f)`, finite."""
    answer = function(mu)
    if not (isinstance(answer, tuple | list) and len(answer) == 2):
        raise InputError(f"the coefficient function returned {type(answer).__name__}; return the pair (theta, phi)")
    found = []
    for name, values, count in (("theta", answer[0], matrices), ("phi", answer[1], loads)):
        table = np.array(values, dtype=np.float64, order="C")
        if table.shape != (batch_size(mu), count):
            raise InputError(f"the coefficient function returned {name} of shape {table.shape}; expected (B, {count})")
        if not np.isfinite(table).all():
            row = int(np.argmin(np.isfinite(table).all(axis=1)))
            raise InputError(f"the coefficient function returned {name} = {table[row]} in row {row}: not finite")
        found.append(table)
    return found[0], found[1]


def lifted(matrices: tuple[sp.csr_array, ...], free: Array, lift: Real) -> Array:
    """The matrices that turn prescribed values into loads on the free dofs, by their places."""
    return np.array([q for q, a in enumerate(matrices) if np.any((a @ lift)[free])], dtype=np.int64)
