"""Nested lists and mappings of tensors and numbers, as a JSON outline and a flat set of tensors, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nwidth.core.errors import InputError


def flattened(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """The outline and the tensors of a tree. Raises InputError for a leaf that is neither a tensor nor JSON's."""
    tensors: dict[str, Tensor] = {}
    return _outline(tree, tensors), tensors


def _outline(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().cpu().contiguous().clone()
        dense = tensors[name] if 0 in tree.stride() else tree
        # the order in memory decides the last bits of products: it belongs to the state
        return {"tensor": name, "strides": list(dense.stride())}
    if isinstance(tree, Mapping):
        return {"map": [[key, _outline(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, tuple | list):
        return {type(tree).__name__: [_outline(value, tensors) for value in tree]}
    if tree is None or isinstance(tree, bool | int | float | str):
        return {"value": tree}
    raise InputError(f"a state holds a {type(tree).__name__}; expected tensors, numbers, words, lists and mappings")


def rebuilt(outline: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree again, bit for bit. Raises KeyError or ValueError for an outline that does not fit."""
    (kind,) = set(outline) - {"strides"}
    content = outline[kind]
    match kind:
        case "tensor":
            stored = tensors[content]
            return torch.empty_strided(stored.shape, outline["strides"], dtype=stored.dtype).copy_(stored)
        case "map":
            return {key: rebuilt(value, tensors) for key, value in content}
        case "list":
            return [rebuilt(value, tensors) for value in content]
        case "tuple":
            return tuple(rebuilt(value, tensors) for value in content)
        case "value":
            return content
    raise ValueError(f"unknown entry {kind!r}")
