"""Sums of Kronecker products: a matrix along each axis."""

from itertools import accumulate, chain
from math import prod
from typing import Self

import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.alternating import alternating
from nwidth.linmaps.base import (
    Approximant,
    Cost,
    Goal,
    LinearMap,
    MapShape,
    by_parts,
    check_input,
    placement,
    product_cost,
)
from nwidth.linmaps.convert import to_dense

#: Entries up to which a matrix is formed to be approximated.
ENTRIES = 2**26


class Kronecker(Approximant):
    """`A = Σ_t A_t1 ⊗ A_t2 ⊗ ... ⊗ A_td` with `A_tj (m_j, n_j)` acting along axis j, `(B, *inputs)` to `(B, *outputs)`.

    `outputs` (m_1, ..., m_d), `inputs` (n_1, ..., n_d), d >= 2. Parameters: `factors[j] (terms, m_j, n_j)`. Entries of
    the sum start with variance `1/N_in`.

    Gauge: for two axes the sum is a matrix of rank `terms` in another order of its entries, so that `terms²` numbers
    are redundant; for more axes the factors of a term share d - 1 free scales, `terms (d - 1)` numbers (where the
    decomposition is unique up to these, which holds for few terms: Kruskal 1977).

    Raises InputError for fewer than two axes, differing numbers of axes, or an input of another shape.
    """

    def __init__(
        self, outputs: tuple[int, ...], inputs: tuple[int, ...], terms: int = 1, *, dtype: torch.dtype = torch.float32
    ):
        super().__init__()
        check_axes(outputs, inputs)
        if terms < 1:
            raise InputError(f"terms = {terms}; expected 1 or more")
        self._outputs, self._inputs, self.terms = tuple(outputs), tuple(inputs), terms
        scale = (terms * prod(inputs)) ** (-0.5 / len(inputs))
        self.factors = nn.ParameterList(
            nn.Parameter(scale * torch.randn(terms, m, n, dtype=dtype)) for m, n in zip(outputs, inputs, strict=True)
        )

    @property
    def shape(self) -> MapShape:
        """(outputs, inputs)."""
        return self._outputs, self._inputs

    @property
    def gauge(self) -> int:
        """Dimension of the sets of parameters that are one map (see the class)."""
        axes = len(self._inputs)
        return self.terms**2 if axes == 2 else self.terms * (axes - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Axis by axis, the last one first."""
        check_input(x, self._inputs)
        return by_parts(lambda v: _along_axes(list(self.factors), v), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed factors."""
        check_input(y, self._outputs)
        return by_parts(lambda v: _along_axes([f.mT for f in self.factors], v), y)

    def cost(self, batch: int = 1) -> Cost:
        """The products along the axes."""
        size, terms, axes = self.factors[0].itemsize, self.terms, len(self._inputs)
        before = list(accumulate(self._inputs, lambda a, b: a * b, initial=batch))
        after = list(accumulate(reversed(self._outputs), lambda a, b: a * b, initial=1))
        sizes = list(zip(self._outputs, self._inputs, strict=True))
        total = product_cost(before[axes - 1], sizes[-1][1], terms * sizes[-1][0], size)
        for axis in range(axes - 2, 0, -1):
            m, n = sizes[axis]
            total += product_cost(m, n, after[axes - 1 - axis], size, copies=terms * before[axis])
        m, n = sizes[0]
        return total + product_cost(m, terms * n, after[axes - 1], size, copies=batch)

    @classmethod
    def approximate(cls, source: LinearMap, goal: Goal) -> Self:
        """Two axes: the optimal sum, by singular vectors of the rearranged matrix (Van Loan and Pitsianis 1993).

        More axes: alternating least squares, term by term more until the goal is met. Raises InputError for shapes
        without axes in pairs, complex entries, matrices above 2²⁶ entries, or a budget below one term.
        """
        outputs, inputs = source.shape
        check_axes(outputs, inputs)
        per_term = sum(m * n for m, n in zip(outputs, inputs, strict=True))
        if goal.budget is not None and goal.budget < per_term:
            raise InputError(f"one term has {per_term} parameters at this size, the budget is {goal.budget}")
        tensor = rearranged(source)
        factors = _two_axes(tensor, goal, per_term) if tensor.ndim == 2 else alternating(tensor, goal, per_term)
        dtype, device = placement(source)
        made = cls(outputs, inputs, factors[0].shape[1], dtype=dtype).to(device)
        with torch.no_grad():
            for parameter, values in zip(made.factors, factors, strict=True):
                parameter.copy_(values.T.reshape(parameter.shape))
        return made


def check_axes(outputs: tuple[int, ...], inputs: tuple[int, ...]) -> None:
    """InputError for shapes whose axes do not come in pairs, two at least."""
    if len(outputs) != len(inputs) or len(inputs) < 2:
        raise InputError(
            f"outputs {outputs} and inputs {inputs}; a Kronecker product needs equally many axes, two or more: "
            "nw.linmaps.reshape(map, outputs, inputs) splits an axis"
        )


def rearranged(source: LinearMap) -> Tensor:
    """The entries with output and input index of each axis side by side, `(m_1 n_1, ..., m_d n_d)`, in double."""
    outputs, inputs = source.shape
    if prod(outputs) * prod(inputs) > ENTRIES:
        raise InputError(
            f"the matrix has {prod(outputs) * prod(inputs)} entries; this kind needs all, at most {ENTRIES}"
        )
    matrix = to_dense(source).detach()
    if matrix.is_complex():
        raise InputError("the map has complex entries; this kind holds real ones")
    axes = len(inputs)
    pairs = chain.from_iterable(zip(range(axes), range(axes, 2 * axes), strict=True))
    return (
        matrix.double()
        .reshape(*outputs, *inputs)
        .permute(*pairs)
        .reshape([m * n for m, n in zip(outputs, inputs, strict=True)])
    )


def _two_axes(tensor: Tensor, goal: Goal, per_term: int) -> list[Tensor]:
    """Both factors `(m_j n_j, terms)`."""
    u, s, vh = torch.linalg.svd(tensor, full_matrices=False)
    if goal.budget is not None:
        terms = min(len(s), goal.budget // per_term)
    else:
        left = torch.cat([s.square().flip(0).cumsum(0).flip(0), s.new_zeros(1)])
        good = (left <= (goal.tol or 0.0) ** 2 * left[0]).nonzero()
        terms = max(1, int(good[0]))
    root = s[:terms].sqrt()
    return [u[:, :terms] * root, vh[:terms].T * root]


def _along_axes(factors: list[Tensor], x: Tensor) -> Tensor:
    """`Σ_t` of products along all axes: the first product opens the terms, the last one sums over them."""
    batch, sizes = len(x), list(x.shape[1:])
    terms = len(factors[0])
    last = factors[-1]
    t = x.reshape(-1, sizes[-1]) @ last.reshape(-1, last.shape[2]).T
    # (B n_1 ... n_(d-1), terms, m_d) with the terms first
    t = t.reshape(-1, terms, last.shape[1]).movedim(1, 0)
    done = last.shape[1]
    for axis in range(len(sizes) - 2, 0, -1):
        factor, copies = factors[axis], batch * prod(sizes[:axis])
        each = factor[:, None].expand(-1, copies, -1, -1).flatten(0, 1)
        t = torch.bmm(each, t.reshape(terms * copies, sizes[axis], done)).reshape(terms, copies, factor.shape[1] * done)
        done *= factor.shape[1]
    # (terms, B, n_1, rest) with terms and n_1 together: their product sums both
    t = t.reshape(terms, batch, sizes[0], done).movedim(0, 1).reshape(batch, terms * sizes[0], done)
    first = factors[0].movedim(0, 1).reshape(factors[0].shape[1], -1)
    y = torch.bmm(first.expand(batch, -1, -1), t)
    return y.reshape(batch, *(f.shape[1] for f in factors))
