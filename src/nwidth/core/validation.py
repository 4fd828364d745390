"""Checks of what users hand in: each says what came, what was expected and what to do."""

from collections.abc import Mapping, Sequence

import numpy as np

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError


def as_mu(mu: Mu | Array, names: Sequence[str]) -> dict[str, Array]:
    """Parameters as a mapping name -> array with a batch axis, `(B, ...)`.

    A bare array is accepted where there is exactly one parameter. Raises InputError for missing, unknown or
    unequal batches.
    """
    if not isinstance(mu, Mapping):
        if len(names) != 1:
            raise InputError(
                f"got one array for {len(names)} parameters ({', '.join(names)}); "
                "pass a mapping name -> array with the batch axis first"
            )
        mu = {names[0]: mu}
    missing, unknown = [n for n in names if n not in mu], [n for n in mu if n not in names]
    if missing or unknown:
        raise InputError(f"parameters {list(mu)} do not match {list(names)}: missing {missing}, unknown {unknown}")
    arrays = {name: np.asarray(mu[name]) for name in names}
    sizes = {name: a.shape[0] if a.ndim else None for name, a in arrays.items()}
    if None in sizes.values():
        scalar = [n for n, s in sizes.items() if s is None]
        raise InputError(f"parameter {scalar[0]!r} has no batch axis; pass mu[None], one row per query")
    if len(set(sizes.values())) > 1:
        raise InputError(f"parameters have different batch sizes {sizes}; give every name the same number of rows")
    return arrays


def batch_size(mu: Mu) -> int:
    """The number of queries in a checked parameter mapping."""
    return int(next(iter(mu.values())).shape[0])


def select(mu: Mu, rows: Array | slice) -> dict[str, Array]:
    """The chosen rows of every parameter."""
    return {name: np.asarray(values)[rows] for name, values in mu.items()}


def check_finite(name: str, values: Array) -> None:
    """InputError naming the first row with a NaN or an infinity."""
    finite = np.isfinite(np.asarray(values))
    flat = finite.all(axis=tuple(range(1, finite.ndim)))
    if not flat.all():
        raise InputError(
            f"{name}: row {int(np.argmin(flat))} holds a value that is not finite "
            f"({int((~flat).sum())} of {len(flat)} rows); remove or repair these rows"
        )


def check_batched(name: str, values: Array, shape: tuple[int, ...]) -> Array:
    """Values of shape `(B, *shape)`, or InputError with the call to make."""
    values = np.asarray(values)
    if values.shape[1:] == tuple(shape) and values.ndim == len(shape) + 1:
        return values
    if values.shape == tuple(shape):
        raise InputError(f"{name} has no batch axis: got shape {values.shape}; pass {name}[None]")
    raise InputError(f"{name} has shape {values.shape}, expected (B, {', '.join(map(str, shape))})")


def check_choice(name: str, value: str, allowed: Sequence[str]) -> str:
    """One of the allowed words, or InputError that lists them."""
    if value not in allowed:
        raise InputError(f"{name} is {value!r}; choose one of {', '.join(allowed)}")
    return value
