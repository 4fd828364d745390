"""What is wrong with a study, in its author's words: the key, what stands there, what is allowed."""

import difflib
import inspect
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def complaints(error: ValidationError, model: type[BaseModel], prefix: Sequence[str] = ()) -> list[str]:
    """One line for each thing that is wrong; `prefix` names the section that `model` describes."""
    return [_line(detail, model, tuple(prefix)) for detail in error.errors(include_url=False)]


def unknown(key: str, allowed: Sequence[str]) -> str:
    """That a word is not known, what is, and which was probably meant."""
    close = difflib.get_close_matches(key, allowed, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{key!r} is not known here. Allowed: {', '.join(allowed) or 'nothing'}{hint}"


def _line(detail: ErrorDetails, model: type[BaseModel], prefix: tuple[str, ...]) -> str:
    path = (*prefix, *(str(part) for part in detail["loc"]))
    where = ".".join(path)
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        section = ".".join(path[:-1])
        return f"{section + ': ' if section else ''}{unknown(path[-1], _allowed(model, detail['loc'][:-1]))}"
    if detail["type"] in ("missing", "missing_argument"):
        return f"{where}: missing; add it"
    message = detail["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "should be")
    return f"{where} = {_short(detail['input'])}: {message}"


def _allowed(model: type, path: Sequence[str | int]) -> list[str]:
    """The keys of the section at `path` inside `model`."""
    section: type | None = model
    for part in path:
        section = _section(_keys(section).get(str(part))) if section else None
    return list(_keys(section)) if section else []


def _keys(section: type) -> dict[str, Any]:
    """The keys of a section with their types."""
    if issubclass(section, BaseModel):
        return {name: field.annotation for name, field in section.model_fields.items()}
    hints, keys = get_type_hints(section), inspect.signature(section).parameters
    return {name: hints[name] for name in keys if name in hints}


def _section(annotation: Any) -> type | None:
    """The model or dataclass in an annotation such as `Section | None`."""
    candidates = [c for c in (annotation, *get_args(annotation)) if isinstance(c, type)]
    return next((c for c in candidates if is_dataclass(c) or issubclass(c, BaseModel)), None)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
