"""A surrogate from any function of one's own: a regression, another program, a guess."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction, Shaped, uncertified
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu, batch_size, check_batched
from nwidth.problems.base import Evolution, Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.trajectories import Trajectories
from nwidth.surrogates.base import Surrogate


@dataclass(frozen=True)
class FunctionSurrogate(Surrogate):
    """Answers by a user's function `mu -> fields`; `mu` is a mapping name -> `(B, ...)`, fields `(B, *space.shape)`, or
    trajectories `(B, T, *space.shape)` where there are `times`.

    The function works on copies: whatever it does to them, the answer is to the query that was asked.

    It is not stored (no code ever is): a class of one's own with `kind`, `to_parts` and `from_parts` is.
    """

    kind: ClassVar[str] = "function"

    function: Callable[[Mapping[str, Array]], Array]
    fitted: ParameterSpace
    function_space: FunctionSpace = field(repr=False)
    times: tuple[float, ...] | None = None

    @property
    def parameters(self) -> ParameterSpace:
        """The set that the function was fitted to."""
        return self.fitted

    @property
    def space(self) -> FunctionSpace:
        """Where its fields live."""
        return self.function_space

    def predict(self, mu: Mu | Array) -> Prediction:
        """The function's fields. Raises InputError where their shape is another."""
        mu = as_mu(mu, self.fitted.names)
        lent = {name: values.copy() for name, values in mu.items()}
        where = self._answers_in
        fields = check_batched("the function's answer", np.asarray(self.function(lent)), where.shape)
        if len(fields) != batch_size(mu):
            raise InputError(f"the function gave {len(fields)} fields for {batch_size(mu)} queries; give one for each")
        return uncertified(mu, fields, where, self.fitted.contains(mu))

    @property
    def _answers_in(self) -> Shaped:
        space, times = self.function_space, self.times
        return space if times is None else Trajectories(space, np.array(times))

    def to_parts(self) -> Parts:
        """Raises InputError: a function is not stored."""
        raise InputError(
            "a surrogate from a function is not stored, for no code ever is; write a class of your own that inherits "
            "nw.Surrogate (kind, to_parts, from_parts), and load it with nw.load(path, kinds=[MyClass])"
        )

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """Raises InputError: a function is not stored."""
        raise InputError("a surrogate from a function is not stored")


def from_function(
    function: Callable[[Mapping[str, Array]], Array],
    like: Problem | Snapshots,
    *,
    parameters: ParameterSpace | None = None,
) -> FunctionSurrogate:
    """Any function `mu -> fields` as a surrogate: `nw.certify(nw.from_function(f, problem), problem)` bounds it.

    `like` gives the fields' space, the times where it has them (a problem in time, trajectories) and, unless
    `parameters` says otherwise, the set that the function is meant for.
    Raises InputError for something that cannot be called.
    """
    if not callable(function):
        raise InputError(f"expected a function of the parameters, got {type(function).__name__}; pass model.predict")
    times = like.times if isinstance(like, Evolution | Snapshots) else None
    levels = None if times is None else tuple(float(t) for t in times)
    return FunctionSurrogate(function, parameters or like.parameters, like.space, levels)
