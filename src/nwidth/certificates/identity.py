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
            return cls("", queries, _answers(surrogate, queries))

    def check(self, surrogate: Storable) -> None:
        """Raises InputError for another surrogate."""
        if self.fingerprint:
            same = self.fingerprint == fingerprint(surrogate)
        else:
            before = np.asarray(self.answers)
            now = _answers(surrogate, self.queries) if isinstance(surrogate, Surrogate) else np.empty(0)
            same = before.shape == now.shape and bool(np.allclose(now, before, rtol=1e-6, atol=1e-12))
        if not same:
            raise InputError(
                "this certificate was calibrated for another surrogate; calibrate this one with runs that it has not "
                "seen: nw.certify(surrogate, holdout=snapshots)"
            )

    def arrays(self) -> dict[str, Array]:
        """What a file needs besides the fingerprint."""
        found = {f"query {name}": values for name, values in self.queries.items()}
        return found if self.answers is None else {**found, "answers": self.answers}

    @classmethod
    def from_stored(cls, stored: str, arrays: Mapping[str, Array]) -> Self:
        """The identity again."""
        queries = {n.removeprefix("query "): a for n, a in arrays.items() if n.startswith("query ")}
        return cls(stored, queries, arrays.get("answers"))


def _answers(surrogate: Surrogate, queries: Mu) -> Array:
    prediction = surrogate.predict(queries)
    parts = [np.asarray(prediction.field).reshape(len(prediction), -1)]
    return np.concatenate([*parts, *(o.values[:, None] for o in prediction.outputs.values())], axis=1)
