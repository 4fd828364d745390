"""POD + regression: fields in a few modes, their coefficients learned from the parameters. Needs no equation."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Output, Prediction, Reduced, uncertified
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size, check_choice, check_finite
from nwidth.problems.base import Problem
from nwidth.rb.features import Features, fit_features
from nwidth.rb.kernel import KernelRegression
from nwidth.rb.pod_basis import POD, pod
from nwidth.rb.pod_blocks import squares
from nwidth.rb.regressors.base import Regressed, Uncertain
from nwidth.rb.regressors.choose import BEST, REGRESSORS, fit_named
from nwidth.rb.regressors.deviation import Deviation
from nwidth.rb.regressors.gaussian_process import GaussianProcess
from nwidth.rb.regressors.rbf import RBFRegression
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.typical import typical_set
from nwidth.surrogates.base import Fitter, Remembering, Run, Surrogate

_FEWEST = 5
#: Stored fields of more bytes are not read at once, but so many runs at a time.
_HELD, _PIECE = 2**31, 64
#: Standardised parameters closer than this are the same run.
_SAME = 1e-9
#: Regressors that keep their training table.
_KEEPING = KernelRegression | RBFRegression | GaussianProcess


class Regressor(Protocol):
    """A regression in the manner of scikit-learn, on standardised parameters X `(n, F)` and values Y `(n, M)`."""

    def fit(self, X: Real, Y: Real) -> Any:
        """Learn from the rows."""

    def predict(self, X: Real) -> Array:
        """Values `(B, M)`."""


@dataclass(frozen=True, eq=False)
class Regression:
    """Standardised values as a function of the parameters: features, then a regressor with `predict(X)`."""

    features: Features
    model: Any
    columns: int

    def __call__(self, mu: Mu) -> Real:
        """Values `(B, M)`. Raises InputError where a user's own regressor returns another shape."""
        X = self.features(mu)
        if not len(X):
            return np.empty((0, self.columns))
        values = np.asarray(self.model.predict(X), dtype=np.float64).reshape(len(X), -1)
        if values.shape[1] != self.columns:
            raise InputError(
                f"{type(self.model).__name__}.predict returned {values.shape[1]} columns, expected {self.columns}"
            )
        return values

    def has_seen(self, mu: Mu) -> Mask:
        """Whether these parameters are rows of the training table, to rounding, `(B,)`."""
        if not isinstance(self.model, _KEEPING):
            return np.zeros(batch_size(mu), dtype=bool)
        return _among(self.features(mu), self.model.rows)

    @property
    def remembers(self) -> bool:
        """Whether it keeps its training table."""
        return isinstance(self.model, _KEEPING)

    def children(self, prefix: str) -> dict[str, Storable]:
        """What a file needs. Raises InputError for a user's own regressor that is not Storable."""
        if not isinstance(self.model, Storable):
            raise InputError(
                f"the regressor {type(self.model).__name__} cannot be stored (a file holds no pickles); give it kind, "
                "to_parts and from_parts (nwidth.core.storable.Storable), or use regressor='kernel'"
            )
        return {f"{prefix} features": self.features, f"{prefix} model": self.model}


