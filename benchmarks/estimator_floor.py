"""Formulas of the residual norm side by side, down to the last digits: -u'' + mu u = 1 on 999 P1 dofs, mu in [1, 1000].

A basis grows mode by mode; at parameters it was not made from, each formula is compared with the residual of the same
coefficients in extended precision, and each bound with the true error. The Gram form ends near 1e-8 times the load and
reports zeros; a residual that is assembled in float64 ends near 1e-11; the orthonormal basis of representatives and the
interpolated form go on. Two smaller parts: where interpolation is cheaper (many terms, one parameter), and what a limit
of a regression costs that comes from its coefficients alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import _harness
import numpy as np
import scipy.sparse as sp
from _floor import PlainOrthonormal, Reference, line
from _harness import Row
from _published import Products

import nwidth as nw
from nwidth.certificates.estimator import EstimatorCertificate
from nwidth.core.arrays import Real
from nwidth.problems.base import Affine
from nwidth.rb.estimators import OrthonormalResidual, galerkin, residual_estimator
from nwidth.rb.gram import GramResidual
from nwidth.rb.interpolated_build import interpolated_residual
from nwidth.rb.wide import Functionals
from nwidth.study.measure import alternate

#: Formulas with a bound, and those that only have a value.
BOUNDS = ("orthonormal", "interpolated", "interpolated, all points")
VALUES = ("orthonormal, published", "products, published", "gram", "assembled")


@dataclass(frozen=True)
class Size:
    """How much is computed."""

    cells: int
    modes: int
    training: int
    test: int
    repeats: int
    meshes: tuple[int, int]

    @classmethod
    def of(cls, quick: bool) -> "Size":
        return cls(1000, 13, 60, 25, 3, (10, 30)) if quick else cls(1000, 14, 60, 200, 9, (20, 80))


@dataclass
class Curves:
    """Per formula and N: the largest value, the largest deviation from the true residual, the largest noise; all
    relative to the load's norm."""

    modes: list[int] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    value: dict[str, list[float]] = field(default_factory=dict)
    deviation: dict[str, list[float]] = field(default_factory=dict)
    noise: dict[str, list[float]] = field(default_factory=dict)
    violations: dict[str, int] = field(default_factory=dict)
    unusable: dict[str, int] = field(default_factory=dict)
    #: the largest true residual that was reported as zero
    blind: dict[str, float] = field(default_factory=dict)
    #: bound over true residual where the latter is largest, N by N
    effectivity: dict[str, list[float]] = field(default_factory=dict)


class Case:
    """One problem with training and test parameters, and its truth."""

    def __init__(self, size: Size, seed: int):
        self.problem: Affine = line(size.cells)
        self.reference = Reference(self.problem)
        rng = np.random.default_rng(seed)
        self.test_mu = {"mu": np.exp(rng.uniform(0.0, np.log(1000.0), size.test))}
        self.theta, self.phi = self.problem.coefficients({"mu": np.geomspace(1.0, 1000.0, size.training)})
        self.test = self.problem.coefficients(self.test_mu)
        self.lower = self.problem.constant(self.test_mu).lower
        self.basis = self.reference.basis(self.theta, self.phi, size.modes, self._galerkin)
        self.load = float(self.reference.dual_norm(self.reference.load[None])[0])

    def _galerkin(self, basis: Real, theta: Real, phi: Real) -> Real:
        return galerkin(self.problem.terms(), basis, theta, phi) if len(basis) else np.zeros((len(theta), 0))

    def estimators(self, basis: Real) -> dict[str, Any]:
        """Every formula for one basis."""
        terms, inner = self.problem.terms(), self.problem.space.inner("energy")
        none = np.zeros((0, basis.shape[1]))
        training = (self.theta, self.phi, self._galerkin(basis, self.theta, self.phi))
        standard = residual_estimator(terms, none, inner, basis, self.theta, self.phi, kind="orthonormal")
        few = interpolated_residual(terms, inner, basis, *training)
        return {
            "orthonormal": standard.estimator,
            "orthonormal, published": PlainOrthonormal.of(self.problem, basis),
            "interpolated": few,
            "interpolated, offline rounding left out": replace(few, defects=0 * few.defects),
            "interpolated, all points": interpolated_residual(terms, inner, basis, *training, points="all"),
            "gram": GramResidual.build(terms, inner, basis),
        }

    def products(self, basis: Real, coefficients: Real) -> dict[str, tuple[Real, Real]]:
        """The interpolation of products, as published and with its remainder."""
        training = (self.theta, self.phi, self._galerkin(basis, self.theta, self.phi))
        squares = self.reference.dual_norm(self.reference.residual(self.theta, training[2], basis)) ** 2
        sizes = Functionals(self.problem.terms(), basis).sizes(self.problem.space.inner("energy"))
        found, remainder = Products.of(*training, squares, sizes).squares(*self.test, coefficients)
        norm = np.sqrt(np.maximum(found, 0.0))
        noise = np.sqrt(np.maximum(found, 0.0) + remainder) - norm
        return {"products, published": (norm, np.zeros_like(norm)), "products, with their remainder": (norm, noise)}

    def assembled(self, basis: Real, coefficients: Real) -> Real:
        """The residual of the fields, assembled in float64."""
        systems = self.problem.systems(self.test_mu)
        return self.problem.space.inner("energy").dual_norm(systems.residual(coefficients @ basis))


