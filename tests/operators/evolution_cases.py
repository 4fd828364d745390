"""The heat equation on a periodic line, where every step is known, and a network that takes exactly this step."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from nwidth.operators.architecture import Architecture, OperatorFitter
from nwidth.operators.fitting import BoundaryChoice
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.torus import Torus
from nwidth.surrogates.training import Training

POINTS, TAU = 24, 0.1


def heated(u0, nu, times):
    """`u(t) = Σ exp(-ν k² t) û0 e^{ikx}` at times `(T,)` for viscosities `(B,)`: `(B, T, n)`."""
    k = 2 * np.pi * np.fft.rfftfreq(u0.shape[1], 1 / u0.shape[1])
    factors = np.exp(-np.asarray(nu)[:, None, None] * k**2 * np.asarray(times)[None, :, None])
    return np.fft.irfft(factors * np.fft.rfft(u0)[:, None], n=u0.shape[1])


def heat_runs(count, seed=0, times=None, nu=None, points=POINTS, forced=False):
    """Runs from random initial states; `nu=None`: ν = 0.02 for all, else a range, and ν is a parameter.

    `forced`: sin t is added to all values, the effect of heating with cos t everywhere.
    """
    times = TAU * np.arange(1, 6) if times is None else np.asarray(times, dtype=float)
    field_set = PeriodicField("u0", points, sigma=25.0, modes=5, dim=1)
    box = None if nu is None else Box(("nu",), low=(nu[0],), high=(nu[1],))
    parameters = field_set if box is None else Joint((box, field_set))
    mu = parameters.sample(range(count), seed)
    rates = np.full(count, 0.02) if box is None else np.asarray(mu["nu"]).reshape(count)
    fields = heated(mu["u0"], rates, times) + forced * np.sin(times)[:, None]
    return Snapshots(parameters, Torus((points,)), mu, fields, times=times)


def relative(a, b):
    """Relative L² errors over the last axis."""
    return np.linalg.norm(a - b, axis=-1) / np.linalg.norm(b, axis=-1)


class Exact(nn.Module):
    """The heat flow over τ, from the newest frame of the window; ν, τ and t come from channels, or are fixed.

    `oldest`: over `window` τ, from the oldest frame.
    """

    def __init__(self, window, residual, nu, lead, clock, oldest=False):
        super().__init__()
        self.window, self.residual, self.nu, self.lead, self.clock = window, residual, nu, lead, clock
        self.oldest = oldest
        self.gain = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x):
        n = x.shape[-1]
        k = 2 * torch.pi * torch.fft.rfftfreq(n, 1 / n, dtype=x.dtype)
        tau = x[:, -1 - self.clock :, :1][:, :1] if self.lead else TAU
        nu = x[:, self.window : self.window + 1, :1] if self.nu else 0.02
        u = x[:, self.window - 1 : self.window]
        begin, steps = (x[:, :1], self.window) if self.oldest else (u, 1)
        later = torch.fft.irfft(torch.exp(-nu * k**2 * tau * steps) * torch.fft.rfft(begin), n=n)
        if self.clock:
            now = x[:, -1:, :1]
            later = later + torch.sin(now + tau) - torch.sin(now)
        return self.gain * ((later - u) * (TAU / tau) if self.residual else later)


@dataclass(frozen=True)
class ExactArchitecture(Architecture):
    """The exact step as an architecture."""

    kind: ClassVar[str] = "exact-heat"

    window: int
    residual: bool
    nu: bool
    lead: bool
    clock: bool
    oldest: bool

    def build(self, frame):
        return Exact(self.window, self.residual, self.nu, self.lead, self.clock, self.oldest)

    def piece(self, grid):
        return 3


@dataclass(frozen=True)
class ExactStep(OperatorFitter):
    """A fitter of the exact step; with no epochs it stays exact."""

    window: int = 1
    residual: bool = True
    nu: bool = False
    lead: bool = False
    clock: bool = False
    oldest: bool = False
    boundary: BoundaryChoice = "auto"
    training: Training = field(default_factory=lambda: Training(epochs=0, precision="float64"))

    def architecture(self, frame):
        return ExactArchitecture(self.window, self.residual, self.nu, self.lead, self.clock, self.oldest)


def unscaled(surrogate):
    """The surrogate with physical values going into its network, and coming out."""
    module = surrogate.module
    module.standardise.mean.zero_(), module.standardise.deviation.fill_(1.0)
    module.scale.fill_(1.0), module.shift.zero_()
    return surrogate