@dataclass(frozen=True)
class PODRegression(Fitter):
    """Fits the POD coefficients of the fields, and scalar outputs directly, to the parameters.

    modes      how many modes; None for as many as leave out at most `tol` of the variation, less those at the end
               that hold under a tenth of the regression's own (leave-one-out) error
    regressor  'kernel' (ridge regression), 'rbf' (radial basis functions), 'gaussian-process' (marginal likelihood; it
               knows where it knows little, which shapes a calibrated limit), 'network' (a small ensemble; extra
               `neural`), or 'best' of these by their errors on rows that they had not seen; all choose what is free
               for themselves. Or an object of your own with fit(X, Y) and predict(X), as in scikit-learn; a copy of
               it is fitted
    inner      the inner product of the POD: 'nodal' (Euclidean), or the space's 'mass' or 'energy'

    Parameters may be fields (a coefficient on a grid): they enter by their principal components. Good from about 20
    runs on, for solutions that depend smoothly on the parameters; a moving front or shock needs many modes and is
    learned slowly. Complex fields are learned in real and imaginary part.

    References: Hesthaven, Ubbiali, J. Comput. Phys. 363 (2018); Guo, Hesthaven, Comput. Methods Appl. Mech. Engrg. 341
    (2018).
    """

    modes: int | None = None
    tol: float = 1e-3
    regressor: str | Regressor = "kernel"
    inner: str = "nodal"

    def __post_init__(self) -> None:
        check_choice("inner", self.inner, ("nodal", "mass", "energy"))
        if isinstance(self.regressor, str):
            check_choice("regressor", self.regressor, (*REGRESSORS, BEST))
        if self.modes is not None and self.modes < 1:
            raise InputError(f"modes is {self.modes}; keep at least one")
        if not 0 < self.tol < 1:
            raise InputError(f"tol is {self.tol}; it is the part of the variation left out: choose between 0 and 1")

    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> "PODRegressionSurrogate":
        """The fitted surrogate. Raises InputError for fewer than 5 usable runs, constant data, or values not finite."""
        if snapshots is None:
            raise InputError("POD + regression learns from runs; pass snapshots=")
        if snapshots.times is not None:
            raise InputError(
                "these are trajectories; to learn all time levels together, give fields (B, T, nodes) in the space "
                "Points((T, nodes)), without times"
            )
        (usable,) = snapshots.split(len(snapshots.good))
        if len(usable) < _FEWEST:
            raise InputError(f"only {len(usable)} of {len(snapshots)} runs are usable; at least {_FEWEST} are needed")
        mu = as_mu({name: np.asarray(values) for name, values in usable.mu.items()}, snapshots.parameters.names)
        for name, values in mu.items():
            check_finite(f"parameter {name!r}", values)
        basis, learned = self._fit_fields(usable, mu, seed)
        outputs = self._fit_outputs(usable, mu, seed)
        if basis is None and outputs is None:
            raise InputError("these runs have neither a field nor an output; there is nothing to learn")
        units = usable.provenance.get("units", {})
        return PODRegressionSurrogate(
            parameter_space=typical_set(snapshots.parameters, mu, seed=seed),
            function_space=snapshots.space,
            basis=basis,
            field_model=learned,
            outputs=outputs,
            units={name: str(units[name]) for name in usable.outputs if name in units},
        )

    def _fit_fields(self, runs: Snapshots, mu: Mu, seed: int) -> tuple[POD | None, "Scaled | None"]:
        if runs.space.size == 0:
            return None, None
        basis, coefficients = self._reduced(runs)
        parts = [coefficients.real, coefficients.imag] if np.iscomplexobj(coefficients) else [coefficients]
        targets = np.concatenate(parts, axis=1)
        # One scale for all modes: the squared error of the targets is the squared error of the fields.
        scale = np.full(targets.shape[1], np.sqrt(np.mean(np.sum(targets**2, axis=1))))
        learned = self._learn(mu, targets, np.zeros(targets.shape[1]), scale, seed)
        return (basis, learned) if self.modes is not None else _pruned(basis, learned)

    def _reduced(self, runs: Snapshots) -> tuple[POD, Array]:
        """The basis and the coordinates of all runs; fields that do not fit into memory are read twice, in blocks."""
        inner = None if self.inner == "nodal" else runs.space.inner(self.inner)
        if isinstance(runs.fields, np.ndarray) or runs.fields.nbytes <= _HELD:
            dofs = runs.space.flatten(np.asarray(runs.fields))
            check_finite("fields", dofs)
            basis = pod(dofs, modes=self.modes, tol=self.tol, inner=inner)
            return basis, basis.coefficients(dofs)
        basis = pod(runs, modes=self.modes, tol=self.tol, inner=inner)
        parts = [
            basis.coefficients(runs.space.flatten(np.asarray(runs.fields[first : first + _PIECE])))
            for first in range(0, len(runs), _PIECE)
        ]
        return basis, np.concatenate(parts)

    def _fit_outputs(self, runs: Snapshots, mu: Mu, seed: int) -> "Scaled | None":
        if not runs.outputs:
            return None
        table = np.stack([np.asarray(v, dtype=np.float64) for v in runs.outputs.values()], axis=1)
        for i, name in enumerate(runs.outputs):
            check_finite(f"output {name!r}", table[:, i])
            if np.ptp(table[:, i]) <= 1e-13 * np.abs(table[:, i]).max():
                raise InputError(f"output {name!r} is {table[0, i]:g} in every run; leave it out")
        return self._learn(mu, table, table.mean(axis=0), table.std(axis=0), seed, tuple(runs.outputs))

    def _learn(
        self, mu: Mu, targets: Real, shift: Real, scale: Real, seed: int, names: tuple[str, ...] = ()
    ) -> "Scaled":
        Y = (targets - shift) / scale
        if isinstance(self.regressor, str):
            regression = Regression(*fit_named(self.regressor, mu, Y, seed), Y.shape[1])
        else:
            features, model = fit_features(mu), copy.deepcopy(self.regressor)
            model.fit(features(mu), Y)
            regression = Regression(features, model, Y.shape[1])
        return Scaled(regression, shift, scale, names)


