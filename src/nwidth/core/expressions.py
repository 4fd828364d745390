"""Formulas of named parameters as data: text that is parsed into a tree, evaluated with NumPy, and written as C99.

A formula can therefore be stored in a file and exported to a controller. Nothing is ever run as Python code: the text
is parsed with `ast`, and every node that is not in the table below is refused.
"""

import ast
import keyword
import math
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError

#: Largest formula: characters, and operations that wait for each other.
LONGEST, DEEPEST = 1000, 100


class Operation(NamedTuple):
    """What a formula can do: number of operands, how NumPy and C99 do it, whether C calls a function for it."""

    operands: int
    numpy: Callable[..., Any]
    c: str

    @property
    def called(self) -> bool:
        """Whether C calls a function of the library for it."""
        return not self.c.startswith("(")


#: Every operation by its name; a program (`nwidth.core.programs`) refers to them by position.
OPERATIONS: Mapping[str, Operation] = {
    "+": Operation(2, np.add, "({} + {})"),
    "-": Operation(2, np.subtract, "({} - {})"),
    "*": Operation(2, np.multiply, "({} * {})"),
    "/": Operation(2, np.divide, "({} / {})"),
    "**": Operation(2, np.float_power, "pow({}, {})"),
    "negative": Operation(1, np.negative, "(-{})"),
    "exp": Operation(1, np.exp, "exp({})"),
    "log": Operation(1, np.log, "log({})"),
    "sqrt": Operation(1, np.sqrt, "sqrt({})"),
    "sin": Operation(1, np.sin, "sin({})"),
    "cos": Operation(1, np.cos, "cos({})"),
    "tan": Operation(1, np.tan, "tan({})"),
    "tanh": Operation(1, np.tanh, "tanh({})"),
    "abs": Operation(1, np.abs, "fabs({})"),
    "min": Operation(2, np.minimum, "nw_min({}, {})"),
    "max": Operation(2, np.maximum, "nw_max({}, {})"),
}

#: C99 functions that the text of `Expression.c` may call, by name; unlike fmin and fmax they hand a NaN on.
C_HELPERS: Mapping[str, str] = {
    "nw_min": "static double nw_min(double a, double b) { return ((a < b) || (a != a)) ? a : b; }\n",
    "nw_max": "static double nw_max(double a, double b) { return ((a > b) || (a != a)) ? a : b; }\n",
}

_FUNCTIONS = tuple(name for name in OPERATIONS if name.isalpha() and name != "negative")
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_ALLOWED = (
    f"write numbers, parameter names, pi, + - * / ** and parentheses, {', '.join(_FUNCTIONS)}; for example "
    "'0.5 * k + exp(-h) / (1 + h**2)'"
)


@dataclass(frozen=True)
class Number:
    """A number that the formula spells out."""

    value: float


@dataclass(frozen=True)
class Name:
    """A parameter."""

    name: str


@dataclass(frozen=True)
class Call:
    """An operation, by its name in `OPERATIONS`, on operands."""

    operation: str
    operands: tuple["Tree", ...]


Tree: TypeAlias = Number | Name | Call


@dataclass(frozen=True)
class Expression:
    """A formula of the parameters `names`: its `text`, and the tree that was read from it.

        Expression.parse("0.5 * k + exp(-h) / (1 + h**2)", ("k", "h")).evaluate({"k": k, "h": h})

    Two expressions are equal where text and names are.
    """

    text: str
    names: tuple[str, ...]
    tree: Tree = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str | float, names: Sequence[str]) -> "Expression":
        """The formula in a text (or a number) with these parameters.

        Raises InputError for anything but numbers, names, + - * / **, unary signs and the functions of `OPERATIONS`;
        for unknown names; for numbers that are not finite; and for formulas that are too long or nested too deeply.
        """
        text = _text(text)
        known = {unicodedata.normalize("NFKC", name): name for name in names}
        return cls(text, tuple(names), _Reader(text, known).read(_body(text)))

    @property
    def used(self) -> tuple[str, ...]:
        """The parameters that occur in it, in their order."""
        found = {node.name for node in nodes(self.tree) if isinstance(node, Name)}
        return tuple(name for name in self.names if name in found)

    @property
    def constant(self) -> float | None:
        """Its value where no parameter occurs in it, otherwise None."""
        return None if self.used else float(self._value({})[()])

    def evaluate(self, mu: Mu) -> Real:
        """Values `(B,)` at parameters name -> `(B,)`; NaN or infinite where the formula is."""
        missing = [name for name in self.used if name not in mu]
        if missing:
            raise InputError(f"the formula {self.text!r} needs {missing}; got the parameters {list(mu)}")
        batch = np.broadcast_shapes(*(np.shape(values) for values in mu.values()))
        return np.array(np.broadcast_to(self._value(mu), batch), dtype=np.float64)

    def _value(self, mu: Mu) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(_evaluate(self.tree, mu))

    def c(self, names: Sequence[str] | None = None) -> str:
        """A C99 expression in `mu[i]`, i the position of a parameter in `names` (its own by default).

        Numbers are written so that they are read back exactly. It may call <math.h> and `C_HELPERS`.
        """
        places = {name: f"mu[{i}]" for i, name in enumerate(self.names if names is None else names)}
        missing = [name for name in self.used if name not in places]
        if missing:
            raise InputError(f"the formula {self.text!r} needs {missing}; got the parameters {list(places)}")
        return _c(self.tree, places)

    def __str__(self) -> str:
        return self.text


