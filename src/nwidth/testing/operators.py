"""Conformance suite for neural operators: inherit, write one hook, and pytest runs every check.

    class TestMyOperator(OperatorConformance):
        def fitter(self, training):    # small: it is trained a few times
            return MyOperator(width=8, training=training)

The snapshots are fields on a grid with prescribed boundary values; `snapshots` may be overridden.
"""

import tempfile
from copy import deepcopy
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from nwidth.core.arrays import Array
from nwidth.core.tensors import to_tensor
from nwidth.io.model import load, save
from nwidth.operators.export import to_exported_program, to_onnx
from nwidth.operators.surrogate import NeuralSurrogate
from nwidth.problems.base import Problem
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.random_field import TwoValuedField
from nwidth.surrogates.base import Fitter
from nwidth.surrogates.training import Training


class OperatorConformance:
    """The checks; a subclass provides `fitter`."""

    #: Largest deviation that single precision excuses, relative to the largest value.
    tolerance: ClassVar[float] = 1e-5
    #: Cells per axis of other grids on which the surrogate must answer (odd and even); () where it cannot.
    resolutions: ClassVar[tuple[int, ...]] = (8, 11, 16, 19)
    #: Classes of one's own that a model file names.
    kinds: ClassVar[tuple[type, ...]] = ()
    #: Parameters that a gradient need not reach.
    unused: ClassVar[frozenset[str]] = frozenset()

    _trained: ClassVar[NeuralSurrogate | None] = None

    def fitter(self, training: Training) -> Fitter:
        """A small operator with these training settings."""
        raise TypeError(f"{type(self).__name__} must define fitter(training)")

    def snapshots(self) -> Snapshots:
        """A few runs: smoothed two-valued coefficients, times a bubble, with the value 2 on the boundary."""
        return smoothed_runs(12, 16)

    def problem(self) -> Problem | None:
        """What `fit` gets beside the snapshots."""
        return None

    def space_of(self, cells: int) -> FunctionSpace:
        """The space of the fields with so many cells per axis."""
        return Grid((cells, cells))

    def trained(self) -> NeuralSurrogate:
        """A surrogate after two epochs, the same for all checks of a class."""
        cls = type(self)
        if cls._trained is None or "_trained" not in cls.__dict__:
            cls._trained = self.fit(Training(epochs=2, batch=8))
        return cls._trained

    def fit(self, training: Training) -> NeuralSurrogate:
        """A surrogate of these runs."""
        surrogate = self.fitter(training).fit(self.snapshots(), self.problem(), seed=0)
        if not isinstance(surrogate, NeuralSurrogate):
            raise TypeError(f"fit returned a {type(surrogate).__name__}, not a NeuralSurrogate")
        return surrogate

    def test_equal_seeds_give_equal_answers(self) -> None:
        """Twice the same training, bit for bit."""
        mu = self.snapshots().mu
        again = self.fit(Training(epochs=2, batch=8)).predict(mu).field
        np.testing.assert_array_equal(again, self.trained().predict(mu).field)

    def test_samples_do_not_see_each_other(self) -> None:
        """A batch gives the answers of its samples one by one."""
        surrogate, mu = self.trained(), self.snapshots().mu
        whole = surrogate.predict(mu).field
        single = [surrogate.predict({name: values[i : i + 1] for name, values in mu.items()}).field for i in range(3)]
        _close(np.concatenate(single), whole[:3], self.tolerance)

    def test_gradients_reach_all_parameters(self) -> None:
        """Every parameter that is to be trained has a gradient, finite and not zero throughout."""
        surrogate = self.trained()
        module = deepcopy(surrogate.module).train()
        (module(self.input_of(surrogate)) ** 2).sum().backward()
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad or name.removeprefix("network.") in self.unused:
                continue
            _require(parameter.grad is not None, f"no gradient reaches {name}")
            slope = torch.zeros(1) if parameter.grad is None else parameter.grad
            _require(bool(torch.isfinite(slope).all()), f"the gradient of {name} is not finite")
            _require(bool((slope != 0).any()), f"the gradient of {name} is zero")

    def test_answers_on_other_grids(self) -> None:
        """`at(space)` answers on finer, coarser and odd grids."""
        for cells in self.resolutions:
            space = self.space_of(cells)
            surrogate = self.trained().at(space)
            found = surrogate.predict(surrogate.parameters.sample(range(2), seed=1)).field
            _require(found.shape == (2, *space.shape), f"{cells} cells: fields of shape {found.shape}")
            _require(bool(np.isfinite(found).all()), f"{cells} cells: fields that are not finite")

    def test_a_model_file_gives_the_same_answers(self) -> None:
        """Save and load, bit for bit."""
        surrogate, mu = self.trained(), self.snapshots().mu
        with tempfile.TemporaryDirectory() as folder:
            save(surrogate, Path(folder) / "model.nwidth")
            again = load(Path(folder) / "model.nwidth", kinds=self.kinds)
        np.testing.assert_array_equal(again.predict(mu).field, surrogate.predict(mu).field)

    def test_learns_in_double_precision(self) -> None:
        """`precision='float64'`: double parameters that a file keeps."""
        surrogate, mu = self.fit(Training(epochs=1, batch=8, precision="float64")), self.snapshots().mu
        kinds = {p.dtype for p in surrogate.module.network.parameters()}
        _require(kinds == {torch.float64}, f"parameters of type {kinds}")
        with tempfile.TemporaryDirectory() as folder:
            save(surrogate, Path(folder) / "model.nwidth")
            again = load(Path(folder) / "model.nwidth", kinds=self.kinds)
        np.testing.assert_array_equal(again.predict(mu).field, surrogate.predict(mu).field)

    def test_works_in_half_precision(self) -> None:
        """Training under autocast has finite losses; the network's answers under autocast are close to the others."""
        learned = self.fit(Training(epochs=1, batch=8, precision="bfloat16"))
        _require(bool(np.isfinite(learned.history.train).all()), "a loss that is not finite")
        surrogate = self.trained()
        x = self.input_of(surrogate)[:, : surrogate.module.channels[1]]
        with torch.no_grad():
            single = surrogate.module.raw(x)
            with torch.autocast("cpu", torch.bfloat16):
                half = surrogate.module.raw(x).float()
        off = float(torch.linalg.vector_norm(half - single) / torch.linalg.vector_norm(single))
        _require(off < 0.05, f"half precision changes the network's output by {off:.1%}")

    def test_torch_export(self) -> None:
        """`torch.export`, any batch."""
        to_exported_program(self.trained(), tol=self.tolerance)

    def test_onnx(self) -> None:
        """ONNX in onnxruntime, any batch."""
        with tempfile.TemporaryDirectory() as folder:
            to_onnx(self.trained(), Path(folder) / "model.onnx", tol=self.tolerance)

    def test_everything_is_on_one_device(self) -> None:
        """Forward and backward on a GPU, or on a device that stands for one; see `on_one_device`."""
        surrogate = self.trained()
        module, x = deepcopy(surrogate.module).train(), self.input_of(surrogate)
        on_one_device(module, x)

    def input_of(self, surrogate: NeuralSurrogate) -> Tensor:
        """What the module sees for two samples."""
        mu = {name: values[:2] for name, values in self.snapshots().mu.items()}
        x = surrogate.encoding.inputs(mu, surrogate.encoding.grid_of(surrogate.space))
        lift = surrogate.boundary_values(mu)
        if lift is not None:
            x = np.concatenate([x, lift.reshape(2, -1) if x.ndim == 2 else lift], axis=1)
        return to_tensor(x)


