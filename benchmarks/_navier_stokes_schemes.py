"""The scheme behind the published Navier-Stokes data, written anew: forward Euler for the nonlinear term and the force,
Crank-Nicolson for the viscosity, five transforms of the grid in each step.

    (1 + h/2 ν|k|²) ŵ⁺ = (1 - h/2 ν|k|²) ŵ + h (f̂ - P F[v·∇w]),   P: the box |k_d| <= 2/3 k_max
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


class EulerCrankNicolson(ABC):
    """Steps of length h on n² points with viscosity ν; fields `(n, n)`."""

    def __init__(self, n: int, viscosity: float, h: float, dtype: torch.dtype = torch.float32):
        self.n, self.h, self.dtype = n, h, dtype
        k0, k1 = self.wave_numbers()
        k2 = k0**2 + k1**2
        self.inverse = torch.where(k2 > 0, 1 / k2.clamp(min=1.0), 0.0).to(dtype)
        kept = 2 / 3 * (2 * math.pi) * (n // 2)
        self.mask = ((k0.abs() <= kept) & (k1.abs() <= kept)).to(dtype)
        self.d0, self.d1 = ((1j * k).to(_COMPLEX[dtype]) for k in (k0, k1))
        self.explicit = (1 - 0.5 * h * viscosity * k2).to(dtype)
        self.implicit = (1 + 0.5 * h * viscosity * k2).to(dtype)
        x = torch.arange(n, dtype=torch.float64) / n
        angle = 2 * math.pi * (x[:, None] + x)
        self.force = self.transform((0.1 * (angle.sin() + angle.cos())).to(dtype))

    @abstractmethod
    def wave_numbers(self) -> tuple[Tensor, Tensor]:
        """Angular wave numbers of both directions, float64, of the shape of the coefficients."""

    @abstractmethod
    def transform(self, field: Tensor) -> Tensor:
        """Coefficients of a field."""

    @abstractmethod
    def field(self, coefficients: Tensor) -> Tensor:
        """The field of coefficients."""

    @abstractmethod
    def step(self, w: Tensor) -> Tensor:
        """Coefficients one step later."""

    def run(self, w: Tensor, steps: int) -> Tensor:
        """Coefficients some steps later."""
        for _ in range(steps):
            w = self.step(w)
        return w


class AsPublished(EulerCrankNicolson):
    """Complex transforms of real fields, one at a time, as in the published script."""

    def wave_numbers(self) -> tuple[Tensor, Tensor]:
        k = 2 * math.pi * torch.fft.fftfreq(self.n, 1 / self.n, dtype=torch.float64)
        return k[:, None].expand(self.n, self.n), k.expand(self.n, self.n)

    def transform(self, field: Tensor) -> Tensor:
        return torch.fft.fft2(field)

    def field(self, coefficients: Tensor) -> Tensor:
        return torch.fft.ifft2(coefficients).real

    def step(self, w: Tensor) -> Tensor:
        psi = w * self.inverse
        v0, v1 = self.field(self.d1 * psi), self.field(-self.d0 * psi)
        w0, w1 = self.field(self.d0 * w), self.field(self.d1 * w)
        advection = self.mask * self.transform(v0 * w0 + v1 * w1)
        return (self.explicit * w - self.h * advection + self.h * self.force) / self.implicit


class WithRealTransforms(EulerCrankNicolson):
    """The same steps with real transforms, all fields in one call, and every constant computed beforehand."""

    def __init__(self, n: int, viscosity: float, h: float, dtype: torch.dtype = torch.float32):
        super().__init__(n, viscosity, h, dtype)
        complex_type = _COMPLEX[dtype]
        self.to_fields = torch.stack([self.d1 * self.inverse, -self.d0 * self.inverse, self.d0, self.d1])
        self.keep = (self.explicit / self.implicit).to(complex_type)
        self.advect = (-h * self.mask / self.implicit).to(complex_type)
        self.push = h * self.force / self.implicit

    def wave_numbers(self) -> tuple[Tensor, Tensor]:
        k0 = 2 * math.pi * torch.fft.fftfreq(self.n, 1 / self.n, dtype=torch.float64)
        k1 = 2 * math.pi * torch.fft.rfftfreq(self.n, 1 / self.n, dtype=torch.float64)
        return k0[:, None].expand(self.n, len(k1)), k1.expand(self.n, len(k1))

    def transform(self, field: Tensor) -> Tensor:
        return torch.fft.rfft2(field)

    def field(self, coefficients: Tensor) -> Tensor:
        return torch.fft.irfft2(coefficients, s=(self.n, self.n))

    def step(self, w: Tensor) -> Tensor:
        v0, v1, w0, w1 = self.field(self.to_fields * w)
        advection = self.transform(v0.mul_(w0).addcmul_(v1, w1))
        return torch.addcmul(self.push, self.keep, w).addcmul_(self.advect, advection)
