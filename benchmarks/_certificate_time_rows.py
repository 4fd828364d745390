"""Limits of trajectories: violations, effectivity, cost, coverage per lead time; then selection and feedback."""

from collections.abc import Callable
from functools import cache, partial
from time import process_time

import numpy as np
from _certificate_selection_rows import rows as selection_rows
from _coverage_law import SIGMAS, Hits
from _harness import Row
from _time_cases import Learned, RandomSteps, Reference, answered, disturbed

import nwidth as nw
from nwidth.certificates.lead_time import calibrate_lead_times
from nwidth.certificates.parabolic_residual import SpaceTimeCertificate
from nwidth.certificates.quantities import FIELD
from nwidth.core.arrays import Mask, Real
from nwidth.core.prediction import Prediction
from nwidth.problems.heat import Heat
from nwidth.problems.parabolic import AffineEvolution, Stepping
from nwidth.problems.power_module_transient import PowerModuleTransient
from nwidth.problems.stepped import Stepped
from nwidth.study.measure import alternate, recorded

SCHEMES = ("implicit-euler", "crank-nicolson")
#: Samples of one random problem.
BATCH = 40


def rows(quick: bool, seed: int) -> list[Row]:
    """All rows of this part."""
    found = [row for family in FAMILIES for row in violations(family, 80 if quick else 10_000, seed)]
    found += [*effectivities(quick, seed), *costs(quick), *coverages(quick, seed)]
    return found + selection_rows(quick, seed)


@cache
def _heat(resolution: int, elements: str) -> Heat:
    return Heat(resolution, 2, elements)


def _affine(rng: np.random.Generator, stepping: Stepping) -> AffineEvolution:
    return RandomSteps(int(rng.integers(2, 11)), stepping, int(rng.integers(1 << 30)), float(10 ** rng.uniform(0, 4)))


def _grid(rng: np.random.Generator, stepping: Stepping) -> Stepped:
    return Stepped(_heat(int(rng.integers(2, 5)), "grid"), stepping)


def _triangles(rng: np.random.Generator, stepping: Stepping) -> Stepped:
    return Stepped(_heat(2, "triangles"), stepping)


FAMILIES = {"affine": _affine, "heat on grids": _grid, "heat on triangles": _triangles}


def violations(family: str, trajectories: int, seed: int) -> list[Row]:
    """Random steps, answers and sweeps against extended precision: every level, the largest of all, and the energy.

    Each trajectory has a parameter and an answer of its own; each of its levels is a check, not a case.
    """
    rng = np.random.default_rng([seed, len(family)])
    broken, widest, done, problems, checks = 0, [], 0, 0, 0
    while done < trajectories:
        stepping = Stepping(float(10 ** rng.uniform(-3, 1)), int(rng.integers(1, 9)), SCHEMES[int(rng.integers(2))])
        problem = FAMILIES[family](rng, stepping)
        mu = problem.parameters.sample(range(BATCH), int(rng.integers(1 << 30)))
        reference = Reference(problem, mu)
        levels = reference.levels()
        fields = disturbed(levels, reference.free, int(rng.integers(1 << 30)))
        answer = SpaceTimeCertificate(problem, int(rng.integers(3))).bound(answered(problem, mu, fields))
        error, energy = reference.errors(levels, answer.field.reshape(fields.shape))
        broken += int(missed(answer, error, energy).sum())
        large = error.max(axis=1) > 1e-9 * np.abs(fields).max(axis=(1, 2))
        widest.append(answer.bound[large] / error.max(axis=1)[large])
        done, problems, checks = done + BATCH, problems + 1, checks + error.size
    quantiles = np.quantile(np.concatenate(widest), [0.05, 0.5, 0.95, 1.0]).tolist()
    detail = {
        "cases": done,
        "parameters": done,
        "fields": done,
        "problems": problems,
        "checks (trajectories x levels)": checks,
        "effectivity 5 %, 50 %, 95 %, 100 %": quantiles,
    }
    return [Row(f"violations in time, {family}", broken, "", 0, "==", detail)]


def missed(answer: Prediction, error: Real, energy: Real) -> Mask:
    """Trajectories of which a bound is not what it says, `(B,)`: those of the levels `(B, K)`, the published ones,
    which are for the largest error of all levels, and that of the energy norm. NaN is below and above nothing."""
    above, below, largest = answer.stats["in time"], answer.stats["at least in time"], error.max(axis=1)
    levels = (above >= error) & (above > 0) & (above < np.inf) & (below <= error) & (below >= 0)
    published = (answer.bound >= largest) & (answer.bound > 0) & (answer.bound < np.inf)
    lower = np.zeros(len(answer)) if answer.lower is None else answer.lower
    held = levels.all(axis=1) & published & (lower <= largest) & (lower >= 0) & (answer.stats["energy"] >= energy)
    return np.asarray(~held)


