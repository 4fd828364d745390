"""POD + regression on public runs: error and coverage of every regressor, beside EZyRB on the same splits.

A fifth of the runs is held out for the test; the rest is split into training and calibration, or used for both in turn
(cross-conformal). Errors are relative, of the whole field, in the Euclidean norm; medians over the held-out runs.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import process_time
from typing import Any

import numpy as np
from _harness import Row, absent

import nwidth as nw
from nwidth.certificates.conformal import calibrate
from nwidth.certificates.cross_conformal import cross_calibrate
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.kinds import available
from nwidth.rb.pod_regression import PODRegression
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points
from nwidth.study.measure import one_thread

if available("ezyrb"):
    import ezyrb
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

LEVEL = 0.9
OURS = ("kernel", "rbf", "gaussian-process", "network")


@dataclass(frozen=True)
class Runs:
    """Parameters name -> `(B,)`, fields `(B, N)`, and how they are split and learned."""

    name: str
    mu: Mu
    fields: Real
    tol: float
    calibration: int

    def snapshots(self, rows: Array) -> nw.Snapshots:
        box = Box(tuple(self.mu), low=[v.min() for v in self.mu.values()], high=[v.max() for v in self.mu.values()])
        mu = {name: values[rows] for name, values in self.mu.items()}
        return nw.Snapshots(box, Points((self.fields.shape[1],)), mu, self.fields[rows])

    def split(self, seed: int) -> tuple[Array, Array, Array]:
        """Rows to train, to calibrate, to test."""
        order, test = np.random.default_rng([seed, 7]).permutation(len(self.fields)), len(self.fields) // 5
        return order[test + self.calibration :], order[test : test + self.calibration], order[:test]


@dataclass
class Tally:
    """What one contestant did, over all splits."""

    errors: list[float] = field(default_factory=list)
    held: int = 0
    total: int = 0
    seconds: list[float] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)

    def add(self, errors: Real, limits: Real | None, norms: Real, seconds: float, modes: int) -> None:
        self.errors.append(float(np.median(errors / norms)))
        if limits is not None:
            self.held, self.total = self.held + int((errors <= limits).sum()), self.total + len(errors)
        self.seconds.append(seconds)
        self.modes.append(modes)

    @property
    def error(self) -> float:
        """Percent, the median split."""
        return 100 * float(np.median(self.errors))


def length(difference: Array) -> Real:
    return np.linalg.norm(difference.reshape(len(difference), -1), axis=1)


def by_split(runs: Runs, regressor: str, seed: int, tally: Tally) -> None:
    """Train, calibrate on runs of their own, test."""
    train, calibration, test = (runs.snapshots(rows) for rows in runs.split(seed))
    begin = process_time()
    surrogate = PODRegression(regressor=regressor, tol=runs.tol).fit(train, seed=seed)
    seconds = process_time() - begin
    certificate = calibrate(surrogate, calibration, LEVEL, seed, norm="rms", training=train.mu)
    score(nw.Certified(surrogate, certificate), test, seconds, tally)


def by_turns(runs: Runs, regressor: str, seed: int, tally: Tally) -> None:
    """Every run that is not held out trains, and calibrates the fit without it."""
    train, calibration, test = runs.split(seed)
    both = runs.snapshots(np.concatenate([train, calibration]))
    begin = process_time()
    fitter = PODRegression(regressor=regressor, tol=runs.tol)
    surrogate, certificate = cross_calibrate(fitter, both, LEVEL, seed, norm="rms")
    seconds = process_time() - begin
    score(nw.Certified(surrogate, certificate), runs.snapshots(test), seconds, tally)


def score(certified: nw.Certified, test: nw.Snapshots, seconds: float, tally: Tally) -> None:
    """Queries on the edge of the box are in it: the box is that of all runs."""
    answer, truth = certified.predict(test.mu), np.asarray(test.fields)
    limits = answer.bound * np.sqrt(truth.shape[1])
    tally.add(length(answer.field - truth), limits, length(truth), seconds, len(certified.surrogate.basis.modes))


def theirs(dimension: int) -> Mapping[str, Callable[[], Any]]:
    """EZyRB's regressions: radial functions and a Gaussian process as its tutorials have them, and a process with a
    length for each parameter and noise, which is the best that it can be given."""
    kernel = ConstantKernel() * RBF(np.ones(dimension)) + WhiteKernel(1e-4, (1e-10, 1.0))
    return {
        "RBF": lambda: ezyrb.RBF(),
        "GPR": lambda: ezyrb.GPR(),
        "GPR, own kernel": lambda: ezyrb.GPR(kern=kernel, optimization_restart=2),
    }


def by_ezyrb(runs: Runs, make: Callable[[], Any], modes: int, seed: int, tally: Tally) -> None:
    """On standardised parameters, about the mean of the fields; of three ranks the one that is best on the test (small
    modes can spoil a process that scales all modes alike)."""
    tries = []
    for rank in (modes, round(0.6 * modes), round(0.35 * modes)):
        tries.append(Tally())
        one_rank(runs, make, max(1, rank), seed, tries[-1])
    best = min(tries, key=lambda t: t.errors)
    tally.errors += best.errors
    tally.seconds += best.seconds
    tally.modes += best.modes


def one_rank(runs: Runs, make: Callable[[], Any], modes: int, seed: int, tally: Tally) -> None:
    """One rank of the POD."""
    train, _, test = (runs.snapshots(rows) for rows in runs.split(seed))
    table, queries = (np.stack(list(part.mu.values()), axis=1) for part in (train, test))
    shift, scale, mean = table.mean(axis=0), table.std(axis=0), train.fields.mean(axis=0)
    begin = process_time()
    model = ezyrb.ReducedOrderModel(
        ezyrb.Database((table - shift) / scale, train.fields - mean), ezyrb.POD("svd", rank=modes), make()
    )
    model.fit()
    seconds = process_time() - begin
    found = model.predict((queries - shift) / scale)
    answers = found.snapshots_matrix if isinstance(found, ezyrb.Database) else np.asarray(found)
    errors = length(mean + answers.reshape(len(test), -1) - test.fields)
    tally.add(errors, None, length(test.fields), seconds, modes)


def rows(runs: Runs, seeds: range, target: float, regressors: tuple[str, ...] = OURS) -> list[Row]:
    """Error and coverage of every regressor by a split, and EZyRB beside them."""
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, about bounds of hyperparameters
        tallies = {name: Tally() for name in regressors}
        peers = {name: Tally() for name in theirs(len(runs.mu))} if available("ezyrb") else {}
        for seed in seeds:
            for name, tally in tallies.items():
                by_split(runs, name, seed, tally)
            for name, tally in peers.items():
                by_ezyrb(runs, theirs(len(runs.mu))[name], max(t.modes[-1] for t in tallies.values()), seed, tally)
    found = []
    for name, tally in tallies.items():
        found += [*errors_row(runs, name, tally, target), coverage_row(runs, name, tally, len(seeds))]
    best = min(tallies.values(), key=lambda t: t.error)
    title = f"{runs.name}: error of the best EZyRB / best of nwidth"
    if not peers:
        return [*found, absent(title, "ezyrb (pip install 'nwidth[peers]')")]
    for name, tally in peers.items():
        found += errors_row(runs, f"EZyRB {name}", tally, None)
    detail = {"nwidth_percent": best.error, **{f"ezyrb {n}": t.error for n, t in peers.items()}}
    return [*found, Row(title, min(t.error for t in peers.values()) / best.error, "x", 1.0, ">=", detail)]


def turns_rows(runs: Runs, seeds: range, target: float, regressors: tuple[str, ...]) -> list[Row]:
    """The same without a calibration set: at least 1 - 2α of fresh runs, usually about 1 - α, level = 1 - 2α."""
    found = []
    with one_thread():
        for name in regressors:
            tally = Tally()
            for seed in seeds:
                by_turns(runs, name, seed, tally)
            what = f"{name}, by turns"
            found += [*errors_row(runs, what, tally, target), coverage_row(runs, what, tally, len(seeds), upper=False)]
    return found


def errors_row(runs: Runs, name: str, tally: Tally, target: float | None) -> list[Row]:
    detail = {
        "splits_percent": [100 * e for e in tally.errors], "modes": tally.modes, "cpu_seconds": tally.seconds
    }  # fmt: skip
    seconds = float(np.median(tally.seconds))
    return [
        Row(f"{runs.name}, {name}: typical error", tally.error, "%", target, "<=", detail),
        Row(f"{runs.name}, {name}: CPU time of the fit", seconds, "s"),
    ]


def coverage_row(runs: Runs, name: str, tally: Tally, splits: int, upper: bool = True) -> Row:
    """Three standard deviations of the coverage: given a calibration set it varies, and the test counts few runs."""
    calibrating = runs.calibration - (runs.calibration // 3 if runs.calibration // 3 >= 15 else 0)
    variance = LEVEL * (1 - LEVEL) * ((1 / calibrating if upper else 0.0) + splits / tally.total)
    allowed = 3 * float(np.sqrt(variance / splits))
    detail = {"held": tally.held, "total": tally.total, "allowed": allowed, "promised": LEVEL}
    title = f"{runs.name}, {name}: held out within their limit"
    return Row(title, tally.held / tally.total, "", LEVEL - allowed, ">=", detail)
