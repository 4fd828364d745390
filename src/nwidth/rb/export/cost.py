"""What one query costs on the other machine: known before it runs, because no loop depends on the data."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from nwidth.core.expressions import OPERATIONS, Call, Expression, nodes
from nwidth.rb.dual import DualModel
from nwidth.rb.export.reading import Exported, row_lengths


@dataclass(frozen=True)
class Cost:
    """Operations of one query without the stability constant, and bytes of constants and of working memory.

    `flops`: additions, subtractions and multiplications; changes of sign are not counted. `calls`: name of a <math.h>
    function that takes time -> how often.
    """

    flops: int
    divisions: int
    calls: Counter[str]
    constants: int
    stack: int

    @classmethod
    def of(cls, parts: Exported) -> "Cost":
        """Counted stage by stage, in the order of the C text."""
        model, residual = parts.model, parts.residual
        n, outputs = model.modes, len(model.functionals)
        terms, loads = len(model.matrices), len(model.loads)
        rows, width, packed = len(residual.rows), residual.rows.shape[1], n * (n + 1) // 2
        held = int(row_lengths(residual.rows).sum())
        used = Counter(_operations((*parts.formulas.theta, *parts.formulas.phi)))
        duals = [_dual(parts, dual) for _, dual in parts.duals]
        flops = sum(used[o] for o in "+-*") + _reduced_solve(n, terms, loads)
        flops += (1 + outputs) * (n * terms + 2 * held + 2 * rows + 2 * width + 5)
        flops += 2 * terms + 2 * n + 4
        flops += (2 * n * n + 2 * rows + outputs * (2 * n * n + 8 * n + 9)) if outputs else 0
        calls = {OPERATIONS[o].c.partition("(")[0]: count for o, count in used.items() if OPERATIONS[o].called}
        calls = Counter({name: count for name, count in calls.items() if name not in ("fabs", "nw_min", "nw_max")})
        copies = 2 if outputs else 1
        constants = packed * terms + n * (loads + 2 * outputs + 1) + held + (2 if outputs else 1) * rows
        constants += terms + outputs + 2 * len(parts.box.names)
        words = len(parts.box.names) + terms + loads + copies * (packed + n) + rows + n * min(outputs, 1) + 16
        return cls(
            flops=flops + sum(dual.flops for dual in duals),
            divisions=used["/"] + n + 2 * (1 + outputs) + sum(dual.divisions for dual in duals),
            calls=calls + Counter(sqrt=n + outputs + 3) + sum((dual.calls for dual in duals), Counter()),
            constants=8 * constants + 2 * rows + sum(dual.constants for dual in duals),
            stack=8 * words + max([8 * width, *(dual.stack for dual in duals)]),
        )


def _reduced_solve(modes: int, terms: int, loads: int) -> int:
    """Additions and multiplications: assembly, factorisation, two substitutions."""
    packed = modes * (modes + 1) // 2
    factor = sum(i * i + 2 * i for i in range(modes))
    return 2 * packed * terms + 2 * modes * loads + factor + 2 * modes * modes


def _dual(parts: Exported, dual: DualModel) -> Cost:
    """One output with a dual basis of its own."""
    m, n, terms, loads = dual.dual.modes, parts.model.modes, len(parts.model.matrices), len(parts.model.loads)
    rows, width = len(dual.residual.rows), dual.residual.rows.shape[1]
    held, packed = int(row_lengths(dual.residual.rows).sum()), m * (m + 1) // 2
    flops = _reduced_solve(m, terms, len(dual.dual.loads)) + m * terms + 2 * held + 2 * rows + 2 * width + 4
    flops += m * (2 * loads + 3 * terms * n + 4) + 4 * n + 2 * loads + 2 * terms + 2 + 17
    flops += 0 if dual.linear else n * (2 * n + 2)
    constants = (
        packed * terms + m * (len(dual.dual.loads) + loads + 1 + terms * n) + terms + loads + 2 * n + held + rows
    )
    constants += 0 if dual.linear else n * n
    words = packed + m + len(dual.dual.loads) + rows + width + 16
    return Cost(flops, m + 2, Counter(sqrt=m + 2), 8 * constants + 2 * rows, 8 * words)


def _operations(formulas: Iterable[Expression]) -> Iterable[str]:
    return (node.operation for formula in formulas for node in nodes(formula.tree) if isinstance(node, Call))