def effectivities(quick: bool, seed: int) -> list[Row]:
    """Two kinds of answers at two step lengths: a regression, smooth in time, and an error of its own at each level."""
    found, medians = [], {}
    for count in (10, 40 if quick else 160):
        problem = Stepped(Heat(8 if quick else 16), Stepping(1.0 / count, count, "crank-nicolson"))
        learned = Learned(problem, nw.generate(problem, 40 if quick else 80, seed=seed), seed)
        mu = problem.parameters.sample(range(20), seed + 1)
        truth = problem.solve(mu)
        shape = np.prod(np.sin(np.pi * problem.space.points()), axis=1).reshape(problem.space.shape)
        jumps = 1e-3 * np.random.default_rng(seed).normal(size=(20, count, 1, 1)) * shape
        for name, answers in (("regression", learned.predict(mu).field), ("jumps", truth + jumps)):
            for sweeps in (0, 1, 2):
                answer = SpaceTimeCertificate(problem, sweeps).bound(answered(problem, mu, answers))
                error = np.sqrt(np.sum((answer.field - truth) ** 2, axis=(2, 3))) / problem.problem.resolution
                effectivity = answer.bound / error.max(axis=1)
                detail = {"quantiles": np.quantile(effectivity, [0.1, 0.5, 0.9]).tolist()}
                medians[name, count, sweeps] = median = float(np.median(effectivity))
                found.append(Row(f"effectivity, {name}, {count} steps, sweeps: {sweeps}", median, "", detail=detail))
    (few, many), detail = sorted({count for _, count, _ in medians}), {}
    for sweeps in (0, 2):
        detail[f"sweeps: {sweeps}"] = medians["jumps", many, sweeps] / medians["jumps", few, sweeps]
    growth = medians["jumps", many, 1] / medians["jumps", few, 1]
    return [*found, Row("growth of the effectivity with the steps, jumps, one sweep", growth, "x", 1.25, "<=", detail)]


def costs(quick: bool) -> list[Row]:
    """CPU time of limits over that of solving the same trajectories."""
    count = 20 if quick else 50
    cases = {
        "grid": Stepped(Heat(16 if quick else 64), Stepping(1.0 / count, count)),
        "triangles": Stepped(Heat(8 if quick else 32, elements="triangles"), Stepping(1.0 / count, count)),
        "module, cooling changes at each step": PowerModuleTransient(
            32, 0.02, 4 if quick else count, every=1, piece=0.02
        ),
    }
    found = []
    for name, problem in cases.items():
        # a solve of the module factorises at each step: a second for each trajectory
        batch = 2 if quick or isinstance(problem, PowerModuleTransient) else 8
        mu = problem.parameters.sample(range(batch), 0)
        fields = problem.solve(mu)
        prediction = answered(problem, mu, 1.001 * fields.reshape(*fields.shape[:2], -1))
        certificates = [SpaceTimeCertificate(problem, sweeps) for sweeps in (0, 1, 2)]
        for certificate in certificates:
            certificate.bound(prediction.take(slice(0, 1)))
        contestants: dict[str, Callable[[], object]] = {"solve": partial(problem.solve, mu)}
        for certificate in certificates:
            contestants[f"sweeps: {certificate.sweeps}"] = partial(certificate.bound, prediction)
        timings = alternate(contestants, 1 if quick else 2, warm_up=0, clock=process_time)
        detail = {
            "dofs": problem.space.size,
            "steps": problem.stepping.count,
            "batch": len(prediction),
            **recorded(timings),
        }
        for sweeps in (0, 1):
            ratio = timings[f"sweeps: {sweeps}"].least / timings["solve"].least
            label = f"cost of limits in time over a solve, {name}, {sweeps} sweeps"
            found.append(Row(label, ratio, "x", detail=detail))
    return found


def coverages(quick: bool, seed: int) -> list[Row]:
    """Coverage for each lead time and for all together, calibrations and tests drawn afresh in each repeat."""
    problem = Stepped(Heat(12, 1), Stepping(0.025, 40, "crank-nicolson", every=8))
    learned = Learned(problem, nw.generate(problem, 40, seed=seed), seed)
    repeats, size, tests = 5 if quick else 200, 40, 50
    pool = nw.generate(problem, repeats * (size + tests), seed=seed + 1)
    errors = _errors(problem, learned, pool)
    found = []
    for level in (0.8, 0.9, 0.95):
        for together in (False, True):
            # all times together choose their profile on a third of the runs
            calibrated = size - size // 3 if together else size
            if calibrated < level / (1 - level):
                continue
            # one count for all together, or one for each lead time
            hits = [Hits(level) for _ in range(1 if together else errors.shape[1])]
            for repeat in range(repeats):
                first = repeat * (size + tests)
                runs = pool.take(np.arange(first, first + size))
                certificate = calibrate_lead_times(learned, runs, level, together=together, seed=repeat)
                inside = errors[first + size : first + size + tests] <= certificate.limits[FIELD]
                for count, held in zip(hits, [inside.all(axis=1)] if together else inside.T, strict=True):
                    count.add(held, calibrated)
            found.append(_coverage(level, hits, together, quick))
    return found


def _coverage(level: float, hits: list[Hits], together: bool, quick: bool) -> Row:
    """The distance from the expected coverage in standard deviations of its law, the worst lead time."""
    worst = max(hits, key=lambda count: abs(count.deviation))
    name = f"coverage at {level:g}, {'all times together' if together else 'each lead time'}: deviations off"
    detail = worst.detail(calibrated_on=worst.found[0][2], each_lead_time=[count.share for count in hits])
    return Row(name, abs(worst.deviation), "sd", None if quick else SIGMAS, "<=", detail)


def _errors(problem: Stepped, learned: Learned, runs: nw.Snapshots) -> Real:
    """L² errors `(n, T)`."""
    found = []
    for first in range(0, len(runs), 500):
        part = runs.take(np.arange(first, min(first + 500, len(runs))))
        difference = learned.predict(part.mu).field - np.asarray(part.fields)
        flat = difference.reshape(-1, problem.space.size)
        found.append(problem.space.inner("mass").norm(flat).reshape(difference.shape[:2]))
    return np.concatenate(found)
