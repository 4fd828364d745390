"""What is wrong with a study, in its author's words: the key, what stands there, what is allowed."""

import difflib
from collections.abc import Sequence
from typing import Any, get_args

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
    if detail["type"] == "extra_forbidden":
        section = ".".join(path[:-1])
        return f"{section + ': ' if section else ''}{unknown(path[-1], _allowed(model, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{where}: missing; add it"
    message = detail["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "should be")
    return f"{where} = {_short(detail['input'])}: {message}"


def _allowed(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys of the section at `path` inside `model`."""
    for part in path:
        field = model.model_fields.get(str(part))
        inner = _section(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    candidates = (annotation, *get_args(annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
