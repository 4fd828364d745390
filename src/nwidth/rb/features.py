"""Parameters as standardised numbers: scalars by their spread, fields by their principal components."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size
from nwidth.rb.pod_basis import modes_for

#: More numbers than this in one parameter, and it is a field.
_LARGEST_VECTOR = 16
#: More scalars than this share one length in a kernel.
_OWN_GROUPS = 40
_MOST_COMPONENTS = 127
_FIELD_TOL = 0.03


@dataclass(frozen=True, eq=False)
class Features(Storable):
    """`mu -> X (B, F)`: scalars as `(s(mu) - shift) / scale` with s the identity or the logarithm, then the principal
    components of each field parameter, scaled together to unit variance.

    `groups` `(F,)` says which columns share a length scale: each scalar has its own, components of a field go in
    blocks of 1, 2, 4, 8, ...
    """

    kind: ClassVar[str] = "parameter-features"

    names: tuple[str, ...]
    scalars: tuple[str, ...]
    log: Array
    shift: Real
    scale: Real
    fields: Mapping[str, tuple[Real, Real]]
    groups: Array

    def __call__(self, mu: Mu | Array) -> Real:
        """Features `(B, F)`; NaN where a logarithm does not exist. Raises InputError for other parameters."""
        values = as_mu(mu, self.names)
        columns = [_columns(values[name]) for name in self.scalars]
        parts = [np.concatenate(columns, axis=1)] if columns else []
        if parts:
            with np.errstate(invalid="ignore", divide="ignore"):
                parts[0] = (np.where(self.log, np.log(parts[0]), parts[0]) - self.shift) / self.scale
        for name, (mean, basis) in self.fields.items():
            parts.append((_columns(values[name]) - mean) @ basis.T)
        return np.concatenate(parts, axis=1) if parts else np.empty((batch_size(values), 0))

    def to_parts(self) -> Parts:
        arrays = {"log": self.log, "shift": self.shift, "scale": self.scale, "groups": self.groups}
        for name, (mean, basis) in self.fields.items():
            arrays |= {f"mean {name}": mean, f"basis {name}": basis}
        return Parts({"names": self.names, "scalars": self.scalars, "fields": list(self.fields)}, arrays, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        fields = {name: (arrays[f"mean {name}"], arrays[f"basis {name}"]) for name in config["fields"]}
        plain = {name: arrays[name] for name in ("log", "shift", "scale", "groups")}
        return cls(names=tuple(config["names"]), scalars=tuple(config["scalars"]), fields=fields, **plain)


def fit_features(mu: Mu, *, logarithms: bool = False, components: int = _MOST_COMPONENTS) -> Features:
    """Features of the parameters that are given, name -> `(B, ...)`.

    With `logarithms`, positive scalars that vary by more than a factor of two enter through their logarithm. A field
    enters with at most `components` principal components.
    """
    names = tuple(mu)
    scalars = tuple(n for n in names if _columns(mu[n]).shape[1] <= _LARGEST_VECTOR)
    fields = {n: _principal(_columns(mu[n]), components) for n in names if n not in scalars}
    table = np.concatenate([_columns(mu[n]) for n in scalars], axis=1) if scalars else np.empty((batch_size(mu), 0))
    log = _worth_a_logarithm(table) if logarithms else np.zeros(table.shape[1], dtype=bool)
    table = np.where(log, np.log(np.where(log, table, 1.0)), table)
    scale = table.std(axis=0)
    own = table.shape[1] <= _OWN_GROUPS
    groups = [np.arange(table.shape[1]) if own else np.zeros(table.shape[1], dtype=np.int64)]
    for _, basis in fields.values():
        start = max((int(g.max()) + 1 for g in groups if len(g)), default=0)
        groups.append(start + np.floor(np.log2(np.arange(len(basis)) + 1)).astype(np.int64))
    return Features(
        names, scalars, log, table.mean(axis=0), np.where(scale > 0, scale, 1.0), fields, np.concatenate(groups)
    )


def _columns(values: Array) -> Real:
    return np.asarray(values, dtype=np.float64).reshape(len(values), math.prod(np.shape(values)[1:]))


def _worth_a_logarithm(table: Real) -> Array:
    low = table.min(axis=0)
    return (low > 0) & (table.max(axis=0) > 2 * low)


def _principal(values: Real, components: int) -> tuple[Real, Real]:
    """Mean, and the leading principal directions, scaled so that the coordinates have unit variance together."""
    mean = values.mean(axis=0)
    _, sigma, basis = np.linalg.svd(values - mean, full_matrices=False)
    spread = float(np.sqrt(np.sum(sigma**2) / len(values))) or 1.0
    count = min(modes_for(sigma, _FIELD_TOL), components)
    return mean, np.ascontiguousarray(basis[:count]) / spread
