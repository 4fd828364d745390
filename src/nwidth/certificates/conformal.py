"""Split conformal calibration: a limit for any surrogate, from runs that it has never seen.

Five disjoint sets of runs: train, validate (both used up by the fit), choose the scale, calibrate, test.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.difficulty import CANDIDATES, Difficulty, Surroundings, choose_difficulty
from nwidth.certificates.identity import Identity
from nwidth.certificates.quantile import quantile, rank
from nwidth.certificates.quantities import FIELD, TOGETHER, Truth, errors_of, names_of, norm_named, sizes_of, spreads
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Statistical
from nwidth.core.prediction import Output, Prediction, Reduced
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size
from nwidth.rb.kernel import KernelRegression
from nwidth.rb.pod_regression import PODRegressionSurrogate
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Surrogate

#: Errors below this part of the answer are round-off: no limit is ever zero.
_FLOOR = 1e-14


@dataclass(frozen=True, eq=False)
class ConformalCertificate(Certificate):
    """`error(query) <= exp(g(query) + q)` for about `level` of the queries drawn like the calibration runs.

    g is the expected logarithm of the error (`Difficulty`), q the `⌈(n + 1) level⌉`-th smallest of the n calibration
    runs' `log error - g`. For a fresh run, drawn like and independently of the calibration, the limit of each quantity
    on its own holds with probability at least `level` on average over calibrations (for *this* calibration it varies
    by about √(level (1 - level) / n)). It does not hold for queries that are picked by looking at the answers: optima,
    feedback. Queries outside the fitted set get +inf.

    References: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005); Lei, G'Sell, Rinaldo,
    Tibshirani, Wasserman, J. Amer. Stat. Assoc. 113 (2018), theorem 2.2 and section 5.2.
    """

    kind: ClassVar[str] = "conformal-certificate"

    identity: Identity
    level: float
    norm: str
    calibrated_on: int
    surroundings: Surroundings
    difficulties: Mapping[str, Difficulty]
    offsets: Mapping[str, float]
    spread: Mapping[str, float]

    @property
    def guarantee(self) -> Statistical:
        """Statistical, each quantity on its own."""
        return statistical(self.norm, tuple(self.offsets), self.level, self.calibrated_on)

    def check(self, surrogate: Storable) -> None:
        """Raises InputError for another surrogate than the one that was calibrated."""
        self.identity.check(surrogate)

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with a limit for its field and for each output; +inf with a reason where there is none."""
        check_quantities(prediction, self.offsets)
        sizes = sizes_of(prediction, self.spread)
        limits = {}
        for name, offset in self.offsets.items():
            difficulty = self.difficulties[name]
            with np.errstate(invalid="ignore"):
                columns = self.surroundings.columns(prediction.mu, sizes[name], CANDIDATES[difficulty.name])
                limits[name] = np.exp(difficulty(columns) + offset)
        return with_limits(prediction, limits, self.guarantee)

    def to_parts(self) -> Parts:
        names = list(self.offsets)
        children: dict[str, Storable] = {"features": self.surroundings.features}
        if self.surroundings.deviation is not None:
            children["deviation"] = self.surroundings.deviation
        arrays: dict[str, Array] = {"known": self.surroundings.known, **self.identity.arrays()}
        described = {}
        for name, d in self.difficulties.items():
            described[name] = {"name": d.name, "low": d.low, "high": d.high}
            if d.model is not None and d.shift is not None and d.scale is not None:
                children[f"difficulty of {name}"] = d.model
                arrays |= {f"shift of {name}": d.shift, f"scale of {name}": d.scale}
        config = {
            "fingerprint": self.identity.fingerprint,
            "level": self.level,
            "norm": self.norm,
            "calibrated_on": self.calibrated_on,
            "difficulties": described,
            "offsets": {name: self.offsets[name] for name in names},
            "spread": dict(self.spread),
            "quantities": names,
        }
        return Parts(config, arrays, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        def difficulty(name: str) -> Difficulty:
            model: KernelRegression | None = children.get(f"difficulty of {name}")
            return Difficulty(
                model=model,
                shift=arrays.get(f"shift of {name}"),
                scale=arrays.get(f"scale of {name}"),
                **config["difficulties"][name],
            )

        names = config["quantities"]
        return cls(
            identity=Identity.from_stored(config["fingerprint"], arrays),
            level=config["level"],
            norm=config["norm"],
            calibrated_on=config["calibrated_on"],
            surroundings=Surroundings(children["features"], arrays["known"], children.get("deviation")),
            difficulties={name: difficulty(name) for name in names},
            offsets={name: config["offsets"][name] for name in names},
            spread=config["spread"],
        )


def calibrate(
    surrogate: Surrogate,
    snapshots: Snapshots,
    level: float = 0.9,
    seed: int = 0,
    *,
    norm: str = "max",
    training: Mu | None = None,
) -> ConformalCertificate:
    """A certificate for `surrogate` from `snapshots` that it has never seen.

    A third of the runs chooses how the limit varies from query to query, the rest calibrates it (all of them
    calibrate where a third would be under 15 runs, or too few would remain for `level`). `norm` is that of the field:
    'max', the largest error anywhere; 'rms', root mean square over the nodes; 'mass' or 'energy' of the space.
    `training`, the parameters of the training runs, lets the limit grow with the distance to them.

    Raises InputError for a level above n / (n + 1), runs that are also training runs, outputs that the runs lack.
    """
    norm_named(norm)
    runs = snapshots.take(snapshots.good)
    mu = as_mu(runs.mu, surrogate.parameters.names)
    inside = surrogate.parameters.contains(mu)
    runs, mu = runs.take(np.flatnonzero(inside)), {n: a[inside] for n, a in mu.items()}
    rank(len(runs), level)
    if training is not None:
        training = as_mu(training, surrogate.parameters.names)
        _refuse_known(mu, training)
    prediction = surrogate.predict(mu)
    # From the surrogate alone: a scale that looked at the calibration runs would spoil their exchangeability.
    spread = spreads(surrogate.predict(surrogate.parameters.sample(range(256), seed)))
    errors = errors_of(prediction, Truth(np.asarray(runs.fields), runs.outputs), norm, spread)
    _check_errors(errors)
    sizes = sizes_of(prediction, spread)
    choosing, calibrating = _parts(len(runs), level, seed)
    deviation = surrogate.deviation if isinstance(surrogate, PODRegressionSurrogate) else None
    surroundings = Surroundings.of({n: a[choosing] if len(choosing) else a for n, a in mu.items()}, training, deviation)
    difficulties, offsets = {}, {}
    for name in names_of(prediction):
        log_errors = np.log(errors[name] + _FLOOR * sizes[name] + 1e-300)
        columns = surroundings.columns(mu, sizes[name])
        chosen = {part: values[choosing] for part, values in columns.items()}
        difficulties[name] = choose_difficulty(chosen, log_errors[choosing], seed)
        expected = difficulties[name]({part: values[calibrating] for part, values in columns.items()})
        offsets[name] = quantile(log_errors[calibrating] - expected, level)
    return ConformalCertificate(
        identity=Identity.of(surrogate, mu),
        level=level,
        norm=norm,
        calibrated_on=len(calibrating),
        surroundings=surroundings,
        difficulties=difficulties,
        offsets=offsets,
        spread=spread,
    )


def statistical(norm: str, names: tuple[str, ...], level: float, calibrated_on: int) -> Statistical:
    """The guarantee in words."""
    words = norm_named(norm).words if names[0] == FIELD else "largest error of an output, in units of its spread"
    alone = "; each output on its own" if len(names) > 1 else ""
    return Statistical(words + alone, level, calibrated_on)


def check_quantities(prediction: Prediction, known: Mapping[str, Any]) -> None:
    """InputError for an answer with other quantities than those that were calibrated."""
    names = names_of(prediction)
    if set(names) != set(known):
        raise InputError(
            f"this certificate was calibrated for {', '.join(known)}; the answer has {', '.join(names)}: it comes from "
            "another surrogate"
        )


def with_limits(prediction: Prediction, limits: Mapping[str, Real], guarantee: Statistical) -> Prediction:
    """The prediction with its limits; +inf with the reason for queries that they are not for."""
    values = prediction.values
    numbers = values.coefficients if isinstance(values, Reduced) else np.asarray(values)
    finite = np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    usable = prediction.inside & finite
    limits = {n: np.where(usable & np.isfinite(v), v, np.inf) for n, v in limits.items()}
    reason = np.full(len(prediction), "", dtype=object)
    reason[~prediction.inside] = "outside the range of the runs that the limit was calibrated on"
    reason[prediction.inside & ~finite] = "the field is not finite"
    first = FIELD if FIELD in limits else TOGETHER
    outputs = {n: Output(o.values, limits[n], o.unit) for n, o in prediction.outputs.items()}
    return replace(prediction, bound=limits[first], guarantee=guarantee, outputs=outputs, reason=reason)


def _parts(count: int, level: float, seed: int) -> tuple[Array, Array]:
    """Rows that choose the scale, and rows that calibrate."""
    order = np.random.default_rng([seed, count]).permutation(count)
    choosing = count // 3
    needed = int(np.ceil(level / (1 - level) - 1e-9))
    if choosing < 15 or count - choosing < max(needed, 20):
        choosing = 0
    return order[:choosing], order[choosing:]


def _check_errors(errors: Mapping[str, Real]) -> None:
    for name, values in errors.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise InputError(
                f"{len(bad)} of {len(values)} runs have values, or answers, that are not finite ({name}); mark them as "
                "failed or repair them"
            )


def _refuse_known(mu: Mu, training: Mu) -> None:
    """Runs that the surrogate has seen say nothing about runs that it has not."""
    count = len(_as_bytes(mu) & _as_bytes(training))
    if count:
        raise InputError(
            f"{count} of the {batch_size(mu)} calibration runs are training runs; a limit from them "
            "would be far too small: pass runs that the surrogate has not seen"
        )


def _as_bytes(mu: Mu) -> set[bytes]:
    """Every row of the parameters as one string of bytes."""
    table = [np.asarray(mu[name], dtype=np.float64).reshape(batch_size(mu), -1) for name in sorted(mu)]
    return {row.tobytes() for row in np.concatenate(table, axis=1)}
