"""Cross-conformal calibration for few runs: every run trains, and every run is left out once.

A split needs about a hundred runs. Below that, the surrogate is fitted to all, and once more without each run
(jackknife+) or without each of K parts (CV+); the price is a weaker theorem (1 - 2α instead of 1 - α, and a little less
for parts) and answers that cost as many evaluations as there are fits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.identity import Identity
from nwidth.certificates.limits import check_quantities, statistical, with_limits
from nwidth.certificates.quantile import rank
from nwidth.certificates.quantities import TOGETHER, Truth, errors_of, norm_named, spreads
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, select
from nwidth.rb.pod_basis import POD, pod
from nwidth.rb.pod_regression import PODRegressionSurrogate
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.points import Points
from nwidth.surrogates.base import Fitter, Surrogate

#: Round-off of the reference itself: no limit is ever zero.
_FLOOR = 1e-14


@dataclass(frozen=True, eq=False)
class CrossConformalCertificate(Certificate):
    """The k-th smallest, `k = ⌈(n + 1)(1 - α)⌉`, of `R_i + ‖v_i(mu) - v(mu)‖` over the n runs.

    v is the surrogate, v_i the one fitted without run i or without the whole part of the runs that i belongs to, R_i
    the error of v_i on run i. For a fresh run drawn like the others, each limit on its own holds with probability at
    least `level = 1 - 2α - penalty` (usually about 1 - α). The penalty is 0 where each run is left out alone, and
    `min(2 (1 - 1/K) / (n/K + 1), (1 - K/n) / (K + 1))` for K equal parts.

    Why: unless `‖u - v_i(mu)‖ > R_i` for at least k of the i, which has probability at most 2α + penalty (Barber,
    Candès, Ramdas, Tibshirani, Ann. Statist. 49 (2021), theorems 1 and 4; the proofs compare scores and hold for any
    norm), one of the k smallest values above belongs to an i with `‖u - v_i‖ <= R_i`, and the triangle inequality gives
    the limit. `part` `(n,)` says which of the others has not seen run i.

    The proof needs scores that treat all runs alike. Without a field, the first limit is that of the largest error of
    an output in units of their `spread`: `given` says whether these were stated beforehand. Otherwise they are read
    from the surrogate that was fitted to the n runs, and the theorem does not cover that limit; `guarantee` says so.
    """

    kind: ClassVar[str] = "cross-conformal-certificate"

    identity: Identity
    level: float
    norm: str
    residuals: Mapping[str, Real]
    others: tuple[Surrogate, ...]
    part: Array
    spread: Mapping[str, float]
    frame: POD | None = None
    given: bool = False

    @property
    def guarantee(self) -> Statistical:
        """Statistical, each quantity on its own; in words, that every run trains too, and what is not covered."""
        found = statistical(self.norm, tuple(self.residuals), self.level, len(self.part))
        words = f"{found.norm}; every run trains, and is unseen by the fit that it calibrates"
        if TOGETHER in self.residuals and not self.given:
            words += "; the largest is not covered by the theorem, for its units come from the same runs"
        return replace(found, norm=words)

    def check(self, surrogate: Storable) -> None:
        """Raises InputError for another surrogate than the one that was calibrated."""
        self.identity.check(surrogate)

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with a limit for its field and for each output; +inf with a reason where there is none."""
        check_quantities(prediction, self.residuals)
        k = _rank(len(self.part), len(self.others), self.level)
        distances = [self._distances(prediction, other) for other in self.others]
        reach = {
            name: own[:, None] + np.stack([distances[p][name] for p in self.part])
            for name, own in self.residuals.items()
        }
        with np.errstate(invalid="ignore"):
            limits = {name: np.partition(values, k - 1, axis=0)[k - 1] for name, values in reach.items()}
        return with_limits(prediction, limits, self.guarantee)

    def _distances(self, prediction: Prediction, other: Surrogate) -> dict[str, Real]:
        """How far the other surrogate's answers are from these."""
        answer = other.predict(prediction.mu)
        fields = answer.field if self.frame is None else _lifted(answer.field, self.frame, prediction)
        truth = Truth(fields, {name: o.values for name, o in answer.outputs.items()})
        return errors_of(prediction, truth, self.norm, self.spread)

    def to_parts(self) -> Parts:
        arrays: dict[str, Array] = {f"residuals of {name}": values for name, values in self.residuals.items()}
        arrays |= {"part": self.part, **self.identity.arrays()}
        if self.frame is not None:
            arrays |= {"frame modes": self.frame.modes, "frame offset": self.frame.offset}
        children: dict[str, Storable] = {f"without {i}": other for i, other in enumerate(self.others)}
        config = {
            "fingerprint": self.identity.fingerprint,
            "level": self.level,
            "norm": self.norm,
            "spread": dict(self.spread),
            "given": self.given,
            "quantities": list(self.residuals),
        }
        return Parts(config, arrays, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        framed = "frame modes" in arrays
        return cls(
            identity=Identity.from_stored(config["fingerprint"], arrays),
            level=config["level"],
            norm=config["norm"],
            residuals={name: arrays[f"residuals of {name}"] for name in config["quantities"]},
            others=tuple(children[f"without {i}"] for i in range(len(children))),
            part=arrays.get("part", np.arange(len(children))),  # files of versions before it leave out one run each
            spread=config["spread"],
            given=config.get("given", False),
            frame=POD(arrays["frame modes"], arrays["frame offset"], np.empty(0)) if framed else None,
        )


def cross_calibrate(
    fitter: Fitter,
    snapshots: Snapshots,
    level: float = 0.9,
    seed: int = 0,
    *,
    norm: str = "max",
    parts: int | None = None,
    units: Mapping[str, float] | None = None,
) -> tuple[Surrogate, CrossConformalCertificate]:
    """The surrogate fitted to all runs, and its certificate: n + 1 fits for n runs, or `parts` + 1.

    With `parts`, runs beyond a multiple of it train every surrogate and calibrate none. `units`: output -> what its
    errors are measured in where there is no field and the largest of them gets a limit; stated beforehand, that limit
    is covered by the theorem too. Raises InputError where n runs cannot promise `level` (0.9 needs 19, and more with
    parts), or where `fitter` cannot learn from them.
    """
    norm_named(norm)
    runs = snapshots.take(snapshots.good)
    if not 0 < level < 1:
        raise InputError(f"level is {level}; choose a number between 0 and 1, such as 0.9")
    part = _parts(len(runs), parts, seed)
    count = int(part.max()) + 1 if len(part) else 0
    used = np.flatnonzero(part >= 0)
    _rank(len(used), count, level)
    surrogate = fitter.fit(runs, seed=seed)
    mu = as_mu(runs.mu, surrogate.parameters.names)
    answers = surrogate.predict(surrogate.parameters.sample(range(256), seed))
    spread = spreads(answers) if units is None else _stated(units, answers)
    others = [fitter.fit(runs.take(part != i), seed=seed) for i in range(count)]
    residuals = _left_out_errors(others, runs.take(used), select(mu, used), part[used], norm, spread)
    frame = _frame(others, runs)
    if frame is not None:
        others = [_in_frame(other, frame) for other in others]
    identity = Identity.of(surrogate, mu)
    return surrogate, CrossConformalCertificate(
        identity, level, norm, residuals, tuple(others), part[used], spread, frame, units is not None
    )


def _stated(units: Mapping[str, float], answers: Prediction) -> dict[str, float]:
    if set(units) != set(answers.outputs) or not all(0 < unit < np.inf for unit in units.values()):
        raise InputError(f"units are {dict(units)}; give a number above zero for each of {', '.join(answers.outputs)}")
    return {name: float(units[name]) for name in answers.outputs}


def _parts(count: int, parts: int | None, seed: int) -> Array:
    """The part that each run belongs to, `(n,)`, all of one size; -1 for what is left over."""
    if parts is None:
        return np.arange(count)
    if not 2 <= parts <= count:
        raise InputError(f"got {count} runs for {parts} parts; give at least 2 parts, and a run for each")
    size = count // parts
    numbers = np.concatenate([np.repeat(np.arange(parts), size), np.full(count - parts * size, -1)])
    return numbers[np.random.default_rng([seed, count]).permutation(count)]


def _rank(count: int, parts: int, level: float) -> int:
    """`⌈(n + 1)(1 - α)⌉` with α from the theorem. Raises InputError for a level that so many runs cannot promise."""
    penalty = min(2 * (1 - 1 / parts) / (count / parts + 1), (1 - parts / count) / (parts + 1)) if count else 0.0
    alpha = (1 - level - penalty) / 2
    if alpha <= 0:
        raise InputError(
            f"level {level:g} cannot be promised by {count} runs in {parts} parts: these alone cost {penalty:.2g}; "
            "leave out one run at a time (parts=None), give more runs, or use fewer or more parts"
        )
    return rank(count, 1 - alpha)


def _left_out_errors(
    others: list[Surrogate], runs: Snapshots, mu: Mu, part: Array, norm: str, spread: Mapping[str, float]
) -> dict[str, Real]:
    """The error of each run's surrogate, which has not seen it."""
    found: dict[str, Real] = {}
    for i, other in enumerate(others):
        rows = np.flatnonzero(part == i)
        alone = runs.take(rows)
        truth = Truth(np.asarray(alone.fields), alone.outputs)
        for name, values in errors_of(other.predict(select(mu, rows)), truth, norm, spread).items():
            found.setdefault(name, np.empty(len(part)))[rows] = values
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise InputError(f"leaving out run {int(np.argmin(np.isfinite(values)))} gave a {name} that is not finite")
    return {name: values + _FLOOR * float(values.max()) + 1e-300 for name, values in found.items()}


def _frame(others: list[Surrogate], runs: Snapshots) -> POD | None:
    """A basis of all runs in which every other surrogate's basis is small: n numbers per mode instead of N."""
    if runs.space.size <= len(runs) or not all(isinstance(o, PODRegressionSurrogate) and o.basis for o in others):
        return None
    return pod(runs.space.flatten(np.asarray(runs.fields)), modes=len(runs) - 1)


def _in_frame(surrogate: Surrogate, frame: POD) -> Surrogate:
    """The same surrogate, whose fields are coordinates in the frame (exactly: its modes lie in the frame's span)."""
    if not isinstance(surrogate, PODRegressionSurrogate) or surrogate.basis is None:
        return surrogate
    basis = surrogate.basis
    modes, offset = basis.modes @ frame.modes.conj().T, (basis.offset - frame.offset) @ frame.modes.conj().T
    space = Points((len(frame.modes),), type=str(modes.dtype))
    return replace(surrogate, function_space=space, basis=POD(modes, offset, basis.singular_values))


def _lifted(coordinates: Array, frame: POD, prediction: Prediction) -> Array:
    fields = coordinates @ frame.modes + frame.offset
    return fields.reshape(len(fields), *prediction.space.shape)
