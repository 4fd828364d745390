"""The power module in time: a certified reduced model, the full model, and the RC network of the engineers.

Two chips on a stack of 64 x 42 mm, 6,758 nodes, implicit Euler with dt = 20 ms; the interface is drawn, powers and
cooling vary every 2 s. The RC networks are Foster ladders of 14 time constants per transfer, fitted by least squares
to step responses of 60 s with the same scheme (those of the reduced model, whose error is below a millionth of them):
one at one h, and one that interpolates between fits at nine values of h. They are compared where they are at home
(constant h and conductivity, powers vary) and where h changes. The long run marches 100,000 steps (33 minutes) in full
as well, which takes about four minutes: every limit is compared with the true error at 100 times.
"""

from dataclasses import dataclass
from time import process_time
from typing import Any

import _harness
import numpy as np
from _harness import Row
from _rc_network import Foster

from nwidth.certificates.parabolic import EvolutionCertificate
from nwidth.certificates.parabolic_dual import DualEvolutionCertificate
from nwidth.core.arrays import Array, Real
from nwidth.core.prediction import Prediction
from nwidth.problems.power_module_transient import PowerModuleTransient
from nwidth.rb.parabolic import ReducedEvolution
from nwidth.rb.pod_greedy import PODGreedy
from nwidth.study.measure import alternate

DT = 0.02
K_NOMINAL, H_NOMINAL = 2.2, 4500.0


@dataclass(frozen=True)
class Size:
    """How much is computed."""

    modes: int
    training: int
    steps: int
    long: int
    stored: int
    tests: int
    batch: int

    @classmethod
    def of(cls, quick: bool) -> "Size":
        return cls(24, 3, 400, 2000, 10, 1, 16) if quick else cls(48, 6, 1000, 100_000, 100, 3, 64)


def rows(quick: bool, seed: int) -> list[Row]:
    """All rows of the benchmark."""
    size = Size.of(quick)
    problem = PowerModuleTransient(dt=DT, count=size.steps)
    begin = process_time()
    fitter = PODGreedy(tol=None, max_size=size.modes, training=size.training, modes=4, stride=4)
    reduced = fitter.fit(problem=problem, seed=seed)
    certificate = EvolutionCertificate.build(reduced, anchors=problem.anchors())
    offline = process_time() - begin
    first = Row("offline: fit and constants, CPU", offline, "s", detail={"modes": reduced.modes})
    return [
        first,
        *_networks(reduced, size, seed),
        *_long_run(certificate, size, seed),
        *_times(certificate, size, seed),
    ]


def _networks(reduced: ReducedEvolution, size: Size, seed: int) -> list[Row]:
    """Largest errors of chip temperatures: networks and reduced model, at home and where h changes."""
    single, scheduled = (_foster(reduced, hs) for hs in ([H_NOMINAL], np.geomspace(1e3, 2e4, 9)))
    found: list[Row] = []
    for name, wide in (("one h", False), ("h changes", True)):
        problem = PowerModuleTransient(dt=DT, count=size.steps, every=5)
        mu = problem.parameters.sample(range(500, 500 + size.tests), seed) | {
            "k_interface": np.full(size.tests, K_NOMINAL)
        }
        if not wide:
            mu["h"] = np.full_like(mu["h"], H_NOMINAL)
        truth = _outputs(problem, problem.solve(mu))
        ours = _stacked(reduced.moved_to(problem).predict(mu))
        theta, powers = problem.coefficients(mu, problem.stepping.points(0, size.steps))
        error = float(np.abs(ours - truth).max())
        rise = float(np.ptp(truth))
        found.append(Row(f"{name}: reduced model, largest error", error, "K", 1e-3 if size.modes > 24 else 0.1, "<="))
        for label, network in (("RC network", single), ("RC network interpolated in h", scheduled)):
            theirs = 40.0 + network.march(theta[:, :, 2], powers)[:, 4::5]
            missed = float(np.abs(theirs - truth).max())
            detail = {"range of temperatures": rise, "mean error": float(np.abs(theirs - truth).mean())}
            found.append(Row(f"{name}: {label}, largest error", missed, "K", detail=detail))
            target = (1000.0 if size.modes > 24 else 10.0) if wide else None
            found.append(Row(f"{name}: {label} / reduced model", missed / error, "x", target))
    return found


def _foster(reduced: ReducedEvolution, hs: Any) -> Foster:
    """A network from step responses of 60 s at the nominal conductivity."""
    steps = 3000
    problem = PowerModuleTransient(dt=DT, count=steps, every=1, piece=DT * steps)
    model = reduced.moved_to(problem)
    count, unit = 2 * len(hs), np.tile(np.eye(2), (len(hs), 1))
    mu = {"k_interface": np.full(count, K_NOMINAL), "h": np.repeat(np.asarray(hs, dtype=float), 2)[:, None]}
    rises = _stacked(model.predict(mu | {"P1": unit[:, :1], "P2": unit[:, 1:]})) - 40.0
    # (h, power, time, chip) as (h, chip, power, time)
    responses = rises.reshape(len(hs), 2, steps, 2).transpose(0, 3, 1, 2)
    return Foster.fit(np.asarray(hs, dtype=float), responses, DT)


