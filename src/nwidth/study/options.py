"""The configurable part of a class as a strict pydantic model, read from its constructor.

A problem or method states its options once, in its constructor; the study needs no second list that could go stale.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError


class Strict(BaseModel):
    """A section of a study: unknown keys are refused, values are never changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def options_of(target: Callable[..., Any]) -> type[Strict]:
    """A model with a field for every constructor argument that plain YAML can express, with its default.

    Arguments of other types (functions, objects) are for Python only and are no keys of a study.
    """
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    factories = {f.name: f.default_factory for f in fields(target)} if is_dataclass(target) else {}
    keys: dict[str, Any] = {}
    for name, argument in inspect.signature(target).parameters.items():
        annotation = hints.get(name, Any)
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD) or not _is_plain(annotation):
            continue
        default = ... if argument.default is argument.empty else argument.default
        factory = factories.get(name, MISSING)
        keys[name] = (annotation, Field(default) if factory is MISSING else Field(default_factory=factory))
    return create_model(f"{getattr(target, '__name__', 'Options')}Options", __base__=Strict, **keys)


def _is_plain(annotation: Any) -> bool:
    """Whether YAML can hold such a value: exactly what JSON Schema can describe."""
    if annotation is Any or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return False
    try:
        TypeAdapter(annotation).json_schema()
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
        return False
    return True
