"""Tensors saved by torch, read without running what a pickle may ask for (`weights_only=True`)."""

import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.io.readers.base import ArrayFile

_DAMAGE = (RuntimeError, EOFError, zipfile.BadZipFile, KeyError, ValueError, OSError)


def read_torch(path: Path) -> ArrayFile:
    """Tensors of a dict (neuraloperator: keys x, y), a list, or a single one, by their place in it.

    Raises InputError for anything but tensors, numbers, text and containers of these, and for a damaged file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors and could run code when opened, so it was not; save a dictionary of "
            "tensors: torch.save({'x': x, 'y': y}, path)"
        ) from error
    except _DAMAGE as error:
        raise InputError(f"{path} is a truncated or damaged torch file ({error}); copy it again") from error
    arrays, notes = dict(_walk(content, "")), []
    if not arrays:
        raise InputError(f"{path} holds no tensors")
    others = [name for name, a in arrays.items() if name not in ("x", "y") and a.size > 1]
    if {"x", "y"} <= set(arrays) and not others and len(arrays["x"]) == len(arrays["y"]):
        notes.append(_pairs(arrays["x"], arrays["y"]))
    return ArrayFile(path, arrays, tuple(notes))


def _pairs(x: Array, y: Array) -> str:
    return f"{len(x)} pairs: x {x.shape[1:]} {_values(x)} -> y {y.shape[1:]} (neuraloperator's layout: no channel axis)"


def _values(x: Array) -> str:
    return "(a mask: two values)" if x.dtype == bool else f"({x.dtype})"


def _walk(value: Any, place: str) -> Iterator[tuple[str, Array]]:
    """(place, array) of every tensor."""
    if isinstance(value, torch.Tensor):
        yield place or "tensor", _numpy(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for i, item in enumerate(value):
            yield from _walk(item, f"{place}[{i}]")


def _numpy(tensor: torch.Tensor) -> Array:
    tensor = tensor.detach()
    tensor = tensor.to_dense() if tensor.is_sparse else tensor
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).resolve_conj().numpy())