def _long_run(certificate: EvolutionCertificate, size: Size, seed: int) -> list[Row]:
    """Limits against true errors over a long run, and what the energy bound says at its end."""
    problem = PowerModuleTransient(dt=DT, count=size.long, every=size.long // size.stored)
    mu = problem.parameters.sample(range(100, 101), seed)
    dual = DualEvolutionCertificate(certificate).moved_to(problem)
    prediction = dual.primal.surrogate.predict(mu)
    simple, sharp = dual.primal.bound(prediction), dual.bound(prediction)
    begin = process_time()
    fields = problem.solve(mu)
    full = process_time() - begin
    truth, limits = _outputs(problem, fields), _limits(sharp)
    error = np.abs(_stacked(sharp) - truth)
    first_order = _limits(simple)
    in_time = simple.stats["in time"][0]
    e = (np.asarray(sharp.field) - fields).reshape(-1, problem.space.size)
    mass_error = np.sqrt(np.einsum("tn,tn->t", e, np.ascontiguousarray((problem.mass().matrix @ e.T).T)))
    violations = int((error > limits).sum() + (error > first_order).sum() + (mass_error > in_time).sum())
    name, late = f"{size.long:,} steps", size.stored // 2
    detail = {"true error, median": float(np.median(error)), "limit, median": float(np.median(limits))}
    detail |= {"steps looked back, largest": int(sharp.stats["window"].max()), "full model, CPU s": full}
    return [
        Row(f"{name}: limits violated", violations, "", 0, "==", {"checked": 2 * error.size + mass_error.size}),
        Row(
            f"{name}: limit of an output / true error, median", float(np.median(limits / error)), "x", 100, "<=", detail
        ),
        Row(f"{name}: largest limit / largest error of an output", float(limits.max() / error.max()), "x"),
        Row(f"{name}: largest limit of an output", float(limits.max()), "K"),
        Row(f"{name}: the same without dual problems", float(first_order.max()), "K"),
        Row(
            f"{name}: M-norm bound, second half / first half",
            float(in_time[late:].max() / in_time[:late].max()),
            "x",
            2,
            "<=",
        ),
        Row(f"{name}: energy bound at the end / M-norm bound", float(simple.stats["energy"][0] / in_time[-1]), "x"),
        Row(f"{name}: M-norm bound / true error, median", float(np.median(in_time / mass_error)), "x"),
    ]


def _times(certificate: EvolutionCertificate, size: Size, seed: int) -> list[Row]:
    """Microseconds per step of each contestant; the certified model alone and in a batch."""
    steps = 200
    problem = PowerModuleTransient(dt=DT, count=steps, every=steps)
    here = certificate.moved_to(problem)
    network = _foster(certificate.surrogate, [H_NOMINAL])
    one, many = (problem.parameters.sample(range(900, 900 + b), seed) for b in (1, size.batch))
    theta, powers = problem.coefficients(one, problem.stepping.points(0, steps))
    calls = {
        "full model": lambda: problem.solve(one),
        "reduced model": lambda: here.surrogate.predict(one),
        "reduced model with bound": lambda: here.bound(here.surrogate.predict(one)),
        "RC network": lambda: network.march(theta[:, :, 2], powers),
        f"reduced model with bound, {size.batch} at once": lambda: here.bound(here.surrogate.predict(many)),
    }
    timings = alternate(calls, 3)
    per_step = {name: 1e6 * t.median / steps / (size.batch if "at once" in name else 1) for name, t in timings.items()}
    found = [
        Row(f"one step: {name}", value, "us", detail={"spread": timings[name].spread})
        for name, value in per_step.items()
    ]
    ratio = per_step["full model"] / per_step["reduced model with bound"]
    return [*found, Row("one step: full model / reduced model with bound", ratio, "x", 50)]


def _outputs(problem: PowerModuleTransient, fields: Array) -> Real:
    """Chip temperatures `(B, T, 2)`."""
    return np.stack([fields @ q.functional + q.offset for q in problem.quantities().values()], axis=2)


def _stacked(prediction: Prediction) -> Real:
    return np.stack([output.values for output in prediction.outputs.values()], axis=2)


def _limits(prediction: Prediction) -> Real:
    return np.stack([output.limit for output in prediction.outputs.values()], axis=2)


if __name__ == "__main__":
    raise SystemExit(_harness.main("transient", rows))
