"""Reading a study's YAML, strictly, and laying `key=value` texts over it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nwidth.core.errors import InputError


class _Loader(yaml.SafeLoader):
    """Plain values only; a key that stands twice is refused (YAML would silently take the second)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep=deep)


def read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises InputError for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the study {path} cannot be read: {error.strerror or error}; check the name") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text; a study is a YAML file") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> dict[str, Any]:
    """The mapping in a YAML text; `name` is what messages call it."""
    try:
        content = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise InputError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{name} holds {_name(content)}; a study is a mapping with the keys problem, fit, ...")
    return content


def override(content: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """A copy of the study with values replaced: `fit.width=32` sets `width` in the section `fit`.

    Values are read as YAML. Raises InputError for a text without `=`, or a path through something that is no section.
    """
    result = {key: dict(value) if isinstance(value, Mapping) else value for key, value in content.items()}
    for text in texts:
        path, sign, value = text.partition("=")
        keys = path.strip().split(".")
        if not sign or not all(keys):
            raise InputError(f"{text!r} is not of the form key=value, like snapshots.train=200 or seed=1")
        try:
            _put(result, keys, yaml.safe_load(value), text)
        except yaml.YAMLError as error:
            raise InputError(f"the value in {text!r} is not YAML") from error
    return result


def _put(section: dict[str, Any], keys: Sequence[str], value: Any, text: str) -> None:
    """Sets the value at the end of the path; sections on the way that are absent are made."""
    for key in keys[:-1]:
        inner = section.setdefault(key, {})
        if not isinstance(inner, dict):
            raise InputError(f"{text!r}: {key!r} holds {_name(inner)}, not a section; give {key}=value")
        section = inner
    section[keys[-1]] = value


def _name(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case list():
            return "a list"
        case _:
            return f"the value {value!r}"
