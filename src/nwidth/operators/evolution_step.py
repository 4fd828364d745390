"""One step in time by a network, and several of them for training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from nwidth.operators.module import OperatorModule


@dataclass(frozen=True)
class Stencil:
    """What a network sees and answers: `u(t + τ) = u(t) + (τ / step) N(x)`, or `N(x)` itself without `residual`.

    Its input x `(B, C_in, *grid)` holds, in this order, the last `window` frames (oldest first, `channels` each), the
    other parameters, τ where `lead`, and t where `clock`. `step` is the reference length of τ, and all of them where
    `lead` is off.
    """

    window: int
    channels: int
    residual: bool
    step: float
    lead: bool
    clock: bool

    @property
    def past(self) -> int:
        """Channels of the frames."""
        return self.window * self.channels

    @property
    def constants(self) -> int:
        """Constant channels at the end."""
        return int(self.lead) + int(self.clock)

    def last(self, x: Tensor) -> Tensor:
        """The state u(t) that a step starts from, `(B, channels, *grid)`."""
        return x[:, self.past - self.channels : self.past]

    def lengths(self, x: Tensor) -> Tensor | float:
        """τ / step of every sample, ready to multiply fields with."""
        return x[:, x.shape[1] - self.constants][:, None] / self.step if self.lead else 1.0

    def shifted(self, x: Tensor, u: Tensor) -> Tensor:
        """The input of the next step: u is the newest frame, the clock has advanced."""
        tail = x[:, self.past :]
        if self.clock:
            now = tail[:, -1:] + (tail[:, -2:-1] if self.lead else self.step)
            tail = torch.cat([tail[:, :-1], now], dim=1)
        return torch.cat([x[:, self.channels : self.past], u, tail], dim=1)

    def to_config(self) -> dict[str, Any]:
        """For a model file."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """From a model file."""
        return cls(**config)


class Unrolled(nn.Module):
    """`steps` steps of an operator from the true past: `(B, C_in, *grid)` to `(B, steps · channels, *grid)`.

    `pushforward`: only the last step is answered and differentiated, the earlier ones make its input as wrong as the
    network's own answers are (Brandstetter, Worrall, Welling 2022, section 3.1). `noise`: in training, the frames of
    the past get white noise of this part of their deviation, and the target stays the true one, so that errors are
    damped (Sanchez-Gonzalez et al. 2020, section 4.3).
    """

    def __init__(
        self, operator: OperatorModule, stencil: Stencil, steps: int = 1, pushforward: bool = False, noise: float = 0.0
    ):
        super().__init__()
        self.operator, self.stencil, self.steps = operator, stencil, steps
        self.pushforward, self.noise = pushforward, noise

    def forward(self, x: Tensor) -> Tensor:
        """The next frames."""
        if self.training and self.noise:
            x = self._disturbed(x)
        if self.pushforward:
            with torch.no_grad():
                for _ in range(self.steps - 1):
                    x = self.stencil.shifted(x, self.step(x))
            return self.step(x)
        frames = [self.step(x)]
        for _ in range(self.steps - 1):
            x = self.stencil.shifted(x, frames[-1])
            frames.append(self.step(x))
        return torch.cat(frames, dim=1)

    def step(self, x: Tensor) -> Tensor:
        """The frame after the window in x."""
        answer: Tensor = self.operator(x)
        if not self.stencil.residual:
            return answer
        return self.stencil.last(x) + self.stencil.lengths(x) * answer

    def _disturbed(self, x: Tensor) -> Tensor:
        past = self.stencil.past
        deviation = self.operator.standardise.deviation[:past].to(x)
        scale = self.noise * deviation.view(-1, *(1,) * (x.ndim - 2))
        return torch.cat([x[:, :past] + scale * torch.randn_like(x[:, :past]), x[:, past:]], dim=1)
