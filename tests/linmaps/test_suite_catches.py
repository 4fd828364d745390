"""The conformance suite against maps that are broken on purpose: each must fail the check that is meant for it."""

import pytest
import torch
from torch import nn

from nwidth.linmaps import Dense
from nwidth.linmaps.base import Cost
from nwidth.testing.linmaps import LinearMapConformance


class DenseConformance(LinearMapConformance):
    kind = Dense

    def make(self):
        return self.kind(3, 4, dtype=torch.float64)

    def oracle(self, linear_map):
        return linear_map.real.detach().numpy()


class WrongAdjoint(Dense):
    def adjoint(self, y):
        return 1.001 * super().adjoint(y)


class ForgetsConjugation(Dense):
    def adjoint(self, y):
        return super().adjoint(y.conj())


class Redundant(Dense):
    """A scale beside entries that are free anyway."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        return self.scale * super().forward(x)


class Unused(Dense):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.spare = nn.Parameter(torch.ones(2, dtype=torch.float64))


class HiddenState(Dense):
    """Something that training changes and no parameter holds."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.calls = 0

    def forward(self, x):
        self.calls += self.training and torch.is_grad_enabled()
        return super().forward(x) * (1 + 1e-3 * self.calls)


class Buffer(Dense):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.register_buffer("mean", torch.zeros(()))


class RandomConstant(Dense):
    """A part drawn at random that a state dict does not hold."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.register_buffer("part", torch.randn(3, 4, dtype=torch.float64), persistent=False)

    def forward(self, x):
        return super().forward(x) + x @ self.part.T


class Offset(Dense):
    def forward(self, x):
        return super().forward(x) + 1e-6


class Detached(Dense):
    """Right values, wrong derivatives."""

    def forward(self, x):
        return super().forward(x) + (super().forward(x) - super().forward(x).detach())


class WrongCost(Dense):
    def cost(self, batch=1):
        flops, moved = super().cost(batch)
        return Cost(flops // 2, moved)


class CostOfOneSample(Dense):
    def cost(self, batch=1):
        return super().cost(1)


class SeesTheBatch(Dense):
    """Right on two to six samples."""

    def forward(self, x):
        return super().forward(x) * (1.0 if len(x) < 7 else 1.01)


class Double(Dense):
    def forward(self, x):
        return super().forward(x).double()


class BoundToTheProcessor(Dense):
    def forward(self, x):
        return super().forward(x) * torch.ones(3, device="cpu", dtype=x.dtype)


class AnyShape(Dense):
    def forward(self, x):
        return super().forward(x.reshape(-1, 4))


BROKEN = {
    "test_adjoint": (WrongAdjoint, ForgetsConjugation),
    "test_no_parameter_is_redundant": (Redundant,),
    "test_gradients": (Detached,),
    "test_agrees_with_the_oracle": (Unused, Offset, HiddenState, RandomConstant),
    "test_is_linear": (Offset,),
    "test_rebuilds_from_its_parameters_alone": (HiddenState, Buffer, RandomConstant),
    "test_cost_is_what_is_counted": (WrongCost, CostOfOneSample),
    "test_every_batch_size": (SeesTheBatch,),
    "test_single_precision": (Double,),
    "test_follows_its_device": (BoundToTheProcessor,),
    "test_refuses_another_shape": (AnyShape,),
}
PAIRS = [(check, kind) for check, kinds in BROKEN.items() for kind in kinds]


@pytest.mark.parametrize(("check", "kind"), PAIRS, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_each_is_caught(check, kind):
    suite = type("Suite", (DenseConformance,), {"kind": kind})()
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(suite, check)()


@pytest.mark.parametrize("check", BROKEN)
def test_the_sound_map_passes(check):
    getattr(DenseConformance(), check)()
