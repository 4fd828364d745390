"""What the `kind` keys of a study may say."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from nwidth.core.errors import InputError
from nwidth.core.kinds import load_attribute, resolve
from nwidth.problems import ZOO
from nwidth.problems.base import Problem
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
