"""A trained Fourier neural operator with its spectral weights in low-rank form."""

from copy import deepcopy
from typing import cast

import torch
from torch import nn

from nwidth.core.errors import InputError, WorkError
from nwidth.linmaps import TruncatedFourier
from nwidth.linmaps.spectral_ranks import FACTORIZATIONS, Factorization
from nwidth.linmaps.spectral_weights import CPWeights, SpectralWeights
from nwidth.linmaps.weight_approximation import approximate_weights
from nwidth.operators.architecture import OperatorSurrogate
from nwidth.operators.boundaries.architecture import SeriesArchitecture
from nwidth.operators.fitting import Fitted
from nwidth.operators.fno import FourierArchitecture
from nwidth.operators.tensor_network import TensorNetwork
from nwidth.operators.tfno import TensorArchitecture
from nwidth.problems.base import Problem


def tensorise(
    surrogate: OperatorSurrogate,
    factorization: Factorization = "tucker",
    *,
    tol: float | None = None,
    budget: int | None = None,
    seed: int = 0,
) -> tuple[OperatorSurrogate, float]:
    """The surrogate with low-rank spectral weights, and the error: the largest `‖W - W̃‖_F / ‖W‖_F` of a layer.

    `surrogate`: a trained `FNO` on a periodic or padded grid. `factorization`: 'tucker' (of the channels, all
    frequencies kept), 'tt' or 'cp'. `tol`: the smallest ranks within this error. `budget`: the closest with so many
    real parameters in all spectral weights together; with `tol` as well, that is the error it must have. All layers
    have equal ranks. Everything else is kept: training is not repeated, and the answers change as far as the error
    says. Weights that were trained without such a form are rarely near one: train a `TFNO` where that is possible.

    Raises WorkError where the tolerance is missed, with what was achieved; InputError for another operator, neither
    `tol` nor `budget`, or a budget below ranks of 1.
    """
    if factorization not in FACTORIZATIONS or (tol is None and budget is None):
        raise InputError(
            f"factorization {factorization!r}, tol={tol}, budget={budget}; expected one of "
            f"{', '.join(map(repr, FACTORIZATIONS))}, and a tolerance or a budget of parameters"
        )
    axes = _axes_of(surrogate)
    network = surrogate.module.network
    dense = _spectral_maps(network)
    weights, error = approximate_weights(
        dense, factorization, tol=tol if budget is None else None, budget=budget, seed=seed
    )
    if tol is not None and error > tol:
        raise WorkError(
            f"{factorization} weights with {sum(p.numel() for w in weights for p in w.parameters())} parameters are "
            f"within {error:.3g} of the trained ones (relative Frobenius error); {tol:.3g} was asked for. Raise the "
            "tolerance or the budget, or train a TFNO"
        )
    given = cast(FourierArchitecture | SeriesArchitecture, surrogate.architecture)
    architecture = TensorArchitecture(
        axes=axes,
        dirichlet=(),
        flux=(),
        grid=(),
        modes=given.modes,
        width=given.width,
        layers=given.layers,
        factorization=factorization,
        ranks=_ranks_of(weights[0]),
        coordinates=getattr(given, "coordinates", True),
    )
    module = deepcopy(surrogate.module)
    module.network = _filled(architecture.network(module.channels), network, weights)
    problem = surrogate.to_parts().children.get("problem")  # where boundary values depend on the parameters
    fitted = Fitted(module.eval(), surrogate.encoding, surrogate.history, cast(Problem | None, problem))
    return OperatorSurrogate(surrogate.parameters, surrogate.space, fitted, architecture), error


def _axes_of(surrogate: OperatorSurrogate) -> tuple[tuple[str, str, float], ...]:
    """The series along the axes. Raises InputError for another operator than one of Fourier series alone."""
    given = surrogate.architecture
    if isinstance(given, FourierArchitecture):
        return (("padded", "node", given.padding),) * len(given.modes)
    if isinstance(given, SeriesArchitecture) and all(word == "periodic" for word, _, _ in given.axes):
        return given.axes
    raise InputError(
        f"tensorise turns a trained FNO of periodic or padded Fourier series into a TFNO; this is a "
        f"{type(given).__name__}"
    )


def _spectral_maps(network: nn.Module) -> list[TruncatedFourier]:
    return [m for m in network.modules() if isinstance(m, TruncatedFourier)]


def _ranks_of(weights: SpectralWeights) -> tuple[int, ...]:
    """As `TensorArchitecture` wants them."""
    factors = weights.factors()
    if isinstance(weights, CPWeights):
        return (factors.inward.shape[1],)
    bonds = [int(car.shape[2]) for car in list(getattr(weights, "cars", []))[:-1]]
    return factors.inward.shape[1], *bonds, factors.outward.shape[0]


@torch.no_grad()
def _filled(made: TensorNetwork, network: nn.Module, weights: list[SpectralWeights]) -> TensorNetwork:
    """The new network with the parameters of the old one and the low-rank weights."""
    state = network.state_dict()
    for name in ("lift", "hidden", "project"):
        getattr(made, name).load_state_dict({part: state[f"{name}.{part}"] for part in ("weight", "bias")})
    for number, layer in enumerate(made.layers):
        layer.load_state_dict({part: state[f"layers.{number}.pointwise.{part}"] for part in ("weight", "bias")})
    made.weights = nn.ModuleList(weights)
    return made.to(next(network.parameters()).dtype)
