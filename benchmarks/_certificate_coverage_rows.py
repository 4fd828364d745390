"""Rows on calibrated limits: coverage with fresh data, bands, groups, shifts, few runs, and whom to send to the solver.

Every repeat draws fresh runs to choose the scale, to calibrate and to test; given n calibration runs the hits among m
test runs are beta-binomial with k = ⌈(n + 1) level⌉, and that is what the measured number is compared with.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from _coverage_law import Hits, law_row
from _harness import Row

import nwidth as nw
from nwidth.certificates.conformal import ConformalCertificate, calibrate
from nwidth.certificates.cross_conformal import cross_calibrate
from nwidth.certificates.groups import ByRange, Grouped
from nwidth.certificates.hints import Residual
from nwidth.certificates.quantile import quantile
from nwidth.certificates.quantities import norm_named
from nwidth.certificates.weighted import BetweenBoxes, Weighted
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.surrogates.base import Surrogate

LEVELS = (0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Case:
    """A problem, a regression that was fitted once, and what its limits follow."""

    name: str
    problem: Problem
    scale: str
    train: int = 40

    def surrogate(self, seed: int) -> Surrogate:
        """The regression; the limits are for it, and it never sees a run again."""
        return nw.rb.PODRegression().fit(nw.generate(self.problem, self.train, seed=seed), self.problem)


def cases(quick: bool) -> list[Case]:
    """Five problems: scalar and field parameters, symmetric or not, real or complex."""
    get = nw.problems.get
    waves = get("helmholtz", resolution=16, boundary="absorbing", lowest=4.0, highest=10.0)
    every = [
        Case("poisson", get("poisson", resolution=16), "residual"),
        Case("thermal block", get("thermal_block", blocks=2, resolution=16), "residual"),
        Case("darcy, log-normal", get("darcy", resolution=16, law="log-normal"), "residual"),
        Case("advection-diffusion", get("advection_diffusion", resolution=16, peclet=32.0), "size"),
        Case("helmholtz, complex", waves, "residual"),
    ]
    return every[:2] if quick else every


def rows(quick: bool, seed: int) -> list[Row]:
    """All parts."""
    found = [row for case in cases(quick) for row in _coverage(case, 10 if quick else 200, seed)]
    repeats = 10 if quick else 100
    poisson = cases(quick)[0]
    found += _shifted(poisson, repeats, seed) + _grouped(poisson, repeats, seed)
    found += _few(poisson, 1 if quick else 12, seed)
    found += _whom(poisson, poisson.surrogate(seed), Sizes(repeats, 150, 200), seed, "poisson, regression")
    if not quick:
        problem, network = operator(seed)
        darcy = Case("darcy", problem, "residual")
        found += _whom(darcy, network, Sizes(20, 120, 80), seed, "darcy, Fourier operator")
    return [*found, *_on_training_runs(poisson, seed)]


@dataclass(frozen=True)
class Sizes:
    """Repeats, and runs that choose and calibrate, and that test."""

    repeats: int
    held: int
    test: int


# Coverage -----------------------------------------------------------------------------------------------------------


def fresh(problem: Problem, repeats: int, *sizes: int, seed: int) -> Iterator[list[Snapshots]]:
    """Disjoint fresh runs for each repeat, generated a few repeats at a time."""
    batch = 20
    for first in range(0, repeats, batch):
        count = min(batch, repeats - first)
        block = nw.generate(problem, count * sum(sizes), seed=seed + 1000 + first)
        for part in block.split(*[sum(sizes)] * count):
            yield list(part.split(*sizes))


def asked(surrogate: Surrogate, data: Snapshots) -> tuple[Snapshots, Prediction]:
    """The runs whose parameters are inside the fitted set, and their answers: others get no limit."""
    answer = surrogate.predict(_mu(data))
    rows = np.flatnonzero(answer.inside)
    return data.take(rows), answer.take(rows)


def error_of(answer: Prediction, data: Snapshots, norm: str) -> Real:
    """The true errors `(B,)`."""
    return norm_named(norm).measure(np.asarray(answer.field) - np.asarray(data.fields), data.space)


def _coverage(case: Case, repeats: int, seed: int) -> list[Row]:
    surrogate, hints = case.surrogate(seed), [Residual(case.problem)]
    fields, bands = [Hits(level) for level in LEVELS], Hits(0.9)
    for held, test in fresh(case.problem, repeats, 90, 30, seed=seed):
        certificate = calibrate(surrogate, held, 0.9, seed, norm="mass", hints=hints, scale=case.scale)
        test, answer = asked(surrogate, test)
        error = error_of(answer, test, "mass")
        for hits in fields:
            hits.add(error <= certificate.at(hits.level).bound(answer).bound, certificate.calibrated_on)
        band = calibrate(surrogate, held, 0.9, seed, norm="band", scale="one for all")
        widths = band.band(band.bound(answer))
        inside = np.abs(answer.field - test.fields) <= widths
        bands.add(inside.reshape(len(inside), -1).all(axis=1), band.calibrated_on)
    made = [law_row(f"{case.name}: coverage at {h.level:g}, from its law", h, scale=case.scale) for h in fields]
    return [*made, law_row(f"{case.name}: simultaneous band at 0.9", bands)]


# A stated shift, groups, few runs -----------------------------------------------------------------------------------


def _shifted(case: Case, repeats: int, seed: int) -> list[Row]:
    """Queries from the upper half of every parameter; the same runs calibrate with weights and without."""
    source = case.problem.parameters
    if not isinstance(source, Box):
        raise InputError(f"{case.name} has no box of parameters to shift within")
    low = [(a + b) / 2 for a, b in zip(np.atleast_1d(source.low), np.atleast_1d(source.high), strict=True)]
    shift = BetweenBoxes(source, Box(source.names, low=low, high=source.high))
    surrogate, weighted, plain = case.surrogate(seed), Hits(0.9), Hits(0.9)
    for held, test in fresh(case.problem, repeats, 240, 160, seed=seed + 1):
        test = test.take(np.flatnonzero(shift.ratio(test.mu) > 0))
        error = error_of(surrogate.predict(test.mu), test, "mass")
        for hits, given in ((weighted, shift), (plain, None)):
            certificate = calibrate(surrogate, held, 0.9, seed, norm="mass", scale="one for all", shift=given)
            hits.add(error <= certificate.bound(surrogate.predict(test.mu)).bound, _counted(certificate))
    detail = {"without_weights": plain.share}
    return [law_row(f"{case.name}: stated shift, weighted", weighted, **detail)]


def _counted(certificate: ConformalCertificate) -> int:
    """How many runs calibrated with a weight, or all."""
    if not isinstance(certificate.cutoff, Weighted):
        return certificate.calibrated_on
    return int(np.sum(certificate.cutoff.weights > 0))


def _grouped(case: Case, repeats: int, seed: int) -> list[Row]:
    """The half of the queries with the larger last parameter, on its own and under a common limit."""
    name = case.problem.parameters.names[-1]
    surrogate = case.surrogate(seed)
    middle = float(np.median(case.problem.parameters.sample(range(1001), seed)[name]))
    groups, own, common = ByRange(name, (middle,)), Hits(0.9), Hits(0.9)
    for held, test in fresh(case.problem, repeats, 120, 80, seed=seed + 2):
        test = test.take(np.flatnonzero(test.mu[name] >= middle))
        answer = surrogate.predict(test.mu)
        error = error_of(answer, test, "mass")
        for hits, given in ((own, groups), (common, None)):
            certificate = calibrate(surrogate, held, 0.9, seed, norm="mass", scale="one for all", groups=given)
            hits.add(error <= certificate.bound(answer).bound, _upper(certificate))
    return [law_row(f"{case.name}: one half on its own, by group", own, common_limit=common.share)]


def _upper(certificate: ConformalCertificate) -> int:
    """How many runs calibrated the upper group, or all."""
    if not isinstance(certificate.cutoff, Grouped):
        return certificate.calibrated_on
    return list(certificate.cutoff.counts("field").values())[-1]


def _few(case: Case, repeats: int, seed: int) -> list[Row]:
    """Forty runs that all train and all calibrate."""
    held = {"each left out": [], "in 20 parts": []}  # type: dict[str, list[float]]
    for runs, parts_runs, test in fresh(case.problem, repeats, 40, 80, 100, seed=seed + 3):
        for name, data, parts in (("each left out", runs, None), ("in 20 parts", parts_runs, 20)):
            surrogate, certificate = cross_calibrate(nw.rb.PODRegression(), data, 0.8, seed, norm="mass", parts=parts)
            answer = certificate.bound(surrogate.predict(test.mu))
            held[name].append(float(np.mean(error_of(answer, test, "mass") <= answer.bound)))
    sizes = {"repeats": repeats, "level": 0.8}
    return [
        Row(f"{case.name}: few runs, {name}", float(np.mean(v)), "", 0.8, ">=", sizes | {"spread": float(np.std(v))})
        for name, v in held.items()
    ]


# Whom to send to the solver -----------------------------------------------------------------------------------------


def operator(seed: int) -> tuple[Problem, Surrogate]:
    """A Fourier neural operator on two-valued Darcy flow, trained for some seconds."""
    problem = nw.problems.get("darcy", resolution=32)
    fitter = nw.operators.FNO(modes=10, width=16, training=nw.Training(epochs=12, augment="square"))
    return problem, fitter.fit(nw.generate(problem, 400, seed=seed), problem, seed=seed)


def _whom(case: Case, surrogate: Surrogate, sizes: Sizes, seed: int, name: str) -> list[Row]:
    """A tolerance that 60 % of the answers meet, below the limit for all: that limit refines every query, the scaled
    one those that need it.

    Coverage is counted among the answers that are accepted, with the limit for all queries and with `accept=`.
    """
    made = partial(calibrate, surrogate, seed=seed, norm="energy", hints=[Residual(case.problem)])
    pilot = next(fresh(case.problem, 1, 150, seed=seed + 4))[0]
    known, answer = asked(surrogate, pilot)
    tally = _Tally(float(np.quantile(error_of(answer, known, "energy"), 0.6)))
    for held, test in fresh(case.problem, sizes.repeats, sizes.held, sizes.test, seed=seed + 5):
        test, answer = asked(surrogate, test)
        tally.add(made, held, answer, error_of(answer, test, "energy"), case.scale)
    one, scaled = np.mean(tally.refined["one for all"]), np.mean(tally.refined["scaled"])
    detail = {
        "one_radius_refines": float(one),
        "scaled_refines": float(scaled),
        "needed": float(np.mean(tally.needed)),
        "missed_among_accepted": float(np.mean(tally.missed)),
        "coverage_among_accepted_without_accept": float(np.mean(tally.marginal)),
        "rank_correlation_of_limit_and_error": float(np.mean(tally.correlation)),
    }
    return [
        Row(f"{name}: refined by the scaled limit over by one radius", float(scaled / one), "x", 0.8, "<=", detail),
        law_row(f"{name}: coverage among the accepted", tally.accepted, accepted=1 - float(scaled)),
    ]


@dataclass
class _Tally:
    """What happened to fresh queries under a tolerance."""

    tolerance: float
    refined: dict[str, list[float]] = field(default_factory=lambda: {"one for all": [], "scaled": []})
    needed: list[float] = field(default_factory=list)
    missed: list[float] = field(default_factory=list)
    marginal: list[float] = field(default_factory=list)
    correlation: list[float] = field(default_factory=list)
    accepted: Hits = field(default_factory=lambda: Hits(0.9))

    def add(
        self, made: Callable[..., ConformalCertificate], held: Snapshots, answer: Prediction, error: Real, scale: str
    ) -> None:
        """One repeat."""
        one = made(held, 0.9, scale="one for all").bound(answer).bound
        scaled = made(held, 0.9, scale=scale).bound(answer).bound
        routed = made(held, 0.9, scale=scale, accept=self.tolerance)
        self.refined["one for all"].append(float(np.mean(one > self.tolerance)))
        self.refined["scaled"].append(float(np.mean(scaled > self.tolerance)))
        self.needed.append(float(np.mean(error > self.tolerance)))
        self.correlation.append(float(np.corrcoef(_ranks(scaled), _ranks(error))[0, 1]))
        if (scaled <= self.tolerance).any():
            self.missed.append(float(np.mean(error[scaled <= self.tolerance] > self.tolerance)))
            self.marginal.append(float(np.mean((error <= scaled)[scaled <= self.tolerance])))
        self._accepted(routed, answer, error)

    def _accepted(self, routed: ConformalCertificate, answer: Prediction, error: Real) -> None:
        if not isinstance(routed.cutoff, Grouped):
            raise InputError("accept= makes groups")
        groups = routed.cutoff.groups
        easy = groups(answer, routed.expected(answer)["field"]) == 0
        count = routed.cutoff.counts("field")[groups.labels[0]]
        if easy.any() and count >= 9:
            self.accepted.add((error <= routed.bound(answer).bound)[easy], count)


def _ranks(values: Array) -> Array:
    return np.argsort(np.argsort(values))


def _on_training_runs(case: Case, seed: int) -> Sequence[Row]:
    """Refused; `coverage` says what the limit would have been worth."""
    train, test = next(fresh(case.problem, 1, case.train, 400, seed=seed + 6))
    surrogate = nw.rb.PODRegression().fit(train, case.problem)
    seen, unseen = (error_of(surrogate.predict(_mu(d)), d, "mass") for d in (train, test))
    refused = 0.0
    try:
        calibrate(surrogate, train, 0.9)
    except InputError:
        refused = 1.0
    detail = {"coverage_of_such_a_limit": float(np.mean(unseen <= quantile(seen, 0.9))), "level": 0.9}
    return [Row(f"{case.name}: calibration on training runs refused", refused, "", 1.0, "==", detail)]


def _mu(data: Snapshots) -> Mu:
    return {name: np.asarray(values) for name, values in data.mu.items()}
