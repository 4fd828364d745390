"""Regressions by name, and the best of them by the errors on rows that they had not seen."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.kinds import available
from nwidth.rb.features import Features, fit_features
from nwidth.rb.kernel import fit_kernel
from nwidth.rb.regressors.base import Regressed
from nwidth.rb.regressors.gaussian_process import fit_gaussian_process
from nwidth.rb.regressors.network import fit_network
from nwidth.rb.regressors.rbf import fit_rbf

Fit: TypeAlias = Callable[..., Regressed]

#: Name -> fit(X, Y, groups, seed=).
REGRESSORS: Mapping[str, Fit] = MappingProxyType(
    {"kernel": fit_kernel, "rbf": fit_rbf, "gaussian-process": fit_gaussian_process, "network": fit_network}
)
BEST = "best"


def fit_named(name: str, mu: Mu, Y: Real, seed: int) -> tuple[Features, Regressed]:
    """The regression `name` of values Y `(n, M)` on the parameters or on their logarithms, whichever has the smaller
    leave-one-out error; 'best' tries every name (the network where torch is installed)."""
    names = [n for n in REGRESSORS if n != "network" or available("torch")] if name == BEST else [name]
    plain, logarithmic = fit_features(mu), fit_features(mu, logarithms=True)
    variants = [plain, logarithmic] if logarithmic.log.any() else [plain]
    fits = [
        (features, REGRESSORS[n](features(mu), Y, features.groups, seed=seed)) for n in names for features in variants
    ]
    return min(fits, key=lambda fit: _size(fit[1].loo))


def _size(errors: Array) -> float:
    total = float(np.sum(errors**2))
    return total if np.isfinite(total) else float("inf")
