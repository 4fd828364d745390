"""The answer to a batch of queries: values, a limit for each, and what that limit promises."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee


class Source(StrEnum):
    """Where a sample's values come from."""

    SURROGATE = "surrogate"
    REFINED = "refined"
    FULL_ORDER = "full order"


class Shaped(Protocol):
    """All that a prediction needs of its function space."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one field, components and boundary nodes included."""
        ...


@dataclass(frozen=True)
class Reduced:
    """Fields in a reduced basis, `u = offset + c @ basis`: coefficients `(B, n)`, basis `(n, N)`, offset `(N,)`.

    Reconstructing a field costs more than the reduced solve and its bound, so it happens on demand.
    """

    coefficients: Array
    basis: Array
    offset: Array | None = None

    def reconstruct(self, rows: Array | slice = slice(None)) -> Array:
        """Degrees of freedom `(B, N)` of the chosen rows."""
        dofs = self.coefficients[rows] @ self.basis
        return dofs if self.offset is None else dofs + self.offset


@dataclass(frozen=True)
class Output:
    """A named quantity of interest: values and their limits, both `(B,)`, in `unit`.

    `|true value - value| <= limit` with the promise of the prediction's guarantee.
    """

    values: Real
    limit: Real
    unit: str = ""

    def against(self, threshold: float) -> Array:
        """'below', 'above' or 'undecided' for each sample: decided only where the limit allows it, `(B,)`."""
        verdict = np.full(self.values.shape, "undecided", dtype="<U9")
        verdict[self.values + self.limit < threshold] = "below"
        verdict[self.values - self.limit > threshold] = "above"
        return verdict


@dataclass(frozen=True)
class Prediction:
    """Answers for a batch of queries.

    `bound`, `inside`, `source` and `reason` are per sample `(B,)`; a bound may be +inf, and `reason` says why.
    One guarantee holds for the whole batch: the weakest in it. `stats` holds per-sample costs (iterations, ...).
    `lower`, where a certificate knows it, is a bound from below with the same promise: the true distance lies between
    `lower` and `bound`. Whatever changes the field or its bound sets `lower` anew, or to None.

    Raises InputError for a lower bound above the upper one, the mark of one that was left behind.
    """

    mu: Mu
    values: Array | Reduced
    space: Shaped
    bound: Real
    guarantee: Guarantee
    inside: Mask
    source: Array
    outputs: Mapping[str, Output] = field(default_factory=dict)
    reason: Array | None = None
    stats: Mapping[str, Array] = field(default_factory=dict)
    lower: Real | None = None

    def __post_init__(self) -> None:
        if self.lower is not None and not (self.lower <= self.bound).all():
            row = int(np.argmin(self.lower <= self.bound))
            raise InputError(
                f"sample {row} has the lower bound {self.lower[row]:.6g} above its bound {self.bound[row]:.6g}: it "
                "belongs to another field; replace(prediction, values=..., bound=...) needs lower=... or lower=None too"
            )

    @property
    def interval(self) -> tuple[Real, Real]:
        """From where to where the true distance lies, `(B,)` each; from zero where no lower bound is known."""
        return np.zeros(len(self)) if self.lower is None else self.lower, self.bound

    @property
    def field(self) -> Array:
        """Fields `(B, *space.shape)`, reconstructed from reduced coefficients where necessary."""
        if not isinstance(self.values, Reduced):
            return self.values
        return self.values.reconstruct().reshape(len(self), *self.space.shape)

    def __len__(self) -> int:
        return len(self.bound)

    def take(self, rows: Array | slice) -> "Prediction":
        """The chosen samples as a prediction of their own."""
        values = self.values
        if isinstance(values, Reduced):
            picked: Array | Reduced = replace(values, coefficients=values.coefficients[rows])
        else:
            picked = values[rows]
        return replace(
            self,
            mu={name: a[rows] for name, a in self.mu.items()},
            values=picked,
            bound=self.bound[rows],
            inside=self.inside[rows],
            source=self.source[rows],
            outputs={k: Output(o.values[rows], o.limit[rows], o.unit) for k, o in self.outputs.items()},
            reason=None if self.reason is None else self.reason[rows],
            stats={name: values[rows] for name, values in self.stats.items()},
            lower=None if self.lower is None else self.lower[rows],
        )


def uncertified(
    mu: Mu,
    values: Array | Reduced,
    space: Shaped,
    inside: Mask,
    outputs: Mapping[str, Output] | None = None,
) -> Prediction:
    """A surrogate's bare answer: every bound is +inf and the guarantee says what is missing."""
    size = len(inside)
    count = len(values.coefficients) if isinstance(values, Reduced) else len(values)
    if count != size:
        raise InputError(f"{count} fields for {size} queries; a prediction needs one field per query")
    return Prediction(
        mu=mu,
        values=values,
        space=space,
        bound=np.full(size, np.inf),
        guarantee=Estimate("none"),
        inside=np.asarray(inside, dtype=bool),
        source=np.full(size, Source.SURROGATE.value, dtype="<U10"),
        outputs=outputs or {},
        reason=np.full(size, "no certificate attached", dtype=object),
    )
