"""Checks of a certified basis that need no contestant: bounds against errors at every size, memory, cost by dofs."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import process_time
from typing import Any

import numpy as np
import scipy.sparse as sp
from _harness import Row, absent
from _offline_memory import held_vectors

import nwidth as nw
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.prediction import Prediction
from nwidth.core.validation import select
from nwidth.online.wrappers import Certified
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.galerkin import ReducedBasis
from nwidth.rb.greedy import Greedy
from nwidth.solvers.direct import AffineSum
from nwidth.spaces.factor import new_factor
from nwidth.study.measure import Timing

_LONG = np.longdouble
#: Truths that are held at a time.
_PIECE = 50


def truths(problem: ThermalBlock, mu: Mu) -> Iterator[tuple[Mu, Real]]:
    """Full-order solutions `(b, N)`, piece by piece: a factorisation each, and one step of refinement with the residual
    in the widest type, so that they are right to the last digits."""
    terms, whole = problem.terms(), AffineSum(problem.terms())
    factor = new_factor(whole.pattern)
    parts = [sp.csr_array(a)[terms.free][:, terms.free] for a in terms.matrices]
    wide = [sp.csr_array((a.data.astype(_LONG), a.indices, a.indptr), shape=a.shape) for a in parts]
    load = terms.loads[0, terms.free]
    for first in range(0, len(mu["mu_1"]), _PIECE):
        part = select(mu, slice(first, first + _PIECE))
        theta = problem.coefficients(part)[0]
        u = np.zeros((len(theta), problem.space.size))
        for row, t in zip(u, theta, strict=True):
            factor.factorise(whole.matrix(t).data)
            w = factor.solve(load[None])[0]
            rest = load - sum(_LONG(x) * (a @ w.astype(_LONG)) for x, a in zip(t, wide, strict=True))
            row[terms.free] = w + factor.solve(rest.astype(np.float64)[None])[0]
        yield part, u


@dataclass
class Errors:
    """True errors `‖u - u_n‖_A` of truncated bases without one full vector per size.

    u = V p + u', u' orthogonal to the basis in X: with A_V = Vᵀ A V and g = Vᵀ A u',
    ‖u - V c‖² = (p - c)ᵀ A_V (p - c) + 2 (p - c) · g + ‖u'‖²; every term is of the size of the error.
    """

    surrogate: ReducedBasis
    p: Real
    rest: Real
    coupling: Real
    matrices: Real

    @classmethod
    def of(cls, surrogate: ReducedBasis, mu: Mu, u: Real) -> "Errors":
        problem, basis = surrogate.problem, surrogate.basis
        terms, theta = problem.terms(), problem.coefficients(mu)[0]
        inner = problem.space.inner("energy")
        p = np.zeros((len(u), len(basis)))
        off = u - terms.lift
        for _ in range(2):
            step = inner.apply(off) @ basis.T
            p, off = p + step, off - step @ basis
        images = np.zeros_like(off)
        for q, a in enumerate(terms.matrices):
            images += theta[:, q, None] * (a @ off.T).T
        matrices = np.einsum("bq,qij->bij", theta, surrogate.model.matrices)
        return cls(surrogate, p, np.einsum("bn,bn->b", off, images), images @ basis.T, matrices)

    def at(self, coefficients: Real) -> Real:
        """For coefficients `(b, n)` of the first n modes."""
        d = self.p.copy()
        d[:, : coefficients.shape[1]] -= coefficients
        square = np.einsum("bi,bij,bj->b", d, self.matrices, d, optimize=True)
        return np.sqrt(np.maximum(square + 2 * np.einsum("bi,bi->b", d, self.coupling) + self.rest, 0.0))


@dataclass
class Count:
    """What was found at all sizes."""

    fields: int = 0
    outputs: int = 0
    useless: int = 0
    beyond: int = 0
    checked: int = 0
    floors: list[Real] = field(default_factory=list)
    ratios: list[Real] = field(default_factory=list)


def violations(name: str, surrogate: ReducedBasis, mu: Mu, sizes: range, modes: int) -> list[Row]:
    """Bounds of fields and outputs at every size of basis; effectivities at `modes`."""
    problem, count = surrogate.problem, Count()
    functional = problem.quantities()["mean"].functional.astype(_LONG)
    bases = {n: nw.certify(surrogate.truncate(n), problem) for n in sizes}
    for part, u in truths(problem, mu):
        errors, stability = Errors.of(surrogate, part, u), problem.constant(part)
        limit, mean = np.sqrt(stability.upper / stability.lower), u.astype(_LONG) @ functional
        for n, certified in bases.items():
            answer = certified.predict(part)
            error = _compare(count, answer, errors, limit, mean)
            if n == modes:
                count.ratios.append(answer.bound / error)
            if n == sizes[-1]:
                count.floors.append(answer.stats["floor"] / answer.bound)
    ratio, floor = np.concatenate(count.ratios), float(np.median(np.concatenate(count.floors)))
    detail = {"queries": len(ratio), "sizes": [sizes[0], sizes[-1]], "checked": count.checked}
    spread = {"minimum": float(ratio.min()), "maximum": float(ratio.max()), "modes": modes}
    return [
        Row(f"{name}: bounds of the field violated, every N", count.fields, "", 0, "==", detail),
        Row(f"{name}: limits of the output violated, every N", count.outputs, "", 0, "==", detail),
        Row(f"{name}: bounds that are zero or not finite", count.useless, "", 0, "==", detail),
        Row(f"{name}: effectivities beyond sqrt(max/min)", count.beyond, "", 0, "==", detail),
        Row(f"{name}: share of rounding in the bound, {sizes[-1]} modes, median", floor, "", None, "<=", detail),
        Row(f"{name}: effectivity, median", float(np.median(ratio)), "", None, "<=", spread),
    ]


def _compare(count: Count, answer: Prediction, errors: Errors, limit: Real, mean: Array) -> Real:
    """Count what is wrong with an answer; the true errors."""
    error, bound, floor = errors.at(answer.values.coefficients), answer.bound, answer.stats["floor"]
    output = answer.outputs["mean"]
    count.checked += len(bound)
    count.fields += int((~(error <= bound)).sum())
    count.outputs += int((~(np.abs(mean - output.values) <= output.limit)).sum())
    count.useless += int((~(np.isfinite(bound) & (bound > 0) & np.isfinite(output.limit) & (output.limit > 0))).sum())
    count.beyond += int((bound > 1.01 * limit * error + 3 * floor).sum())
    return error


def in_turn(contestants: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Timing]:
    """CPU time of all contestants in turn, after one run of each: everything here runs on one thread, and the clock on
    the wall would count what else the machine does."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(repeats + 1):
        for name, call in contestants.items():
            begin = process_time()
            call()
            if turn:
                seconds[name].append(process_time() - begin)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def memory(name: str, blocks: int, resolution: int, modes: int, target: float | None) -> Row:
    """Full vectors held at the peak of the offline stage, for each functional."""
    title = f"{name}: vectors held offline at the peak / (Q_A N)"
    if sys.platform != "linux":
        return absent(title, "reset of the peak memory: Linux only", target, "<=")
    found = held_vectors(blocks, resolution, modes)
    return Row(title, found["held"], "x", target, "<=", dict(found))


