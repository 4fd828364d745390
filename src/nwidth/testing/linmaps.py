"""Conformance suite for linear maps: inherit, write two hooks, and pytest runs every check.

    class TestMyMap(LinearMapConformance):
        def make(self):            # a small map in float64 with fresh random parameters
            return MyMap(...)
        def oracle(self, linear_map):   # its matrix (N_out, N_in), computed from the parameters in another way
            ...

Everything is checked on fresh parameters and again after a training step.
"""

from collections.abc import Iterator
from math import prod
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nwidth.core.arrays import Array
from nwidth.linmaps.base import Cost, LinearMap
from nwidth.linmaps.convert import to_dense

_PRODUCTS = {"aten.mm.default": 0, "aten.bmm.default": 0, "aten.addmm.default": 1, "aten.baddbmm.default": 1}
_CONVOLUTIONS = ("aten.convolution.default", "aten.mkldnn_convolution.default", "aten.cudnn_convolution.default")


class ProductCounter(TorchDispatchMode):
    """Counts the operations of products inside `with ProductCounter() as counter`, and the bytes that they move.

    Products are those of matrices, convolutions (also transposed), and the entries of sparse matrices that are added
    into a result (`index_add`); a multiplication with its addition is 2 operations.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cost = Cost(0, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, then do."""
        result = func(*args, **(kwargs or {}))
        name = str(func)
        if name in _PRODUCTS:
            left, right = args[_PRODUCTS[name] : _PRODUCTS[name] + 2]
            self.cost += Cost(2 * left.numel() * right.shape[-1], _bytes(left, right, result))
        elif name in _CONVOLUTIONS:
            x, weight = args[:2]
            transposed = name == _CONVOLUTIONS[0] and args[6]
            # every entry of the kernel meets each point of the side without the stride
            points = (x if transposed else result).shape
            self.cost += Cost(2 * points[0] * prod(points[2:]) * weight.numel(), _bytes(x, weight, result))
        elif name == "aten.index_add.default":
            self.cost += Cost(2 * args[3].numel(), _bytes(args[3], result))
        return result