def _pruned(basis: POD, learned: "Scaled") -> tuple[POD, "Scaled"]:
    """Without the last modes, as far as these hold less than a tenth of what the regression gets wrong anyway."""
    model = learned.regression.model
    if not isinstance(model, Regressed):
        return basis, learned
    wrong = float(np.sqrt(np.mean(model.loo**2))) * learned.scale[0]
    rest = np.sqrt(np.append(np.cumsum(basis.singular_values[::-1] ** 2)[::-1], 0.0) / len(model.loo))
    count, total = max(1, int(np.argmax(rest <= 0.1 * wrong))), len(basis.modes)
    if count >= total:
        return basis, learned
    columns = np.concatenate([np.arange(start, start + count) for start in range(0, len(learned.scale), total)])
    regression = replace(learned.regression, model=model.take(columns), columns=len(columns))
    fewer = replace(learned, regression=regression, shift=learned.shift[columns], scale=learned.scale[columns])
    return replace(basis, modes=basis.modes[:count]), fewer


@dataclass(frozen=True, eq=False)
class Scaled:
    """A regression with the shift and scale that undo its standardisation, `(M,)` each."""

    regression: Regression
    shift: Real
    scale: Real
    names: tuple[str, ...] = ()

    def __call__(self, mu: Mu) -> Real:
        """Values `(B, M)` in their own units."""
        return self.regression(mu) * self.scale + self.shift


def deviation_of(learned: Scaled, left: float) -> Deviation | None:
    """The deviation of a regression that knows one, with the energy `left` over all runs that no mode holds."""
    model = learned.regression.model
    if not isinstance(model, Uncertain):
        return None
    scale = float(learned.scale[0]) if np.ptp(learned.scale) == 0 else 1.0
    return Deviation(learned.regression.features, model, scale, float(np.sqrt(left / len(model.loo))))


def _among(X: Real, rows: Real) -> Mask:
    """Which rows of X `(B, F)` are rows of another table, to rounding, `(B,)`."""
    if X.shape[1] == 0:
        return np.zeros(len(X), dtype=bool)
    return np.array([bool((np.abs(rows - x).max(axis=1) <= _SAME * (1 + np.abs(x).max())).any()) for x in X])