def compare(case: Case, size: Size) -> Curves:
    """All formulas for every N."""
    curves = Curves()
    for modes in range(1, size.modes + 1):
        basis = np.ascontiguousarray(case.basis[:modes])
        coefficients = galerkin(case.problem.terms(), basis, *case.test)
        residuals = case.reference.residual(case.test[0], coefficients, basis)
        true, error = case.reference.dual_norm(residuals), case.reference.errors(case.test[0], residuals)[1]
        curves.modes.append(modes)
        curves.true.append(float(true.max()) / case.load)
        found = {name: one.norms(*case.test, coefficients) for name, one in case.estimators(basis).items()}
        found |= case.products(basis, coefficients)
        found["assembled"] = (case.assembled(basis, coefficients), np.zeros(len(true)))
        for name, (norm, noise) in found.items():
            _note(curves, name, case, norm, noise, true, error)
    return curves


def _note(curves: Curves, name: str, case: Case, norm: Real, noise: Real, true: Real, error: Real) -> None:
    bound, worst = norm + noise, int(np.argmax(true))
    for table, value in (
        (curves.value, norm.max()),
        (curves.deviation, np.abs(norm - true).max()),
        (curves.noise, noise.max()),
    ):
        table.setdefault(name, []).append(float(value) / case.load)
    curves.effectivity.setdefault(name, []).append(float(bound[worst] / true[worst]))
    unseen = float(true[bound == 0].max(initial=0.0)) / case.load
    curves.blind[name] = max(curves.blind.get(name, 0.0), unseen)
    # 1e-9: the digits of the truth that are in doubt
    missed = (bound < true * (1 - 1e-9)) | (bound / np.sqrt(case.lower) < error * (1 - 1e-9))
    curves.violations[name] = curves.violations.get(name, 0) + int(missed.sum())
    curves.unusable[name] = curves.unusable.get(name, 0) + int((~(bound > 0) | ~np.isfinite(bound)).sum())


def many_terms(size: Size, pieces: int = 60) -> list[Row]:
    """`-(k u')' = 1` with k = exp(-mu x), constant on each of many pieces: what a query costs by either formula."""
    cells = 20 * pieces
    ends, h = np.arange(cells), 1 / cells
    matrices = []
    for piece in np.split(ends, pieces):
        i = np.concatenate([piece, piece + 1, piece, piece + 1])
        j = np.concatenate([piece, piece + 1, piece + 1, piece])
        values = np.repeat([1 / h, 1 / h, -1 / h, -1 / h], len(piece))
        matrices.append(sp.coo_array((values, (i, j)), shape=(cells + 1, cells + 1)))
    load = np.full(cells + 1, h)
    middles = (np.arange(pieces) + 0.5) / pieces
    problem = nw.rb.from_matrices(
        matrices,
        [load],
        ([f"exp(-mu * {x})" for x in middles], ["1"]),
        parameters={"mu": (0.0, 4.0)},
        free=np.arange(1, cells),
    )
    reduced = nw.rb.Greedy(tol=1e-5, training=60).fit(problem=problem)
    chosen, other = EstimatorCertificate.build(reduced, training=60), OrthonormalResidual(reduced.residual)
    queries = problem.coefficients({"mu": np.linspace(0.01, 3.99, 1000)})
    coefficients = galerkin(problem.terms(), reduced.basis, *queries)
    runs = {
        "orthonormal": lambda: other.norms(*queries, coefficients),
        "chosen": lambda: chosen.estimator.norms(*queries, coefficients),
    }
    times = alternate(runs, size.repeats)
    ratio = min(times["orthonormal"].seconds) / min(times["chosen"].seconds)
    one, two = (np.add(*run()) for run in runs.values())
    detail = {
        "reason": chosen.reason,
        "modes": reduced.modes,
        "seconds per 1,000": {name: list(one.seconds) for name, one in times.items()},
    }
    return [
        Row(
            "many terms, one parameter: multiplications, orthonormal / chosen",
            other.operations / chosen.estimator.operations,
            "x",
            5.0,
            ">=",
            detail,
        ),
        Row(
            "many terms, one parameter: time of 1,000 norms, orthonormal / chosen", float(ratio), "x", 2.0, ">=", detail
        ),
        Row(
            "many terms, one parameter: largest bound, chosen / orthonormal",
            float(two.max() / one.max()),
            "x",
            1.2,
            "<=",
        ),
    ]


