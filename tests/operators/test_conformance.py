"""Every operator of the package passes the public conformance suite."""

import pytest
import torch
from tests.operators.conftest import poisson_runs
from torch import Tensor, nn

import nwidth as nw
from nwidth.operators import OperatorFitter, StorableModule
from nwidth.problems.poisson import Poisson
from nwidth.testing.operators import OperatorConformance


class Checked(OperatorConformance):
    """The suite with the exports, which take seconds each, in the slow tier."""

    @pytest.mark.slow
    def test_onnx(self):
        super().test_onnx()

    @pytest.mark.slow
    def test_torch_export(self):
        super().test_torch_export()

    @pytest.mark.slow
    def test_works_in_half_precision(self):
        super().test_works_in_half_precision()


class TestFNO(Checked):
    def fitter(self, training):
        return nw.operators.FNO(modes=4, width=8, layers=2, training=training)


class TestFFNO(Checked):
    def fitter(self, training):
        return nw.operators.FFNO(modes=4, width=8, layers=2, training=training)


class TestIFNO(Checked):
    def fitter(self, training):
        return nw.operators.IFNO(modes=4, width=8, steps=3, training=training)


class TestTFNO(Checked):
    def fitter(self, training):
        return nw.operators.TFNO(modes=4, width=8, layers=2, training=training)


class TestMGTFNO(Checked):
    def fitter(self, training):
        return nw.operators.MGTFNO(modes=3, width=8, layers=2, training=training)


class TestMgNO(Checked):
    def fitter(self, training):
        return nw.operators.MgNO(width=4, layers=2, training=training)


class TestUNet(Checked):
    def fitter(self, training):
        return nw.operators.UNet(width=4, levels=2, training=training)


class TestDeepONet(Checked):
    resolutions = ()

    def fitter(self, training):
        return nw.operators.DeepONet(training=training)


class TestPODDeepONet(Checked):
    """Two numbers in; from fields, its regression would meet these few runs exactly and leave nothing to learn."""

    resolutions = ()

    def snapshots(self):
        return poisson_runs(Poisson(12), 24)

    def problem(self):
        return Poisson(12)

    def fitter(self, training):
        return nw.operators.PODDeepONet(training=training)


class Net(StorableModule):
    """A user's own module."""

    kind = "tests-net"

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def config(self) -> dict:
        return {"width": self.width}


class TestWrapped(Checked):
    kinds = (Net,)

    def fitter(self, training):
        torch.manual_seed(0)
        return nw.wrap(Net(4), training)


def test_every_operator_is_checked():
    """A new operator appears here as well."""
    fitters = {name for name in nw.operators.__all__ if _is_fitter(getattr(nw.operators, name))}
    checked = {cls.__name__.removeprefix("Test") for cls in Checked.__subclasses__()}
    assert fitters <= checked


def _is_fitter(value):
    return isinstance(value, type) and issubclass(value, OperatorFitter) and value is not OperatorFitter


class Stray(Net):
    """Adds a tensor that no `.to(device)` moves, has a parameter that does nothing, and mixes its samples."""

    kind = "tests-stray"

    def __init__(self, width: int, fault: str):
        super().__init__(width)
        self.fault, self.level = fault, torch.ones(1, 1, 1, 1)
        self.idle = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.fault == "device":
            return y + self.level
        return y + y.mean(dim=0, keepdim=True) if self.fault == "batch" else y

    def config(self) -> dict:
        return {"width": self.width, "fault": self.fault}


@pytest.mark.parametrize(
    ("fault", "check", "said"),
    [
        ("device", "test_everything_is_on_one_device", "stayed on the default device"),
        ("gradient", "test_gradients_reach_all_parameters", "no gradient reaches network.idle"),
        ("batch", "test_samples_do_not_see_each_other", "Not equal to tolerance"),
    ],
)
def test_the_suite_catches(fault, check, said):
    class Suite(OperatorConformance):
        kinds = (Stray,)

        def fitter(self, training):
            torch.manual_seed(0)
            return nw.wrap(Stray(4, fault), training)

    with pytest.raises(AssertionError, match=said):
        getattr(Suite(), check)()
