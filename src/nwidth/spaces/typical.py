"""The set of fields that a surrogate was trained on, as far as its training fields show it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts, fingerprint
from nwidth.core.validation import as_mu
from nwidth.spaces.base import ParameterSpace
from nwidth.spaces.field_density import FEWEST, FieldDensity, fit_density
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.random_field import RandomField

#: A parameter with fewer numbers is a vector of scalars, and its range says what there is to say.
_FIELD = 64


@dataclass(frozen=True, eq=False)
class TypicalFields(ParameterSpace):
    """The fields of `base` that look like those a surrogate was trained on: `density` decides, see `FieldDensity`.

    At least `density.level` of fields drawn like the training fields are inside. A field on a grid that refines that of
    the training is judged by its values at the nodes of the training (between them only `base` looks); on any other
    grid only `base` decides. Raises InputError where base has more than one parameter.
    """

    kind: ClassVar[str] = "typical-fields"

    base: ParameterSpace
    density: FieldDensity

    def __post_init__(self) -> None:
        if len(self.base.names) != 1:
            raise InputError(f"the base has the parameters {list(self.base.names)}; typical fields are of one")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypicalFields) and fingerprint(self) == fingerprint(other)

    def __hash__(self) -> int:
        return hash((self.kind, self.base.names, self.density.limit))

    @property
    def names(self) -> tuple[str, ...]:
        return self.base.names

    @property
    def level(self) -> float:
        """The share of fields drawn like the training fields that is inside, at least."""
        return self.density.level

    def on(self, base: ParameterSpace) -> Self:
        """The same test for the same fields on another grid."""
        return type(self)(base, self.density)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Draws of the base; of about 1 in 1 / (1 - level) the test says that it is not typical."""
        return self.base.sample(indices, seed)

    def contains(self, mu: Mu) -> Mask:
        """Which rows the base contains and are typical, `(B,)`."""
        inside = np.array(self.base.contains(mu))
        values = self._comparable(as_mu(mu, self.names)[self.names[0]])
        if values is None or not inside.any():
            return inside
        if inside.all():  # the usual case, without a copy of all fields
            return self.density.typical(values)
        inside[inside] = self.density.typical(values[inside])
        return inside

    def describe(self, mu: Mu) -> Array:
        """What is outside in each row, as a sentence, `(B,)`; empty where the row is inside."""
        values = as_mu(mu, self.names)[self.names[0]]
        in_base, seen = self.base.contains(mu), self._comparable(values)
        texts = np.full(len(values), "", dtype=object)
        if isinstance(self.base, RandomField):
            texts[~in_base] = self.base.describe(mu)[~in_base]
        texts[~in_base & (texts == "")] = f"{self.names[0]} is not in the set that was sampled"
        if seen is not None:
            said = self.density.describe(seen[in_base])
            texts[in_base] = [f"{self.names[0]} is unlike the training fields: {s}" if s else "" for s in said]
        return texts

    def drift(self, mu: Mu) -> tuple[float, str]:
        """Whether these fields as a batch are drawn like the training fields: see `FieldDensity.drift`.

        Raises InputError for fields on a grid that does not refine that of the training.
        """
        values = self._comparable(as_mu(mu, self.names)[self.names[0]])
        if values is None:
            raise InputError(f"these fields are not known at the nodes of the training, a grid of {self.density.shape}")
        return self.density.drift(values)

    def _comparable(self, values: Array) -> Array | None:
        """The values at the nodes of the training; None where the grid does not have all of them."""
        ours, theirs = self.density.shape, values.shape[1:]
        if theirs == ours:
            return values
        if len(theirs) != len(ours):
            return None
        # between other nodes a field that jumps and one that is smooth would have to be read differently
        last = 0 if isinstance(self.base, PeriodicField) else 1
        cells = [(n - last, m - last) if n != m else (1, 1) for n, m in zip(theirs, ours, strict=True)]
        if any(m < 1 or n < m or n % m for n, m in cells):
            return None
        steps = [n // m for n, m in cells]
        return values[(slice(None), *(slice(None, None, step) for step in steps))]

    def to_parts(self) -> Parts:
        return Parts({}, {}, {"base": self.base, "density": self.density})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["base"], children["density"])


def typical_set(
    parameters: ParameterSpace, mu: Mapping[str, Any], rows: Array | None = None, *, seed: int = 0
) -> ParameterSpace:
    """The set of parameters with every field among them held to what the training fields `mu` look like.

    Scalars keep their ranges. So does a field of which there are fewer than 100, which does not vary, or which holds
    values that are not finite: then nothing can be said. rows: the samples that were trained on; None for all.
    """
    if isinstance(parameters, Joint):
        parts = tuple(typical_set(part, mu, rows, seed=seed) for part in parameters.parts)
        return parameters if parts == parameters.parts else Joint(parts)
    if len(parameters.names) != 1 or isinstance(parameters, TypicalFields):
        return parameters
    fields = mu[parameters.names[0]]
    count = len(fields) if rows is None else len(rows)
    if int(np.prod(fields.shape[1:])) < _FIELD or count < FEWEST:
        return parameters
    try:
        return TypicalFields(parameters, fit_density(fields, seed=seed, rows=rows))
    except InputError:
        return parameters
