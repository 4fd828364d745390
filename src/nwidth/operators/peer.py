"""Networks trained with neuraloperator, as networks of nwidth: the same function from the same weights."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.errors import InputError
from nwidth.core.kinds import available
from nwidth.linmaps.half_space import frequencies
from nwidth.operators.block import Skip
from nwidth.operators.block_network import BlockNetwork

#: Classes of neuraloperator's skip connections, by name so that it need not be installed.
_SKIPS: dict[str, Skip] = {"Flattened1dConv": "linear", "SoftGating": "gate", "Identity": "identity"}


def from_neuraloperator(fno: nn.Module) -> BlockNetwork:
    """The network that computes what neuraloperator's FNO computes, from its weights, in real arithmetic.

    On every periodic grid with an even number of points per axis and more than `max n_modes` of them, both are the
    same function to round-off, `(B, C_in, *grid)` to `(B, C_out, *grid)`. On odd grids with two or more axes
    neuraloperator 2.0.0 shifts frequencies by one; the network here is the same function there as on even ones.

    neuraloperator's spectral weights hold a frequency k and its mirror image -k twice where the last entry of k is
    zero, and drop an imaginary part: here stands `½ (W_k + conj W_{-k})`, which is what counts, once.

    Accepted: any number of axes, layers and channels, the grid embedding with its default boundaries or none, linear,
    soft-gating, identity or no skip connections, dense weights. Raises InputError, naming it, for what has no
    counterpart: normalisation layers, domain padding, resolution scaling, stabilisers, dropout, complex data,
    factorised or separable weights, blocks without channel MLP, pre-activation, another activation than GELU.
    """
    _check(fno)
    parts: Any = fno
    blocks = parts.fno_blocks
    first = blocks.convs[0]
    weight = _dense(first.weight)
    modes = _modes(tuple(weight.shape[2:]))
    network = BlockNetwork(
        (parts.out_channels, parts.in_channels),
        modes,
        parts.hidden_channels,
        parts.n_layers,
        lifting=_hidden(parts.lifting),
        projection=_hidden(parts.projection),
        hidden=_hidden(blocks.channel_mlp[0]),
        skip=_skip(blocks.fno_skips),
        gate=_skip(blocks.channel_mlp_skips),
        coordinates=parts.positional_embedding is not None,
    ).to(weight.real.dtype)
    with torch.no_grad():
        _copy_perceptron(network.lift, parts.lifting)
        _copy_perceptron(network.project, parts.projection)
        for number, block in enumerate(network.blocks):
            _copy_block(block, blocks, number)
    return network.to(weight.device)


def _check(fno: Any) -> None:
    """Refuse what has no counterpart here."""
    if type(fno).__name__ not in ("FNO", "TFNO") or not available("neuralop"):
        raise InputError(f"got a {type(fno).__name__}, expected an FNO of neuraloperator (pip install nwidth[bench])")
    blocks = fno.fno_blocks
    absent = {
        "normalisation layers (norm)": blocks.norm is not None,
        "domain_padding": fno.domain_padding is not None,
        "resolution_scaling_factor": fno.resolution_scaling_factor is not None,
        "a stabilizer": blocks.stabilizer is not None,
        "complex_data": fno.complex_data,
        "separable weights": fno.separable,
        "a factorization": type(blocks.convs[0].weight).__name__ != "DenseTensor",
        "use_channel_mlp=False": not blocks.use_channel_mlp,
        "preactivation": fno.preactivation,
        "fno_block_precision other than 'full'": fno.fno_block_precision != "full",
        "channel_mlp_dropout": bool(blocks.channel_mlp_dropout),
        "another non_linearity than GELU": fno.non_linearity is not nn.functional.gelu,
        "a lifting of one layer": len(fno.lifting.fcs) != 2,
        "max_n_modes other than n_modes": any(list(c.max_n_modes) != list(c.n_modes) for c in blocks.convs),
        "a positional embedding other than the default grid": not _default_embedding(fno.positional_embedding),
    }
    found = [name for name, present in absent.items() if present]
    if found:
        raise InputError(
            f"this FNO has {', '.join(found)}: there is no counterpart in BlockNetwork; nw.wrap(module) takes it as it "
            "is, nw.operators.FNO trains one like it"
        )


def _default_embedding(embedding: Any) -> bool:
    if embedding is None:
        return True
    boundaries = np.asarray(embedding.grid_boundaries, dtype=float)
    return bool((boundaries == [0.0, 1.0]).all())


def _dense(weight: Any) -> Tensor:
    """Complex `(C_in, C_out, *kept)`."""
    tensor = weight.to_tensor()
    return torch.as_tensor(tensor).detach()


def _modes(kept: tuple[int, ...]) -> tuple[int, ...]:
    """Bounds |k_j| < m_j around -(n//2) ... (n-1)//2 on all axes but the last, and 0 ... n-1 on the last."""
    return (*(n // 2 + 1 for n in kept[:-1]), kept[-1])


def _hidden(mlp: Any) -> int:
    return int(mlp.fcs[0].out_channels)


def _skip(modules: Any) -> Skip:
    return "none" if modules is None else _SKIPS[type(modules[0]).__name__]


def _copy_perceptron(mine: Any, theirs: Any) -> None:
    for layer, convolution in zip((mine.first, mine.second), theirs.fcs, strict=True):
        layer.weight.copy_(convolution.weight.squeeze(-1))
        layer.bias.copy_(convolution.bias)


def _copy_block(block: Any, theirs: Any, number: int) -> None:
    _copy_perceptron(block.perceptron, theirs.channel_mlp[number])
    convolution = theirs.convs[number]
    block.bias.copy_(convolution.bias.flatten())
    for mine, modules in ((block.skip, theirs.fno_skips), (block.gate, theirs.channel_mlp_skips)):
        if mine is not None:
            weight = next(modules[number].parameters())
            mine.copy_(weight.squeeze(-1) if mine.ndim == 2 else weight.flatten())
    real, imag = effective_weights(_dense(convolution.weight), block.spectral.modes)
    block.spectral.real.copy_(real)
    block.spectral.imag.copy_(imag)


def effective_weights(weight: Tensor, modes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of what counts of `weight (C_in, C_out, *kept)`, by the half space of `modes`.

    A real function from coefficients `W_k v_k` with last entry of k zero is that of their Hermitian part,
    `½ (W_k + conj W_{-k})` with zero where a frequency is not kept; where it is positive, W counts as it stands.
    """
    kept = weight.shape[2:]
    zero = weight.new_zeros(weight.shape[:2])

    def at(k: tuple[int, ...]) -> Tensor:
        place: tuple[int, ...] = (*(j + n // 2 for j, n in zip(k[:-1], kept[:-1], strict=True)), k[-1])
        inside = all(0 <= p < n for p, n in zip(place, kept, strict=True))
        return weight.flatten(2)[:, :, int(np.ravel_multi_index(place, tuple(kept)))] if inside else zero

    rows = []
    for k in (tuple(map(int, row)) for row in frequencies(modes)):
        opposite = tuple(-j for j in k)
        if k[-1] == 0:
            rows.append((at(k) + at(opposite).conj()) / 2)
        else:
            rows.append(at(k) if k[-1] > 0 else at(opposite).conj())
    stacked = torch.stack(rows)
    return stacked.real.clone(), stacked.imag[1:].clone()
