"""What a store was made from, in words that can be stored and compared: the same request may resume it, no other."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.seeding import generator
from nwidth.core.storable import Storable, fingerprint
from nwidth.problems.base import Linear, Problem

#: Entries of the provenance that a request must share with the store which it resumes.
IDENTITY = ("problem", "parameters", "space", "seed", "start", "solver", "tolerance")
#: Agreement of the check numbers: between rounding and any change of meaning.
_RTOL = 1e-8


def describe(value: Any, depth: int = 3) -> Any:
    """A JSON-able description: a storable object by kind, configuration and fingerprint, any other by class and values.

    Names that begin with an underscore are an object's own affair and are left out; so is what lies deeper than
    `depth` objects, since objects may refer to each other in circles.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return value.item()
        case np.ndarray():
            return _digest(value)
        case Mapping():
            return {str(name): describe(item, depth) for name, item in value.items()}
        case list() | tuple():
            return [describe(item, depth) for item in value]
        case Storable() if isinstance(getattr(type(value), "kind", None), str):
            config = describe(value.to_parts().config)
            return {"kind": value.kind, "config": config, "fingerprint": fingerprint(value)}
        case _:
            public = _public_values(value) if depth else {}
            return {"class": type(value).__qualname__} | {k: describe(v, depth - 1) for k, v in public.items()}


def _public_values(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        named = {f.name: getattr(value, f.name) for f in fields(value)}
    else:
        named = getattr(value, "__dict__", {})
    return {name: item for name, item in named.items() if not name.startswith("_")}


def _digest(values: Array) -> dict[str, Any]:
    data = np.ascontiguousarray(values)
    return {"shape": list(data.shape), "dtype": data.dtype.str, "sha256": hashlib.sha256(data.tobytes()).hexdigest()}


def check_numbers(problem: Problem, mu: Mapping[str, Array]) -> dict[str, list[float]]:
    """A few numbers of one sample that change when the meaning of the problem does: its parameters, its equations.

    For a linear problem `‖A v‖, ‖f‖, ‖lift‖` with a fixed v, so that an edited class is noticed although its name and
    configuration are the same.
    """
    numbers = {f"mu/{name}": _two_numbers(np.asarray(values)) for name, values in mu.items()}
    if isinstance(problem, Linear):
        systems = problem.systems(mu)
        product = systems.apply(generator(0).standard_normal(systems.load.shape))
        numbers["equation"] = [*_two_numbers(product), *_two_numbers(systems.load), *_two_numbers(systems.lift)]
    return numbers


def _two_numbers(values: Array) -> list[float]:
    """The norm, and a projection that changes when values change places."""
    flat = values.ravel()
    return [float(np.linalg.norm(flat)), float(abs(flat @ generator(0).standard_normal(flat.size)))]


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Each entry of the identity that differs, in words; where none does, the check numbers that do."""
    lines = {name: _compare(name, stored.get(name), asked.get(name)) for name in IDENTITY}
    if lines["problem"]:
        lines["parameters"] = lines["space"] = []  # a consequence
    found = [line for group in lines.values() for line in group]
    old, new = stored.get("check", {}), asked.get("check", {})
    changed = [name for name in sorted({*old, *new}) if not _agree(old.get(name, []), new.get(name, []))]
    return found or [f"the values of {name} have changed for sample {asked.get('start')}" for name in changed]


def _compare(name: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = dict.fromkeys((*old, *new))
        inner = [line for key in keys for line in _compare(f"{name}.{key}", old.get(key), new.get(key))]
        # A fingerprint says nothing to a reader: it is named only where nothing else differs.
        return [line for line in inner if ".fingerprint" not in line] or inner
    if json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True):
        return []
    return [f"{name} is {old!r} there, {new!r} here"]


def _agree(old: list[float], new: list[float]) -> bool:
    scale = max(map(abs, old), default=0.0)
    return len(old) == len(new) and np.allclose(old, new, rtol=0, atol=_RTOL * scale, equal_nan=True)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    packages = {name: version(name) for name in ("nwidth", "numpy", "scipy", "zarr")}
    return {"python": platform.python_version()} | packages
