"""Maps made of maps: one after another, or the same matrix between tensors of other shapes."""

from functools import reduce
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.linmaps.base import Cost, LinearMap, MapShape, check_input


class Composition(LinearMap):
    """`A_1 A_2 ... A_n x`: the last map acts first.

    A map, not a kind: parameters of factors may be redundant in the product (a matrix and its inverse between two
    factors change nothing). Raises InputError where the shapes do not fit.
    """

    def __init__(self, *maps: LinearMap):
        super().__init__()
        if not maps:
            raise InputError("compose() got no maps; give at least one")
        for left, right in pairwise(maps):
            if left.shape[1] != right.shape[0]:
                raise InputError(
                    f"{type(left).__name__} takes {left.shape[1]} and {type(right).__name__} gives {right.shape[0]}; "
                    "expected equal shapes (nw.linmaps.reshape changes them)"
                )
        self.maps = nn.ModuleList(maps)

    @property
    def shape(self) -> MapShape:
        """(output of the first map, input of the last)."""
        return self._factors[0].shape[0], self._factors[-1].shape[1]

    @property
    def _factors(self) -> list[LinearMap]:
        return [m for m in self.maps if isinstance(m, LinearMap)]

    def forward(self, x: Tensor) -> Tensor:
        """From the last to the first."""
        return reduce(lambda v, m: m(v), reversed(self._factors), x)

    def adjoint(self, y: Tensor) -> Tensor:
        """`A_nᴴ ... A_1ᴴ y`."""
        return reduce(lambda v, m: m.adjoint(v), self._factors, y)

    def cost(self, batch: int = 1) -> Cost:
        """The sum."""
        return reduce(Cost.__add__, (m.cost(batch) for m in self._factors))


class Reshaped(LinearMap):
    """The matrix of a map between tensors of other shapes with the same sizes, row-major."""

    def __init__(self, linear_map: LinearMap, outputs: tuple[int, ...], inputs: tuple[int, ...]):
        super().__init__()
        for name, wanted, given in zip(("outputs", "inputs"), (outputs, inputs), linear_map.shape, strict=True):
            if prod(wanted) != prod(given):
                raise InputError(
                    f"{name} {wanted} hold {prod(wanted)} numbers, those of the map, {given}, {prod(given)}"
                )
        self.linear_map = linear_map
        self._shape = tuple(outputs), tuple(inputs)

    @property
    def shape(self) -> MapShape:
        """(outputs, inputs)."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """`A x`."""
        check_input(x, self._shape[1])
        return self.linear_map(x.reshape(-1, *self.linear_map.shape[1])).reshape(-1, *self._shape[0])

    def adjoint(self, y: Tensor) -> Tensor:
        """`Aᴴ y`."""
        check_input(y, self._shape[0])
        return self.linear_map.adjoint(y.reshape(-1, *self.linear_map.shape[0])).reshape(-1, *self._shape[1])

    def cost(self, batch: int = 1) -> Cost:
        """That of the map."""
        return self.linear_map.cost(batch)


def compose(*maps: LinearMap) -> LinearMap:
    """The map that applies all of them, the last one first: `compose(a, b)(x) = a(b(x))`; parameters are shared.

    Raises InputError where the shapes do not fit.
    """
    return maps[0] if len(maps) == 1 else Composition(*maps)


def reshape(linear_map: LinearMap, outputs: tuple[int, ...], inputs: tuple[int, ...]) -> LinearMap:
    """The same matrix between tensors of shapes `outputs` and `inputs`; parameters are shared.

    Raises InputError for other sizes.
    """
    return Reshaped(linear_map, outputs, inputs)