@dataclass(frozen=True, eq=False)
class PODRegressionSurrogate(Surrogate, Remembering):
    """Answers in a reduced basis whose coefficients are a regression on the parameters.

    `parameters` is the set that the runs came from; outside of it `inside` is false and the answer is extrapolated.
    """

    kind: ClassVar[str] = "pod-regression"

    parameter_space: ParameterSpace
    function_space: FunctionSpace
    basis: POD | None
    field_model: Scaled | None
    outputs: Scaled | None
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> ParameterSpace:
        """The set that the runs came from."""
        return self.parameter_space

    @property
    def space(self) -> FunctionSpace:
        """The space of the runs' fields."""
        return self.function_space

    def predict(self, mu: Mu | Array) -> Prediction:
        """Fields as reduced coefficients, and outputs by name; every bound is +inf until a certificate is attached."""
        mu = as_mu(mu, self.parameters.names)
        inside = self.parameters.contains(mu)
        return uncertified(mu, self._fields(mu), self.space, inside, self._outputs(mu))

    def has_seen(self, mu: Mu) -> Mask:
        """Whether their features are among the rows that the regression keeps; networks and forests keep none."""
        found = np.zeros(batch_size(mu), dtype=bool)
        for learned in (self.field_model, self.outputs):
            if learned is not None:
                found |= learned.regression.has_seen(mu)
        return found

    @property
    def remembers(self) -> bool:
        """Whether one of its regressions keeps its training table."""
        return any(x is not None and x.regression.remembers for x in (self.field_model, self.outputs))

    @property
    def deviation(self) -> Deviation | None:
        """What the regression itself thinks of its error (of the field, or of the outputs where there is none)."""
        if self.field_model is not None and self.basis is not None:
            left = float(squares(self.basis.singular_values)[len(self.basis.modes)]) + self.basis.unseen
            return deviation_of(self.field_model, left)
        return None if self.outputs is None else deviation_of(self.outputs, 0.0)

    def _fields(self, mu: Mu) -> Array | Reduced:
        if self.basis is None or self.field_model is None:
            return np.empty((batch_size(mu), *self.space.shape))
        values = self.field_model(mu)
        if np.iscomplexobj(self.basis.modes):
            values = values[:, : len(self.basis.modes)] + 1j * values[:, len(self.basis.modes) :]
        return Reduced(values, self.basis.modes, self.basis.offset)

    def _outputs(self, mu: Mu) -> dict[str, Output]:
        if self.outputs is None:
            return {}
        values = self.outputs(mu)
        unknown = np.full(len(values), np.inf)
        return {
            name: Output(values[:, i], unknown, self.units.get(name, "")) for i, name in enumerate(self.outputs.names)
        }

    def to_parts(self) -> Parts:
        """Raises InputError for a regressor of the user's own that is not Storable."""
        config: dict[str, Any] = {
            "units": dict(self.units),
            "outputs": list(self.outputs.names if self.outputs else ()),
        }
        arrays: dict[str, Array] = {}
        children: dict[str, Storable] = {"parameters": self.parameters, "space": self.space}
        if self.basis is not None:
            arrays |= {"modes": self.basis.modes, "offset": self.basis.offset, "sigma": self.basis.singular_values}
        for prefix, model in (("field", self.field_model), ("output", self.outputs)):
            if model is not None:
                arrays |= {f"{prefix} shift": model.shift, f"{prefix} scale": model.scale}
                children |= model.regression.children(prefix)
        return Parts(config, arrays, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        basis = POD(arrays["modes"], arrays["offset"], arrays["sigma"]) if "modes" in arrays else None
        fields, outputs = (_restore(prefix, config, arrays, children) for prefix in ("field", "output"))
        return cls(children["parameters"], children["space"], basis, fields, outputs, config["units"])


def _restore(
    prefix: str, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]
) -> Scaled | None:
    if f"{prefix} model" not in children:
        return None
    shift, scale = arrays[f"{prefix} shift"], arrays[f"{prefix} scale"]
    regression = Regression(children[f"{prefix} features"], children[f"{prefix} model"], len(shift))
    return Scaled(regression, shift, scale, tuple(config["outputs"]) if prefix == "output" else ())