def any_surrogate(size: Size) -> list[Row]:
    """A regression on the thermal block, its limits from coefficients alone: what they cost on two meshes."""
    runs = {}
    for resolution in size.meshes:
        block = nw.problems.get("thermal_block", blocks=2, resolution=resolution)
        learned = nw.rb.PODRegression(modes=10).fit(nw.generate(block, 30, seed=0))
        certificate = nw.certify(learned, block).certificate
        answer = learned.predict(block.parameters.sample(range(1000), seed=1))
        runs[f"{block.space.size:,} dofs"] = partial(certificate.bound, answer)
    times = alternate(runs, 3 * size.repeats)
    small, large = (min(one.seconds) for one in times.values())
    detail = {name: list(one.seconds) for name, one in times.items()}
    return [
        Row("regression: time of a limit, large mesh / small mesh", large / small, "x", 1.5, "<=", detail),
        Row(f"regression: a limit in a batch of 1,000, {list(times)[1]}", 1e3 * large, "us", 10.0, "<="),
    ]


def work(quick: bool, seed: int) -> Sequence[Row]:
    """The rows of the benchmark."""
    size = Size.of(quick)
    case = Case(size, seed)
    curves = compare(case, size)
    last = {name: values[-1] for name, values in curves.deviation.items()}
    checked = len(curves.modes) * size.test
    detail = {"curves": vars(curves), "load": case.load}
    rows = [
        Row("true residual at the largest N, of the load", curves.true[-1], "", 1e-12, "<=", detail),
        Row("Gram form: largest residual reported as zero, of the load", curves.blind["gram"], "", 1e-9, ">="),
        Row(f"Gram form: zeros that it reports, of {checked}", curves.unusable["gram"], "", 1, ">="),
        Row("assembled float64 residual: stops at, of the load", last["assembled"], "", 1e-12, ">="),
        Row(
            "orthonormal basis, as published: follows to, of the load", last["orthonormal, published"], "", 1e-14, "<="
        ),
        Row("orthonormal basis of nwidth: follows to, of the load", last["orthonormal"], "", 1e-11, "<="),
        Row("interpolation: its value follows to, of the load", last["interpolated"], "", 1e-14, "<="),
        Row(
            "interpolation: remainder and rounding of a query, of the load",
            curves.noise["interpolated, offline rounding left out"][-1],
            "",
            1e-13,
            "<=",
        ),
        Row(
            "interpolation at all points: its value follows to, of the load",
            last["interpolated, all points"],
            "",
            1e-14,
            "<=",
        ),
        Row("interpolation: proven floor, all of it, of the load", curves.noise["interpolated"][-1], "", 1e-11, "<="),
        Row(
            "interpolation of products as published: follows to, of the load",
            last["products, published"],
            "",
            1e-13,
            "<=",
        ),
        Row(f"interpolation of products as published: zeros, of {checked}", curves.unusable["products, published"]),
        Row(
            "interpolation of products with their remainder: floor", curves.noise["products, with their remainder"][-1]
        ),
        Row("orthonormal basis of nwidth: proven floor, of the load", curves.noise["orthonormal"][-1], "", 1e-9, "<="),
    ]
    for name in BOUNDS:
        rows += [
            Row(f"{name}: bounds violated", curves.violations[name], "", 0, "=="),
            Row(f"{name}: bounds that are zero or NaN", curves.unusable[name], "", 0, "=="),
        ]
    rows += [Row(f"{name}: values below the residual, of {checked}", curves.violations[name]) for name in VALUES]
    return rows + many_terms(size) + any_surrogate(size)


if __name__ == "__main__":
    raise SystemExit(_harness.main("estimator_floor", work))
