"""`from_matrices`: a user's own finite-element matrices become an affine problem, and so a certified reduced basis.

The matrices are checked when they come in, because a bound is only as good as what it is computed with: the product
must be proven positive definite, and the stability constant is proven where min-theta applies.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.expressions import Expression
from nwidth.problems.base import AffineTerms, Quantity
from nwidth.problems.formulas import Compiled, parameter_table
from nwidth.problems.matrices import CodedMatrixProblem, Coefficients, Matrices, MatrixProblem, called, lifted
from nwidth.problems.min_theta import ThetaStability
from nwidth.problems.quantities import Quadratic
from nwidth.rb import matrix_inputs as inputs
from nwidth.rb.matrix_checks import definite, lowest_pair, real_matrix, symmetric
from nwidth.rb.matrix_stability import best_stability
from nwidth.spaces.algebraic import Algebraic
from nwidth.spaces.box import Box
from nwidth.spaces.mesh import Form

Texts: TypeAlias = Sequence[str | float]
Given: TypeAlias = tuple[Texts, Texts] | Coefficients
Stabiliser: TypeAlias = ThetaStability | Callable[[Matrices], ThetaStability]


def from_matrices(
    A_terms: Sequence[Any],
    f_terms: Sequence[Any],
    coefficients: Given,
    product: Any = None,
    *,
    parameters: Box | Mapping[str, tuple[float, float]],
    outputs: Mapping[str, Any] | None = None,
    free: Any = None,
    lift: Any = None,
    stability: Stabiliser | None = None,
    lambda_min: float | None = None,
    coordinates: Any = None,
) -> MatrixProblem | CodedMatrixProblem:
    """`Σ_q θ_q(mu) A_q u = Σ_q φ_q(mu) f_q` on the free dofs, `u = lift` on the others.

        problem = nw.rb.from_matrices([K_1, K_2, M], [f], (["1", "k", "h"], ["1"]), parameters={"k": (0.1, 10), ...})
        rb = nw.rb.Greedy(1e-6).fit(problem=problem)
        certified = nw.certify(rb, problem)

    A_terms: symmetric matrices `(N, N)`, sparse or dense, over *all* dofs, as assembled. f_terms: vectors `(N,)`.
    coefficients: the formulas of θ and of φ as texts, or a function `mu -> (θ (B, Q_A), φ (B, Q_f))`, which can be
    neither stored nor exported. product: the inner product X `(N, N)`; by default `Σ_q θ_q A_q` in the middle of the
    parameters. parameters: a Box, or name -> (low, high). outputs: name -> functional `(N,)`, `Quantity` or
    `Quadratic` (limits of these: `nw.certify_outputs`).
    free: a mask `(N,)` or the numbers of the unknown dofs; all by default. lift: prescribed values `(N,)`; the loads
    `-A lift` that they cause are added. lambda_min: a proven lower bound of the smallest eigenvalue of X on the free
    dofs, proven here where it is not given. stability: the constant as a function of θ, or what makes one from the
    problem; by default min-theta where every term is proven semidefinite and θ > 0, and otherwise a value from
    eigenvectors at a few parameters: an `Estimate`, and `problem.stability.missing` says what a proof lacks.

    Raises InputError with the reason for terms that are not symmetric, for a product that is not symmetric positive
    definite, and for whatever else does not fit.
    """
    box = inputs.box(parameters)
    matrices = inputs.matrices(A_terms)
    size = matrices[0].shape[0]
    mask, values = inputs.free(free, size), inputs.vector("lift", np.zeros(size) if lift is None else lift, size)
    loads = inputs.loads(f_terms, size)
    table = _Table(coefficients, box, len(matrices), len(loads))
    causes = lifted(matrices, mask, values)
    loads = np.concatenate([loads, np.stack([-(matrices[q] @ values) for q in causes]) if len(causes) else loads[:0]])
    data = AffineTerms(matrices, loads * mask, mask, values)
    reference = table.theta(box.from_unit(np.full((1, len(box.names)), 0.5)))[0]
    energy = _product(product, data, reference, lambda_min)
    space = Algebraic(mask, energy, None if coordinates is None else inputs.points(coordinates, size))
    named = inputs.quantities(outputs or {}, size)
    if isinstance(stability, ThetaStability):
        return table.problem(data, box, space, named, _checked_stability(stability, reference), causes)
    best = best_stability(data, table.theta, box, energy, reference if product is None else None)
    problem = table.problem(data, box, space, named, best, causes)
    if stability is None:
        return problem
    own = _checked_stability(stability(problem) if callable(stability) else stability, reference)
    return table.problem(data, box, space, named, own, causes)


class _Table:
    """The coefficients as they were given: formulas or a function."""

    def __init__(self, given: Given, box: Box, matrices: int, loads: int):
        self._box, self._counts = box, (matrices, loads)
        self._function = given if callable(given) else None
        if self._function is None:
            self._formulas = _formulas(given, box.names, self._counts)
            self._compiled = Compiled.of(*self._formulas, box.names)

    def theta(self, mu: dict[str, Array]) -> Real:
        """θ `(B, Q_A)`, checked."""
        if self._function is not None:
            return called(self._function, mu, *self._counts)[0]
        return self._compiled(parameter_table(mu, self._box.names))[0]

    def problem(
        self,
        data: AffineTerms,
        box: Box,
        space: Algebraic,
        named: Mapping[str, Quantity | Quadratic],
        constants: ThetaStability,
        causes: Array,
    ) -> MatrixProblem | CodedMatrixProblem:
        if self._function is not None:
            return CodedMatrixProblem(data, box, space, named, constants, self._function, self._counts[1])
        theta, phi = self._formulas
        return MatrixProblem(data, box, space, named, constants, theta, (*phi, *(theta[q] for q in causes)))


def _formulas(
    given: Any, names: Sequence[str], counts: tuple[int, int]
) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
    lists = isinstance(given, tuple | list) and len(given) == 2
    if not lists or any(isinstance(part, str) or not isinstance(part, Sequence) for part in given):
        raise InputError(
            f"coefficients are {given!r}; give two lists of formulas, (['1', 'k'], ['1']) for θ and φ, or a function "
            "mu -> (theta, phi)"
        )
    for what, part, count in zip(("A_terms", "f_terms"), given, counts, strict=True):
        if len(part) != count:
            raise InputError(f"{len(part)} coefficients {list(part)} for {count} {what}; give one formula for each")
    theta, phi = (tuple(Expression.parse(text, names) for text in part) for part in given)
    return theta, phi


def _product(given: Any, data: AffineTerms, reference: Real, lambda_min: float | None) -> Form:
    """The inner product over all dofs, proven positive definite on the free ones."""
    size = len(data.lift)
    if given is None:
        name = "the default product (all terms with their coefficients in the middle of the parameters)"
        matrix = sp.csr_array(sum(t * a for t, a in zip(reference, data.matrices, strict=True)))
    else:
        name = "product"
        matrix = symmetric(name, real_matrix(name, given, size))
    matrix.sum_duplicates()
    if lambda_min is None:
        return Form(matrix, definite(name, matrix, data.free))
    smallest, _ = lowest_pair(sp.csr_array(matrix[data.free][:, data.free]))
    if not 0 < lambda_min <= smallest * (1 + 1e-6):
        raise InputError(
            f"lambda_min is {lambda_min:g}, but a vector was found with (X v, v) = {smallest:.6g} (v, v); give a "
            "proven lower bound of the smallest eigenvalue of X on the free dofs, or leave it to be proven here"
        )
    return Form(matrix, float(lambda_min))


def _checked_stability(chosen: Any, reference: Real) -> ThetaStability:
    if not isinstance(chosen, ThetaStability):
        raise InputError(
            f"stability is a {type(chosen).__name__}; give a ThetaStability (constants as a function of θ), or a "
            "function problem -> ThetaStability"
        )
    found = chosen.constants(reference[None])
    if np.shape(found.lower) != (1,):
        raise InputError(f"stability answers with shape {np.shape(found.lower)} for one row of θ; expected (1,)")
    return chosen
