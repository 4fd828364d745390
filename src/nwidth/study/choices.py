"""What the `kind` keys of a study may say."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from nwidth.core.errors import InputError
from nwidth.core.kinds import load_attribute, resolve
from nwidth.problems import ZOO
from nwidth.problems.base import Affine, Problem
from nwidth.spaces.grid import Grid
from nwidth.study.schema import Choices
from nwidth.surrogates.base import Fitter

#: kind -> "module:attribute" of the method's configuration (the fitted types have kinds of their own).
METHODS: Mapping[str, str] = MappingProxyType(
    {
        "fno": "nwidth.operators.fno:FNO",
        "pod-regression": "nwidth.rb.pod_regression:PODRegression",
        "reduced-basis": "nwidth.rb.greedy:Greedy",
    }
)

#: Methods that learn from runs; the others ask the problem itself.
LEARN_FROM_RUNS = frozenset({"fno", "pod-regression"})


def check_method(kind: str, problem: Problem) -> None:
    """Raises InputError for a built-in method that cannot work on this problem, with those that can."""
    name = type(problem).__name__
    if kind == "reduced-basis" and not isinstance(problem, Affine):
        raise InputError(
            f"fit.kind is {kind!r}, which needs a problem that separates parameters from space (Affine), and {name} "
            "does not; choose 'fno' or 'pod-regression'"
        )
    if kind == "fno" and not isinstance(problem.space, Grid):
        raise InputError(f"fit.kind is {kind!r}, which needs a grid, and {name} has a mesh; choose 'pod-regression'")


def choices(kinds: Sequence[type] = ()) -> Choices:
    """The built-in problems and methods, and the caller's own classes by their attribute `kind`.

    Raises InputError for a class that is neither a Problem nor a Fitter with a kind.
    """
    problems: dict[str, Callable[[], Any]] = {kind: partial(resolve, kind) for kind in ZOO}
    methods: dict[str, Callable[[], Any]] = {kind: partial(load_attribute, METHODS[kind]) for kind in METHODS}
    for cls in kinds:
        kind = getattr(cls, "kind", None)
        if not isinstance(kind, str):
            raise InputError(f"{cls.__name__} has no kind; give it the name that studies use, such as kind = 'plate'")
        if issubclass(cls, Problem):
            problems[kind] = partial(_itself, cls)
        elif issubclass(cls, Fitter):
            methods[kind] = partial(_itself, cls)
    return Choices(problems, methods, tuple(kinds))


def _itself(cls: type) -> type:
    return cls