def nodes(tree: Tree) -> Iterator[Tree]:
    """Every node of a tree, operands before their operation: the order in which a stack machine works."""
    if isinstance(tree, Call):
        for operand in tree.operands:
            yield from nodes(operand)
    yield tree


def c_number(value: float) -> str:
    """A finite double as C99 text that is read back exactly."""
    return repr(float(value))


def _text(text: object) -> str:
    if isinstance(text, bool | np.bool_) or not isinstance(text, str | int | float | np.integer | np.floating):
        raise InputError(f"a formula is a text or a number, got {text!r} ({type(text).__name__}); {_ALLOWED}")
    if not isinstance(text, str):
        if not math.isfinite(text):
            raise InputError(f"a formula that is a number must be finite, got {text}")
        return repr(float(text))
    if len(text) > LONGEST:
        raise InputError(f"a formula has {len(text):,} characters, at most {LONGEST:,} are read: {text[:60]!r}...")
    return text.strip()


def _body(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # about literals that are refused anyway
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reserved = sorted({word for word in text.replace("(", " ").split() if keyword.iskeyword(word)})
        hint = f" ({', '.join(reserved)}: reserved words cannot name parameters)" if reserved else ""
        raise InputError(f"the formula {text!r} cannot be read{hint}; {_ALLOWED}") from error


class _Reader:
    """Turns nodes of `ast` into a tree; `known` maps names as Python normalises them to names as they were given."""

    def __init__(self, text: str, known: Mapping[str, str]):
        self._text, self._known = text, known

    def read(self, node: ast.expr, depth: int = 0) -> Tree:
        if depth > DEEPEST:
            raise InputError(
                f"the formula {self._text[:60]!r}... has more than {DEEPEST} operations that wait for each other; "
                "divide it into terms of their own"
            )
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return Number(self._number(value))
            case ast.Name(id=name):
                return self._name(name)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.read(operand, depth + 1)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Call("negative", (self.read(operand, depth + 1),))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return Call(_BINARY[type(op)], (self.read(left, depth + 1), self.read(right, depth + 1)))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
                return self._call(name, [self.read(arg, depth + 1) for arg in args])
        self._refuse(node)

    def _number(self, value: float) -> float:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise InputError(f"a number in the formula {self._text!r} is too large for double precision")
        return number

    def _name(self, name: str) -> Tree:
        if name in self._known:
            return Name(self._known[name])
        if name == "pi":
            return Number(math.pi)
        what = "is a function and needs an argument" if name in _FUNCTIONS else "is not a parameter"
        raise InputError(f"{name!r} in the formula {self._text!r} {what}; the parameters are {[*self._known.values()]}")

    def _call(self, name: str, operands: list[Tree]) -> Tree:
        wanted = OPERATIONS[name].operands
        if len(operands) < wanted or (wanted == 1 and len(operands) > 1):
            count = "one argument" if wanted == 1 else "at least two arguments"
            raise InputError(f"{name} in the formula {self._text!r} takes {count}, got {len(operands)}")
        tree = operands[0]
        for operand in operands[1:]:
            tree = Call(name, (tree, operand))
        return tree if wanted == 2 else Call(name, (tree,))

    def _refuse(self, node: ast.expr) -> NoReturn:
        source = ast.get_source_segment(self._text, node) or type(node).__name__
        hint = "a power is written **, " if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor) else ""
        raise InputError(f"{source!r} in the formula {self._text!r} is not allowed; {hint}{_ALLOWED}")


def _evaluate(tree: Tree, mu: Mu) -> Any:
    match tree:
        case Number(value):
            return np.float64(value)
        case Name(name):
            return np.asarray(mu[name], dtype=np.float64)
        case Call(operation, operands):
            return OPERATIONS[operation].numpy(*(_evaluate(operand, mu) for operand in operands))


def _c(tree: Tree, places: Mapping[str, str]) -> str:
    match tree:
        case Number(value):
            return c_number(value)
        case Name(name):
            return places[name]
        case Call(operation, operands):
            return OPERATIONS[operation].c.format(*(_c(operand, places) for operand in operands))
