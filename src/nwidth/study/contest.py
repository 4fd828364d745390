"""Learned surrogates on equal terms: the same sweep of learning rates, then equal epochs or equal wall time."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from time import perf_counter, process_time
from typing import Any

import numpy as np
from torch import Tensor, nn

from nwidth.core.arrays import Mu
from nwidth.core.errors import InputError, WorkError
from nwidth.core.validation import select
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Fitter, Run, Surrogate

_LOG = logging.getLogger("nwidth")
#: With a budget of time, more epochs than anyone reaches: the clock alone decides.
_MANY = 100_000


@dataclass(frozen=True)
class Terms:
    """What is equal for all contestants.

    Every fitter that trains is tried with each of `rates` for `trial_epochs` epochs; the rate with the smallest
    validation loss is kept (the test set is never looked at). `trial_samples`: so many of the samples serve the trials;
    None for all. `seed` splits and initialises; `run` says where.
    """

    rates: tuple[float, ...] = (2e-3, 5e-3, 1e-2)
    trial_epochs: int = 4
    trial_samples: int | None = None
    seed: int = 0
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        if not self.rates or min(self.rates) <= 0 or self.trial_epochs < 1 or (self.trial_samples or 2) < 2:
            raise InputError(f"{self}: give learning rates above zero, one trial epoch or more, two samples or more")


@dataclass(frozen=True)
class Entry:
    """A fitted contestant: CPU seconds and wall seconds of its training, its parameters as real numbers.

    `rate` is the learning rate that the sweep chose and `trials` rate -> validation loss, both empty where nothing is
    trained by gradients; `epochs` is what was completed.
    """

    name: str
    surrogate: Surrogate
    seconds: float
    wall: float
    parameters: int | None = None
    rate: float | None = None
    trials: Mapping[float, float] = field(default_factory=dict)
    epochs: int | None = None


def tuned(
    fitter: Fitter, snapshots: Snapshots, problem: Problem | None, terms: Terms
) -> tuple[Fitter, dict[float, float]]:
    """The fitter with the best of the rates, and the validation loss of each; a rate that diverges counts as infinite.

    A fitter that does not train comes back as it is. Raises WorkError where every rate diverges.
    """
    if not _trains(fitter):
        return fitter, {}
    losses, few = {}, min(terms.trial_samples or len(snapshots.good), len(snapshots.good))
    (some,) = snapshots.split(few, seed=terms.seed)
    for rate in terms.rates:
        trial = _with_training(fitter, rate=rate, epochs=terms.trial_epochs)
        try:
            surrogate = trial.fit(some, problem, seed=terms.seed, run=terms.run)
            losses[rate] = _history(surrogate).best
        except WorkError:
            losses[rate] = float("inf")
    best = min(losses, key=losses.__getitem__)
    if not np.isfinite(losses[best]):
        raise WorkError(f"{type(fitter).__name__} diverged at every rate of {terms.rates}; try smaller ones")
    return _with_training(fitter, rate=best), losses


def enter(
    name: str,
    fitter: Fitter,
    snapshots: Snapshots,
    problem: Problem | None = None,
    terms: Terms = Terms(),
    *,
    seconds: float | None = None,
    trials: Mapping[float, float] | None = None,
) -> Entry:
    """Tune, then train: for the epochs that the fitter says, or for so many wall-clock `seconds` whatever the epochs.

    `trials`: losses of a sweep that was made already (of the same network on the same data), instead of a new one.
    """
    if trials is None:
        fitter, trials = tuned(fitter, snapshots, problem, terms)
    elif trials:
        fitter = _with_training(fitter, rate=min(trials, key=lambda rate: trials[rate]))
    run = terms.run
    if seconds is not None and _trains(fitter):
        fitter, run = _with_training(fitter, epochs=_MANY), replace(run, budget=seconds)
    begin, wall = process_time(), perf_counter()
    surrogate = fitter.fit(snapshots, problem, seed=terms.seed, run=run)
    entry = Entry(name, surrogate, process_time() - begin, perf_counter() - wall, parameters_of(surrogate))
    if not isinstance(surrogate, NeuralSurrogate):
        return entry
    rate, epochs = getattr(fitter, "training").rate, len(surrogate.history.train)  # noqa: B009
    _LOG.info("%s: rate %g, %d epochs in %.1f s", name, rate, epochs, entry.wall)
    return replace(entry, rate=rate, trials=dict(trials), epochs=epochs)


def parameters_of(surrogate: Surrogate) -> int | None:
    """Trainable real numbers of a network (a complex one counts two); None for a surrogate that is none."""
    if not isinstance(surrogate, NeuralSurrogate):
        return None
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in surrogate.module.network.parameters())


def answer_times(
    surrogates: Mapping[str, Surrogate], mu: Mu, rounds: int = 5, batch: int = 32
) -> dict[str, tuple[float, float]]:
    """CPU seconds per query of each surrogate, (in a batch, alone): the least of `rounds`, all in turn.

    The least, because whatever else a machine does can only add to it.
    """
    size = min(batch, len(next(iter(mu.values()))))
    many, one = select(mu, slice(size)), select(mu, slice(1))
    best = {name: [np.inf, np.inf] for name in surrogates}
    for surrogate in surrogates.values():
        surrogate.predict(one)
    for _ in range(rounds):
        for name, surrogate in surrogates.items():
            for place, (query, count) in enumerate(((many, size), (one, 1))):
                repeats = 1 if place == 0 else 5
                begin = process_time()
                for _ in range(repeats):
                    surrogate.predict(query)
                best[name][place] = min(best[name][place], (process_time() - begin) / repeats / count)
    return {name: (times[0], times[1]) for name, times in best.items()}


def closest(sizes: Sequence[int], parameters: Sequence[int], wanted: int) -> int:
    """Of networks with these `sizes` and so many `parameters`, the size whose number is closest to `wanted` (ratio)."""
    return min(zip(sizes, parameters, strict=True), key=lambda pair: abs(np.log(pair[1] / wanted)))[0]


class TensorState(nn.Module):
    """Another package's module as a contestant: what its state holds besides tensors is left out.

    neuraloperator's networks keep their constructor's arguments there, which nothing that copies a state expects.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.register_state_dict_post_hook(_drop_others)

    def forward(self, x: Tensor) -> Tensor:
        """The other module's answer."""
        return self.network(x)


def _drop_others(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name in [name for name, value in state.items() if not isinstance(value, Tensor)]:
        del state[name]


def _trains(fitter: Any) -> bool:
    return any(f.name == "training" for f in fields(fitter))


def _with_training(fitter: Any, **changes: Any) -> Any:
    return replace(fitter, training=replace(fitter.training, **changes))


def _history(surrogate: Surrogate) -> Any:
    if not isinstance(surrogate, NeuralSurrogate):
        raise InputError(f"{type(surrogate).__name__} keeps no validation loss; it cannot be tuned by a sweep of rates")
    return surrogate.history
