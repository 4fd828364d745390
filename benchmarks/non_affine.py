"""Coefficients that do not separate: interpolation beside pyMOR's, limits that count it, and what a query costs.

    python benchmarks/non_affine.py [--json PATH] [--quick]

The case of the literature (a reaction and a source 1 / |x - mu|: Grepl, Maday, Nguyen and Patera 2007) and a conducting
spot that moves. Limits are checked against full-order solutions with the true coefficients; a query is timed against
the fastest full-order solver here that reaches the same error.
"""

import sys
from collections.abc import Callable, Sequence
from time import process_time

import numpy as np
from _harness import Row, absent, main

import nwidth as nw
from nwidth.certificates.interpolation import InterpolationCertificate
from nwidth.core.kinds import available, load_attribute
from nwidth.core.solution import Tolerance
from nwidth.core.validation import select
from nwidth.online.wrappers import Certified
from nwidth.problems.moving_bump import MovingBump
from nwidth.problems.non_affine import NonAffine
from nwidth.problems.reciprocal_distance import ReciprocalDistance
from nwidth.rb.interpolation.problem import Interpolated
from nwidth.solvers.direct import Direct
from nwidth.solvers.ldlt import BatchedLDLT

#: Interpolation tolerances at which limits are checked: from dominated by it to dominated by the basis.
SHARES = (0.15, 0.3, 0.6, 1.0)


def work(quick: bool, seed: int) -> Sequence[Row]:
    """All rows."""
    cells, queries = (16, 60) if quick else (64, 1000)
    literature, spot = ReciprocalDistance(cells), MovingBump(16 if quick else 32, width=0.3, source="moving")
    return [
        *decay(literature, quick),
        *limits("1 / |x - mu|", literature, queries, seed, ("everywhere",)),
        *limits("moving spot", spot, queries, seed, ("everywhere", "box")),
        *speed(MovingBump(cells, width=0.3), seed, quick),
        *sensors(spot, seed),
    ]


def decay(problem: NonAffine, quick: bool) -> list[Row]:
    """The error over the terms on a grid of parameters, and pyMOR's interpolation of the same table."""
    axis = -np.geomspace(0.01, 1.0, 12 if quick else 20)
    grid = [column.ravel() for column in np.meshgrid(axis, axis)]
    table = problem.values(dict(zip(problem.parameters.names, grid, strict=True)))["source"]
    begin = process_time()
    part = nw.rb.EIM(tol=1e-6).fit(table)
    ours = process_time() - begin
    relative = part.errors / part.errors[0]
    digits = float(-np.log10(relative[32] / relative[8]) / 3)
    detail = {f"error, {m} terms": float(relative[m]) for m in range(8, part.terms, 8)} | {"lebesgue": part.lebesgue}
    rows = [Row("1 / |x - mu|: digits per eight terms", digits, "", 0.8, ">=", detail)]
    if not available("pymor"):
        return [*rows, absent("EIM: largest error over pyMOR's", "pymor", 1.02, "<=")]
    theirs, seconds = _pymor(table, part.terms)
    mine = np.abs(table - part.reconstruct(table[:, part.points])).max()
    detail = {"ours": float(mine), "pymor": theirs, "terms": part.terms, "seconds": [ours, seconds]}
    return [
        *rows,
        Row("EIM: largest error over pyMOR's, same terms", float(mine / theirs), "", 1.02, "<=", detail),
        Row("EIM: CPU time of the fit, times faster than pyMOR", seconds / ours, "x", 1.0, ">=", detail),
    ]


def _pymor(table: np.ndarray, terms: int) -> tuple[float, float]:
    """The largest error of pyMOR's greedy interpolation in the maximum norm with as many terms, and its CPU time."""
    load_attribute("pymor.core.logger:set_log_levels")({"pymor": "ERROR"})
    space = load_attribute("pymor.vectorarrays.numpy:NumpyVectorSpace")
    greedy = load_attribute("pymor.algorithms.ei:ei_greedy")
    arrays = space.from_numpy(np.ascontiguousarray(table.T))
    begin = process_time()
    points, basis, _ = greedy(arrays, error_norm="sup", max_interpolation_dofs=terms)
    seconds = process_time() - begin
    modes = basis.to_numpy()
    found = np.linalg.solve(modes[points], table[:, points].T)
    return float(np.abs(table.T - modes @ found).max()), seconds


