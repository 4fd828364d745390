"""Files of the neuraloperator library: `{name}_{part}_{resolution}.pt`, a dictionary of tensors x and y.

x `(N, *grid)` is the input, y `(N, *grid)` or `(N, T, *grid)` the solution, without a channel axis; a coefficient with
two values is a mask (bool), all else single precision. Scalars that are the same for all samples are `(1, 1)` tensors
beside them, as `visc` in the Burgers files; the two values of a mask are `x_low` and `x_high`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.io.atomic import write_atomically
from nwidth.io.writers.base import GridSamples, single

LAYOUT = "the layout of neuraloperator"


@dataclass(frozen=True)
class NeuralOperatorFile:
    """Writes one part. `dtype` of y, and of x where it is not a mask."""

    dtype: str = "float32"

    def place(self, folder: Path, data: GridSamples, part: str) -> Path:
        """The name of the file. Raises InputError for what the layout cannot hold."""
        data.require_real(LAYOUT)
        data.require_one_component(LAYOUT)
        data.fixed_scalars(LAYOUT)
        if len(data.inputs) != 1:
            raise InputError(
                f"{LAYOUT} holds one input field x, and the parameters on the grid are {list(data.inputs)}; it suits "
                "problems whose parameter is one field"
            )
        sizes = sorted(set(data.grid))
        if part not in ("train", "test"):
            raise InputError(f"{LAYOUT} has the parts train and test, not {part!r}")
        return folder / f"{data.name}_{part}_{'x'.join(map(str, sizes))}.pt"

    def write(self, path: Path, data: GridSamples) -> None:
        """The file, complete or not at all."""
        (x,), y = data.inputs.values(), data.fields
        values = np.asarray(x[:])
        content = {**_inputs(values, np.dtype(self.dtype)), "y": torch.from_numpy(_solutions(y, np.dtype(self.dtype)))}
        fixed = data.fixed_scalars(LAYOUT)
        content |= {name: torch.full((1, 1), value, dtype=torch.float64) for name, value in fixed.items()}
        write_atomically(path, lambda stream: torch.save(content, stream))


def _solutions(y: Array, dtype: np.dtype) -> Array:
    values = single(np.asarray(y[:]), dtype)
    return values[:, 0] if values.ndim > 1 and values.shape[1] == 1 else values


def _inputs(values: Array, dtype: np.dtype) -> dict[str, torch.Tensor]:
    """x as a mask with its two values, or as numbers."""
    low, high = values.min(), values.max()
    if low == high or not np.isin(values, (low, high)).all():
        return {"x": torch.from_numpy(single(values, dtype))}
    ends = {"x_low": torch.tensor(float(low)), "x_high": torch.tensor(float(high))}
    return {"x": torch.from_numpy(values == high), **ends}
