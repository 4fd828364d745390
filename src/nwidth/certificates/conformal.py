"""Split conformal calibration: a limit for any surrogate, from runs that it has never seen.

Five disjoint sets of runs: train, validate (both used up by the fit), choose the scale, calibrate, test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.bands import Profile
from nwidth.certificates.base import Certificate
from nwidth.certificates.cutoffs import Cutoff, Pooled
from nwidth.certificates.difficulty import Difficulty, Surroundings, choose_difficulty, features_of
from nwidth.certificates.groups import ByDifficulty, Grouped, Groups
from nwidth.certificates.hints import Hint
from nwidth.certificates.identity import Identity
from nwidth.certificates.limits import check_quantities as check_quantities
from nwidth.certificates.limits import statistical, with_limits
from nwidth.certificates.quantile import largest_accepted
from nwidth.certificates.quantities import (
    FIELD,
    Truth,
    difference_of,
    errors_of,
    names_of,
    norm_named,
    sizes_of,
    spreads,
)
from nwidth.certificates.unseen import refuse_known, usable_rows
from nwidth.certificates.weighted import Shift, Weighted
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.rb.kernel import KernelRegression
from nwidth.rb.pod_regression import PODRegressionSurrogate
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Surrogate

#: Errors below this part of the answer are round-off: no limit is ever zero.
_FLOOR = 1e-14
#: `exp(log e)` may lie below e: by this part of it at most, for every e that is a number.
_ROUNDED = 1 + 1e-12
#: What `norm` says for a band over the field instead of one limit for it.
BAND = "band"


@dataclass(frozen=True, eq=False)
class ConformalCertificate(Certificate):
    """`error(query) <= exp(g(query) + q)` for about `level` of the queries drawn like the calibration runs.

    g is the expected logarithm of the error (`Difficulty`), q the `⌈(n + 1) level⌉`-th smallest of the n calibration
    runs' scores `log error - g` (`cutoff`: or that of the query's group, or with weights). For a fresh run, drawn like
    and independently of the calibration, the limit of each quantity on its own holds with probability at least `level`
    on average over calibrations (for *this* calibration it varies by about √(level (1 - level) / n)). It does not hold
    for queries that are picked by looking at the answers: optima, feedback. Queries outside the fitted set get +inf.

    With a `profile` σ the field has a band: `|u_j - v_j| <= σ_j exp(g + q)` at all of its values at once with that
    probability; `band` gives its widths, and `bound` is the widest.

    References: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005); Lei, G'Sell, Rinaldo,
    Tibshirani, Wasserman, J. Amer. Stat. Assoc. 113 (2018), theorem 2.2 and section 5.2.
    """

    kind: ClassVar[str] = "conformal-certificate"

    identity: Identity
    level: float
    norm: str
    surroundings: Surroundings
    difficulties: Mapping[str, Difficulty]
    scores: Mapping[str, Real]
    spread: Mapping[str, float]
    cutoff: Cutoff
    profile: Profile | None = None

    @property
    def calibrated_on(self) -> int:
        """How many runs calibrated."""
        return len(next(iter(self.scores.values())))

    @property
    def guarantee(self) -> Statistical | Estimate:
        """Statistical, each quantity on its own; an Estimate where a shift was learned."""
        words = statistical(self.norm, tuple(self.scores), self.level, self.calibrated_on).norm
        if self.profile is not None:
            words = words.replace(norm_named(self.norm).words, "band that holds at all values of the field at once")
        return self.cutoff.guarantee(words, self.level, self.calibrated_on)

    def check(self, surrogate: Storable) -> None:
        """Raises InputError for another surrogate than the one that was calibrated."""
        self.identity.check(surrogate)

    def at(self, level: float) -> "ConformalCertificate":
        """The same calibration at another level. Raises InputError for a level that its runs cannot promise."""
        self.cutoff.check(self.scores, level)
        return replace(self, level=level)

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with a limit for its field and for each output; +inf with a reason where there is none."""
        check_quantities(prediction, self.scores)
        limits = self._limits(prediction)
        first = next(iter(self.scores))
        reasons = self.cutoff.reasons(prediction, limits[first])
        return with_limits(prediction, limits, self.guarantee, reasons)

    def band(self, prediction: Prediction) -> Real:
        """The widths `(B, *space.shape)` of the bands around the fields of answers that `bound` gave limits.

        Raises InputError where no band was calibrated.
        """
        if self.profile is None:
            raise InputError("one limit was calibrated for the whole field; for a band: nw.certify(..., norm='band')")
        widths = self.profile.band(np.asarray(prediction.bound))
        return widths.reshape(len(widths), *prediction.space.shape)

    def expected(self, prediction: Prediction) -> dict[str, Real]:
        """g, the expected logarithm of the error of each quantity, `(B,)`; NaN where the query is not finite."""
        columns = self.surroundings.columns(prediction, {n: d.parts for n, d in self.difficulties.items()})
        with np.errstate(invalid="ignore"):
            return {name: difficulty(columns[name]) for name, difficulty in self.difficulties.items()}

    def _limits(self, prediction: Prediction) -> dict[str, Real]:
        expected = self.expected(prediction)
        first = expected[next(iter(self.scores))]  # one membership for all quantities
        found = {}
        with np.errstate(over="ignore"):
            for name, g in expected.items():
                q = self.cutoff(name, self.scores[name], self.level, prediction, first)
                found[name] = np.exp(g + q) * _ROUNDED
        return found

    def to_parts(self) -> Parts:
        around = self.surroundings
        children: dict[str, Storable] = {"features": around.features, "cutoff": self.cutoff}
        children |= {f"hint {i}": hint for i, hint in enumerate(around.hints)}
        if around.deviation is not None:
            children["deviation"] = around.deviation
        arrays: dict[str, Array] = {"known": around.known, **self.identity.arrays()}
        arrays |= {f"scores of {name}": values for name, values in self.scores.items()}
        if self.profile is not None:
            arrays["profile"] = self.profile.sigma
        described = {}
        for name, d in self.difficulties.items():
            described[name] = {"name": d.name, "low": d.low, "high": d.high, "plain": d.plain}
            if d.model is not None and d.shift is not None and d.scale is not None:
                children[f"difficulty of {name}"] = d.model
                arrays |= {f"shift of {name}": d.shift, f"scale of {name}": d.scale}
        config = {
            "fingerprint": self.identity.fingerprint,
            "level": self.level,
            "norm": self.norm,
            "hints": len(around.hints),
            "difficulties": described,
            "spread": dict(self.spread),
            "quantities": list(self.scores),
        }
        return Parts(config, arrays, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again. Raises InputError for one of an earlier version, which kept too little."""

        def difficulty(name: str) -> Difficulty:
            model: KernelRegression | None = children.get(f"difficulty of {name}")
            return Difficulty(
                model=model,
                shift=arrays.get(f"shift of {name}"),
                scale=arrays.get(f"scale of {name}"),
                **config["difficulties"][name],
            )

        if "cutoff" not in children:
            raise InputError("this limit was calibrated by an earlier version of nwidth; calibrate it again")
        names, norm, spread = config["quantities"], config["norm"], config["spread"]
        hints = tuple(children[f"hint {i}"] for i in range(config["hints"]))
        deviation = children.get("deviation")
        return cls(
            identity=Identity.from_stored(config["fingerprint"], arrays),
            level=config["level"],
            norm=norm,
            surroundings=Surroundings(children["features"], arrays["known"], norm, spread, deviation, hints),
            difficulties={name: difficulty(name) for name in names},
            scores={name: arrays[f"scores of {name}"] for name in names},
            spread=spread,
            cutoff=children["cutoff"],
            profile=Profile(arrays["profile"]) if "profile" in arrays else None,
        )


def calibrate(
    surrogate: Surrogate,
    snapshots: Snapshots,
    level: float = 0.9,
    seed: int = 0,
    *,
    norm: str = "max",
    training: Mu | None = None,
    hints: Sequence[Hint] = (),
    scale: str | None = None,
    groups: Groups | None = None,
    shift: Shift | None = None,
    accept: float | None = None,
) -> ConformalCertificate:
    """A certificate for `surrogate` from `snapshots` that it has never seen.

    A third of the runs chooses how the limit varies from query to query, the rest calibrates it (all of them
    calibrate where a third would be under 15 runs, or too few would remain for `level`).

    norm      of the field: 'max', the largest error anywhere; 'rms', root mean square over the nodes; 'mass' or
              'energy' of the space; 'band', a width for every value of the field, all of them at once
    training  parameters of the training runs: the limit can grow with the distance to them, and calibration on them
              is refused
    hints     what else foretells the error: `Residual(problem)`, `Spread(members)`; members that were fitted to runs of
              the calibration are refused, where they remember them
    scale     what the limit follows, one of `difficulty.CANDIDATES`, instead of the best for the first third
    groups    the limit holds in each of these groups of queries on its own
    shift     how queries are drawn differently from the runs: the limit holds for queries
    accept    a tolerance: the limit holds among the queries that are expected to meet it, and, on its own, among the
              others; the first are chosen by the expected error of the field (without one, of all outputs together),
              before the limit is known, and outputs have their limits among the same queries

    Raises InputError for a level that the runs cannot promise, runs that are also training runs, outputs that the runs
    lack, and for more than one of groups, shift and accept.
    """
    _one_of(groups=groups, shift=shift, accept=accept)
    banded, norm = norm == BAND, "max" if norm == BAND else norm
    norm_named(norm)
    runs, mu = _usable(surrogate, snapshots, level)
    training = None if training is None else as_mu(training, surrogate.parameters.names)
    refuse_known(surrogate, mu, training)
    for member in (m for hint in hints for m in hint.asked):
        refuse_known(member, mu, of=f" of a member of the ensemble, {type(member).__name__}")
    prediction = surrogate.predict(mu)
    spread = _spread_of(surrogate, prediction, seed)
    truth = Truth(np.asarray(runs.fields), runs.outputs)
    errors = errors_of(prediction, truth, norm, spread)
    _check_errors(errors)
    choosing, calibrating = _parts(len(runs), level, seed)
    profile = None
    if banded:
        profile, errors[FIELD] = _profiled(prediction, truth, choosing, level)
    deviation = surrogate.deviation if isinstance(surrogate, PODRegressionSurrogate) else None
    known = features_of({n: a[choosing] if len(choosing) else a for n, a in mu.items()}, training)
    surroundings = Surroundings(*known, norm, spread, deviation, tuple(hints))
    found = _Scaled.of(surroundings, prediction, errors, choosing, seed, scale)
    scores = {name: (values - found.expected[name])[calibrating] for name, values in found.log_errors.items()}
    cutoff = _cutoff(found, prediction.take(calibrating), calibrating, level, groups, shift, accept)
    cutoff.check(scores, level)
    return ConformalCertificate(
        Identity.of(surrogate, mu), level, norm, surroundings, found.difficulties, scores, spread, cutoff, profile
    )


def _one_of(**asked: object) -> None:
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"got {' and '.join(given)}; calibrate for one of them at a time")


def _usable(surrogate: Surrogate, snapshots: Snapshots, level: float) -> tuple[Snapshots, dict[str, Array]]:
    """The runs that converged and lie in the fitted set, and their parameters."""
    rows = usable_rows(surrogate, snapshots, level)
    runs = snapshots.take(rows)
    return runs, as_mu(runs.mu, surrogate.parameters.names)


def _spread_of(surrogate: Surrogate, prediction: Prediction, seed: int) -> dict[str, float]:
    """From the surrogate alone: a scale that looked at the calibration runs would spoil their exchangeability."""
    if not prediction.outputs:
        return {}
    return spreads(surrogate.predict(surrogate.parameters.sample(range(256), seed)))


def _profiled(prediction: Prediction, truth: Truth, choosing: Array, level: float) -> tuple[Profile, Real]:
    """How the width of a band varies over the field, and the errors of all runs in units of it."""
    if names_of(prediction)[0] != FIELD:
        raise InputError("the surrogate answers no field, so there is no band; its outputs get limits with norm='max'")
    difference = difference_of(prediction, truth.fields)
    flat = difference.reshape(len(difference), -1)
    profile = Profile.learned(flat[choosing], level)
    return profile, profile.measure(flat)


@dataclass(frozen=True)
class _Scaled:
    """How hard each run was expected to be, quantity by quantity; the first rows chose the scale."""

    difficulties: dict[str, Difficulty]
    log_errors: dict[str, Real]
    expected: dict[str, Real]
    choosing: Array

    @classmethod
    def of(
        cls,
        surroundings: Surroundings,
        prediction: Prediction,
        errors: Mapping[str, Real],
        choosing: Array,
        seed: int,
        scale: str | None,
    ) -> "_Scaled":
        sizes = sizes_of(prediction, surroundings.spread)
        logs = {name: np.log(values + _FLOOR * sizes[name] + 1e-300) for name, values in errors.items()}
        parts = surroundings.parts if len(choosing) or scale is not None else ()
        columns = surroundings.columns(prediction, dict.fromkeys(logs, parts))
        chosen, expected = {}, {}
        for name, values in logs.items():
            own = {part: column[choosing] for part, column in columns[name].items()}
            chosen[name] = choose_difficulty(own, values[choosing], seed, scale)
            expected[name] = chosen[name](columns[name])
        return cls(chosen, logs, expected, choosing)

    def threshold(self, name: str, level: float, tolerance: float) -> float:
        """The largest expected error up to which a limit at `level` stays below the tolerance, by the rows that chose.

        The rows that calibrate are not looked at: a selection by them would have to be undone.
        """
        if not len(self.choosing):
            raise InputError(
                "accept= needs runs that choose whom to accept, apart from those that calibrate: give at least 45"
            )
        values = self.log_errors[name][self.choosing]
        expected = self.difficulties[name].left_out(values, self.expected[name][self.choosing])
        return float(np.exp(largest_accepted(expected, values, np.log(tolerance), level)))


def _cutoff(
    found: _Scaled,
    answers: Prediction,
    calibrating: Array,
    level: float,
    groups: Groups | None,
    shift: Shift | None,
    accept: float | None,
) -> Cutoff:
    """What the limit of a query is read from; `answers` are those to the calibration runs."""
    if shift is not None:
        return Weighted.of(shift, answers.mu)
    if accept is not None:
        if not accept > 0:
            raise InputError(f"accept is {accept}; it is a tolerance: give a number above zero")
        groups = ByDifficulty(found.threshold(names_of(answers)[0], level, accept))
    if groups is None:
        return Pooled()
    members = groups(answers, found.expected[names_of(answers)[0]][calibrating])
    return Grouped(groups, dict.fromkeys(found.expected, members), partial=accept is not None)


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
