"""Operators in time: one-step maps rolled out, windows of the past, and lead times as an input."""

from dataclasses import dataclass, replace

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.rows import marks
from nwidth.core.validation import check_choice
from nwidth.operators.architecture import OperatorFitter
from nwidth.operators.boundary import boundary_mask, transfinite
from nwidth.operators.evolution_data import Past, Runs, Windows, consecutive, from_the_start
from nwidth.operators.evolution_start import check_start, find_start
from nwidth.operators.evolution_step import Stencil, Unrolled
from nwidth.operators.evolution_surrogate import Evolved, March, Scheme
from nwidth.operators.fitting import Fitted, check_augment, prepare, split_rows, with_typical_fields
from nwidth.operators.frame import Frame
from nwidth.operators.module import BoundaryKind
from nwidth.operators.own_module import operator_on_a_grid
from nwidth.operators.wrap import Wrapped
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.grid import Grid
from nwidth.surrogates.base import Fitter, Run
from nwidth.surrogates.training import Encoding, loss_for, train
from nwidth.surrogates.training.samples import usable_rows

#: Steps are equal up to this part of them.
_EQUAL = 1e-6
_PIECE = 64


@dataclass(frozen=True)
class Evolving(Fitter):
    """Trajectories by an operator on a grid: `Evolving(FNO(...)).fit(trajectories)` answers with trajectories.

        scheme 'rollout':     u(t + τ) = u(t) + (τ/τ₀) N(u(t - (k-1)τ), ..., u(t); mu)     step after step
        scheme 'lead-time':   u(t) = N(u(t₀ - (k-1)τ), ..., u(t₀), t - t₀; mu)             any t, in one go

    `operator`: which network N is and how it is trained, or `nw.wrap(module)`. `window`: the k last frames that it
    sees; before the first frame there is the first frame. `residual`: whether N gives the change (the default of a
    rollout) or the state (that of lead times). `initial`: the parameter that is the state at time zero, 'problem' to
    ask the problem for it, or 'auto' (see `find_start`); recorded frames (`nw.snapshots.windowed`) are always the
    start. All other parameters (viscosity, a forcing field) are inputs of every step. `clock`: the time t itself is an
    input, for equations that depend on it. Steps of unequal length are an input by themselves.

    A step that is trained on true states alone meets its own errors in a rollout. `unroll`: so many steps in a row are
    trained together; with `pushforward` the last of them alone. `noise`: the past is disturbed in training by so much
    of its deviation, usually 1e-3 to 1e-2. A share of the *runs* is kept for validation.

    References: Li et al. 2021, section 5.3 (rollouts with windows); Brandstetter, Worrall, Welling 2022 (pushforward);
    Sanchez-Gonzalez et al. 2020 (noise).
    """

    operator: OperatorFitter | Wrapped
    scheme: Scheme = "rollout"
    window: int = 1
    residual: bool | None = None
    initial: str = "auto"
    clock: bool = False
    unroll: int = 1
    pushforward: bool = False
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_choice("scheme", self.scheme, ("rollout", "lead-time"))
        _ = self._network  # raises where it is none
        checks = {
            "window": (self.window >= 1, "1 frame or more"),
            "unroll": (self.unroll >= 1, "1 step or more"),
            "noise": (0 <= self.noise < 1, "a part of the deviation, 0 or more and below 1"),
            "pushforward": (not self.pushforward or self.unroll > 1, "True only with unroll=2 or more"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"Evolving: {name} is {getattr(self, name)!r}; expected {expected}")
        if self.scheme == "lead-time" and (self.unroll > 1 or self.clock):
            raise InputError("Evolving: unroll and clock belong to a rollout; lead times are reached in one step")

    @property
    def _network(self) -> OperatorFitter:
        """The operator that is trained; a user's module as one. Raises InputError for any other fitter."""
        return operator_on_a_grid(self.operator, "Evolving")

    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> Evolved:
        """Train on trajectories `(B, T, *shape)`; `problem` gives the initial state where no parameter is it.

        Raises InputError without trajectories, where it is not known what they start from, or for steps that cannot be
        unrolled; WorkError where training diverges.
        """
        runs = self._runs(snapshots, problem)
        snapshots, past = runs.snapshots, runs.past
        stencil = self._stencil(runs)
        steps = self._steps(runs, stencil)
        rows, training = usable_rows(snapshots), self._network.training
        kind, lift = self._boundary(runs, rows, stencil)
        trained, watched = split_rows(rows, training.validation, seed)
        inner, validation = (
            Windows(runs, stencil, steps, part, target="rate", device=run.device, precision=training.precision)
            for part in (trained, watched)
        )
        channels = (stencil.channels, inner.batch(np.arange(1))[0].shape[1])
        frame = Frame(channels, snapshots.space, past.encoding)
        architecture = self._network.architecture(frame)
        module = prepare(lambda: architecture.build(frame), channels, inner, kind, lift, seed=seed)
        check_augment(training, past.encoding, snapshots.space, module)
        ahead = (self.unroll - 1,) if self.pushforward else tuple(range(self.unroll))
        history = train(
            Unrolled(module, stencil, self.unroll, self.pushforward, self.noise),
            inner.aiming_at("frames", ahead),
            validation.aiming_at("frames", ahead),
            loss_for(training, past.encoding, snapshots.space),
            training,
            seed=seed,
            run=run,
            piece=architecture.piece(frame.grid),
        )
        history = replace(history, runs=marks(snapshots.mu))
        fitted = Fitted(module.to("cpu").eval(), past.encoding, history, None if past.start.name else problem)
        times = tuple(np.asarray(snapshots.times, dtype=float).tolist())
        march = March(self.scheme, past.start, stencil, tuple(runs.times[runs.first + 1 :].tolist()), times)
        known = with_typical_fields(snapshots, seed).parameters
        return Evolved(known, snapshots.space, fitted, architecture, march)

    def _runs(self, snapshots: Snapshots | None, problem: Problem | None) -> Runs:
        """The trajectories with their start, checked."""
        if snapshots is None or snapshots.times is None:
            raise InputError(
                "Evolving learns from trajectories, snapshots with times: pass nw.generate(problem, 200, seed=0) of a "
                "problem in time; for the state at one time alone use the operator itself"
            )
        start = find_start(self.initial, snapshots, problem)
        check_start(start, snapshots, problem)
        others = {name: values for name, values in snapshots.mu.items() if name != start.name}
        encoding = Encoding.of(replace(snapshots, mu=others), layout="channels")
        if encoding.dim == 0:
            raise InputError(f"Evolving needs fields on a grid; these have shape {snapshots.space.shape}")
        return Runs(snapshots, Past(start, encoding, problem, snapshots.space))

    def _stencil(self, runs: Runs) -> Stencil:
        taus = np.diff(runs.times[runs.first :])
        unequal = bool(np.ptp(taus) > _EQUAL * taus.mean())
        rollout = self.scheme == "rollout"
        if unequal and self.unroll > 1:
            raise InputError(f"the stored times are {runs.times}; unroll needs equal steps, use unroll=1")
        residual = rollout if self.residual is None else self.residual
        channels = runs.past.encoding.channels_out
        return Stencil(self.window, channels, residual, float(taus.mean()), unequal or not rollout, self.clock)

    def _steps(self, runs: Runs, stencil: Stencil) -> Array:
        if self.scheme == "lead-time":
            return from_the_start(runs.times, runs.first)
        return consecutive(runs.times, runs.first, self.unroll)

    def _boundary(self, runs: Runs, rows: Array, stencil: Stencil) -> tuple[BoundaryKind, Array | None]:
        """Whether the network's answer has the same boundary values always, and these, continued inside."""
        space = runs.snapshots.space
        if self._network.boundary == "free" or not isinstance(space, Grid) or not space.inside:
            return "free", None
        mask = boundary_mask(space.shape)
        reference: Array | None = None
        for first in range(0, len(rows), _PIECE):
            frames = runs.read(rows[first : first + _PIECE])[0]
            reference = frames[0, 0] if reference is None else reference
            fixed = frames[:, :1] if stencil.residual else reference
            if not np.array_equal(np.broadcast_to(fixed, frames.shape)[..., mask], frames[..., mask]):
                return "free", None
        if reference is None or stencil.residual:
            return "fixed", np.zeros((stencil.channels, *space.shape))
        return "fixed", transfinite(reference, space.dim)
