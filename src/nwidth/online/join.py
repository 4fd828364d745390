"""Several predictions as one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.guarantee import Rigorous, weakest
from nwidth.core.prediction import Output, Prediction


def joined(parts: Sequence[Prediction], order: Array | None = None) -> Prediction:
    """One prediction from several; `order` says where each of their rows belongs, None: one after the other.

    Fields become arrays. Statistics and outputs are kept that all parts have; the guarantee is the weakest.
    """
    used = [part for part in parts if len(part)] or list(parts[:1])
    if len(used) == 1 and (order is None or np.array_equal(order, np.arange(len(used[0])))):
        return used[0]
    back = np.arange(sum(map(len, used))) if order is None else np.argsort(order, kind="stable")

    def put(values: Sequence[Array]) -> Array:
        return np.concatenate([np.asarray(v) for v in values])[back]

    first = used[0]
    outputs = [name for name in first.outputs if all(name in part.outputs for part in used)]
    stats = [name for name in first.stats if all(name in part.stats for part in used)]
    return Prediction(
        mu={name: put([part.mu[name] for part in used]) for name in first.mu},
        values=put([part.field for part in used]),
        space=first.space,
        bound=put([part.bound for part in used]),
        guarantee=weakest(part.guarantee for part in used),
        inside=put([part.inside for part in used]),
        source=put([part.source for part in used]),
        outputs={name: _output(name, used, back) for name in outputs},
        reason=put([_reasons(part) for part in used]),
        stats={name: put([part.stats[name] for part in used]) for name in stats},
        lower=put([part.interval[0] for part in used]) if any(part.lower is not None for part in used) else None,
    )


def with_smaller_limits(before: Prediction, after: Prediction) -> Prediction:
    """Better answers to the same queries, each output with the smaller of its two guaranteed limits.

    A limit by duality can be smaller than what follows from a refined field. Both have to be for the same problem.
    """
    if not (isinstance(before.guarantee, Rigorous) and isinstance(after.guarantee, Rigorous)):
        return after
    shared = {name: before.outputs[name] for name in after.outputs if name in before.outputs}
    smaller = {name: _smaller(old, after.outputs[name]) for name, old in shared.items()}
    return replace(after, outputs={**after.outputs, **smaller})


def _smaller(old: Output, new: Output) -> Output:
    if old.limit.shape != new.limit.shape:
        return new
    keep = old.limit < new.limit
    return Output(np.where(keep, old.values, new.values), np.where(keep, old.limit, new.limit), new.unit)


def _output(name: str, parts: Sequence[Prediction], back: Array) -> Output:
    values, limit = (np.concatenate([getattr(p.outputs[name], f) for p in parts])[back] for f in ("values", "limit"))
    return Output(values, limit, parts[0].outputs[name].unit)


def _reasons(part: Prediction) -> Array:
    return np.full(len(part), "", dtype=object) if part.reason is None else part.reason
