"""The power module in time: a certified reduced model, the full model, and the RC network of the engineers.

Two chips on a stack of 64 x 42 mm, 6,758 nodes, implicit Euler with dt = 20 ms; the interface is drawn, powers and
cooling vary every 2 s. The RC networks are fitted by least squares to step responses of 60 s with the same scheme
(those of the reduced model, whose error is far below theirs): Foster ladders of 14 time constants per transfer,
at one h and interpolated between nine; and a network of 13 nodes whose last resistor is the cooling, fitted at all h
together, the best that we could do. They are compared where they are at home (constant h, powers vary) and where h
changes, at the nominal conductivity. The long run marches 100,000 steps (33 minutes) in full as well, which takes about
four minutes: every limit is compared with the true error at 100 times.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import process_time
from typing import Any

import _harness
import numpy as np
from _harness import Row
from _rc_boundary import Boundary
from _rc_network import Foster

from nwidth.certificates.parabolic import EvolutionCertificate
from nwidth.certificates.parabolic_dual import DualEvolutionCertificate
from nwidth.core.arrays import Array, Real
from nwidth.core.prediction import Prediction
from nwidth.problems.power_module_transient import PowerModuleTransient
from nwidth.rb.parabolic import ReducedEvolution
from nwidth.rb.pod_greedy import PODGreedy

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
    nine = np.geomspace(1e3, 2e4, 9)
    networks = {
        "RC network": Foster.fit(*_responses(reduced, [H_NOMINAL]), DT),
        "RC network interpolated in h": Foster.fit(*_responses(reduced, nine), DT),
        "RC network with a cooled node": Boundary.fit(*_responses(reduced, nine), DT),
    }
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
        for label, network in networks.items():
            theirs = 40.0 + network.march(theta[:, :, 2], powers)[:, 4::5]
            missed = float(np.abs(theirs - truth).max())
            detail = {"range of temperatures": rise, "mean error": float(np.abs(theirs - truth).mean())}
            found.append(Row(f"{name}: {label}, largest error", missed, "K", detail=detail))
            target = (1000.0 if size.modes > 24 else 2.0) if wide else None
            found.append(Row(f"{name}: {label} / reduced model", missed / error, "x", target))
    return found


def _responses(reduced: ReducedEvolution, hs: Any) -> tuple[Real, Real]:
    """h, and step responses `(H, 2, 2, T)` of 60 s at the nominal conductivity: chip i to one watt in chip j."""
    steps = 3000
    problem = PowerModuleTransient(dt=DT, count=steps, every=1, piece=DT * steps)
    model = reduced.moved_to(problem)
    count, unit = 2 * len(hs), np.tile(np.eye(2), (len(hs), 1))
    mu = {"k_interface": np.full(count, K_NOMINAL), "h": np.repeat(np.asarray(hs, dtype=float), 2)[:, None]}
    rises = _stacked(model.predict(mu | {"P1": unit[:, :1], "P2": unit[:, 1:]})) - 40.0
    # (h, power, time, chip) as (h, chip, power, time)
    responses = rises.reshape(len(hs), 2, steps, 2).transpose(0, 3, 1, 2)
    return np.asarray(hs, dtype=float), np.ascontiguousarray(responses)


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
    """CPU microseconds per step of each contestant; the certified model alone and in a batch."""
    network = Foster.fit(*_responses(certificate.surrogate, [H_NOMINAL]), DT)
    short, long = (PowerModuleTransient(dt=DT, count=steps, every=steps) for steps in (100, 4000))
    here = certificate.moved_to(long)
    first, one, many = (
        p.parameters.sample(range(900, 900 + b), seed) for p, b in ((short, 1), (long, 1), (long, size.batch))
    )
    theta, powers = long.coefficients(one, long.stepping.points(0, 4000))
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "full model": (lambda: short.solve(first), 100),
        "reduced model": (lambda: here.surrogate.predict(one), 4000),
        "reduced model with bound": (lambda: here.bound(here.surrogate.predict(one)), 4000),
        "RC network": (lambda: network.march(theta[:, :, 2], powers), 4000),
        f"reduced model with bound, {size.batch} at once": (
            lambda: here.bound(here.surrogate.predict(many)), 4000 * size.batch
        ),
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(4):
        for name, (call, steps) in calls.items():
            begin = process_time()
            call()
            seconds[name].append((process_time() - begin) / steps)
    # the first round compiles
    best = {name: 1e6 * min(values[1:]) for name, values in seconds.items()}
    found = [Row(f"one step: {name}, CPU", value, "us", detail={"all": seconds[name]}) for name, value in best.items()]
    return [*found, Row("one step: full / with bound", best["full model"] / best["reduced model with bound"], "x", 50)]


def _outputs(problem: PowerModuleTransient, fields: Array) -> Real:
    """Chip temperatures `(B, T, 2)`."""
    return np.stack([fields @ q.functional + q.offset for q in problem.quantities().values()], axis=2)


def _stacked(prediction: Prediction) -> Real:
    return np.stack([output.values for output in prediction.outputs.values()], axis=2)


def _limits(prediction: Prediction) -> Real:
    return np.stack([output.limit for output in prediction.outputs.values()], axis=2)


if __name__ == "__main__":
    raise SystemExit(_harness.main("transient", rows))