def by_dofs(resolutions: tuple[int, int], modes: int, repeats: int, target: float | None) -> list[Row]:
    """The same query on a coarse and on a fine mesh: the least of the CPU times."""
    small, large = (_fitted(resolution, modes) for resolution in resolutions)
    dofs = [certified.surrogate.space.size for certified in (small, large)]
    mu = small.surrogate.parameters.sample(range(1000), 5)
    singles = [select(mu, slice(i, i + 1)) for i in range(200)]
    times = in_turn(
        {
            "single small": lambda: [small.predict(m) for m in singles],
            "single large": lambda: [large.predict(m) for m in singles],
            "batch small": lambda: small.predict(mu),
            "batch large": lambda: large.predict(mu),
        },
        3 * repeats,
    )
    rows = []
    for kind, count in (("single", len(singles)), ("batch", 1000)):
        one, other = (min(times[f"{kind} {mesh}"].seconds) for mesh in ("small", "large"))
        detail = {"small_us": one / count * 1e6, "large_us": other / count * 1e6, "dofs": dofs, "modes": modes}
        title = f"{kind} query, {dofs[1]:,} / {dofs[0]:,} dofs"
        rows.append(Row(title, other / one, "x", target, "<=", detail))
    return rows


def _fitted(resolution: int, modes: int) -> Certified:
    problem = ThermalBlock(2, resolution)
    fitter = Greedy(tol=None, max_size=modes, training=60, error="space")
    return nw.certify(fitter.fit(problem=problem), problem)
