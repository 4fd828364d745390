"""Who competes: nwidth's periodic FNO and U-Net, neuraloperator's FNO, and POD with a kernel regression."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from cells import SEED, Plausible, Scale

import nwidth as nw
from nwidth.core.kinds import available
from nwidth.operators.fno import FNO
from nwidth.operators.unet import UNet
from nwidth.rb.pod_regression import PODRegression
from nwidth.study.contest import Entry, TensorState, Terms, enter, tuned

if available("neuralop"):
    from neuralop import models

OURS = "nwidth FNO"
HALF = "nwidth FNO, half as wide"
#: Sizes of neuraloperator's own small FNO (config/darcy_config.py of that project).
PUBLIC = {"n_modes": (16, 16), "hidden_channels": 24}


def training(scale: Scale) -> nw.Training:
    """For every network: what the equation allows in the way of symmetries, and the loss that is judged."""
    return nw.Training(epochs=scale.epochs, batch=8, loss="l2", augment="square-translate")


def public_training(scale: Scale) -> nw.Training:
    """The learning rate halved after each fifth, as neuraloperator's script has it; all else as for the others."""
    return replace(training(scale), schedule="step")


def public(scale: Scale, **sizes) -> nw.operators.Wrapped:
    """neuraloperator's FNO; what it sees is standardised as its own data processor does it."""
    torch.manual_seed(SEED)
    network = models.FNO(in_channels=1, out_channels=1, n_layers=4, **sizes)
    return nw.wrap(TensorState(network), public_training(scale))


def same_size(scale: Scale) -> dict:
    """As many frequencies and channels as ours, hence about as many parameters; without coordinates it commutes with
    shifts, as ours does."""
    return {"n_modes": (2 * scale.modes,) * 2, "hidden_channels": scale.width, "positional_embedding": None}


def compete(scale: Scale, train: nw.Snapshots) -> Iterator[Entry]:
    """Everyone at equal epochs, then those of equal size for the wall time that ours took; each as it is ready."""
    terms = Terms(scale.rates, scale.trial_epochs, scale.trial_cells, SEED)
    ours = FNO(modes=scale.modes, width=scale.width, coordinates=False, training=training(scale))
    first = enter(OURS, ours, train, scale.problem, terms)
    yield plausible(first)
    if available("neuralop"):
        yield from twice("neuraloperator FNO, our size", public(scale, **same_size(scale)), train, terms, first.wall)
        yield plausible(enter("neuraloperator FNO, its own size", public(scale, **PUBLIC), train, None, terms))
    # the sweep of ours serves its smaller version: a second one would tell the same
    half = replace(ours, width=scale.width // 2)
    yield plausible(enter(HALF, half, train, None, terms, trials=first.trials))
    width, levels = scale.unet
    yield from twice("U-Net", UNet(width, levels, training=training(scale)), train, terms, first.wall)
    yield plausible(enter("POD + kernel regression", PODRegression(), train, None, terms))


def twice(name: str, fitter: nw.Fitter, train: nw.Snapshots, terms: Terms, seconds: float) -> Iterator[Entry]:
    """With one sweep of rates: for equal epochs, and for equal wall time."""
    best, trials = tuned(fitter, train, None, terms)
    yield plausible(enter(f"{name}, equal epochs", best, train, None, terms, trials=trials))
    yield plausible(enter(f"{name}, equal time", best, train, None, terms, trials=trials, seconds=seconds))


def plausible(entry: Entry) -> Entry:
    """With what everybody knows beforehand put in."""
    return replace(entry, surrogate=Plausible(entry.surrogate))