def limits(name: str, problem: NonAffine, queries: int, seed: int, rules: Sequence[str]) -> list[Row]:
    """Missed limits of field and output, and limit over error, at several shares of the terms."""
    affine = nw.rb.separated(problem, 400, 1e-5, seed=seed)
    mu = problem.parameters.sample(range(queries), seed + 1)
    truth, systems = nw.solve(problem, mu).field, problem.systems(mu)
    mean = problem.quantities()["mean"].functional  # type: ignore[attr-defined]
    missed, ratios = 0, {rule: {} for rule in rules}
    for share in SHARES:
        cut = _share(affine, share)
        basis = nw.rb.Greedy(tol=None, max_size=20, training=200, loads="sum").fit(problem=cut)
        for rule in rules:
            answer = Certified(basis, InterpolationCertificate.build(basis, error=rule, levels=12)).predict(mu)
            error = np.sqrt(systems.energy(problem.space.flatten(truth - answer.field)))
            outputs = np.abs(truth @ mean - answer.outputs["mean"].values)
            missed += int((error > answer.bound).sum() + (outputs > answer.outputs["mean"].limit).sum())
            ratios[rule][share] = float(np.median(answer.bound / error))
    terms = {role: part.terms for role, part in affine.parts.items()}
    total = 2 * len(SHARES) * len(rules) * queries
    rows = [Row(f"{name}: limits missed of {total}", missed, "", 0, "==", {"terms": terms, "shares": SHARES})]
    for rule, found in ratios.items():
        most = 8.0 if rule == "everywhere" else 60.0
        text = {f"{share:.0%} of the terms": ratio for share, ratio in found.items()}
        rows.append(Row(f"{name}: limit / error, {rule}, worst median", max(found.values()), "", most, "<=", text))
        rows.append(Row(f"{name}: limit / error, {rule}, all terms", found[1.0], "", 2.5, "<=", text))
    return rows


def _share(affine: Interpolated, share: float) -> Interpolated:
    return affine.truncate(**{role: max(1, round(share * p.terms)) for role, p in affine.parts.items()})


def speed(problem: NonAffine, seed: int, quick: bool) -> list[Row]:
    """One certified query, in a batch and alone, against full-order solutions."""
    affine = nw.rb.separated(problem, 400, 1e-5, seed=seed)
    basis = nw.rb.Greedy(tol=1e-3, training=200, loads="sum").fit(problem=affine)
    certified = Certified(basis, InterpolationCertificate.build(basis, error="box", levels=12))
    looked = nw.certify(basis, problem)
    mu = problem.parameters.sample(range(64 if quick else 512), seed + 3)
    one = select(mu, slice(0, 1))
    solvers = {"batched LDL": BatchedLDLT(), "direct": Direct()}
    states = {name: solver.prepare(problem) for name, solver in solvers.items()}
    few = select(mu, slice(0, 64))
    stop = Tolerance("residual", 1e-4)
    times = {
        "batch": _least(lambda: certified.predict(mu)) / len(mu["mu_1"]),
        "alone": _least(lambda: certified.predict(one)),
        "batch, everywhere": _least(lambda: looked.predict(mu)) / len(mu["mu_1"]),
    } | {f"{n}, batch": _least(lambda n=n: solvers[n].solve(states[n], few, stop=stop)) / 64 for n in solvers}
    alone = {n: _least(lambda n=n: solvers[n].solve(states[n], one, stop=stop)) for n in solvers}
    answer = certified.predict(mu)
    detail = {k: 1e6 * v for k, v in times.items()} | {f"{n}, alone": 1e6 * v for n, v in alone.items()}
    detail |= {"modes": basis.modes, "dofs": problem.space.size, "largest limit": float(answer.bound.max())}
    fastest = min(seconds for name, seconds in times.items() if name.partition(",")[0] in solvers)
    slow = fastest / times["batch, everywhere"]
    many, single = (None, None) if quick else (5.0, 2.0)  # on a small mesh a solve costs nothing
    return [
        Row(
            "certified query, box, batch: times faster than a solve", fastest / times["batch"], "x", many, ">=", detail
        ),
        Row("the same, looking everywhere", slow, "x", None, ">=", detail),
        Row("the same, box, one query", min(alone.values()) / times["alone"], "x", single, ">=", detail),
    ]


def _least(call: Callable[[], object], repeats: int = 7) -> float:
    """The least CPU time of several calls, seconds, on one thread; one before them warms up."""
    call()
    taken = []
    for _ in range(repeats):
        begin = process_time()
        call()
        taken.append(process_time() - begin)
    return min(taken)


def sensors(problem: NonAffine, seed: int) -> list[Row]:
    """The field from sensors with some of them broken, in the energy norm, on fields that were not in the fit."""
    fields = nw.solve(problem, problem.parameters.sample(range(160), seed + 5)).field
    inner = problem.space.inner("energy")
    whole = nw.rb.SymmetricEIM(tol=1e-2, extra=6).fit(fields[:120], inner, allowed=problem.free)
    unseen, rows, rng = fields[120:], [], np.random.default_rng(seed)
    kept = unseen - inner.apply(unseen) @ whole.basis.T @ whole.basis
    best = inner.norm(kept)
    for broken in (0, 2, 4, 6):
        left = whole.without(rng.permutation(len(whole.points))[:broken])
        error = inner.norm(unseen - left.reconstruct(unseen[:, left.points]))
        detail = {"amplification": left.amplification, "sensors": len(left.points), "fields": whole.terms,
                  "error": float((error / inner.norm(unseen)).max())}  # fmt: skip
        worst = float((error / (left.amplification * best)).max())
        rows.append(Row(f"{broken} of {len(whole.points)} sensors broken: error / bound", worst, "", 1.0, "<=", detail))
    return rows


if __name__ == "__main__":
    sys.exit(main("non_affine", work))
