"""What a calibrated limit rests on: runs that are unseen and drawn alike; and how often it held."""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from scipy.stats import betabinom, ks_2samp

from nwidth.certificates.quantile import Coverage, rank
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.guarantee import Statistical
from nwidth.reports.evidence import Assumption, State
from nwidth.reports.words import percent, plural, significant
from nwidth.study.evidence_cases import Cases, Measured

#: A share of correct models that a check may call wrong by chance.
_RISK = 0.01


def statistical_checks(guarantee: Statistical, cases: Cases | None, parts: Mapping[str, Mu]) -> Iterator[Assumption]:
    """Level, coverage and how the runs were drawn; `parts` holds the parameters of the runs that are at hand."""
    yield _level(guarantee)
    if cases is not None:
        for one in cases.measured:
            yield coverage_check(guarantee, one)
    if "calibrate" in parts and "test" in parts:
        yield _drawn_alike(parts["calibrate"], parts["test"])
    else:
        yield Assumption(
            "The unseen cases are drawn like the calibration runs", "the calibration runs are not at hand", State.OPEN
        )
    yield Assumption(
        "Future cases are drawn like the runs: not picked by their answers (an optimum, a feedback loop)",
        "no program can see this; verify the chosen design with a full solve",
        State.OPEN,
    )


def coverage_check(guarantee: Statistical, measured: Measured) -> Assumption:
    """Beta-binomial: what the share of kept limits can be for a calibration of this size, level as announced."""
    answered = measured.answered
    counted = Coverage(int(measured.held[answered].sum()), int(answered.sum()))
    text = f"{measured.name}: the limit holds for about {guarantee.level:.0%} of unseen cases"
    if not counted.total:
        return Assumption(text, "no unseen case has a limit", State.OPEN)
    # the worst of many times is worse than one: Bonferroni
    chance = min(1.0, measured.tries * _chance(guarantee, counted))
    low, high = counted.interval()
    return Assumption.judged(
        text,
        f"held on {counted.held} of {plural(counted.total, 'unseen case')}; 95 % interval {low:.0%} to {high:.0%}",
        chance > _RISK,
        f"{percent(counted.share)} held; so few by chance: {significant(chance)}",
    )


def _chance(guarantee: Statistical, counted: Coverage) -> float:
    """The probability of at most so many kept limits where the announced level is true."""
    n = guarantee.calibrated_on
    k = rank(n, guarantee.level) if n >= guarantee.level / (1 - guarantee.level) - 1e-9 else n
    return float(betabinom.cdf(counted.held, counted.total, k, n + 1 - k))


def _level(guarantee: Statistical) -> Assumption:
    n = guarantee.calibrated_on
    highest = n / (n + 1)
    return Assumption.judged(
        "There are enough calibration runs for the level",
        f"a level above n / (n + 1) cannot be calibrated on n = {n} runs",
        guarantee.level <= highest + 1e-9,
        f"{guarantee.level:g} ≤ {significant(highest, 3)}",
    )


def _drawn_alike(one: Mu, other: Mu) -> Assumption:
    """Two-sample Kolmogorov-Smirnov for every scalar parameter, for mean and spread of every field, Bonferroni."""
    a, b = dict(_features(one)), dict(_features(other))
    found = {name: float(ks_2samp(a[name], b[name], method="asymp").pvalue) for name in a if name in b}
    name = min(found, key=lambda key: found[key])
    p = min(1.0, len(found) * found[name])
    return Assumption.judged(
        "The unseen cases are drawn like the calibration runs",
        f"Kolmogorov-Smirnov test of {plural(len(found), 'feature')} of the parameters, corrected for their number",
        p > _RISK,
        f"p = {significant(p)} ({name})",
    )


def _features(mu: Mu) -> Iterator[tuple[str, Real]]:
    for name, values in mu.items():
        rows = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
        if rows.shape[1] == 1:
            yield name, rows[:, 0]
        else:
            yield f"mean of {name}", rows.mean(axis=1)
            yield f"spread of {name}", rows.std(axis=1)


def disjoint_checks(parts: Mapping[str, Mu]) -> Iterator[Assumption]:
    """No run is in two parts: a case that was trained or calibrated on is not unseen."""
    words = {"train": "training", "calibrate": "calibration", "test": "unseen"}
    for first, second in combinations(parts, 2):
        shared = int(in_both(parts[first], parts[second]).sum())
        total = len(next(iter(parts[second].values())))
        yield Assumption.judged(
            f"No {words[second]} run is a {words[first]} run",
            "parameters compared bit by bit",
            shared == 0,
            f"{shared} of {total:,} shared",
        )


def in_both(one: Mu, other: Mu) -> Mask:
    """Which rows of `other` are rows of `one`, `(B,)`."""
    known = {_row(one, i) for i in range(_rows(one))}
    return np.array([_row(other, i) in known for i in range(_rows(other))], dtype=bool)


def _rows(mu: Mu) -> int:
    return len(next(iter(mu.values())))


def _row(mu: Mu, i: int) -> bytes:
    return b"|".join(_bytes(mu[name][i]) for name in sorted(mu))


def _bytes(value: Array) -> bytes:
    return np.ascontiguousarray(value, dtype=np.float64).tobytes()
