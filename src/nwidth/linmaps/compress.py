"""The best structured map for a tolerance or a budget, among all kinds that apply."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch

from nwidth.core.errors import InputError, WorkError
from nwidth.core.kinds import load_attribute
from nwidth.linmaps.base import Approximant, Goal, LinearMap, MapShape, parameter_count
from nwidth.linmaps.compose import reshape
from nwidth.linmaps.convert import goal_within, relative_error, rounding

#: Kinds that `compress` tries by itself: name -> "module:class" of an `Approximant`, one line per kind.
CANDIDATES: Mapping[str, str] = MappingProxyType(
    {
        "low-rank": "nwidth.linmaps.low_rank:LowRank",
        "sparse-low-rank": "nwidth.linmaps.sparse_low_rank:SparseLowRank",
        "kronecker": "nwidth.linmaps.kronecker:Kronecker",
        "tucker": "nwidth.linmaps.tucker:Tucker",
        "tensor-train": "nwidth.linmaps.tensor_train:TensorTrain",
    }
)


def compress(
    source: LinearMap,
    *,
    tol: float | None = None,
    budget: int | None = None,
    kinds: Sequence[str | type[Approximant]] | None = None,
    shape: MapShape | None = None,
    seed: int = 0,
) -> tuple[Approximant, float]:
    """The map with fewest parameters within `tol`, or the closest with at most `budget` parameters, and its error.

    The error is relative, in the Frobenius norm (see `relative_error`). `kinds`: names of `CANDIDATES` or classes of
    one's own; by default all candidates, and those that do not apply to the map's shape are passed over. `shape`: see
    `convert`.

    Raises WorkError where no kind reaches the tolerance with fewer parameters than `source`, with what each achieved;
    InputError for an unknown name, both or neither of `tol` and `budget`, or where no kind applies.
    """
    goal = Goal(tol, budget, seed)
    seen = source if shape is None else reshape(source, *shape)
    tried: list[tuple[Approximant, float]] = []
    passed_over: list[str] = []
    for kind in [_resolve(k) for k in (CANDIDATES if kinds is None else kinds)]:
        try:
            with torch.no_grad():
                found = kind.approximate(seen, goal_within(seen, goal))
                tried.append((found, relative_error(found, seen, seed=seed + 1)))
        except InputError as error:
            passed_over.append(f"{kind.__name__}: {error}")
    if not tried:
        raise InputError("no kind applies: " + "; ".join(passed_over))
    if goal.budget is not None:
        return min(tried, key=lambda pair: (max(pair[1], rounding(source)), parameter_count(pair[0])))
    return _smallest(tried, parameter_count(source), goal, rounding(source))


def _smallest(
    tried: list[tuple[Approximant, float]], given: int, goal: Goal, rounding: float
) -> tuple[Approximant, float]:
    good = [pair for pair in tried if pair[1] <= (goal.tol or 0.0) + rounding and parameter_count(pair[0]) < given]
    if good:
        return min(good, key=lambda pair: parameter_count(pair[0]))
    achieved = "; ".join(f"{type(m).__name__}: error {e:.3g} with {parameter_count(m)} parameters" for m, e in tried)
    raise WorkError(
        f"no kind reaches a relative error of {goal.tol} (Frobenius norm) with fewer than the {given} parameters of "
        f"the map itself. Achieved: {achieved}. Raise the tolerance, or keep the map"
    )


def _resolve(kind: str | type[Approximant]) -> type[Approximant]:
    if not isinstance(kind, str):
        return kind
    if kind not in CANDIDATES:
        raise InputError(f"kind {kind!r} is not known; known: {', '.join(sorted(CANDIDATES))}, or pass a class")
    found: type[Approximant] = load_attribute(CANDIDATES[kind])
    return found
