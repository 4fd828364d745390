"""Is a field like those that a surrogate was trained on? A test of its values, variation at every scale, and roughness.

A range of values cannot tell: a field of another correlation length, or a smooth one among fields that jump, stays
within it. What is measured of a field x (its logarithm where all training fields are positive), on its nodes:

    mean, smallest and largest value, the share of values that are one of these two; the size of x in blocks of 3, 5,
    8, 16, 32 leading principal components (Mahalanobis distance, by the cube root that makes a χ² nearly normal: Wilson
    and Hilferty 1931); the logarithm of the energy outside of all of these; the logarithm of the mean square of
    differences between neighbours.

The score is the Mahalanobis distance of these numbers from their mean over training fields that gave no component. A
field is typical where its score is at most the `⌈(n + 1) level⌉`-th smallest of n further training fields, with room
on top: so that at least `level` of fields drawn the same way are typical (split conformal: Vovk, Gammerman, Shafer,
Algorithmic Learning in a Random World, 2005, proposition 2.2), whatever the law.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import kolmogorov

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts, Storable

#: With fewer fields, components and their sizes are noise.
FEWEST = 100
_MOST, _PIECE = 1000, 64
_BLOCKS = (3, 5, 8, 16, 32)
#: Principal components are found on at most so many nodes; the other measures look at all of them.
_NODES = 1500
#: The largest of few scores is a noisy limit: `1 + _ROOM / √n` times it.
_ROOM = 2.0
#: Deviations below this part of the fields' own count as this: a value that never varies may still be rounded.
_FLOOR = 1e-4
#: What is measured of the values themselves; the last tells fields of two values from smoothed ones.
_VALUES = ("mean", "smallest value", "largest value", "share of extreme values")
_STREAM = 2**31 + 7  # samples and epochs count from 0


@dataclass(frozen=True, eq=False)
class FieldDensity(Storable):
    """Whether a field `(*shape)` looks like the fields that this was fitted to, see `fit_density`.

    mean, basis, deviation   `(n,)`, `(k, n)`, `(k,)`: principal components on the thinned nodes, orthonormal
    center, spread, whiten   `(d,)`, `(d,)`, `(d, d)`: mean and deviations of the d measures, and what makes them
                             uncorrelated
    limit, level             the largest typical score, and the share of like fields that is below it, at least
    held_out                 `(n, d)`: what was measured of the fields that gave the limit
    """

    kind: ClassVar[str] = "field-density"

    shape: tuple[int, ...]
    logarithm: bool
    mean: Real
    basis: Array
    deviation: Real
    center: Real
    spread: Real
    whiten: Real
    limit: float
    level: float
    held_out: Real

    def typical(self, values: Array) -> Mask:
        """Which of the fields `(B, *shape)` are typical, `(B,)`; one that is not finite is not."""
        return self.score(values) <= self.limit

    def score(self, values: Array) -> Real:
        """How far each field is from the typical ones, `(B,)`; +inf where it is not finite."""
        moved = self._measured(values) - self.center
        with np.errstate(invalid="ignore"):
            found = np.linalg.norm(moved @ self.whiten.T, axis=1)
        return np.where(np.isfinite(found), found, np.inf)

    def describe(self, values: Array) -> list[str]:
        """What is most unusual about each field, in words; empty where it is typical."""
        measured, typical = self._measured(values), self.typical(values)
        with np.errstate(invalid="ignore"):
            away = np.abs(measured - self.center) / self.spread
        rows = zip(measured, np.where(np.isnan(away), np.inf, away).argmax(axis=1), typical, strict=True)
        return ["" if fine else self._words(row, int(worst)) for row, worst, fine in rows]

    def drift(self, values: Array) -> tuple[float, str]:
        """Whether the fields `(B, *shape)` *as a batch* are drawn like the training fields: a p-value, and in words.

        One field of a slightly rougher law looks like any other, a hundred do not. The distribution of each of the d
        measures is compared with that of the fields held out (Kolmogorov and Smirnov); d times the smallest p-value
        (Bonferroni). Where the batch is drawn the same way, it is below p with probability at most p, up to the
        asymptotic form of the test; a calibrated limit holds only there. Raises InputError for no fields.
        """
        if not len(values):
            raise InputError("got no fields; whether a batch is drawn like the training fields takes some")
        measured = self._measured(values)
        found = [_same_law(a, b) for a, b in zip(measured.T, self.held_out.T, strict=True)]
        worst = int(np.argmin(found))
        p = min(1.0, len(found) * found[worst])
        middle = np.median(measured, axis=0)
        return p, self._words(middle, worst) if p < 1 - self.level else ""

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured, in words."""
        blocks = _blocks(len(self.basis))
        sizes = [f"variation in components {a + 1} to {b}" for a, b in blocks]
        return (*_VALUES, *sizes, "fine variation", "roughness")

    def _words(self, measured: Real, worst: int) -> str:
        value, usual = measured[worst], self.center[worst]
        name = self.names[worst]
        if not np.isfinite(measured).all():
            return "holds values that are not finite" + (" or not positive" if self.logarithm else "")
        if worst < len(_VALUES):
            exponent = self.logarithm and worst < len(_VALUES) - 1
            value, usual = (np.exp(value), np.exp(usual)) if exponent else (value, usual)
            return f"{name} {value:.3g}, about {usual:.3g} in the training fields"
        ratio = float(np.exp(value - usual) if worst >= len(measured) - 2 else (value / usual) ** 3)
        return f"{name} {ratio:.3g} times that of the training fields"

    def _measured(self, values: Array) -> Real:
        seen, plain = _seen(np.asarray(values), self.logarithm)
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is found in the score
            return np.concatenate([plain[:, : len(_VALUES)], self._sizes(seen), plain[:, len(_VALUES) :]], axis=1)

    def _sizes(self, seen: Real) -> Real:
        """Sizes in the blocks of components and the logarithm of what is left, `(B, blocks + 1)`."""
        x = seen - self.mean
        # in double precision, and what is left from the rest itself: rounding, which depends on the size of the batch,
        # would otherwise be what is measured of fields that the components hold entirely
        basis = self.basis.astype(np.float64)
        c = x @ basis.T
        whitened = c / self.deviation
        blocks = [np.mean(whitened[:, a:b] ** 2, axis=1) ** (1 / 3) for a, b in _blocks(len(self.basis))]
        total = float(np.sum(self.deviation**2))
        rest = x - c @ basis
        left = np.einsum("bn,bn->b", rest, rest)
        return np.stack([*blocks, np.log(left + 1e-8 * total)], axis=1)

    def to_parts(self) -> Parts:
        names = ("mean", "basis", "deviation", "center", "spread", "whiten", "held_out")
        config = {name: getattr(self, name) for name in ("shape", "logarithm", "limit", "level")}
        return Parts(config, {name: getattr(self, name) for name in names}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        measures: dict[str, Any] = dict(arrays)
        return cls(**{**config, "shape": tuple(config["shape"])}, **measures)


def fit_density(fields: Any, level: float | None = None, seed: int = 0, *, rows: Array | None = None) -> FieldDensity:
    """The test for fields like these, `(N, *shape)`: an array, or a store's rows that are read in pieces.

    Half of (at most 1,000) fields gives the components, a quarter the usual size of every measure, a quarter n the
    limit. level: the share of fields drawn the same way that are typical at least; None for 0.99, or n / (n + 1) where
    that is less. rows: which of the fields; None for all.

    Raises InputError for fewer than 100 fields, a level above n / (n + 1), or fields that do not vary.
    """
    usable = np.arange(len(fields)) if rows is None else np.asarray(rows)
    if len(usable) < FEWEST:
        raise InputError(f"{len(usable)} fields are too few to tell what is typical; give at least {FEWEST}")
    rows = np.sort(generator(seed, _STREAM).permutation(usable)[:_MOST])
    order = generator(seed, _STREAM + 1).permutation(len(rows))
    first, second, last = np.split(order, [len(rows) // 2, 3 * len(rows) // 4])
    # the fields that give the limit decide nothing else, or it would hold for them more often than for others
    logarithm = bool(_positive(fields, rows)[np.concatenate([first, second])].all())
    found = [_seen(part, logarithm) for part in _pieces(fields, rows)]
    seen, plain = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not (np.isfinite(seen[~np.isin(np.arange(len(rows)), last)]).all()):
        raise InputError("some fields hold values whose logarithm is beyond single precision; scale them")
    shape = tuple(int(n) for n in fields.shape[1:])
    bare = _components(shape, logarithm, seen[first])
    measured = np.concatenate([plain[:, : len(_VALUES)], bare._sizes(seen), plain[:, len(_VALUES) :]], axis=1)
    scaled = _scaled(bare, measured[second])
    return _limited(scaled, measured[last], level)


def _components(shape: tuple[int, ...], logarithm: bool, seen: Real) -> FieldDensity:
    """Principal components; everything else still open."""
    mean = seen.mean(axis=0)
    _, sigma, basis = np.linalg.svd(seen - mean, full_matrices=False)
    if not sigma[0] > 1e-12 * max(1.0, float(np.abs(mean).max())) * np.sqrt(seen.size):
        raise InputError("all fields are the same; there is nothing to tell typical from strange")
    wanted = np.cumsum(_BLOCKS)
    usable = min(int(np.sum(sigma > 1e-6 * sigma[0])), len(seen) // 3)
    kept = int(wanted[wanted <= usable].max(initial=0)) or usable
    deviation = sigma[:kept] / np.sqrt(len(seen))
    nothing = np.empty(0)
    return FieldDensity(
        shape=shape,
        logarithm=logarithm,
        mean=mean,
        basis=np.ascontiguousarray(basis[:kept], dtype=np.float32),
        deviation=deviation,
        center=nothing,
        spread=nothing,
        whiten=nothing,
        limit=np.inf,
        level=0.0,
        held_out=nothing,
    )


def _scaled(bare: FieldDensity, measured: Real) -> FieldDensity:
    """Mean and covariance of the measures; correlations shrunk where there are few fields."""
    count, width = measured.shape
    size = float(np.sqrt(np.sum(bare.deviation**2) / len(bare.mean)))
    floor = np.r_[np.full(3, _FLOOR * size), np.full(width - 3, _FLOOR)]
    spread = np.maximum(measured.std(axis=0), floor)
    center = measured.mean(axis=0)
    z = (measured - center) / spread
    keep = count / (count + width)
    correlation = keep * (z.T @ z) / count + (1 - keep) * np.eye(width)
    return replace(bare, center=center, spread=spread, whiten=np.linalg.inv(np.linalg.cholesky(correlation)) / spread)


def _limited(scaled: FieldDensity, measured: Real, level: float | None) -> FieldDensity:
    """The limit from fields that nothing was fitted to."""
    count = len(measured)
    highest = count / (count + 1)
    level = min(0.99, highest) if level is None else level
    if not 0 < level <= highest + 1e-12:
        raise InputError(f"level is {level:g}; {count} fields held out allow a level up to {highest:.3g}")
    with np.errstate(invalid="ignore"):
        scores = np.linalg.norm((measured - scaled.center) @ scaled.whiten.T, axis=1)
    scores = np.sort(np.where(np.isfinite(scores), scores, np.inf))  # a logarithm that is none is as far as can be
    limit = (1 + _ROOM / np.sqrt(count)) * float(scores[ceil((count + 1) * level - 1e-9) - 1])
    if not np.isfinite(limit):
        raise InputError(
            "some of the fields held out are not positive, all that the test was made from are; there is no telling "
            "what is typical"
        )
    return replace(scaled, limit=limit, level=float(level), held_out=measured)


def _same_law(a: Real, b: Real) -> float:
    """The asymptotic p-value of the largest difference between two empirical distributions."""
    a, b = (np.sort(np.where(np.isnan(x), np.inf, x)) for x in (a, b))
    places = np.concatenate([a, b])
    below = [np.searchsorted(x, places, side="right") / len(x) for x in (a, b)]
    size = len(a) * len(b) / (len(a) + len(b))
    return float(kolmogorov(np.sqrt(size) * np.abs(below[0] - below[1]).max()))


def _positive(fields: Any, rows: Array) -> Mask:
    """Which fields are positive everywhere. Raises InputError where one is not finite somewhere."""
    found = []
    for part in _pieces(fields, rows):
        if not np.isfinite(part).all():
            raise InputError("some fields hold values that are not finite; remove or repair them")
        positive = part > 0 if np.isrealobj(part) else np.zeros(part.shape, dtype=bool)
        found.append(positive.all(axis=tuple(range(1, part.ndim))))
    return np.concatenate(found)


def _pieces(fields: Any, rows: Array) -> Iterator[Array]:
    for first in range(0, len(rows), _PIECE):
        yield np.asarray(fields[rows[first : first + _PIECE]])


def _seen(values: Array, logarithm: bool) -> tuple[Real, Real]:
    """Values on the thinned nodes `(B, n)`, and the measures of `_VALUES` and the roughness, `(B, 5)`."""
    if np.iscomplexobj(values):
        values = np.stack([values.real, values.imag], axis=1)
    # single precision does for logarithms, and passes over large fields are what this costs
    axes = tuple(range(1, values.ndim))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        x: Array = np.asarray(values, dtype=np.float32 if logarithm else np.float64)
        x = np.log(x) if logarithm else x
        steps = [_steps(x, a) for a in axes if x.shape[a] > 2]
        rough = np.log(np.sum(steps, axis=0, dtype=np.float64) + 1e-300) if steps else np.zeros(len(x))
    thin = x[(slice(None), *_thinned(x.shape[1:]))]
    seen = thin.reshape(len(x), int(np.prod(thin.shape[1:])))
    low, high = x.min(axis=axes), x.max(axis=axes)
    extreme = np.mean((seen == low[:, None]) | (seen == high[:, None]), axis=1)
    plain = np.stack([x.mean(axis=axes), low, high, extreme, rough], axis=1)
    return seen.astype(np.float64, copy=False), plain.astype(np.float64, copy=False)


def _steps(x: Array, axis: int) -> Real:
    """The mean square of differences between neighbours along an axis, on every other line, `(B,)`."""
    lines = np.moveaxis(x, axis, 1)[(slice(None), slice(None), *[slice(None, None, 2)] * (x.ndim - 2))]
    moved = lines[:, 1:] - lines[:, :-1]
    flat = moved.reshape(len(x), int(np.prod(moved.shape[1:])))
    return np.einsum("bn,bn->b", flat, flat) / flat.shape[1]


def _thinned(shape: Sequence[int]) -> tuple[slice, ...]:
    """Every so many nodes along the longest axes, until few enough are left."""
    steps = [1] * len(shape)
    while np.prod([ceil(n / s) for n, s in zip(shape, steps, strict=True)]) > _NODES:
        longest = int(np.argmax([n / s for n, s in zip(shape, steps, strict=True)]))
        steps[longest] += 1
    return tuple(slice(None, None, s) for s in steps)


def _blocks(count: int) -> list[tuple[int, int]]:
    """Blocks of components, first and one past the last of each; what is left over joins the last."""
    edges = [0, *(int(e) for e in np.cumsum(_BLOCKS) if e <= count)]
    if edges[-1] < count:
        edges.append(count)
    return list(pairwise(edges))
