"""Routing: the mix of ways, the time against the best single way for the whole batch, and what is told from outside.

Single ways: every answer of the surrogate to a solver; a plain solve of every query; where the whole batch is within
the tolerance, the surrogate with its limits. Each with every solver, prepared beforehand like those of the router. The
tolerances are those that half, nearly all and none of the queries meet without refinement. Ways are measured and
compared by processor time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import process_time
from typing import Any

import numpy as np
from _harness import Row

import nwidth as nw
from nwidth.certificates.conformal import calibrate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.solution import Tolerance
from nwidth.online.route import Router
from nwidth.operators import FNO, Training
from nwidth.problems.base import Coercive
from nwidth.problems.darcy import Darcy
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb import Greedy, PODRegression
from nwidth.spaces.field_density import fit_density
from nwidth.spaces.random_field import LogNormalField, RandomField, TwoValuedField
from nwidth.study.measure import alternate, one_thread, recorded
from nwidth.surrogates.base import Surrogate

#: Shares of queries that meet the tolerance without refinement.
SHARES = {"nearly all": 0.95, "half": 0.5, "none": -1.0}


@dataclass(frozen=True)
class Case:
    """A problem, what answers its queries, and a batch of them."""

    name: str
    problem: Coercive
    surrogate: Surrogate
    mu: Mu


def rows(quick: bool, seed: int) -> list[Row]:
    """Routes, violations, coverage among accepted, and inside or outside."""
    with one_thread():
        found = [row for case in cases(quick, seed) for row in _routed(case, quick, seed)]
        return [*found, *_calibrated(quick, seed), *_outside(quick, seed)]


def cases(quick: bool, seed: int) -> list[Case]:
    """A reduced basis on a mesh, a regression and a small neural operator on a grid."""
    batch, first = (24, 1000) if quick else (128, 5000)
    block = ThermalBlock(3, 12 if quick else 40)
    basis = Greedy(tol=None, max_size=14).fit(problem=block, seed=seed)
    smooth = Darcy(16 if quick else 64, law="log-normal", sigma=0.3, alpha=4.0, modes=24)
    jumps = Darcy(16 if quick else 64)
    regression = PODRegression(modes=20).fit(nw.generate(smooth, 120 if quick else 400, seed), smooth, seed=seed)
    training = Training(epochs=2 if quick else 6, rate=0.015, augment="square")
    operator = FNO(4, 8, training=training).fit(nw.generate(jumps, 100 if quick else 300, seed), jumps, seed=seed)
    known = (
        ("reduced basis, thermal block", block, basis),
        ("POD regression, smooth Darcy", smooth, regression),
        ("neural operator, Darcy 12 / 3", jumps, operator),
    )
    rows_ = range(first, first + batch)
    return [Case(name, p, s, p.parameters.sample(rows_, seed)) for name, p, s in known]


def _routed(case: Case, quick: bool, seed: int) -> list[Row]:
    certified = nw.certify(case.surrogate, case.problem)
    first = nw.Refining(certified, case.problem)
    relative = _router(first)._relative(certified.predict(case.mu))
    found = []
    for words, share in SHARES.items():
        level = float(np.quantile(relative, share)) if share >= 0 else 0.3 * float(relative.min())
        rtol = float(np.clip(level, 1e-9, 0.5))
        refining = nw.Refining(certified, case.problem, rtol).measured(
            count=8 if quick else 16, repeats=2, seed=seed, clock=process_time
        )
        found += _against_single(case, refining, f"{case.name}, {words} within", 2 if quick else 7, not quick)
    return found


def _against_single(case: Case, refining: nw.Refining, name: str, repeats: int, targets: bool) -> list[Row]:
    answer = refining.predict(case.mu)
    single = _single(case, refining)
    # processor time, the least of it: the ways share one thread, and other work on the machine does not count
    ways = {"routed": lambda: refining.predict(case.mu), **single}
    timings = alternate(ways, repeats, warm_up=0, clock=process_time)
    seconds = {way: timing.least for way, timing in timings.items()}
    best = min((way for way in seconds if way != "routed"), key=lambda way: seconds[way])
    mix = nw.Mix.of(answer)
    detail = {
        "rtol": refining.rtol,
        "mix": str(mix),
        "milliseconds_a_query": {way: 1e3 * s / len(answer) for way, s in seconds.items()},
        "best_single": best,
        "expected": refining.costs.costs(len(answer)) if refining.costs else {},
        **recorded(timings),
    }
    share = mix.surrogate / len(answer)
    limit = 1.1 if targets else None
    return [
        Row(f"{name}: time over the best single way", seconds["routed"] / seconds[best], "x", limit, "<=", detail),
        Row(f"{name}: answered by the surrogate alone", share, "", None, ">=", {"mix": str(mix)}),
        Row(f"{name}: answers beyond rtol", _violations(case, refining, answer), "", 0.0, "<="),
    ]


def _single(case: Case, refining: nw.Refining) -> dict[str, Callable[[], Any]]:
    """Every way for the whole batch that meets the tolerance."""
    router, mu, stop = _router(refining), case.mu, Tolerance("energy", refining.rtol)
    ways: dict[str, Callable[[], Any]] = {}
    for name, solver, state in zip(router.names, router.solvers, router._states, strict=True):
        ways[f"solve all, {name}"] = lambda s=solver, p=state: s.solve(p, mu, None, stop)
        ways[f"refine all, {name}"] = lambda s=solver, p=state: s.solve(p, mu, case.surrogate.predict(mu).field, stop)
    if (router._relative(refining.certified.predict(mu)) <= refining.rtol).all():
        ways["surrogate alone"] = lambda: refining.certified.predict(mu)
    return ways


def _router(refining: nw.Refining) -> Router:
    if not isinstance(refining._router, Router):
        raise TypeError("expected guaranteed answers")
    return refining._router


def _violations(case: Case, refining: nw.Refining, answer: nw.Prediction) -> int:
    """Answers farther than rtol from a solution at a thousandth of it (or at rounding)."""
    router = _router(refining)
    sharp = Tolerance("energy", max(1e-3 * refining.rtol, 1e-11))
    truth = router.solvers[0].solve(router._states[0], case.mu, None, sharp).field
    systems, space = case.problem.systems(case.mu), case.problem.space
    u, v = space.flatten(truth), space.flatten(np.asarray(answer.field))
    error, size = np.sqrt(systems.energy(u - v)), np.sqrt(systems.energy(u))
    slack = 2e-3 * refining.rtol * size  # of the reference
    return beyond(error, answer.bound, refining.rtol * size, slack)


def beyond(error: Real, bound: Real, wanted: Real, slack: Real) -> int:
    """Errors that are not within what was wanted, and bounds that are not numbers above the error."""
    limited = (bound + slack >= error) & (bound > 0) & (bound < np.inf)
    return int((~(error <= wanted + slack)).sum() + (~limited).sum())


def _calibrated(quick: bool, seed: int) -> list[Row]:
    """Limits that are calibrated: what is promised over all queries, and what holds among the accepted ones."""
    law = Darcy(16, law="log-normal", sigma=0.5, alpha=3.0, modes=16)
    repeats, held_out = (3, 100) if quick else (20, 150)
    pool = nw.generate(law, 200 + repeats * 300, seed)
    surrogate = PODRegression(modes=10).fit(pool.take(np.arange(200)), seed=seed)
    tallies: dict[str, list[Real]] = {"missed": [], "accepted": [], "plain": []}
    for k in range(repeats):
        part = pool.take(np.arange(200 + 300 * k, 500 + 300 * k))
        held, fresh = part.take(np.arange(held_out)), part.take(np.arange(150, 300))
        certified = nw.Certified(surrogate, calibrate(surrogate, held, level=0.9, seed=seed + k, norm="mass"))
        plain = certified.predict(fresh.mu)
        tol = float(np.median(plain.bound[np.isfinite(plain.bound)]))
        mass = law.space.inner("mass")
        error = mass.norm(law.space.flatten(np.asarray(plain.field) - np.asarray(fresh.fields)))
        kept = plain.bound <= tol
        tallies["missed"].append(kept & (error > plain.bound))
        tallies["accepted"].append(kept)
        tallies["plain"].append(error <= plain.bound)
    missed, accepted, plain_ = (np.concatenate(tallies[name]) for name in ("missed", "accepted", "plain"))
    noise = 3 * np.sqrt(0.1 * 0.9 * (1 / len(missed) + 1 / (150 * repeats)))
    detail = {"queries": len(missed), "without_routing": float(plain_.mean()), "share_accepted": float(accepted.mean())}
    name, among = "calibrated at 0.9, half accepted", 1 - float(missed.sum() / accepted.sum())
    return [
        Row(f"{name}: limits hold over all queries", 1 - float(missed.mean()), "", 0.9 - noise, ">=", detail),
        Row(f"{name}: limits hold among the accepted", among, "", None, ">=", detail),
    ]


def _outside(quick: bool, seed: int) -> list[Row]:
    """Fields of a training's law, of others, and fields that were changed: the share that is called outside."""
    count, fresh = (200, 40) if quick else (1000, 400)
    cells = 24 if quick else 64
    smooth = LogNormalField(resolution=cells, sigma=0.5, alpha=3.0, modes=32)
    jumps = TwoValuedField(resolution=cells, modes=cells)
    found = []
    for law, others in ((smooth, _shifted_smooth(smooth)), (jumps, _shifted_jumps(jumps))):
        density = fit_density(law.sample(range(count), seed)["a"], seed=seed)
        same = law.sample(range(10_000, 10_000 + fresh), seed)["a"]
        words = "smooth" if law is smooth else "jumps"
        noise = 3 * np.sqrt(0.01 / min(fresh, count / 4))
        wrong = float(1 - density.typical(same).mean())
        found.append(Row(f"inside, {words}: same law called outside", wrong, "", 1 - density.level + noise, "<="))
        for name, other in others.items():
            fields = other(same) if callable(other) else other.sample(range(fresh), seed)["a"]
            share, (p, said) = float(1 - density.typical(fields).mean()), density.drift(fields[:60])
            detail = {"p_of_60_together": p, "words": said}
            found.append(Row(f"inside, {words}: {name} called outside", share, "", None, ">=", detail))
            found.append(Row(f"inside, {words}: {name}, 60 together, log10 p", logarithm(p), "", -3.0, "<=", detail))
    return found


def logarithm(p: float) -> float:
    """log10 of a probability, at least -300; NaN stays NaN, which holds no target."""
    return float("nan") if np.isnan(p) else float(np.log10(max(p, 1e-300)))


def _shifted_smooth(law: RandomField) -> Mapping[str, RandomField | Callable[[Array], Array]]:
    return {
        "half the correlation length": replace(law, tau=2 * law.tau),
        "twice the correlation length": replace(law, tau=law.tau / 2),
        "twice the contrast (log)": replace(law, sigma=1.0),
        "scaled by 1.2": lambda a: 1.2 * a,
        "two values": lambda a: np.where(a > 1, 1.6, 0.6),
    }


def _shifted_jumps(law: RandomField) -> Mapping[str, RandomField | Callable[[Array], Array]]:
    return {
        "half the correlation length": replace(law, tau=2 * law.tau),
        "a fifth of the correlation length": replace(law, tau=5 * law.tau),
        "half the contrast": replace(law, low=6.0),
        "scaled by 0.9": lambda a: 0.9 * a,
        "smoothed over two nodes": lambda a: (a + np.roll(a, 1, axis=1)) / 2,
    }
