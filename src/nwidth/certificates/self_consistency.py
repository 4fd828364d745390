"""The same surrogate asked in another way: where its answers disagree, at least one of them is wrong.

Each class is a surrogate that answers the same queries as the one inside; `Spread` of such members is a hint of how
hard a query is, for one more answer and without a second training. Agreement proves nothing: errors that both ways
share are not seen, which is why the limit is calibrated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.unseen import remembered
from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.prediction import Output, Prediction, uncertified
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.grid import Grid, interpolate
from nwidth.surrogates.around import Around
from nwidth.surrogates.base import Remembering, Surrogate


@dataclass(frozen=True)
class Mirrored(Around, Remembering):
    """Asks about the mirror image and mirrors the answer, for problems on a grid that look the same in a mirror.

    `axis` is the direction of the grid that is reversed. Parameters that are fields on the grid are reversed with it,
    all others stay. Outputs are those of the mirror image: the same where a mirror leaves the quantity alone (a mean, a
    total), otherwise a poor hint. Raises InputError for a surrogate without a grid.
    """

    kind: ClassVar[str] = "mirrored"

    axis: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.surrogate.space, Grid) or not 0 <= self.axis < self.surrogate.space.dim:
            raise InputError(f"a mirror needs a grid with a direction {self.axis}; got {self.surrogate.space}")

    def predict(self, mu: Mu | Array) -> Prediction:
        """The mirror image's answer, mirrored back."""
        mu = as_mu(mu, self.parameters.names)
        answer = self.surrogate.predict(self._image(mu))
        fields = np.flip(np.asarray(answer.field), self.axis + 1)
        return uncertified(mu, fields, self.space, self.parameters.contains(mu), _bare(answer))

    def has_seen(self, mu: Mu) -> Mask:
        """Runs that the surrogate inside was fitted to, or whose mirror image it was."""
        return remembered(self.surrogate, mu) | remembered(self.surrogate, self._image(mu))

    def _image(self, mu: Mu) -> dict[str, Array]:
        shape, axis = self.space.shape, self.axis + 1
        return {n: np.flip(a, axis) if a.shape[1:] == shape else a for n, a in mu.items()}

    def to_parts(self) -> Parts:
        return Parts({"axis": self.axis}, {}, {"surrogate": self.surrogate})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["surrogate"], config["axis"])


@dataclass(frozen=True)
class Coarser(Surrogate, Remembering):
    """Asks on a grid with every second node and interpolates the answer linearly.

    `surrogate` answers on the coarse grid, for example `operator.at(coarse)`; `grid` and `fitted` are those of the
    fine one. Raises InputError for grids that do not nest.
    """

    kind: ClassVar[str] = "coarser"

    surrogate: Surrogate
    grid: Grid
    fitted: ParameterSpace

    coarse: Grid = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        coarse = self.surrogate.space
        half = tuple(n // 2 for n in self.grid.cells)
        if not isinstance(coarse, Grid) or coarse != replace(self.grid, cells=half) or self.grid.centring != "node":
            raise InputError(f"expected a surrogate on a grid of {half} cells, with nodes at every second one of these")
        object.__setattr__(self, "coarse", coarse)

    @property
    def parameters(self) -> ParameterSpace:
        """Those on the fine grid."""
        return self.fitted

    @property
    def space(self) -> FunctionSpace:
        """The fine grid."""
        return self.grid

    def predict(self, mu: Mu | Array) -> Prediction:
        """The coarse grid's answer on the fine one."""
        mu = as_mu(mu, self.fitted.names)
        answer = self.surrogate.predict(self._thinned(mu))
        fields = interpolate(np.asarray(answer.field), self.coarse, self.grid)
        return uncertified(mu, fields, self.grid, self.fitted.contains(mu), _bare(answer))

    def has_seen(self, mu: Mu) -> Mask:
        """Runs that the surrogate inside was fitted to, on this grid or on the coarse one."""
        return remembered(self.surrogate, mu) | remembered(self.surrogate, self._thinned(mu))

    def _thinned(self, mu: Mu) -> dict[str, Array]:
        every = (slice(None), *(slice(None, None, 2),) * self.grid.dim)
        return {n: a[every] if a.shape[1:] == self.grid.shape else a for n, a in mu.items()}

    def to_parts(self) -> Parts:
        return Parts({}, {}, {"surrogate": self.surrogate, "grid": self.grid, "fitted": self.fitted})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["surrogate"], children["grid"], children["fitted"])


@dataclass(frozen=True)
class ThroughSplitPoint(Surrogate, Remembering):
    """Goes to the answer through a point in between: `second` starts from what `first` answers.

    For states in time: `first` maps a state to the one at a split point, `second` that one to the end; a surrogate that
    goes to the end at once should agree. The answer of `first` is the parameter `name` of `second`; other parameters
    are passed on to both.
    """

    kind: ClassVar[str] = "through-split-point"

    first: Surrogate
    second: Surrogate
    name: str

    def __post_init__(self) -> None:
        if self.name not in self.second.parameters.names:
            raise InputError(f"{self.name!r} is no parameter of the second part: {self.second.parameters.names}")

    @property
    def parameters(self) -> ParameterSpace:
        """Those of the first part."""
        return self.first.parameters

    @property
    def space(self) -> FunctionSpace:
        """That of the second part."""
        return self.second.space

    def predict(self, mu: Mu | Array) -> Prediction:
        """The second part's answer to the first part's."""
        mu = as_mu(mu, self.first.parameters.names)
        between = np.asarray(self.first.predict(mu).field)
        passed = {n: a for n, a in mu.items() if n in self.second.parameters.names}
        answer = self.second.predict({**passed, self.name: between})
        return uncertified(mu, np.asarray(answer.field), self.space, self.parameters.contains(mu), _bare(answer))

    def has_seen(self, mu: Mu) -> Mask:
        """Runs that the first part was fitted to; those of the second start elsewhere."""
        return remembered(self.first, mu)

    def to_parts(self) -> Parts:
        return Parts({"name": self.name}, {}, {"first": self.first, "second": self.second})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["first"], children["second"], config["name"])


def _bare(answer: Prediction) -> dict[str, Output]:
    """The outputs without their limits: these were for the query that was asked instead."""
    return {n: Output(o.values, np.full(o.values.shape, np.inf), o.unit) for n, o in answer.outputs.items()}