class LinearMapConformance:
    """The checks; a subclass provides `make` and `oracle`."""

    #: Largest relative deviation from the oracle, in float64.
    tolerance = 1e-12
    #: Largest deviation in float32, relative to the largest sum of absolute entries in a row.
    single_tolerance = 1e-5
    #: Numbers among the parameters that change nothing: 0 unless the kind documents an exact gauge freedom.
    gauge = 0
    #: Whether a batch of no samples must be answered by one.
    empty_batches = False
    #: False for a kind whose work is not matrix products (an FFT).
    counted = True

    def make(self) -> LinearMap:
        """A small map in float64 with fresh random parameters."""
        raise TypeError(f"{type(self).__name__} must define make()")

    def oracle(self, linear_map: LinearMap) -> Array:
        """The matrix `(N_out, N_in)`, computed from the parameters without the code under test."""
        raise TypeError(f"{type(self).__name__} must define oracle()")

    def states(self) -> Iterator[LinearMap]:
        """The map as made, and after a step of training."""
        torch.manual_seed(0)
        linear_map = self.make()
        yield linear_map
        if not list(linear_map.parameters()):
            return  # nothing to train
        before = [p.detach().clone() for p in linear_map.parameters()]
        optimiser = torch.optim.AdamW(linear_map.parameters(), lr=0.1)
        (linear_map(self.draw(linear_map, side=1)) - 1).abs().square().sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        moved = all(bool((p != q).any()) for p, q in zip(linear_map.parameters(), before, strict=True))
        _require(moved, "a training step left a parameter as it was: is it used in forward?")
        yield linear_map

    def draw(self, linear_map: LinearMap, side: int, batch: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
        """Random batch for the output (side 0) or the input (side 1)."""
        return torch.randn(batch, *linear_map.shape[side], dtype=dtype)

    def test_agrees_with_the_oracle(self) -> None:
        """`forward` is the oracle's matrix, for several samples at once."""
        for linear_map in self.states():
            matrix = self.oracle(linear_map)
            with torch.no_grad():
                _close(to_dense(linear_map).numpy(), matrix, self.tolerance)
                x = self.draw(linear_map, side=1)
                _close(linear_map(x).reshape(3, -1).numpy(), x.reshape(3, -1).numpy() @ matrix.T, self.tolerance)

    def test_complex_input(self) -> None:
        """Complex input gives the matrix product too."""
        for linear_map in self.states():
            x = self.draw(linear_map, side=1, dtype=torch.complex128)
            y = linear_map(x).detach().reshape(3, -1).numpy()
            _close(y, x.reshape(3, -1).numpy() @ self.oracle(linear_map).T, self.tolerance)

    def test_adjoint(self) -> None:
        """<A x, y> = <x, Aᴴ y> for real and complex vectors."""
        for linear_map in self.states():
            for dtype in (torch.float64, torch.complex128):
                x, y = (self.draw(linear_map, side, dtype=dtype).requires_grad_(False) for side in (1, 0))
                with torch.no_grad():
                    left = _inner(linear_map(x), y)
                    right = _inner(x, linear_map.adjoint(y))
                _close(right, left, 10 * self.tolerance)

    def test_gradients(self) -> None:
        """Derivatives by input and parameters against central differences."""
        for linear_map in self.states():
            weight = self.draw(linear_map, side=0)

            def loss(x: Tensor, *_: Tensor, linear_map: LinearMap = linear_map, weight: Tensor = weight) -> Tensor:
                y = linear_map(x)
                return ((y.real + y.imag if y.is_complex() else y) * weight).square().sum()

            x = self.draw(linear_map, side=1).requires_grad_()
            _require(torch.autograd.gradcheck(loss, (x, *linear_map.parameters())), "gradcheck failed")

    def test_rebuilds_from_its_parameters_alone(self) -> None:
        """Another instance with the same parameters is the same map; nothing else is state."""
        for linear_map in self.states():
            state = linear_map.state_dict()
            _require(
                set(state) == {name for name, _ in linear_map.named_parameters()},
                f"state {sorted(state)} holds more than the parameters",
            )
            again = self.make()
            again.load_state_dict({name: value.clone() for name, value in state.items()})
            np.testing.assert_array_equal(to_dense(again).detach().numpy(), to_dense(linear_map).detach().numpy())

    def test_no_parameter_is_redundant(self) -> None:
        """The matrix depends on every direction in parameter space: its Jacobian has full rank (up to `gauge`).

        The rank is that of as many random combinations of its rows as there are parameters, and a few more.
        """
        for linear_map in self.states():
            parameters = list(linear_map.parameters())
            _require(all(not p.is_complex() for p in parameters), "parameters must be real")
            count = sum(p.numel() for p in parameters)
            if not count:
                continue
            matrix = to_dense(linear_map)
            entries = (torch.view_as_real(matrix) if matrix.is_complex() else matrix).flatten()
            rows = []
            for _ in range(count + 8):
                weights = torch.randn_like(entries) / len(entries) ** 0.5
                found = torch.autograd.grad(entries, parameters, weights, retain_graph=True, allow_unused=True)
                pairs = zip(parameters, found, strict=True)
                rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs]))
            rank = int(torch.linalg.matrix_rank(torch.stack(rows), rtol=1e-9))
            _require(rank == count - self.gauge, f"{count} parameters, but only {rank} independent directions")

    def test_cost_is_what_is_counted(self) -> None:
        """`cost` against the products that are executed."""
        if not self.counted:
            return
        linear_map = self.make()
        for batch in (1, 5):
            x = self.draw(linear_map, side=1, batch=batch)
            with torch.no_grad(), ProductCounter() as counter:
                linear_map(x)
            _require(counter.cost == linear_map.cost(batch), f"counted {counter.cost}, cost() {linear_map.cost(batch)}")

    def test_every_batch_size(self) -> None:
        """Samples do not see each other: a batch is its samples one by one."""
        linear_map = self.make()
        with torch.no_grad():
            for apply, side in ((linear_map, 1), (linear_map.adjoint, 0)):
                x = self.draw(linear_map, side, batch=7)
                alone = torch.cat([apply(sample[None]) for sample in x])
                _close(apply(x).numpy(), alone.numpy(), self.tolerance)
                if not self.empty_batches:
                    continue
                empty = tuple(apply(x[:0]).shape)
                _require(empty == (0, *linear_map.shape[1 - side]), f"a batch of 0 samples became a tensor {empty}")

    def test_is_linear(self) -> None:
        """`A (a x + b y) = a A x + b A y`, from the same map twice: nothing is remembered between calls."""
        for linear_map in self.states():
            x, y = self.draw(linear_map, side=1), self.draw(linear_map, side=1)
            with torch.no_grad():
                together = linear_map(2 * x - 3 * y)
                _close(together.numpy(), (2 * linear_map(x) - 3 * linear_map(y)).numpy(), 10 * self.tolerance)

    def test_single_precision(self) -> None:
        """The map in float32 is the map up to the rounding of float32, and so is its adjoint."""
        double, single = self.make(), self.make()
        single.load_state_dict(double.state_dict())
        single.to(torch.float32)
        with torch.no_grad():
            for name, side in (("forward", 1), ("adjoint", 0)):
                x = self.draw(double, side)
                expected, found = getattr(double, name)(x), getattr(single, name)(x.float())
                kept = found.dtype in (torch.float32, torch.complex64)
                _require(kept, f"{name} of a map in float32 gave {found.dtype}")
                scale = float(to_dense(double).abs().sum(dim=1 - side).max()) * float(x.abs().max())
                _close(found.numpy() / (scale or 1.0), expected.numpy() / (scale or 1.0), self.single_tolerance)

    def test_follows_its_device(self) -> None:
        """On the meta device, tensors made on a fixed device would meet those of the map and fail."""
        linear_map = self.make().to("meta")
        with patch.object(torch, "is_autocast_enabled", lambda device_type=None: False):  # refuses to say for 'meta'
            y = linear_map(torch.empty(2, *linear_map.shape[1], dtype=torch.float64, device="meta"))
        found = y.device.type, tuple(y.shape[1:])
        _require(found == ("meta", linear_map.shape[0]), f"the output is {found[1]} on {found[0]}")

    def test_refuses_another_shape(self) -> None:
        """InputError (a ValueError) for a sample without batch axis."""
        linear_map = self.make()
        try:
            linear_map(self.draw(linear_map, side=1)[0])
        except ValueError as error:
            _require("expected" in str(error), f"the message does not say what was expected: {error}")
        else:
            _require(False, "an input without batch axis was accepted")


def _bytes(*tensors: Tensor) -> int:
    return sum(t.numel() * t.itemsize for t in tensors)


def _inner(a: Tensor, b: Tensor) -> Array:
    """`Σ a conj(b)` of each sample."""
    return (a * b.conj()).reshape(len(a), prod(a.shape[1:])).sum(dim=1).numpy()


def _close(found: Array, expected: Array, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1.0, float(np.abs(expected).max())))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
