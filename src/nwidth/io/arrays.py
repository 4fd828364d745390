"""Arrays as safetensors bytes: plain numbers with a header, nothing that could run."""

from collections.abc import Collection, Mapping

import numpy as np
import safetensors.numpy
import scipy.sparse as sp
from safetensors import SafetensorError

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError

_KINDS = "biufc"


def encode(arrays: Mapping[str, Array], owner: str = "the object") -> tuple[bytes, list[str]]:
    """The bytes, and the names of the arrays that are complex (stored as pairs of reals: the format has none).

    Raises InputError for arrays of text or of Python objects.
    """
    plain, paired = {}, []
    for name, values in arrays.items():
        array = np.asarray(values)
        if array.dtype.kind not in _KINDS or array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
            raise InputError(
                f"array {name!r} of {owner} has type {array.dtype}; only real, complex, integer and boolean arrays of "
                "up to 64 bits per number are stored (text belongs in the configuration)"
            )
        if array.dtype.kind == "c":
            paired.append(name)
            array = np.stack([array.real, array.imag], axis=-1)
        plain[name] = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    return safetensors.numpy.save(plain), sorted(paired)


def decode(data: bytes, paired: Collection[str] = ()) -> dict[str, Array]:
    """The arrays again, writable. Raises InputError where the bytes are not what `encode` makes."""
    try:
        arrays = {name: np.array(values) for name, values in safetensors.numpy.load(data).items()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"the arrays are damaged: {error}; save the model again") from error
    for name in paired:
        pair = arrays[name]
        complex_type = np.result_type(pair.dtype, np.complex64)
        arrays[name] = np.ascontiguousarray(pair).view(complex_type)[..., 0]
    return arrays


def split_sparse(name: str, matrix: sp.sparray | sp.spmatrix) -> dict[str, Array]:
    """A sparse matrix as three arrays and its shape, named `name.data`, `name.indices`, `name.indptr`, `name.shape`."""
    csr = sp.csr_array(matrix)
    parts = {"data": csr.data, "indices": csr.indices, "indptr": csr.indptr, "shape": np.array(csr.shape)}
    return {f"{name}.{part}": values for part, values in parts.items()}


def join_sparse(name: str, arrays: Mapping[str, Array]) -> sp.csr_array:
    """The matrix that `split_sparse` took apart. Raises InputError where the parts do not fit together."""
    try:
        data, indices, indptr, shape = (arrays[f"{name}.{p}"] for p in ("data", "indices", "indptr", "shape"))
        matrix = sp.csr_array((data, indices, indptr), shape=tuple(int(n) for n in shape))
        matrix.check_format(full_check=True)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"the sparse matrix {name!r} is damaged: {error}") from error
    return matrix
