"""The steps of ETDRK4 in torch: the same code, and the same answers, on the processor and on a graphics card."""

from dataclasses import astuple
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.core.tensors import to_array
from nwidth.problems.evolution import Semilinear
from nwidth.solvers.phi import etdrk4_coefficients

_REAL = {"float32": torch.float32, "float64": torch.float64}
_COMPLEX = {"float32": torch.complex64, "float64": torch.complex128}
#: Steps between two looks at whether any sample is still finite: a look waits for the device.
_LOOK = 64


class State(NamedTuple):
    """Fourier coefficients `(B, *modes)` and the nonlinear term there, which the next step starts from."""

    u: Tensor
    n: Tensor


class Advance(NamedTuple):
    """Where some steps have led: the state, how many steps of each sample were finite `(B,)`, and the defect of the
    last step `(B,)`, relative to the state: a cheap measure of the step's error that needs no second run."""

    state: State
    finite: Array
    defect: Real


class Stepper:
    """A semilinear problem on the modes that its product leaves free of aliasing.

    Along the last direction only these modes are kept, along the others the rest is set to zero. Factors of a step
    length are computed at its first use and kept here.
    """

    def __init__(self, problem: Semilinear, precision: str, device: str):
        self.grid = problem.grid
        self._real, self._complex = _REAL[precision], _COMPLEX[precision]
        self._device = _device(device)
        waves = self.grid.wave_numbers()
        degree = problem.terms(tuple(k[..., :1] for k in waves)).degree
        kept = [(n - 1) // (degree + 1) for n in self.grid.cells]
        self._width = kept[-1] + 1
        waves = (*waves[:-1], waves[-1][..., : self._width])
        terms = problem.terms(waves)
        self._shape = np.broadcast_shapes(*(k.shape for k in waves))
        self._alive = self._mask(kept)
        self._symbol = np.broadcast_to(terms.symbol, self._shape)
        self._product = terms.product
        self._inputs = [None if m is None else self._multiplier(m) for m in terms.inputs]
        self._outputs = [self._multiplier(m) for m in terms.outputs]
        self._forcing = None if terms.forcing is None else self._multiplier(terms.forcing)
        self._weight = torch.full((self._width,), 2.0, dtype=self._real, device=self._device)
        self._weight[0] = 1.0  # the other half of the modes is the conjugate of this one
        self._steps: dict[float, tuple[Tensor, ...]] = {}
        self._lead = tuple(range(-self.grid.dim, -1))

    @torch.inference_mode()
    def start(self, fields: Real) -> State:
        """The state of fields `(B, *grid.shape)`."""
        values = torch.from_numpy(np.ascontiguousarray(fields, dtype=np.float64)).to(self._device, self._real)
        u = self._forward(values) * self._multiplier(np.ones(self._shape))
        return State(u, self._nonlinear(u))

    @torch.inference_mode()
    def thinned(self, state: State, shape: tuple[int, ...]) -> Real:
        """Values at the points of a coarser grid, `(B, *shape)`, float64."""
        fields = self._inverse(state.u)
        for axis, (n, m) in enumerate(zip(self.grid.cells, shape, strict=True), start=1):
            fields = fields.index_select(axis, torch.arange(0, n, n // m, device=fields.device))
        return to_array(fields)

    @torch.inference_mode()
    def advance(self, state: State, length: float, steps: int) -> Advance:
        """The state after `steps` equal steps that cover `length`."""
        factors = self._factors(length / steps)
        u, n = state
        finite = torch.zeros(len(u), dtype=torch.int64, device=self._device)
        alive = torch.isfinite(n.reshape(len(n), -1)[:, 0])
        last = n
        for step in range(1, steps + 1):
            u, last = self._step(u, n, factors)
            n = self._nonlinear(u)
            alive &= torch.isfinite(u.reshape(len(u), -1)[:, 0].real)
            finite += alive
            if step % _LOOK == 0 and not bool(alive.any()):
                break
        defect = self._size(self._parts(n - last) * factors[5]) / self._size(self._parts(u))
        return Advance(State(u, n), finite.cpu().numpy(), defect.double().cpu().numpy())

    @torch.inference_mode()
    def distance(self, one: State, other: State) -> Real:
        """`‖u - v‖ / ‖v‖` in L², `(B,)`."""
        difference = self._size(self._parts(one.u - other.u))
        return (difference / self._size(self._parts(other.u))).double().cpu().numpy()

    @torch.inference_mode()
    def rate(self, state: State) -> float:
        """The largest `‖N(u)‖ / ‖u‖` of the batch: one over the time in which something happens."""
        sizes = self._size(self._parts(state.n)) / self._size(self._parts(state.u))
        return float(torch.nan_to_num(sizes, nan=0.0, posinf=0.0).max())

    def _step(self, u: Tensor, n: Tensor, factors: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """One step from u with N(u) = n: the new u, and the nonlinear term of the last stage."""
        full, half, stage, first, middle, last = factors
        v, n1 = self._parts(u), self._parts(n)
        decayed = half * v
        a = torch.addcmul(decayed, stage, n1)
        n2 = self._parts(self._nonlinear(self._whole(a)))
        n3 = self._parts(self._nonlinear(self._whole(torch.addcmul(decayed, stage, n2))))
        a.mul_(half).addcmul_(stage, torch.sub(n3, n1, alpha=0.5), value=2)
        n4 = self._nonlinear(self._whole(a))
        new = torch.mul(full, v).addcmul_(first, n1).addcmul_(middle, n2.add_(n3)).addcmul_(last, self._parts(n4))
        return self._whole(new), n4

    def _nonlinear(self, u: Tensor) -> Tensor:
        fields = [self._inverse(u if m is None else m * u) for m in self._inputs]
        products = self._product(*fields)
        total = None
        for multiplier, product in zip(self._outputs, products, strict=True):
            part = self._forward(product)
            total = part.mul_(multiplier) if total is None else total.addcmul_(part, multiplier)
        if total is None:
            total = torch.zeros_like(u)
        return total if self._forcing is None else total.add_(self._forcing)

    def _inverse(self, u: Tensor) -> Tensor:
        lines = torch.fft.ifftn(u, dim=self._lead, norm="forward") if self._lead else u
        return torch.fft.irfft(lines, n=self.grid.cells[-1], dim=-1, norm="forward")

    def _forward(self, values: Tensor) -> Tensor:
        lines = torch.fft.rfft(values, dim=-1, norm="forward")[..., : self._width]
        return torch.fft.fftn(lines, dim=self._lead, norm="forward") if self._lead else lines.contiguous()

    def _factors(self, h: float) -> tuple[Tensor, ...]:
        if h not in self._steps:
            values = astuple(etdrk4_coefficients(self._symbol, h))
            self._steps[h] = tuple(self._factor(v) for v in values)
        return self._steps[h]

    def _factor(self, values: Array) -> Tensor:
        values = np.where(self._alive, values, 0.0)
        if np.iscomplexobj(values):
            return torch.from_numpy(values).to(self._device, self._complex)
        # real and imaginary parts are scaled alike: a real product costs half of a complex one
        pairs = np.repeat(values[..., None], 2, axis=-1)
        return torch.from_numpy(pairs).to(self._device, self._real)

    def _multiplier(self, values: Array) -> Tensor:
        values = np.where(self._alive, np.broadcast_to(values, self._shape), 0.0).astype(np.complex128)
        return torch.from_numpy(values).to(self._device, self._complex)

    def _parts(self, u: Tensor) -> Tensor:
        return u if np.iscomplexobj(self._symbol) else torch.view_as_real(u)

    def _whole(self, parts: Tensor) -> Tensor:
        return parts if np.iscomplexobj(self._symbol) else torch.view_as_complex(parts)

    def _size(self, parts: Tensor) -> Tensor:
        """The L² norm of each sample (mean square over the torus), `(B,)`, of what `_parts` gives."""
        squares = parts.abs().square() if parts.is_complex() else parts.square().sum(-1)
        return (squares.flatten(1, -2).sum(1) if squares.ndim > 2 else squares).matmul(self._weight).sqrt()

    def _mask(self, kept: list[int]) -> Mask:
        """The modes |k_d| <= kept_d."""
        alive = np.ones(self._shape, dtype=bool)
        for axis, (n, most) in enumerate(zip(self.grid.cells[:-1], kept[:-1], strict=True)):
            index = np.abs(np.fft.fftfreq(n, 1 / n)).round() <= most
            alive &= index.reshape([-1 if d == axis else 1 for d in range(len(self._shape))])
        return alive


def _device(name: str) -> torch.device:
    """The device of that name. Raises InputError where it is not there."""
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {name!r} was asked for and no CUDA device is here; use device='cpu'")
    return device
