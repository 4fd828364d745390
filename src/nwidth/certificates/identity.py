"""Which surrogate a statistical certificate was made for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.storable import Storable, fingerprint
from nwidth.surrogates.base import Surrogate

_PROBES = 4


@dataclass(frozen=True)
class Identity:
    """The surrogate's fingerprint; for one that cannot be stored, its answers to a few queries."""

    fingerprint: str
    queries: Mapping[str, Array] = field(default_factory=dict)
    answers: Array | None = None

    @classmethod
    def of(cls, surrogate: Surrogate, mu: Mu) -> Self:
        """The identity of a surrogate; `mu` are queries that it may be asked."""
        try:
            return cls(fingerprint(surrogate))
        except InputError:
            queries = {name: np.array(values[:_PROBES]) for name, values in mu.items()}
            return cls("", queries, np.concatenate(_answers(surrogate, queries), axis=1))

    def check(self, surrogate: Storable) -> None:
        """Raises InputError for another surrogate."""
        if self.fingerprint:
            same = self.fingerprint == fingerprint(surrogate)
        else:
            same = isinstance(surrogate, Surrogate) and self._answered_by(surrogate)
        if not same:
            raise InputError(
                "this certificate was calibrated for another surrogate; calibrate this one with runs that it has not "
                "seen: nw.certify(surrogate, holdout=snapshots)"
            )

    def _answered_by(self, surrogate: Surrogate) -> bool:
        """Whether it gives the same answers, each quantity on its own scale."""
        before, now = np.asarray(self.answers), _answers(surrogate, self.queries)
        if before.shape != (before.shape[0], sum(block.shape[1] for block in now)):
            return False
        edges = np.cumsum([block.shape[1] for block in now])[:-1]
        return all(_alike(a, b) for a, b in zip(np.split(before, edges, axis=1), now, strict=True))

    def arrays(self) -> dict[str, Array]:
        """What a file needs besides the fingerprint."""
        found = {f"query {name}": values for name, values in self.queries.items()}
        return found if self.answers is None else {**found, "answers": self.answers}

    @classmethod
    def from_stored(cls, stored: str, arrays: Mapping[str, Array]) -> Self:
        """The identity again."""
        queries = {n.removeprefix("query "): a for n, a in arrays.items() if n.startswith("query ")}
        return cls(stored, queries, arrays.get("answers"))


def _answers(surrogate: Surrogate, queries: Mu) -> list[Array]:
    """The field and every output, as rows of numbers."""
    prediction = surrogate.predict(queries)
    parts = [np.asarray(prediction.field), *(np.asarray(o.values) for o in prediction.outputs.values())]
    return [part.reshape(len(part), int(np.prod(part.shape[1:]))) for part in parts]


def _alike(before: Array, now: Array) -> bool:
    """Equal but for rounding, which is relative to the largest of these numbers."""
    largest = float(np.abs(before[np.isfinite(before)]).max(initial=0.0))
    return before.shape == now.shape and bool(np.allclose(now, before, rtol=1e-6, atol=1e-12 * largest, equal_nan=True))
