"""Cross-conformal calibration (jackknife+) for few runs: every run trains, and every run is left out once.

A split needs about a hundred runs. Below that, the surrogate is fitted to all, and once more without each run; the
price is a weaker theorem (1 - 2α instead of 1 - α) and answers that cost as many evaluations as there are runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.identity import Identity
from nwidth.certificates.limits import check_quantities, statistical, with_limits
from nwidth.certificates.quantile import rank
from nwidth.certificates.quantities import Truth, errors_of, norm_named, spreads
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, select
from nwidth.rb.pod_basis import POD, pod
from nwidth.rb.pod_regression import PODRegressionSurrogate
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.points import Points
from nwidth.surrogates.base import Fitter, Surrogate

#: Round-off of the reference itself: no limit is ever zero.
_FLOOR = 1e-14


@dataclass(frozen=True, eq=False)
class CrossConformalCertificate(Certificate):
    """The k-th smallest, `k = ⌈(n + 1)(1 - α)⌉`, of `R_i + ‖v_i(mu) - v(mu)‖` over the n runs, α = (1 - level) / 2.

    v is the surrogate, v_i the one fitted without run i, R_i the error of v_i on run i. For a fresh run drawn like the
    others, each limit on its own holds with probability at least 1 - 2α = `level` (usually about 1 - α).

    Why: unless `‖u - v_i(mu)‖ > R_i` for at least k of the i, which has probability at most 2α (Barber, Candès, Ramdas,
    Tibshirani, Ann. Statist. 49 (2021), theorem 1; its proof compares scores and holds for any norm), one of the k
    smallest values above belongs to an i with `‖u - v_i‖ <= R_i`, and the triangle inequality gives the limit.
    """

    kind: ClassVar[str] = "cross-conformal-certificate"

    identity: Identity
    level: float
    norm: str
    residuals: Mapping[str, Real]
    others: tuple[Surrogate, ...]
    spread: Mapping[str, float]
    frame: POD | None = None

    @property
    def guarantee(self) -> Statistical:
        """Statistical, each quantity on its own."""
        return statistical(self.norm, tuple(self.residuals), self.level, len(self.others))

    def check(self, surrogate: Storable) -> None:
        """Raises InputError for another surrogate than the one that was calibrated."""
        self.identity.check(surrogate)

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with a limit for its field and for each output; +inf with a reason where there is none."""
        check_quantities(prediction, self.residuals)
        k = rank(len(self.others), (1 + self.level) / 2)
        reach = {name: np.empty((len(self.others), len(prediction))) for name in self.residuals}
        for i, other in enumerate(self.others):
            for name, distance in self._distances(prediction, other).items():
                reach[name][i] = self.residuals[name][i] + distance
        with np.errstate(invalid="ignore"):
            limits = {name: np.partition(values, k - 1, axis=0)[k - 1] for name, values in reach.items()}
        return with_limits(prediction, limits, self.guarantee)

    def _distances(self, prediction: Prediction, other: Surrogate) -> dict[str, Real]:
        """How far the other surrogate's answers are from these."""
        answer = other.predict(prediction.mu)
        fields = answer.field if self.frame is None else _lifted(answer.field, self.frame, prediction)
        truth = Truth(fields, {name: o.values for name, o in answer.outputs.items()})
        return errors_of(prediction, truth, self.norm, self.spread)

    def to_parts(self) -> Parts:
        arrays: dict[str, Array] = {f"residuals of {name}": values for name, values in self.residuals.items()}
        arrays |= self.identity.arrays()
        if self.frame is not None:
            arrays |= {"frame modes": self.frame.modes, "frame offset": self.frame.offset}
        children: dict[str, Storable] = {f"without {i}": other for i, other in enumerate(self.others)}
        config = {
            "fingerprint": self.identity.fingerprint,
            "level": self.level,
            "norm": self.norm,
            "spread": dict(self.spread),
            "quantities": list(self.residuals),
        }
        return Parts(config, arrays, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        framed = "frame modes" in arrays
        return cls(
            identity=Identity.from_stored(config["fingerprint"], arrays),
            level=config["level"],
            norm=config["norm"],
            residuals={name: arrays[f"residuals of {name}"] for name in config["quantities"]},
            others=tuple(children[f"without {i}"] for i in range(len(children))),
            spread=config["spread"],
            frame=POD(arrays["frame modes"], arrays["frame offset"], np.empty(0)) if framed else None,
        )


def cross_calibrate(
    fitter: Fitter, snapshots: Snapshots, level: float = 0.9, seed: int = 0, *, norm: str = "max"
) -> tuple[Surrogate, CrossConformalCertificate]:
    """The surrogate fitted to all runs, and its certificate: n + 1 fits for n runs.

    Raises InputError where n runs cannot promise `level` (0.9 needs 19), or where `fitter` cannot learn from them.
    """
    norm_named(norm)
    runs = snapshots.take(snapshots.good)
    if not 0 < level < 1:
        raise InputError(f"level is {level}; choose a number between 0 and 1, such as 0.9")
    rank(len(runs), (1 + level) / 2)
    surrogate = fitter.fit(runs, seed=seed)
    mu = as_mu(runs.mu, surrogate.parameters.names)
    spread = spreads(surrogate.predict(surrogate.parameters.sample(range(256), seed)))
    everyone = np.arange(len(runs))
    others = [fitter.fit(runs.take(everyone != i), seed=seed) for i in everyone]
    residuals = _left_out_errors(others, runs, mu, norm, spread)
    frame = _frame(others, runs)
    if frame is not None:
        others = [_in_frame(other, frame) for other in others]
    identity = Identity.of(surrogate, mu)
    return surrogate, CrossConformalCertificate(identity, level, norm, residuals, tuple(others), spread, frame)


def _left_out_errors(
    others: list[Surrogate], runs: Snapshots, mu: Mu, norm: str, spread: Mapping[str, float]
) -> dict[str, Real]:
    """The error of each run's surrogate, which has not seen it."""
    rows = []
    for i, other in enumerate(others):
        alone = runs.take(slice(i, i + 1))
        prediction = other.predict(select(mu, slice(i, i + 1)))
        rows.append(errors_of(prediction, Truth(np.asarray(alone.fields), alone.outputs), norm, spread))
    found = {name: np.array([row[name][0] for row in rows]) for name in rows[0]}
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise InputError(f"leaving out run {int(np.argmin(np.isfinite(values)))} gave a {name} that is not finite")
    return {name: values + _FLOOR * float(values.max()) + 1e-300 for name, values in found.items()}


def _frame(others: list[Surrogate], runs: Snapshots) -> POD | None:
    """A basis of all runs in which every other surrogate's basis is small: n numbers per mode instead of N."""
    if runs.space.size <= len(runs) or not all(isinstance(o, PODRegressionSurrogate) and o.basis for o in others):
        return None
    return pod(runs.space.flatten(np.asarray(runs.fields)), modes=len(runs) - 1)


def _in_frame(surrogate: Surrogate, frame: POD) -> Surrogate:
    """The same surrogate, whose fields are coordinates in the frame (exactly: its modes lie in the frame's span)."""
    if not isinstance(surrogate, PODRegressionSurrogate) or surrogate.basis is None:
        return surrogate
    basis = surrogate.basis
    modes, offset = basis.modes @ frame.modes.conj().T, (basis.offset - frame.offset) @ frame.modes.conj().T
    space = Points((len(frame.modes),), type=str(modes.dtype))
    return replace(surrogate, function_space=space, basis=POD(modes, offset, basis.singular_values))


def _lifted(coordinates: Array, frame: POD, prediction: Prediction) -> Array:
    fields = coordinates @ frame.modes + frame.offset
    return fields.reshape(len(fields), *prediction.space.shape)
