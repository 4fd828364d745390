"""Between NumPy and torch: the only place where arrays become tensors and tensors arrays."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError


def to_tensor(array: Array, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor with its own memory; `dtype` is used for real values."""
    values = np.array(array, order="C")  # a copy: torch shares memory with NumPy otherwise
    if values.dtype.kind == "c":
        raise InputError("complex values become tensors as two real channels; take real and imaginary parts first")
    return torch.from_numpy(values).to(device, dtype)


def to_array(tensor: Tensor) -> Array:
    """An array in double precision with its own memory."""
    return tensor.detach().to("cpu", torch.float64).numpy().copy()


def state_arrays(module: nn.Module) -> dict[str, Array]:
    """The module's parameters and buffers, bit for bit, for a file."""
    return {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def load_state_arrays(module: nn.Module, arrays: Mapping[str, Array]) -> None:
    """Put arrays back, in their own precision. Raises InputError where names or shapes are not those of the module."""
    state = {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if name in state and state[name].dtype == torch.float64:  # `load_state_dict` would round to the module's
            tensor.data = tensor.data.double()
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"the stored arrays do not fit {type(module).__name__}: {error}") from error
