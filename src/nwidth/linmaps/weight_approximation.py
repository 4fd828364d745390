"""Low-rank spectral weights in place of dense ones, to a tolerance or a budget, and the error that is reached."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor

from nwidth.core.errors import InputError
from nwidth.linmaps.decompositions import TuckerForm, cp, tensor_train, tucker, within_budget
from nwidth.linmaps.fourier import TruncatedFourier
from nwidth.linmaps.spectral_ranks import Factorization, weights_of
from nwidth.linmaps.spectral_weights import (
    CPWeights,
    SpectralWeights,
    TensorTrainWeights,
    TuckerWeights,
    frequency_places,
    frequency_sizes,
)

Ranks = tuple[int, ...]


def approximate_weights(
    dense: Sequence[TruncatedFourier],
    factorization: Factorization,
    *,
    tol: float | None = None,
    budget: int | None = None,
    seed: int = 0,
) -> tuple[list[SpectralWeights], float]:
    """Low-rank weights of equal ranks for spectral convolutions of equal sizes, and the largest relative error.

    The error of a layer is `‖W - W̃‖ / ‖W‖` in the Frobenius norm of the linear map on a periodic grid: every frequency
    but zero counts twice, for k and -k. `tol`: the smallest ranks whose errors are within it (CP: or the closest that
    its search finds); `budget`: the closest with so many parameters in all weights together.
    Raises InputError for both or neither, or a budget below ranks of 1.
    """
    if (tol is None) == (budget is None):
        raise InputError(f"got tol={tol}, budget={budget}; give a tolerance or a budget of parameters")
    tensors = [_tensor(layer, factorization) for layer in dense]
    if tol is not None:
        return _to_tolerance(dense, tensors, factorization, tol, seed)
    each = (budget or 0) // len(dense)
    sizes = _sizes(dense[0], factorization)
    if factorization == "cp":
        if each < sum(sizes):
            raise InputError(f"CP of rank 1 has {sum(sizes)} parameters per layer, the budget allows {each}")
        ranks: Ranks = (each // sum(sizes),)
    else:
        ranks = within_budget(
            lambda t: _ranks(tensors, factorization, t), lambda r: _size(sizes, factorization, r), each
        )
    return _made(dense, tensors, factorization, ranks, seed)


def weight_error(approximation: SpectralWeights, dense: TruncatedFourier) -> float:
    """`‖W - W̃‖ / ‖W‖`, each frequency but zero counted twice."""
    with torch.no_grad():
        real, imag = approximation.factors().dense()
        apart = [real - dense.real, imag - dense.imag]
        return sqrt(_energy(*apart) / max(_energy(dense.real.detach(), dense.imag.detach()), 1e-300))


def _energy(real: Tensor, imag: Tensor) -> float:
    real, imag = real.double(), imag.double()
    return float(2 * (real[1:].square().sum() + imag.square().sum()) + real[0].square().sum())


def _to_tolerance(
    dense: Sequence[TruncatedFourier], tensors: Sequence[Tensor], factorization: Factorization, tol: float, seed: int
) -> tuple[list[SpectralWeights], float]:
    """Tensors weigh frequencies otherwise than the error does: the tolerance is lowered until the error is met."""
    if factorization == "cp":
        return _cp_to_tolerance(dense, tensors, tol, seed)
    for aim in (tol, 0.9 * tol, 0.7 * tol, 0.5 * tol):
        found, error = _made(dense, tensors, factorization, _ranks(tensors, factorization, aim), seed)
        if error <= tol:
            break
    return found, error


def _cp_to_tolerance(
    dense: Sequence[TruncatedFourier], tensors: Sequence[Tensor], tol: float, seed: int
) -> tuple[list[SpectralWeights], float]:
    limit, rank = prod(tensors[0].shape) // max(tensors[0].shape), 1
    while True:
        found, error = _made(dense, tensors, "cp", (rank,), seed)
        if error <= tol or rank >= limit or sum(tensors[0].shape) * rank >= tensors[0].numel():
            return found, error
        rank += max(1, rank // 3)


def _tensor(layer: TruncatedFourier, factorization: Factorization) -> Tensor:
    """W as a real tensor in double precision.

    Tucker: `(2 H + 1, C_in, C_out)`, real and then imaginary parts. Others: `(C_in, frequency axes, C_out)`; what
    stands there twice, as k and as -k, is filled in by symmetry.
    """
    parts = torch.cat([layer.real, layer.imag]).detach().to("cpu", torch.float64)
    if factorization == "tucker":
        return parts
    sizes = frequency_sizes(layer.modes)
    whole = parts.new_zeros(prod(sizes), *parts.shape[1:])
    if len(sizes) == 1:
        whole = parts
    else:
        _mirrored(whole, parts, layer.modes)
        whole[frequency_places(layer.modes)] = parts
    return whole.reshape(*sizes, *parts.shape[1:]).movedim(-2, 0)


def _mirrored(whole: Tensor, parts: Tensor, modes: tuple[int, ...]) -> None:
    """Write the values of the frequencies -k that stand in the array as well: those with k_1 = 0."""
    pairs = len(parts) // 2
    sizes = frequency_sizes(modes)
    place = torch.stack(torch.unravel_index(frequency_places(modes)[: pairs + 1], sizes), dim=1)
    rows = torch.nonzero((place[:, 0] == 0) & (place != 0).any(dim=1))[:, 0]
    mirror = -place[rows] % torch.tensor([2 * m - 1 for m in modes])
    strides = torch.tensor([prod(sizes[j + 1 :]) for j in range(len(sizes))])
    flat = (mirror * strides).sum(dim=1)
    whole[flat] = parts[rows]
    whole[flat + 2 * modes[-1] - 1] = -parts[pairs + rows]


def _ranks(tensors: Sequence[Tensor], factorization: Factorization, tol: float) -> Ranks:
    """The largest ranks that any layer needs."""
    if factorization == "tt":
        found = [tuple(car.shape[2] for car in tensor_train(t, tol)[:-1]) for t in tensors]
    else:
        found = [tuple(f.shape[1] for f in _tucker_of_channels(t, tol, ()).factors[1:]) for t in tensors]
    return tuple(max(each) for each in zip(*found, strict=True))


def _tucker_of_channels(tensor: Tensor, tol: float, ranks: Ranks) -> TuckerForm:
    """The first mode is left as it is: its factor is the identity."""
    return tucker(tensor, tol, ranks=(len(tensor), *ranks) if ranks else (), sweeps=2 if ranks else 0, keep=(0,))


def _sizes(layer: TruncatedFourier, factorization: Factorization) -> tuple[int, ...]:
    out, inp = layer.channels
    if factorization == "tucker":
        return prod(2 * m - 1 for m in layer.modes), inp, out
    return inp, *frequency_sizes(layer.modes), out


def _size(sizes: tuple[int, ...], factorization: Factorization, ranks: Ranks) -> int:
    """Parameters of one layer."""
    if factorization == "tucker":
        return sizes[0] * ranks[0] * ranks[1] + sizes[1] * ranks[0] + sizes[2] * ranks[1]
    bonds = (1, *ranks, 1)
    return sum(a * n * b for a, n, b in zip(bonds, sizes, bonds[1:], strict=False))


def _made(
    dense: Sequence[TruncatedFourier],
    tensors: Sequence[Tensor],
    factorization: Factorization,
    ranks: Ranks,
    seed: int,
) -> tuple[list[SpectralWeights], float]:
    """Weights of given ranks and the largest error."""
    made = []
    for layer, tensor in zip(dense, tensors, strict=True):
        out, inp = layer.channels
        weights = weights_of(factorization, (out, inp), layer.modes, ranks, dtype=layer.real.dtype)
        with torch.no_grad():
            _fill(weights, tensor, ranks, seed)
        made.append(weights.to(layer.real.device))
    errors = [weight_error(weights, layer) for weights, layer in zip(made, dense, strict=True)]
    return made, max(errors)


def _fill(weights: SpectralWeights, tensor: Tensor, ranks: Ranks, seed: int) -> None:
    if isinstance(weights, TuckerWeights):
        form = _tucker_of_channels(tensor, 0.0, ranks)
        weights.core[0].copy_(form.core)
        weights.inward.copy_(form.factors[1])
        weights.outward.copy_(form.factors[2].T)
    elif isinstance(weights, TensorTrainWeights):
        first, *cars, last = _train(tensor, ranks)
        weights.inward[0].copy_(first[0])
        weights.outward.copy_(last[:, :, 0])
        for car, values in zip(weights.cars, cars, strict=True):
            car.copy_(values)
    elif isinstance(weights, CPWeights):
        inward, *axes, outward = cp(tensor, ranks[0], seed=seed)
        weights.inward.copy_(inward)
        weights.outward.copy_(outward.T)
        for axis, values in zip(weights.axes, axes, strict=True):
            axis.copy_(values)


def _train(tensor: Tensor, ranks: Ranks) -> list[Tensor]:
    """A train of given ranks; where the tensor has less, the rest is zero."""
    found, bonds = tensor_train(tensor, 0.0, ranks=ranks), (1, *ranks, 1)
    padded = []
    for k, car in enumerate(found):
        whole = car.new_zeros(bonds[k], car.shape[1], bonds[k + 1])
        whole[: car.shape[0], :, : car.shape[2]] = car
        padded.append(whole)
    return padded