def on_one_device(module: nn.Module, x: Tensor) -> None:
    """Run a module elsewhere than on the default device. Raises AssertionError where a tensor stayed behind.

    With a GPU, forward and backward run on it. Without one, tensors without values on torch's 'meta' device stand for
    those on a GPU: they refuse to meet tensors of the default device.
    """
    module(x)  # what is prepared once for a grid is prepared now, with values
    if torch.cuda.is_available():
        y = module.to("cuda")(x.to("cuda"))
        _require(y.device.type == "cuda", f"the output is on {y.device}")
        y.sum().backward()
        return
    with FakeTensorMode(allow_non_fake_inputs=True):
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        state = {name: _elsewhere(tensor) for name, tensor in tensors.items()}
        try:
            with patch.object(
                torch, "is_autocast_enabled", lambda device_type=None: False
            ):  # refuses to say for 'meta'
                y = torch.func.functional_call(module, state, (_elsewhere(x),))
                y.sum().backward()
        except RuntimeError as error:
            raise AssertionError(f"a tensor stayed on the default device: {error}") from error
    _require(y.device.type == "meta", f"the output is on {y.device}, the input elsewhere")
    stayed = [name for name, t in state.items() if t.grad is not None and t.grad.device.type != "meta"]
    _require(not stayed, f"gradients on another device than their parameters: {stayed}")


def _elsewhere(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)


def smoothed_runs(cells: int, count: int) -> Snapshots:
    """Smoothed two-valued coefficients times a bubble, 2 on the boundary: cheap runs with fields in and out."""
    parameters, grid = TwoValuedField(resolution=cells), Grid((cells, cells))
    mu = parameters.sample(range(count), 0)
    x = np.linspace(0, 1, cells + 1)
    weight = np.exp(-20 * (x[:, None] - x) ** 2) / cells
    smooth = np.einsum("ij,bjk,kl->bil", weight, mu["a"] / 12, weight)
    bubble = x * (1 - x)
    return Snapshots(parameters, grid, mu, 2.0 + smooth * np.outer(bubble, bubble))


def _close(found: Array, expected: Array, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * float(np.abs(expected).max()))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
