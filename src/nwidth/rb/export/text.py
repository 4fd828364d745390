"""C text of numbers, tables, names and comments."""

import re
from collections.abc import Iterable, Sequence
from textwrap import wrap

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError

_WIDTH = 110
_SPELLED = str.maketrans(
    {"°": "deg", "²": "2", "³": "3", "µ": "u", "μ": "u", "Ω": "Ohm", "·": ".", "×": "x", "–": "-", "⁻": "-", "¹": "1"}
    | {"θ": "theta", "φ": "phi", "α": "alpha", "\\": "/", "@": "(at)"}
)
_RESERVED = re.compile(
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|inline|int|long|register|"
    "restrict|return|short|signed|sizeof|static|struct|switch|typedef|union|unsigned|void|volatile|while"
)


def identifier(name: str) -> str:
    """A C identifier like the name: letters, digits and underscores."""
    text = re.sub(r"\W+", "_", plain(name), flags=re.ASCII).strip("_") or "model"
    return f"m_{text}" if text[0].isdigit() or _RESERVED.fullmatch(text) else text


def checked_identifier(name: str) -> str:
    """The name, or InputError where C would not take it."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,40}", name) or _RESERVED.fullmatch(name):
        raise InputError(f"name is {name!r}; give a C identifier of at most 41 letters, digits and underscores")
    return name


def macros(prefix: str, names: Sequence[str]) -> list[str]:
    """One macro per name with its position, all different."""
    found: dict[str, None] = {}
    for i, name in enumerate(names):
        macro = f"{prefix}{identifier(name).upper()}"
        found[macro if macro not in found else f"{macro}_{i}"] = None
    return [f"#define {macro} {i}" for i, macro in enumerate(found)]


def plain(text: str) -> str:
    """ASCII that cannot end a comment."""
    spelled = re.sub(r"\s+", " ", str(text).translate(_SPELLED)).encode("ascii", "replace").decode()
    return re.sub(r"\?\?+", "?", spelled.replace("*/", "* /").replace("/*", "/ *"))


def comment(lines: Iterable[str]) -> str:
    """A block comment; long lines are wrapped, with the indent of their start."""
    wrapped: list[str] = []
    for line in map(str, lines):
        indent = " " * (len(line) - len(line.lstrip()))
        wrapped += wrap(plain(line).strip(), _WIDTH, initial_indent=indent, subsequent_indent=indent) or [""]
    return "\n".join(["/*", *(f" * {line}".rstrip() for line in wrapped), " */"])


def number(value: float) -> str:
    """A finite double, exact: hexadecimal, which any C99 compiler reads back to the last bit."""
    if not np.isfinite(value):
        raise InputError(f"the reduced model holds {value}: it cannot be exported; fit it again")
    return float(value).hex()


def table(name: str, values: Array | Real, kind: str = "double") -> str:
    """A constant table in the order of memory; at least one entry, as C99 wants it."""
    flat = np.asarray(values).ravel()
    entries = [number(v) if kind == "double" else str(int(v)) for v in flat] or ["0"]
    lines = wrap(", ".join(entries), _WIDTH, break_long_words=False, break_on_hyphens=False)
    body = "\n".join(f"    {line}" for line in lines)
    return f"static const {kind} {name}[{len(entries)}] = {{\n{body}\n}};"
