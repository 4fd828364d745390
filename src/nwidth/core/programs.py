"""Formulas as small programs for compiled kernels: a query then costs tens of nanoseconds instead of microseconds.

A program is an array `(steps, 2)` of (what, operand) in the order in which a stack machine works: push a number, push
a parameter, an operation of `nwidth.core.expressions.OPERATIONS`, or store the result as a value.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from nwidth.core.arrays import Real
from nwidth.core.errors import InputError
from nwidth.core.expressions import OPERATIONS, Call, Expression, Name, Number, nodes

_STACK = 64
_NUMBER, _PARAMETER, _STORE, _FIRST = 0, 1, 2, 3
_POSITION = {name: _FIRST + i for i, name in enumerate(OPERATIONS)}
_ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _POWER, _NEGATIVE = range(_FIRST, _FIRST + 6)
_EXP, _LOG, _SQRT, _SIN, _COS, _TAN, _TANH, _ABS, _MIN, _MAX = range(_FIRST + 6, _FIRST + 16)


def program(expressions: Sequence[Expression], names: Sequence[str]) -> Real:
    """The program `(steps, 2)` that evaluates all expressions from a table of parameters in the order of `names`.

    Raises InputError for a formula that holds too many intermediate values at once.
    """
    column = {name: i for i, name in enumerate(names)}
    steps: list[tuple[int, float]] = []
    for place, expression in enumerate(expressions):
        held = highest = 0
        for node in nodes(expression.tree):
            match node:
                case Number(value):
                    steps.append((_NUMBER, value))
                case Name(name):
                    steps.append((_PARAMETER, column[name]))
                case Call(operation, _):
                    steps.append((_POSITION[operation], 0))
            held += 1 - (OPERATIONS[node.operation].operands if isinstance(node, Call) else 0)
            highest = max(highest, held)
        if highest > _STACK:
            raise InputError(
                f"the formula {expression.text[:60]!r}... needs {highest} intermediate values at once, at most {_STACK}"
                " are held; put the deeper part of a sum or product first, or divide it into terms"
            )
        steps.append((_STORE, place))
    return np.array(steps, dtype=np.float64).reshape(-1, 2)


@njit(cache=True, nogil=True, error_model="numpy")
def run(program: Real, table: Real, out: Real) -> int:
    """Evaluate a program for every row of the table `(B, P)` into `out (B, Q)`.

    Returns the first row with a value that is not finite, -1 where all are.
    """
    stack = np.empty(_STACK + 1)
    bad = -1
    for b in range(table.shape[0]):
        top = 0
        for step in range(program.shape[0]):
            what = int(program[step, 0])
            if what == _NUMBER:
                stack[top] = program[step, 1]
                top += 1
            elif what == _PARAMETER:
                stack[top] = table[b, int(program[step, 1])]
                top += 1
            elif what == _STORE:
                top -= 1
                out[b, int(program[step, 1])] = stack[top]
                if bad < 0 and not np.isfinite(stack[top]):
                    bad = b
            else:
                top = _apply(what, stack, top)
    return bad


@njit(cache=True, nogil=True, error_model="numpy")
def _apply(what: int, stack: Real, top: int) -> int:
    """One operation on the top of the stack; returns the new top."""
    x = stack[top - 1]
    if what >= _NEGATIVE and what < _MIN:
        stack[top - 1] = _function(what, x)
        return top
    y, x = x, stack[top - 2]
    if what == _ADD:
        x += y
    elif what == _SUBTRACT:
        x -= y
    elif what == _MULTIPLY:
        x *= y
    elif what == _DIVIDE:
        x /= y
    elif what == _POWER:
        x = x**y
    elif what == _MIN:
        x = x if x < y or np.isnan(x) else y
    else:
        x = x if x > y or np.isnan(x) else y
    stack[top - 2] = x
    return top - 1


@njit(cache=True, nogil=True, error_model="numpy")
def _function(what: int, x: float) -> float:
    if what == _NEGATIVE:
        return -x
    if what == _EXP:
        return np.exp(x)
    if what == _LOG:
        return np.log(x)
    if what == _SQRT:
        return np.sqrt(x)
    if what == _SIN:
        return np.sin(x)
    if what == _COS:
        return np.cos(x)
    if what == _TAN:
        return np.tan(x)
    if what == _TANH:
        return np.tanh(x)
    return abs(x)
